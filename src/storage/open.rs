//! Opening a store.

use std::sync::Arc;

use super::memory::MemoryStore;
use super::postgres::PostgresDb;
use super::sql::db::Db;
use super::sql::store::SqlStore;
use super::sqlite::SqliteOptions;
use super::store::{Store, StoreResult};
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To write; pending migrations run first.
    Write,
    /// To read what a sidecar writes; a database that lacks migrations is refused.
    Read,
    /// Without migrating: for the `migrate` command and its dry run.
    Migrate,
}

/// Opens the store that `settings` name.
pub async fn open(
    settings: &StorageSettings,
    access: Access,
    clock: Arc<dyn Clock>,
) -> StoreResult<Arc<dyn Store>> {
    let db = match settings {
        StorageSettings::Memory => return Ok(Arc::new(MemoryStore::new(clock))),
        StorageSettings::Sqlite { path } => {
            let mut options = SqliteOptions::new(path);
            options.read_only = access == Access::Read;
            Db::Sqlite(options.connect().await?)
        }
        StorageSettings::Postgres(settings) => Db::Postgres(PostgresDb::prepare(settings)?),
    };
    let store = SqlStore::new(db, clock);
    match access {
        Access::Write => drop(store.migrate(false).await?),
        Access::Read => store.check_migrated().await?,
        Access::Migrate => {}
    }
    Ok(Arc::new(store))
}

// === impl SqliteOptions ===

impl SqliteOptions {
    /// Opens the file and brings it to this version's form, unless opened for reading only.
    pub async fn open(&self, clock: Arc<dyn Clock>) -> StoreResult<Arc<dyn Store>> {
        let store = SqlStore::new(Db::Sqlite(self.connect().await?), clock);
        if self.read_only {
            store.check_migrated().await?;
        } else {
            store.migrate(false).await?;
        }
        Ok(Arc::new(store))
    }
}
