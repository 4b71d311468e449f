//! The only database code.
//!
//! [`Store`] is what the rest of the house sees: CVT's operations and what live traffic needs
//! beyond them. Three backends keep its promises: memory, SQLite and PostgreSQL; the last two
//! share their statements (`sql`). The conformance suite in `tests/it/storage.rs` runs every
//! case on every backend: a new operation or promise starts there.

mod error;
mod memory;
mod postgres;
mod query;
mod sql;
mod sqlite;
mod store;
mod usage;

pub use error::StoreError;
pub use memory::MemoryStore;
pub use postgres::{PostgresOptions, SslMode};
pub use query::{
    AnalyticsOptions, Bucket, ConsumerFilter, ExpireKind, GroupFilter, MAX_BUCKETS,
    MigrationReport, NamedCount, OnConflict, PageRequest, RecordsOf, ReplacedContent, SchemaChange,
    SchemaFilter, SchemaList, StoredSchema, Tally, UsageFilter, ValidationAnalytics,
    ValidationFilter,
};
pub use sqlite::SqliteOptions;
pub use store::{ComparisonStore, ConsumerStore, SchemaStore, Store, StoreResult, ValidationStore};
