//! Records by the batch.
//!
//! One statement takes a whole batch as one array per column: its text, and so its plan, is
//! always the same.

use sqlx::types::JsonRawValue;
use sqlx::{PgPool, Postgres};
use time::OffsetDateTime;

use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::sql::validations::{COLUMNS, values_of};
use crate::storage::sql::{Link, Value, validations};
use crate::storage::store::StoreResult;

/// Inserts records that are not there, in one transaction; says how many.
pub(super) async fn insert(
    pool: &PgPool,
    records: &[Redacted<ValidationRecord>],
) -> StoreResult<u64> {
    let mut tx = pool.begin().await?;
    let mut inserted = 0;
    if std::env::var("BULK").is_ok() {
        inserted = insert_runs(&mut tx, records).await?;
        validations::insert_codes(&mut Link::Postgres(&mut tx), records).await?;
    } else {
        inserted += validations::insert(&mut Link::Postgres(&mut tx), records).await?;
    }
    tx.commit().await?;
    Ok(inserted)
}

/// One column of a batch.
enum Column {
    Text(Vec<Option<String>>),
    Int(Vec<Option<i64>>),
    Bool(Vec<bool>),
    At(Vec<OffsetDateTime>),
    Id(Vec<Option<uuid::Uuid>>),
    Json(Vec<Box<JsonRawValue>>),
}

async fn insert_runs(
    tx: &mut sqlx::PgTransaction<'_>,
    records: &[Redacted<ValidationRecord>],
) -> StoreResult<u64> {
    let mut columns: Vec<Column> = Vec::new();
    for record in records {
        let values = values_of(record.get())?;
        if columns.is_empty() {
            columns = values.iter().map(|value| Column::of(value, records.len())).collect();
        }
        for (column, value) in columns.iter_mut().zip(values) {
            column.push(value);
        }
    }
    let mut text = format!("INSERT INTO validation_runs ({COLUMNS}) SELECT * FROM UNNEST(");
    for (index, column) in columns.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        text.push_str(&format!("{comma}${}::{}[]", index + 1, column.kind()));
    }
    text.push_str(") ON CONFLICT DO NOTHING");
    let mut query = sqlx::query::<Postgres>(sqlx::AssertSqlSafe(text));
    for column in columns {
        query = match column {
            Column::Text(values) => query.bind(values),
            Column::Int(values) => query.bind(values),
            Column::Bool(values) => query.bind(values),
            Column::At(values) => query.bind(values),
            Column::Id(values) => query.bind(values),
            Column::Json(values) => {
                query.bind(values.into_iter().map(sqlx::types::Json).collect::<Vec<_>>())
            }
        };
    }
    Ok(query.execute(&mut **tx).await?.rows_affected())
}

impl Column {
    fn of(value: &Value, size: usize) -> Self {
        match value {
            Value::Text(_) => Self::Text(Vec::with_capacity(size)),
            Value::Int(_) => Self::Int(Vec::with_capacity(size)),
            Value::Bool(_) => Self::Bool(Vec::with_capacity(size)),
            Value::At(_) => Self::At(Vec::with_capacity(size)),
            Value::Id(_) => Self::Id(Vec::with_capacity(size)),
            Value::Json(_) => Self::Json(Vec::with_capacity(size)),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Int(_) => "bigint",
            Self::Bool(_) => "boolean",
            Self::At(_) => "timestamptz",
            Self::Id(_) => "uuid",
            Self::Json(_) => "jsonb",
        }
    }

    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Text(values), Value::Text(value)) => values.push(value),
            (Self::Int(values), Value::Int(value)) => values.push(value),
            (Self::Bool(values), Value::Bool(value)) => values.push(value),
            (Self::At(values), Value::At(value)) => values.push(value.into()),
            (Self::Id(values), Value::Id(value)) => values.push(value),
            (Self::Json(values), Value::Json(value)) => values.push(value),
            _ => {}
        }
    }
}
