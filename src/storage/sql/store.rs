//! The store over either database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::backfill::backfill_counts;
use super::retention::{self, RecordSelection};
use super::rollup_key::{self, RollupKeyCache};
use super::{
    DbHandle, analytics, comparisons, consumers, groups, insert, migrate, rollups, schemas, usage,
    validations,
};
use crate::model::clock::{Clock, Timestamp};
use crate::model::comparison::ComparisonRecord;
use crate::model::consumer::ConsumerRecord;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::page::Page;
use crate::model::record::ValidationRecord;
use crate::model::schema::SchemaRecord;
use crate::model::usage::OperationUsage;
use crate::redaction::Redacted;
use crate::storage::postgres::PostgresDb;
use crate::storage::query::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, GroupFilter, MigrationReport, OnConflict,
    OnSchemaDelete, PageRequest, Purge, ReplacedContent, RewriteProgress, SchemaFilter, SchemaList,
    StoredSchema, UsageFilter, ValidationAnalytics, ValidationFilter,
};
use crate::storage::sqlite::SqliteDb;
use crate::storage::store::{
    ComparisonStore, ConsumerStore, RewriteFn, SchemaStore, Store, StoreResult, ValidationStore,
};

/// Records deleted per transaction when a schema takes its records with it.
const DELETE_BATCH: u32 = 1_000;
/// Pending rows that trigger a compaction.
const COMPACT_AT: usize = 8_192;

/// The connections to either database.
pub(crate) enum Db {
    Sqlite(SqliteDb),
    Postgres(PostgresDb),
}

/// A store in SQLite or PostgreSQL.
pub(crate) struct SqlStore {
    db: Db,
    clock: Arc<dyn Clock>,
    rollup_keys: RollupKeyCache,
    /// Pending rows added since this process last compacted.
    pending: AtomicUsize,
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
    async fn snapshot(&self) -> StoreResult<DbHandle> {
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

// === impl SqlStore ===

impl SqlStore {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock, rollup_keys: RollupKeyCache::default(), pending: AtomicUsize::new(0) }
    }

    /// Refuses a database that lacks migrations.
    pub(crate) async fn check_migrated(&self) -> StoreResult<()> {
        migrate::check(&mut self.db.read().await?.conn()).await
    }

    async fn expire(&self, selection: RecordSelection<'_>, batch: u32) -> StoreResult<u64> {
        let mut handle = self.db.begin().await?;
        let touched = retention::expire(&mut handle.conn(), selection, batch).await?;
        handle.commit().await?;
        if touched == 0 {
            self.gc_rollup_keys().await?;
        }
        Ok(touched)
    }

    /// Compacts the pending counts into the rollups.
    async fn compact_rollups(&self) {
        let compacted = async {
            let mut handle = self.db.begin().await?;
            rollups::compact(&mut handle.conn(), std::iter::empty()).await?;
            handle.commit().await
        };
        if let Err(error) = compacted.await {
            // nothing is lost: pending rows stay and are counted
            tracing::debug!(event = "rollup_compaction_failed", %error, "sums are brought up later");
        }
    }

    /// Deletes rollup keys without counts.
    async fn gc_rollup_keys(&self) -> StoreResult<()> {
        let mut handle = self.db.begin().await?;
        match rollup_key::gc(&mut handle.conn()).await {
            Ok(0) => Ok(()),
            Ok(_) => {
                handle.commit().await?;
                self.rollup_keys.clear();
                Ok(())
            }
            // a writer uses one again: the next round deletes the rest
            Err(error) if error.is_concurrent_delete() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl SchemaStore for SqlStore {
    async fn set_schema(
        &self,
        record: &SchemaRecord,
        on_conflict: OnConflict,
    ) -> StoreResult<StoredSchema> {
        schemas::set(self.db.begin().await?, record, on_conflict).await
    }

    async fn get_schema(&self, schema_id: &str) -> StoreResult<Option<SchemaRecord>> {
        schemas::get(&mut self.db.read().await?.conn(), schema_id, None).await
    }

    async fn get_schema_version(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Option<SchemaRecord>> {
        schemas::get(&mut self.db.read().await?.conn(), schema_id, Some(version)).await
    }

    async fn delete_schema(&self, schema_id: &str, on_delete: OnSchemaDelete) -> StoreResult<bool> {
        if on_delete == OnSchemaDelete::DeleteRecords {
            while self.expire(RecordSelection::Schema(schema_id), DELETE_BATCH).await? > 0 {}
        }
        schemas::delete(self.db.begin().await?, schema_id, None).await
    }

    async fn delete_schema_version(&self, schema_id: &str, version: &str) -> StoreResult<bool> {
        schemas::delete(self.db.begin().await?, schema_id, Some(version)).await
    }

    async fn list_schema_ids(&self) -> StoreResult<Vec<String>> {
        schemas::ids(&mut self.db.read().await?.conn()).await
    }

    async fn list_versions(&self, schema_id: &str) -> StoreResult<Vec<String>> {
        schemas::versions(&mut self.db.read().await?.conn(), schema_id).await
    }

    async fn list_schemas(
        &self,
        filter: &SchemaFilter,
        page: &PageRequest,
    ) -> StoreResult<SchemaList> {
        schemas::list(&mut self.db.snapshot().await?.conn(), filter, page).await
    }

    async fn get_previous_version(
        &self,
        schema_id: &str,
        current: &str,
    ) -> StoreResult<Option<String>> {
        schemas::previous(&mut self.db.read().await?.conn(), schema_id, current).await
    }

    async fn schema_history(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Vec<ReplacedContent>> {
        schemas::history(&mut self.db.read().await?.conn(), schema_id, version).await
    }

    async fn schema_revision(&self) -> StoreResult<i64> {
        schemas::revision(&mut self.db.read().await?.conn()).await
    }

    async fn wait_schema_change(&self, seen: i64, max_wait: Duration) -> StoreResult<i64> {
        let deadline = tokio::time::Instant::now() + max_wait;
        loop {
            let revision = self.schema_revision().await?;
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if revision != seen || left.is_zero() {
                return Ok(revision);
            }
            match &self.db {
                Db::Sqlite(db) => db.wait_for_change(left).await,
                Db::Postgres(db) => db.wait_for_change(left).await,
            }
        }
    }
}

#[async_trait]
impl ValidationStore for SqlStore {
    async fn record_validations(&self, records: &[Redacted<ValidationRecord>]) -> StoreResult<u64> {
        let stored = insert::insert_new(&self.db, &self.rollup_keys, records).await?;
        let pending = self.pending.fetch_add(stored.pending, Ordering::Relaxed) + stored.pending;
        if pending >= COMPACT_AT {
            self.pending.store(0, Ordering::Relaxed);
            self.compact_rollups().await;
        }
        Ok(stored.records)
    }

    async fn get_validation(&self, id: Uuid) -> StoreResult<Option<ValidationRecord>> {
        validations::get(&mut self.db.read().await?.conn(), id).await
    }

    async fn list_validations(
        &self,
        filter: &ValidationFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ValidationRecord>> {
        validations::list(&mut self.db.read().await?.conn(), filter, page).await
    }

    async fn get_validation_analytics(
        &self,
        filter: &ValidationFilter,
        options: &AnalyticsOptions,
    ) -> StoreResult<ValidationAnalytics> {
        analytics::analytics(&mut self.db.snapshot().await?.conn(), filter, options).await
    }

    async fn expire_validations(
        &self,
        kind: ExpireKind,
        older_than: Timestamp,
        batch: u32,
    ) -> StoreResult<u64> {
        backfill_counts(&self.db, &self.rollup_keys).await?;
        if let Db::Postgres(db) = &self.db
            && let Some(dropped) = db.expire_day(kind, older_than).await?
        {
            return Ok(dropped);
        }
        self.expire(RecordSelection::Expired(kind, older_than), batch).await
    }

    async fn count_expirable(&self, kind: ExpireKind, older_than: Timestamp) -> StoreResult<u64> {
        retention::count(&mut self.db.read().await?.conn(), kind, older_than).await
    }

    async fn rewrite_validations(
        &self,
        page: &PageRequest,
        rewrite: &RewriteFn<'_>,
    ) -> StoreResult<RewriteProgress> {
        validations::rewrite(self.db.begin().await?, page, rewrite).await
    }

    async fn merge_groups(
        &self,
        batch: Uuid,
        groups: &[ViolationGroup],
    ) -> StoreResult<Vec<MergedGroup>> {
        groups::merge(self.db.begin().await?, batch, groups, self.clock.now()).await
    }

    async fn purge(&self, purge: Purge<'_>, batch: u32) -> StoreResult<u64> {
        let purged = match purge {
            Purge::ConsumerRecords(consumer) => {
                self.expire(RecordSelection::Consumer(consumer), batch).await?
            }
            Purge::ConsumerInGroups(name) => {
                groups::remove_consumer(self.db.begin().await?, name, batch).await?
            }
            Purge::GroupsLastSeenBefore(time) => {
                groups::delete_before(self.db.begin().await?, time, batch).await?
            }
            Purge::UsageLastSeenBefore(time) => {
                usage::delete_before(self.db.begin().await?, time, batch).await?
            }
        };
        if let (0, Db::Sqlite(db)) = (purged, &self.db) {
            db.empty_log().await?;
        }
        Ok(purged)
    }

    async fn list_groups(
        &self,
        filter: &GroupFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ViolationGroup>> {
        groups::list(&mut self.db.read().await?.conn(), filter, page).await
    }
}

#[async_trait]
impl ComparisonStore for SqlStore {
    async fn record_comparison(&self, record: &ComparisonRecord) -> StoreResult<()> {
        let mut handle = self.db.begin().await?;
        comparisons::record(&mut handle.conn(), record).await?;
        handle.commit().await
    }

    async fn get_comparison(
        &self,
        schema_id: &str,
        old_version: &str,
        new_version: &str,
    ) -> StoreResult<Option<ComparisonRecord>> {
        let mut handle = self.db.read().await?;
        comparisons::get(&mut handle.conn(), schema_id, old_version, new_version).await
    }

    async fn list_comparisons(
        &self,
        schema_id: &str,
        page: &PageRequest,
    ) -> StoreResult<Page<ComparisonRecord>> {
        comparisons::list(&mut self.db.read().await?.conn(), schema_id, page).await
    }
}

#[async_trait]
impl ConsumerStore for SqlStore {
    async fn register_consumer(&self, record: &ConsumerRecord) -> StoreResult<ConsumerRecord> {
        let mut handle = self.db.begin().await?;
        let stored = consumers::register(&mut handle.conn(), record).await?;
        handle.commit().await?;
        Ok(stored)
    }

    async fn get_consumer(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
    ) -> StoreResult<Option<ConsumerRecord>> {
        let names = [consumer_id, schema_id, environment];
        consumers::get(&mut self.db.read().await?.conn(), names, false).await
    }

    async fn list_consumers(
        &self,
        filter: &ConsumerFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ConsumerRecord>> {
        consumers::list(&mut self.db.read().await?.conn(), filter, page).await
    }

    async fn deregister_consumer(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
    ) -> StoreResult<bool> {
        let names = [consumer_id, schema_id, environment];
        consumers::deregister(self.db.begin().await?, names).await
    }

    async fn update_consumer_validation(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
        validated_at: Timestamp,
    ) -> StoreResult<bool> {
        let mut handle = self.db.begin().await?;
        let names = [consumer_id, schema_id, environment];
        let found =
            consumers::update_last_validated(&mut handle.conn(), names, validated_at).await?;
        handle.commit().await?;
        Ok(found)
    }

    async fn merge_usage(&self, batch: Uuid, usage: &[OperationUsage]) -> StoreResult<()> {
        usage::merge(self.db.begin().await?, batch, usage, self.clock.now()).await
    }

    async fn list_usage(
        &self,
        filter: &UsageFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<OperationUsage>> {
        usage::list(&mut self.db.snapshot().await?.conn(), filter, page).await
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport> {
        let mut handle = if dry_run { self.db.read().await? } else { self.db.begin().await? };
        let now = self.clock.now();
        let report =
            migrate::migrate(&mut handle.conn(), migrate::MIGRATIONS, now, dry_run).await?;
        handle.commit().await?;
        if !dry_run {
            backfill_counts(&self.db, &self.rollup_keys).await?;
        }
        Ok(report)
    }

    async fn close(&self) {
        match &self.db {
            Db::Sqlite(db) => db.close().await,
            Db::Postgres(db) => db.close().await,
        }
    }

    async fn ping(&self) -> StoreResult<()> {
        match &self.db {
            Db::Sqlite(db) => db.ping().await,
            Db::Postgres(db) => db.ping().await,
        }
    }

    fn backend(&self) -> &'static str {
        match self.db {
            Db::Sqlite(_) => "sqlite",
            Db::Postgres(_) => "postgres",
        }
    }
}
