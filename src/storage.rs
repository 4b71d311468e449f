//! The only database code.
//!
//! [`Store`] is the interface of this module: CVT's operations and what live traffic needs
//! beyond them. Three backends keep its promises: memory, SQLite and PostgreSQL; the last two
//! share their statements (`sql`). The conformance suite in `tests/it/storage.rs` runs every
//! case on every backend: a new operation or promise starts there.

mod deferred;
mod encrypted;
mod error;
mod memory;
pub mod metrics;
mod observed_consumer;
mod operations;
mod postgres;
mod query;
mod sql;
mod sqlite;
mod store;

pub use deferred::DeferredStore;
pub use encrypted::EncryptedStore;
pub use error::StoreError;
pub use memory::MemoryStore;
pub use query::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, GroupFilter, MAX_BUCKETS, MigrationReport,
    NamedCount, OnConflict, OnSchemaDelete, OutcomeCount, PageRequest, Purge, ReplacedContent,
    RewriteProgress, SchemaChange, SchemaFilter, SchemaList, StoredSchema, TimeBucket, UsageFilter,
    ValidationAnalytics, ValidationFilter,
};
pub use sqlite::SqliteOptions;
pub use store::{
    ComparisonStore, ConsumerStore, RewriteFn, SchemaStore, Store, StoreResult, ValidationStore,
};

use std::sync::Arc;

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
