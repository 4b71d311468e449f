//! The store traits and what every backend guarantees.
//!
//! For all operations:
//! - A write that returned `Ok` is durable as far as the backend promises (SQLite: survives the
//!   process; PostgreSQL: survives the server; memory: until dropped), and visible to every
//!   later read of any clone of the store.
//! - Each call is atomic: all of it is stored or nothing, unless its doc says "in steps".
//! - Every write may be repeated with the same arguments without changing the outcome.
//! - "Not found" is `Ok(None)`, `Ok(false)`, an empty list or zeros, never an error.
//! - Listings go by a total order, pages follow each other by key: rows that come or go in
//!   between neither repeat nor hide others. No call returns more than a page of rows.
//! - No call waits longer than the backend's timeout.
//!
//! A new operation goes into the trait of its noun, gets a case in the conformance suite, and
//! must keep these promises on every backend.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StoreError;
use super::query::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, GroupFilter, MigrationReport, OnConflict,
    OnSchemaDelete, PageRequest, Purge, ReplacedContent, RewriteProgress, SchemaFilter, SchemaList,
    StoredSchema, UsageFilter, ValidationAnalytics, ValidationFilter,
};
use crate::model::clock::Timestamp;
use crate::model::comparison::ComparisonRecord;
use crate::model::consumer::ConsumerRecord;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::page::Page;
use crate::model::record::ValidationRecord;
use crate::model::schema::SchemaRecord;
use crate::model::usage::OperationUsage;
use crate::redaction::Redacted;

/// The answer of a store.
pub type StoreResult<T> = Result<T, StoreError>;

/// Changes the payload (headers and bodies) of a stored record in place, and returns whether it
/// did; other changes are not stored.
pub type RewriteFn<'r> = dyn Fn(&mut ValidationRecord) -> StoreResult<bool> + Send + Sync + 'r;

/// Registered documents and their versions.
///
/// Versions of one schema are ordered by registration. The latest is the one
/// registered last; registering an older version again makes it the latest.
#[async_trait]
pub trait SchemaStore: Send + Sync {
    /// Registers `record` and makes it the latest version of its schema. Keeps the internal id
    /// and `registered_at` of a version that was there; ignores `is_latest` of the argument.
    /// The same content again is idempotent; other content is a `Conflict` unless
    /// `on_conflict` says replace.
    async fn set_schema(
        &self,
        record: &SchemaRecord,
        on_conflict: OnConflict,
    ) -> StoreResult<StoredSchema>;

    /// The latest version of a schema.
    async fn get_schema(&self, schema_id: &str) -> StoreResult<Option<SchemaRecord>>;

    /// One version of a schema.
    async fn get_schema_version(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Option<SchemaRecord>>;

    /// Deletes a schema with all its versions, their history, its comparisons, consumers,
    /// usage and violation groups; its validation records by choice. Returns whether it
    /// existed. Records are deleted in steps, before the rest.
    async fn delete_schema(&self, schema_id: &str, on_delete: OnSchemaDelete) -> StoreResult<bool>;

    /// Deletes one version; the version registered before it becomes the latest if it was.
    /// The last version takes along what [`SchemaStore::delete_schema`] deletes, but for the
    /// validation records. Returns whether it existed.
    async fn delete_schema_version(&self, schema_id: &str, version: &str) -> StoreResult<bool>;

    /// The ids of all schemas, sorted by their bytes.
    async fn list_schema_ids(&self) -> StoreResult<Vec<String>>;

    /// The versions of a schema, registered last first.
    async fn list_versions(&self, schema_id: &str) -> StoreResult<Vec<String>>;

    /// Schemas without their contents, by id and then by version, both by their bytes.
    async fn list_schemas(
        &self,
        filter: &SchemaFilter,
        page: &PageRequest,
    ) -> StoreResult<SchemaList>;

    /// The version registered before `current`; `None` for the first and for unknown ones.
    async fn get_previous_version(
        &self,
        schema_id: &str,
        current: &str,
    ) -> StoreResult<Option<String>>;

    /// The contents that a version had before replacements, replaced last first.
    async fn schema_history(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Vec<ReplacedContent>>;

    /// A number that grows with every change of any schema, by any process.
    async fn schema_revision(&self) -> StoreResult<i64>;

    /// Waits until the revision differs from `seen`, or for `max_wait`, and returns it.
    async fn wait_schema_change(&self, seen: i64, max_wait: Duration) -> StoreResult<i64>;
}

/// Validation records.
#[async_trait]
pub trait ValidationStore: Send + Sync {
    /// Stores one record; see [`ValidationStore::record_validations`].
    async fn record_validation(&self, record: &Redacted<ValidationRecord>) -> StoreResult<u64> {
        self.record_validations(std::slice::from_ref(record)).await
    }

    /// Stores the records whose ids are not stored yet and returns how many those were.
    async fn record_validations(&self, records: &[Redacted<ValidationRecord>]) -> StoreResult<u64>;

    /// One record.
    async fn get_validation(&self, id: Uuid) -> StoreResult<Option<ValidationRecord>>;

    /// Records, newest first; records of the same instant by descending id.
    async fn list_validations(
        &self,
        filter: &ValidationFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ValidationRecord>>;

    /// Numbers about the records, computed by the database.
    async fn get_validation_analytics(
        &self,
        filter: &ValidationFilter,
        options: &AnalyticsOptions,
    ) -> StoreResult<ValidationAnalytics>;

    /// Expires records older than `older_than`, at most `batch` rows (a whole day at once
    /// where the backend drops days), oldest first, and returns how many rows it touched.
    /// Call until it returns 0.
    async fn expire_validations(
        &self,
        kind: ExpireKind,
        older_than: Timestamp,
        batch: u32,
    ) -> StoreResult<u64>;

    /// How many rows [`ValidationStore::expire_validations`] would touch until it returns 0.
    async fn count_expirable(&self, kind: ExpireKind, older_than: Timestamp) -> StoreResult<u64>;

    /// Passes a page of all records, in the order of [`ValidationStore::list_validations`], to
    /// `rewrite` and stores the payloads it changes; an error of `rewrite` stores none of them.
    /// Records stored or deleted meanwhile disturb nothing. The cursor may be kept between
    /// processes: it is how a rewrite of everything is resumed.
    async fn rewrite_validations(
        &self,
        page: &PageRequest,
        rewrite: &RewriteFn<'_>,
    ) -> StoreResult<RewriteProgress>;
}

/// Outcomes of comparing two versions.
#[async_trait]
pub trait ComparisonStore: Send + Sync {
    /// Stores an outcome; replaces that of the same schema and versions, keeping its id.
    async fn record_comparison(&self, record: &ComparisonRecord) -> StoreResult<()>;

    /// The outcome for a pair of versions.
    async fn get_comparison(
        &self,
        schema_id: &str,
        old_version: &str,
        new_version: &str,
    ) -> StoreResult<Option<ComparisonRecord>>;

    /// Outcomes of one schema, the latest comparison first.
    async fn list_comparisons(
        &self,
        schema_id: &str,
        page: &PageRequest,
    ) -> StoreResult<Page<ComparisonRecord>>;
}

/// Registered consumers.
#[async_trait]
pub trait ConsumerStore: Send + Sync {
    /// Registers a consumer for one schema and environment, or replaces its registration,
    /// keeping its internal id and `registered_at`. Returns the row as stored.
    async fn register_consumer(&self, record: &ConsumerRecord) -> StoreResult<ConsumerRecord>;

    /// One registration.
    async fn get_consumer(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
    ) -> StoreResult<Option<ConsumerRecord>>;

    /// Registrations, by consumer, schema and environment, each by its bytes.
    async fn list_consumers(
        &self,
        filter: &ConsumerFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ConsumerRecord>>;

    /// Deletes a registration and its observed usage; returns whether it existed.
    async fn deregister_consumer(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
    ) -> StoreResult<bool>;

    /// Records when an exchange of a consumer was last validated, never moving the time back;
    /// returns whether the registration exists.
    async fn update_consumer_validation(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
        validated_at: Timestamp,
    ) -> StoreResult<bool>;
}

/// Violation groups, which sum the violations of records up.
#[async_trait]
pub trait GroupStore: Send + Sync {
    /// Adds to violation groups, or starts them; returns for each fingerprint when the group was last
    /// seen before, if ever. Several writers may merge at once: each group is new to one of them. A
    /// repeated `batch` changes nothing and returns nothing; batches are remembered for a day.
    async fn merge_groups(
        &self,
        batch: Uuid,
        groups: &[ViolationGroup],
    ) -> StoreResult<Vec<MergedGroup>>;

    /// Violation groups, the last seen first; of the same instant by descending fingerprint.
    async fn list_groups(
        &self,
        filter: &GroupFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ViolationGroup>>;
}

/// What consumers use.
#[async_trait]
pub trait UsageStore: Send + Sync {
    /// Adds observed usage, and registers consumers that are not there, with what they use as
    /// their `used_endpoints`. Several writers may merge at once; counts add up. A repeated
    /// `batch` changes nothing; batches are remembered for a day. Usage of an operation by a
    /// consumer must occur in `usage` at most once.
    async fn merge_usage(&self, batch: Uuid, usage: &[OperationUsage]) -> StoreResult<()>;

    /// Observed usage, by schema, consumer, environment, path and method. A page counts
    /// operations, each with all its facts.
    async fn list_usage(
        &self,
        filter: &UsageFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<OperationUsage>>;
}

/// Removing what was stored about a consumer, or long ago.
#[async_trait]
pub trait PurgeStore: Send + Sync {
    /// Removes what `purge` names, at most `batch` rows, and says how many it touched. Call
    /// until it returns 0: then nothing of it is left, also not in numbers, and a file holds no
    /// byte of it unless a reader of the time before is still at work.
    async fn purge(&self, purge: Purge<'_>, batch: u32) -> StoreResult<u64>;
}

/// A whole store.
#[async_trait]
pub trait Store:
    SchemaStore
    + ValidationStore
    + ComparisonStore
    + ConsumerStore
    + GroupStore
    + UsageStore
    + PurgeStore
{
    /// Runs the pending migrations, all or none, under a lock; with `dry_run` only reports them.
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport>;

    /// Finishes pending writes and closes all connections. Later calls fail.
    async fn close(&self);

    /// Whether the store can be written to right now.
    async fn ping(&self) -> StoreResult<()>;

    /// The backend's name: `memory`, `sqlite` or `postgres`.
    fn backend(&self) -> &'static str;
}
