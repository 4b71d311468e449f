//! Violation groups in either database.

use async_trait::async_trait;
use uuid::Uuid;

use super::SqlStore;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::page::Page;
use crate::storage::query::{GroupFilter, PageRequest};
use crate::storage::sql::groups;
use crate::storage::store::{GroupStore, StoreResult};

#[async_trait]
impl GroupStore for SqlStore {
    async fn merge_groups(
        &self,
        batch: Uuid,
        groups: &[ViolationGroup],
    ) -> StoreResult<Vec<MergedGroup>> {
        groups::merge(self.db.begin().await?, batch, groups, self.clock.now()).await
    }

    async fn list_groups(
        &self,
        filter: &GroupFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ViolationGroup>> {
        groups::list(&mut self.db.read().await?.conn(), filter, page).await
    }
}
