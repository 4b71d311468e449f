//! The connections to either database.

use super::DbHandle;
use crate::model::record::ValidationRecord;
use crate::storage::postgres::PostgresDb;
use crate::storage::sqlite::SqliteDb;
use crate::storage::store::StoreResult;

/// The connections to either database.
pub(crate) enum Db {
    Sqlite(SqliteDb),
    Postgres(PostgresDb),
}

// === impl Db ===

impl Db {
    /// A connection to read with.
    pub(crate) async fn read(&self) -> StoreResult<DbHandle> {
        match self {
            Self::Sqlite(db) => db.read().await,
            Self::Postgres(db) => db.read().await,
        }
    }

    /// A connection that sees one state of the database throughout.
    pub(crate) async fn snapshot(&self) -> StoreResult<DbHandle> {
        match self {
            Self::Sqlite(db) => db.snapshot().await,
            Self::Postgres(db) => db.snapshot().await,
        }
    }

    /// A transaction to write in.
    pub(crate) async fn begin(&self) -> StoreResult<DbHandle> {
        match self {
            Self::Sqlite(db) => db.begin().await,
            Self::Postgres(db) => db.begin().await,
        }
    }

    /// Creates the partitions that `records` need.
    pub(crate) async fn ensure_partitions(&self, records: &[&ValidationRecord]) -> StoreResult<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(db) => db.ensure_partitions(records).await,
        }
    }

    /// Clears the cache of partitions: another process may have dropped one.
    pub(crate) fn clear_partition_cache(&self) {
        if let Self::Postgres(db) = self {
            db.clear_partition_cache();
        }
    }
}
