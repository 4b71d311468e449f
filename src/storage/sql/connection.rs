//! One connection, of either database.

use sqlx::pool::PoolConnection;
use sqlx::query::Query as Bound;
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Sqlite, SqliteConnection, Transaction};
use time::OffsetDateTime;

use super::dialect::SqlDialect;
use super::query::{Query, Value, ValueList};
use super::row::DbRow;
use crate::storage::sqlite::transaction::WriteTransaction;
use crate::storage::store::StoreResult;

/// A connection held for an operation; a transaction that is dropped leaves nothing behind.
pub(crate) enum DbHandle {
    SqliteRead(PoolConnection<Sqlite>),
    PostgresRead(PoolConnection<Postgres>),
    SqliteSnapshot(Transaction<'static, Sqlite>),
    SqliteWrite(WriteTransaction),
    PostgresWrite(Transaction<'static, Postgres>),
}

/// A connection to run statements on.
pub(crate) enum DbConn<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

// === impl DbHandle ===

impl DbHandle {
    /// The connection.
    pub(crate) fn conn(&mut self) -> DbConn<'_> {
        match self {
            Self::SqliteRead(conn) => DbConn::Sqlite(conn),
            Self::SqliteSnapshot(tx) => DbConn::Sqlite(tx),
            Self::SqliteWrite(tx) => DbConn::Sqlite(tx.conn()),
            Self::PostgresRead(conn) => DbConn::Postgres(conn),
            Self::PostgresWrite(tx) => DbConn::Postgres(tx),
        }
    }

    /// Commits the transaction.
    pub(crate) async fn commit(self) -> StoreResult<()> {
        match self {
            Self::SqliteRead(_) | Self::PostgresRead(_) => Ok(()),
            Self::SqliteSnapshot(tx) => Ok(tx.commit().await?),
            Self::SqliteWrite(tx) => tx.commit().await,
            Self::PostgresWrite(tx) => Ok(tx.commit().await?),
        }
    }
}

// === impl DbConn ===

impl DbConn<'_> {
    /// Which database this is.
    pub(crate) const fn dialect(&self) -> SqlDialect {
        match self {
            Self::Sqlite(_) => SqlDialect::Sqlite,
            Self::Postgres(_) => SqlDialect::Postgres,
        }
    }

    /// All rows of a query; bounded by the query's own limit.
    pub(crate) async fn rows(&mut self, query: Query) -> StoreResult<Vec<DbRow>> {
        match self {
            Self::Sqlite(conn) => {
                let rows = for_sqlite(query).fetch_all(&mut **conn).await?;
                Ok(rows.into_iter().map(DbRow::Sqlite).collect())
            }
            Self::Postgres(conn) => {
                let rows = for_postgres(query).fetch_all(&mut **conn).await?;
                Ok(rows.into_iter().map(DbRow::Postgres).collect())
            }
        }
    }

    /// The first row of a query.
    pub(crate) async fn row(&mut self, query: Query) -> StoreResult<Option<DbRow>> {
        match self {
            Self::Sqlite(conn) => {
                Ok(for_sqlite(query).fetch_optional(&mut **conn).await?.map(DbRow::Sqlite))
            }
            Self::Postgres(conn) => {
                Ok(for_postgres(query).fetch_optional(&mut **conn).await?.map(DbRow::Postgres))
            }
        }
    }

    /// Runs a statement; returns how many rows it touched.
    pub(crate) async fn run(&mut self, query: Query) -> StoreResult<u64> {
        match self {
            Self::Sqlite(conn) => Ok(for_sqlite(query).execute(&mut **conn).await?.rows_affected()),
            Self::Postgres(conn) => {
                Ok(for_postgres(query).execute(&mut **conn).await?.rows_affected())
            }
        }
    }

    /// Runs a script of several statements without values.
    pub(crate) async fn script(&mut self, text: String) -> StoreResult<()> {
        match self {
            Self::Sqlite(conn) => {
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut **conn).await.map(drop)?;
            }
            Self::Postgres(conn) => {
                sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut **conn).await.map(drop)?;
            }
        }
        Ok(())
    }
}

fn for_sqlite<'q>(query: Query) -> Bound<'q, Sqlite, <Sqlite as sqlx::Database>::Arguments> {
    let mut bound = sqlx::query(AssertSqlSafe(query.text));
    for value in query.values {
        bound = match value {
            Value::Text(text) => bound.bind(text),
            Value::Int(number) => bound.bind(number),
            Value::Bool(flag) => bound.bind(flag),
            Value::Time(at) => bound.bind(at.as_micros()),
            Value::Id(id) => bound.bind(id.map(|id| id.to_string())),
            Value::Json(json) => bound.bind(Box::<str>::from(json).into_string()),
            Value::List(list) => bound.bind(json_list(list)),
        };
    }
    bound
}

fn json_list(list: ValueList) -> String {
    match list {
        ValueList::Ints(numbers) => serde_json::Value::from(numbers),
        ValueList::Texts(texts) => serde_json::Value::from(texts),
        ValueList::Ids(ids) => ids.iter().map(ToString::to_string).collect(),
    }
    .to_string()
}

fn for_postgres<'q>(query: Query) -> Bound<'q, Postgres, <Postgres as sqlx::Database>::Arguments> {
    let mut bound = sqlx::query(AssertSqlSafe(query.text));
    for value in query.values {
        bound = match value {
            Value::Text(text) => bound.bind(text),
            Value::Int(number) => bound.bind(number),
            Value::Bool(flag) => bound.bind(flag),
            Value::Time(at) => bound.bind(OffsetDateTime::from(at)),
            Value::Id(id) => bound.bind(id),
            Value::Json(json) => bound.bind(json),
            Value::List(ValueList::Ints(numbers)) => bound.bind(numbers),
            Value::List(ValueList::Texts(texts)) => bound.bind(texts),
            Value::List(ValueList::Ids(ids)) => bound.bind(ids),
        };
    }
    bound
}
