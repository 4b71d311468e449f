//! Purging in either database.

use async_trait::async_trait;

use super::SqlStore;
use crate::storage::query::Purge;
use crate::storage::sql::db::Db;
use crate::storage::sql::retention::RecordSelection;
use crate::storage::sql::{groups, usage};
use crate::storage::store::{PurgeStore, StoreResult};

#[async_trait]
impl PurgeStore for SqlStore {
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
}
