//! Observed usage in either database.

use async_trait::async_trait;
use uuid::Uuid;

use super::SqlStore;
use crate::model::page::Page;
use crate::model::usage::OperationUsage;
use crate::storage::query::{PageRequest, UsageFilter};
use crate::storage::sql::usage;
use crate::storage::store::{StoreResult, UsageStore};

#[async_trait]
impl UsageStore for SqlStore {
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
