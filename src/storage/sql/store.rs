//! The store over either database. Each trait of the store is a file of its own.

mod comparisons;
mod consumers;
mod groups;
mod purging;
mod schemas;
mod usage;
mod validations;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use async_trait::async_trait;

use super::backfill::backfill_counts;
use super::db::Db;
use super::retention::{self, RecordSelection};
use super::rollup_key_cache::RollupKeyCache;
use super::{migrate, rollups};
use crate::model::clock::Clock;
use crate::storage::query::MigrationReport;
use crate::storage::store::{Store, StoreResult};

/// A store in SQLite or PostgreSQL.
pub(crate) struct SqlStore {
    db: Db,
    clock: Arc<dyn Clock>,
    rollup_keys: RollupKeyCache,
    /// Pending rows added since this process last compacted.
    pending: AtomicUsize,
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
        match rollups::gc(&mut handle.conn()).await {
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
