//! Validation records in either database.

use std::sync::atomic::Ordering;

use async_trait::async_trait;
use uuid::Uuid;

use super::SqlStore;
use crate::model::clock::Timestamp;
use crate::model::page::Page;
use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::query::{
    AnalyticsOptions, ExpireKind, PageRequest, RewriteProgress, ValidationAnalytics,
    ValidationFilter,
};
use crate::storage::sql::backfill::backfill_counts;
use crate::storage::sql::db::Db;
use crate::storage::sql::retention::{self, RecordSelection};
use crate::storage::sql::{analytics, insert, validations};
use crate::storage::store::{RewriteFn, StoreResult, ValidationStore};

/// Pending rows that trigger a compaction.
const COMPACT_AT: usize = 8_192;

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
}
