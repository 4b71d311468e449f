//! Comparisons in either database.

use async_trait::async_trait;

use super::SqlStore;
use crate::model::comparison::ComparisonRecord;
use crate::model::page::Page;
use crate::storage::query::PageRequest;
use crate::storage::sql::comparisons;
use crate::storage::store::{ComparisonStore, StoreResult};

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
