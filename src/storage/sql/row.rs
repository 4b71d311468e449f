//! Reading rows, with an error that names table, column and row.

use serde::de::DeserializeOwned;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::clock::Timestamp;
use crate::storage::error::StoreError;
use crate::storage::store::StoreResult;

/// A row of either database.
pub(crate) enum DbRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// A row with the name of the table it came from.
#[derive(Clone, Copy)]
pub(crate) struct RowReader<'r> {
    row: &'r DbRow,
    table: &'static str,
    /// The column that names the row in errors.
    key: &'static str,
}

// === impl RowReader ===

macro_rules! get {
    ($self:ident, $column:ident, $type:ty) => {
        match $self.row {
            DbRow::Sqlite(row) => row.try_get::<$type, _>($column).ok(),
            DbRow::Postgres(row) => row.try_get::<$type, _>($column).ok(),
        }
    };
}

impl<'r> RowReader<'r> {
    /// Reads `row` of `table`, whose rows are named by the column `key`.
    pub(crate) fn new(row: &'r DbRow, table: &'static str, key: &'static str) -> Self {
        Self { row, table, key }
    }

    /// The error of a value that is not what its column promises.
    pub(crate) fn corrupt(&self, column: &str, reason: &'static str) -> StoreError {
        let key = self.key;
        let row =
            get!(self, key, String).or_else(|| get!(self, key, Uuid).map(|id| id.to_string()));
        StoreError::Corrupt {
            table: self.table,
            column: column.to_owned(),
            row: row.unwrap_or_else(|| "with an unreadable id".to_owned()),
            reason,
        }
    }

    /// Text.
    pub(crate) fn text(&self, column: &str) -> StoreResult<String> {
        get!(self, column, String).ok_or_else(|| self.corrupt(column, "expected text"))
    }

    /// Text or nothing.
    pub(crate) fn opt_text(&self, column: &str) -> StoreResult<Option<String>> {
        get!(self, column, Option<String>)
            .ok_or_else(|| self.corrupt(column, "expected text or nothing"))
    }

    /// A whole number.
    pub(crate) fn int(&self, column: &str) -> StoreResult<i64> {
        get!(self, column, i64).ok_or_else(|| self.corrupt(column, "expected a whole number"))
    }

    /// A whole number or nothing.
    pub(crate) fn opt_int(&self, column: &str) -> StoreResult<Option<i64>> {
        get!(self, column, Option<i64>)
            .ok_or_else(|| self.corrupt(column, "expected a whole number or nothing"))
    }

    /// A count.
    pub(crate) fn count(&self, column: &str) -> StoreResult<u64> {
        u64::try_from(self.int(column)?).map_err(|_| self.corrupt(column, "expected a count"))
    }

    /// A boolean value.
    pub(crate) fn boolean(&self, column: &str) -> StoreResult<bool> {
        match self.row {
            DbRow::Postgres(row) => row.try_get(column).ok(),
            DbRow::Sqlite(row) => match row.try_get::<i64, _>(column) {
                Ok(0) => Some(false),
                Ok(1) => Some(true),
                _ => None,
            },
        }
        .ok_or_else(|| self.corrupt(column, "expected true or false"))
    }

    /// A time.
    pub(crate) fn at(&self, column: &str) -> StoreResult<Timestamp> {
        match self.row {
            DbRow::Sqlite(row) => row.try_get::<i64, _>(column).ok().map(Timestamp::from_micros),
            DbRow::Postgres(row) => {
                row.try_get::<OffsetDateTime, _>(column).ok().map(Timestamp::from)
            }
        }
        .ok_or_else(|| self.corrupt(column, "expected a time"))
    }

    /// A UUID.
    pub(crate) fn id(&self, column: &str) -> StoreResult<Uuid> {
        self.opt_id(column)?.ok_or_else(|| self.corrupt(column, "expected a UUID"))
    }

    /// A UUID or nothing.
    pub(crate) fn opt_id(&self, column: &str) -> StoreResult<Option<Uuid>> {
        match self.row {
            DbRow::Sqlite(row) => match row.try_get::<Option<String>, _>(column) {
                Ok(Some(text)) => Uuid::try_parse(&text).ok().map(Some),
                Ok(None) => Some(None),
                Err(_) => None,
            },
            DbRow::Postgres(row) => row.try_get(column).ok(),
        }
        .ok_or_else(|| self.corrupt(column, "expected a UUID"))
    }

    /// A JSON text read as `T`.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> StoreResult<T> {
        match self.row {
            DbRow::Sqlite(row) => row
                .try_get::<String, _>(column)
                .ok()
                .and_then(|text| serde_json::from_str(&text).ok()),
            DbRow::Postgres(row) => row.try_get::<Json<T>, _>(column).ok().map(|json| json.0),
        }
        .ok_or_else(|| self.corrupt(column, "expected JSON of the column's form"))
    }

    /// Text or nothing, read as `T` by `parse`.
    pub(crate) fn opt_parsed<T>(
        &self,
        column: &str,
        reason: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> StoreResult<Option<T>> {
        let text = self.opt_text(column)?;
        text.map(|text| parse(&text).ok_or_else(|| self.corrupt(column, reason))).transpose()
    }

    /// Text read as `T` by `parse`.
    pub(crate) fn parsed<T>(
        &self,
        column: &str,
        reason: &'static str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> StoreResult<T> {
        parse(&self.text(column)?).ok_or_else(|| self.corrupt(column, reason))
    }
}
