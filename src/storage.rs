//! The only database code.
//!
//! [`Store`] is the interface of this module: CVT's operations in the traits of CVT's nouns, and
//! a trait for each further noun. Three backends keep its promises: memory, SQLite and
//! PostgreSQL; the last two share their statements (`sql`). The conformance suite in
//! `tests/it/storage.rs` runs every case on every backend: a new operation or promise starts
//! there.

mod deferred;
mod encrypted;
mod error;
mod fault;
mod memory;
pub mod metrics;
mod observed_consumer;
mod open;
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
pub use open::{Access, open};
pub use query::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, GroupFilter, MAX_BUCKETS, MigrationReport,
    NamedCount, OnConflict, OnSchemaDelete, OutcomeCount, PageRequest, Purge, ReplacedContent,
    RewriteProgress, SchemaChange, SchemaFilter, SchemaList, StoredSchema, TimeBucket, UsageFilter,
    ValidationAnalytics, ValidationFilter,
};
pub use sqlite::SqliteOptions;
pub use store::{
    ComparisonStore, ConsumerStore, GroupStore, PurgeStore, RewriteFn, SchemaStore, Store,
    StoreResult, UsageStore, ValidationStore,
};
