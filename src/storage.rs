//! The only database code.
//!
//! [`Store`] is what the rest of the house sees: CVT's operations and what live traffic needs
//! beyond them. Three backends keep its promises: memory, SQLite and PostgreSQL; the last two
//! share their statements (`sql`). The conformance suite in `tests/it/storage.rs` runs every
//! case on every backend: a new operation or promise starts there.

mod error;
mod late;
mod memory;
pub mod metrics;
mod operations;
mod postgres;
mod query;
mod sealed;
mod sql;
mod sqlite;
mod store;
mod usage;

pub use error::StoreError;
pub use late::LateStore;
pub use memory::MemoryStore;
pub use query::{
    AnalyticsOptions, Bucket, ConsumerFilter, ExpireKind, GroupFilter, MAX_BUCKETS,
    MigrationReport, NamedCount, OnConflict, PageRequest, Purge, RecordsOf, ReplacedContent,
    Rewritten, SchemaChange, SchemaFilter, SchemaList, StoredSchema, Tally, UsageFilter,
    ValidationAnalytics, ValidationFilter,
};
pub use sealed::SealedStore;
pub use sqlite::SqliteOptions;
pub use store::{
    ComparisonStore, ConsumerStore, Rewrite, SchemaStore, Store, StoreResult, ValidationStore,
};

use std::sync::Arc;

use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To write; the database is brought to this version's form first.
    Write,
    /// To read what a sidecar writes; a database that lacks migrations is refused.
    Read,
    /// As it is, to migrate it or to say what that would do.
    Migrate,
}

/// Opens the store that `settings` name.
pub async fn open(
    settings: &StorageSettings,
    access: Access,
    clock: Arc<dyn Clock>,
) -> StoreResult<Arc<dyn Store>> {
    let store = match settings {
        StorageSettings::Memory => return Ok(Arc::new(MemoryStore::new(clock))),
        StorageSettings::Sqlite { path } => {
            let mut options = SqliteOptions::new(path);
            options.read_only = access == Access::Read;
            options.open_unmigrated(clock).await?
        }
        StorageSettings::Postgres(settings) => postgres::prepare(settings, clock)?,
    };
    match access {
        Access::Write => drop(store.migrate(false).await?),
        Access::Read => store.check_migrated().await?,
        Access::Migrate => {}
    }
    Ok(Arc::new(store))
}
