//! Rows in bulk by one INSERT that takes an array per column, which the server takes apart.
//!
//! One packet goes to the server and one comes back, where `copy` needs several. Of many rows
//! COPY makes more: measured over TCP, 13,000 rows/s in batches of 100 against 9,000, 23,000
//! against 24,000 in batches of 1,000, 22,000 against 45,000 in batches of 4,000.

use sqlx::query::Query as Bound;
use sqlx::types::{Json, JsonRawValue};
use sqlx::{AssertSqlSafe, PgConnection, Postgres};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::storage::error::StoreError;
use crate::storage::sql::Value;
use crate::storage::store::StoreResult;

/// The values of one column: of one kind, as many as there are rows.
enum Column {
    Texts(Vec<Option<String>>),
    Ints(Vec<Option<i64>>),
    Bools(Vec<bool>),
    Times(Vec<OffsetDateTime>),
    Ids(Vec<Option<Uuid>>),
    Jsons(Vec<Json<Box<JsonRawValue>>>),
}

/// Inserts rows into a table with its columns; `false`, and a broken transaction, when one of
/// them is there already.
pub(crate) async fn insert<const N: usize>(
    conn: &mut PgConnection,
    into: &str,
    rows: impl Iterator<Item = StoreResult<[Value; N]>>,
) -> StoreResult<bool> {
    let mut columns: Vec<Column> = Vec::with_capacity(N);
    for row in rows {
        for (index, value) in row?.into_iter().enumerate() {
            match columns.get_mut(index) {
                Some(column) => column.push(value)?,
                None => columns.push(Column::of(value)),
            }
        }
    }
    if columns.is_empty() {
        return Ok(true);
    }
    let arrays: Vec<_> = (1..=N).map(|number| format!("UNNEST(${number})")).collect();
    let statement = format!("INSERT INTO {into} SELECT {}", arrays.join(", "));
    let mut bound = sqlx::query(AssertSqlSafe(statement));
    for column in columns {
        bound = column.bind(bound);
    }
    match bound.execute(conn).await {
        Ok(_) => Ok(true),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

type Statement<'q> = Bound<'q, Postgres, <Postgres as sqlx::Database>::Arguments>;

// === impl Column ===

impl Column {
    fn of(value: Value) -> Self {
        match value {
            Value::Text(text) => Self::Texts(vec![text]),
            Value::Int(number) => Self::Ints(vec![number]),
            Value::Bool(flag) => Self::Bools(vec![flag]),
            Value::Time(at) => Self::Times(vec![at.into()]),
            Value::Id(id) => Self::Ids(vec![id]),
            Value::Json(json) => Self::Jsons(vec![Json(json)]),
            // lists are no columns of a table
            Value::List(_) => Self::Ints(vec![None]),
        }
    }

    fn push(&mut self, value: Value) -> StoreResult<()> {
        match (self, value) {
            (Self::Texts(column), Value::Text(text)) => column.push(text),
            (Self::Ints(column), Value::Int(number)) => column.push(number),
            (Self::Bools(column), Value::Bool(flag)) => column.push(flag),
            (Self::Times(column), Value::Time(at)) => column.push(at.into()),
            (Self::Ids(column), Value::Id(id)) => column.push(id),
            (Self::Jsons(column), Value::Json(json)) => column.push(Json(json)),
            // fewer values than rows would be filled up with NULL
            _ => return Err(StoreError::Unexpected("values of two kinds in a column".to_owned())),
        }
        Ok(())
    }

    fn bind(self, statement: Statement<'_>) -> Statement<'_> {
        match self {
            Self::Texts(column) => statement.bind(column),
            Self::Ints(column) => statement.bind(column),
            Self::Bools(column) => statement.bind(column),
            Self::Times(column) => statement.bind(column),
            Self::Ids(column) => statement.bind(column),
            Self::Jsons(column) => statement.bind(column),
        }
    }
}
