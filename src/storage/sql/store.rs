//! The store over either database.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::retention::{self, Taken};
use super::series::{self, Book};
use super::settle::settle;
use super::{
    Held, analytics, comparisons, consumers, groups, insert, migrate, rollups, schemas, usage,
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
    PageRequest, Purge, RecordsOf, ReplacedContent, Rewritten, SchemaFilter, SchemaList,
    StoredSchema, UsageFilter, ValidationAnalytics, ValidationFilter,
};
use crate::storage::sqlite::SqliteDb;
use crate::storage::store::{
    ComparisonStore, ConsumerStore, Rewrite, SchemaStore, Store, StoreResult, ValidationStore,
};

/// Records deleted per transaction when a schema takes its records along.
const DELETE_BATCH: u32 = 1_000;
/// Rows that gather before they are folded into the sums.
const FOLD_AT: usize = 8_192;

/// The connections to either database.
pub(crate) enum Db {
    Sqlite(SqliteDb),
    Postgres(PostgresDb),
}

/// A store in SQLite or PostgreSQL.
pub(crate) struct SqlStore {
    db: Db,
    clock: Arc<dyn Clock>,
    book: Book,
    /// Rows noted since this process last folded.
    noted: AtomicUsize,
}

// === impl Db ===

impl Db {
    /// A connection to read with.
    pub(crate) async fn read(&self) -> StoreResult<Held> {
        match self {
            Self::Sqlite(db) => db.read().await,
            Self::Postgres(db) => db.read().await,
        }
    }

    /// A connection that sees one state of the database throughout.
    async fn snapshot(&self) -> StoreResult<Held> {
        match self {
            Self::Sqlite(db) => db.snapshot().await,
            Self::Postgres(db) => db.snapshot().await,
        }
    }

    /// A transaction to write in.
    pub(crate) async fn begin(&self) -> StoreResult<Held> {
        match self {
            Self::Sqlite(db) => db.begin().await,
            Self::Postgres(db) => db.begin().await,
        }
    }

    /// Prepares for the days that `records` fall on.
    pub(crate) async fn expect(&self, records: &[&ValidationRecord]) -> StoreResult<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(db) => db.expect(records).await,
        }
    }

    /// Forgets what was prepared: another process may have cleared it away.
    pub(crate) fn forget(&self) {
        if let Self::Postgres(db) = self {
            db.forget();
        }
    }
}

// === impl SqlStore ===

impl SqlStore {
    pub(crate) fn new(db: Db, clock: Arc<dyn Clock>) -> Self {
        Self { db, clock, book: Book::default(), noted: AtomicUsize::new(0) }
    }

    /// Refuses a database that lacks migrations.
    pub(crate) async fn check_migrated(&self) -> StoreResult<()> {
        migrate::check(&mut self.db.read().await?.link()).await
    }

    async fn expire(&self, taken: Taken<'_>, batch: u32) -> StoreResult<u64> {
        let mut held = self.db.begin().await?;
        let touched = retention::expire(&mut held.link(), taken, batch).await?;
        held.commit().await?;
        if touched == 0 {
            self.tidy().await?;
        }
        Ok(touched)
    }

    /// Folds what has gathered into the sums.
    async fn fold(&self) {
        let folded = async {
            let mut held = self.db.begin().await?;
            rollups::fold(&mut held.link(), std::iter::empty()).await?;
            held.commit().await
        };
        if let Err(error) = folded.await {
            // nothing is lost: it waits where it is, and is counted there too
            tracing::debug!(event = "rollup_compaction_failed", %error, "sums are brought up later");
        }
    }

    /// Clears away series that count nothing any more.
    async fn tidy(&self) -> StoreResult<()> {
        let mut held = self.db.begin().await?;
        match series::tidy(&mut held.link()).await {
            Ok(0) => Ok(()),
            Ok(_) => {
                held.commit().await?;
                self.book.forget();
                Ok(())
            }
            // a writer counts in one again: the next round finds what is left
            Err(error) if error.is_cleared_away() => Ok(()),
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
        schemas::get(&mut self.db.read().await?.link(), schema_id, None).await
    }

    async fn get_schema_version(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Option<SchemaRecord>> {
        schemas::get(&mut self.db.read().await?.link(), schema_id, Some(version)).await
    }

    async fn delete_schema(&self, schema_id: &str, records: RecordsOf) -> StoreResult<bool> {
        if records == RecordsOf::Delete {
            while self.expire(Taken::Schema(schema_id), DELETE_BATCH).await? > 0 {}
        }
        schemas::delete(self.db.begin().await?, schema_id, None).await
    }

    async fn delete_schema_version(&self, schema_id: &str, version: &str) -> StoreResult<bool> {
        schemas::delete(self.db.begin().await?, schema_id, Some(version)).await
    }

    async fn list_schema_ids(&self) -> StoreResult<Vec<String>> {
        schemas::ids(&mut self.db.read().await?.link()).await
    }

    async fn list_versions(&self, schema_id: &str) -> StoreResult<Vec<String>> {
        schemas::versions(&mut self.db.read().await?.link(), schema_id).await
    }

    async fn list_schemas(
        &self,
        filter: &SchemaFilter,
        page: &PageRequest,
    ) -> StoreResult<SchemaList> {
        schemas::list(&mut self.db.snapshot().await?.link(), filter, page).await
    }

    async fn get_previous_version(
        &self,
        schema_id: &str,
        current: &str,
    ) -> StoreResult<Option<String>> {
        schemas::previous(&mut self.db.read().await?.link(), schema_id, current).await
    }

    async fn schema_history(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Vec<ReplacedContent>> {
        schemas::history(&mut self.db.read().await?.link(), schema_id, version).await
    }

    async fn schema_revision(&self) -> StoreResult<i64> {
        schemas::revision(&mut self.db.read().await?.link()).await
    }

    async fn wait_schema_change(&self, seen: i64, patience: Duration) -> StoreResult<i64> {
        let deadline = tokio::time::Instant::now() + patience;
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
        let stored = insert::record(&self.db, &self.book, records).await?;
        let noted = self.noted.fetch_add(stored.noted, Ordering::Relaxed) + stored.noted;
        if noted >= FOLD_AT {
            self.noted.store(0, Ordering::Relaxed);
            self.fold().await;
        }
        Ok(stored.records)
    }

    async fn get_validation(&self, id: Uuid) -> StoreResult<Option<ValidationRecord>> {
        validations::get(&mut self.db.read().await?.link(), id).await
    }

    async fn list_validations(
        &self,
        filter: &ValidationFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ValidationRecord>> {
        validations::list(&mut self.db.read().await?.link(), filter, page).await
    }

    async fn get_validation_analytics(
        &self,
        filter: &ValidationFilter,
        options: &AnalyticsOptions,
    ) -> StoreResult<ValidationAnalytics> {
        analytics::analytics(&mut self.db.snapshot().await?.link(), filter, options).await
    }

    async fn expire_validations(
        &self,
        kind: ExpireKind,
        older_than: Timestamp,
        batch: u32,
    ) -> StoreResult<u64> {
        settle(&self.db, &self.book).await?;
        if let Db::Postgres(db) = &self.db
            && let Some(dropped) = db.expire_day(kind, older_than).await?
        {
            return Ok(dropped);
        }
        self.expire(Taken::Old(kind, older_than), batch).await
    }

    async fn count_expirable(&self, kind: ExpireKind, older_than: Timestamp) -> StoreResult<u64> {
        retention::count(&mut self.db.read().await?.link(), kind, older_than).await
    }

    async fn rewrite_validations(
        &self,
        page: &PageRequest,
        rewrite: &Rewrite<'_>,
    ) -> StoreResult<Rewritten> {
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
            Purge::RecordsOf(consumer) => self.expire(Taken::Consumer(consumer), batch).await?,
            Purge::NameInGroups(name) => {
                groups::forget_name(self.db.begin().await?, name, batch).await?
            }
            Purge::GroupsBefore(time) => {
                groups::delete_before(self.db.begin().await?, time, batch).await?
            }
            Purge::UsageBefore(time) => {
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
        groups::list(&mut self.db.read().await?.link(), filter, page).await
    }
}

#[async_trait]
impl ComparisonStore for SqlStore {
    async fn record_comparison(&self, record: &ComparisonRecord) -> StoreResult<()> {
        let mut held = self.db.begin().await?;
        comparisons::record(&mut held.link(), record).await?;
        held.commit().await
    }

    async fn get_comparison(
        &self,
        schema_id: &str,
        old_version: &str,
        new_version: &str,
    ) -> StoreResult<Option<ComparisonRecord>> {
        let mut held = self.db.read().await?;
        comparisons::get(&mut held.link(), schema_id, old_version, new_version).await
    }

    async fn list_comparisons(
        &self,
        schema_id: &str,
        page: &PageRequest,
    ) -> StoreResult<Page<ComparisonRecord>> {
        comparisons::list(&mut self.db.read().await?.link(), schema_id, page).await
    }
}

#[async_trait]
impl ConsumerStore for SqlStore {
    async fn register_consumer(&self, record: &ConsumerRecord) -> StoreResult<ConsumerRecord> {
        let mut held = self.db.begin().await?;
        let stored = consumers::register(&mut held.link(), record).await?;
        held.commit().await?;
        Ok(stored)
    }

    async fn get_consumer(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
    ) -> StoreResult<Option<ConsumerRecord>> {
        let names = [consumer_id, schema_id, environment];
        consumers::get(&mut self.db.read().await?.link(), names, false).await
    }

    async fn list_consumers(
        &self,
        filter: &ConsumerFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ConsumerRecord>> {
        consumers::list(&mut self.db.read().await?.link(), filter, page).await
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
        let mut held = self.db.begin().await?;
        let names = [consumer_id, schema_id, environment];
        let found = consumers::touch(&mut held.link(), names, validated_at).await?;
        held.commit().await?;
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
        usage::list(&mut self.db.snapshot().await?.link(), filter, page).await
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport> {
        let mut held = if dry_run { self.db.read().await? } else { self.db.begin().await? };
        let now = self.clock.now();
        let report = migrate::migrate(&mut held.link(), migrate::MIGRATIONS, now, dry_run).await?;
        held.commit().await?;
        if !dry_run {
            settle(&self.db, &self.book).await?;
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
