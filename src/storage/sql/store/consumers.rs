//! Consumers in either database.

use async_trait::async_trait;

use super::SqlStore;
use crate::model::clock::Timestamp;
use crate::model::consumer::ConsumerRecord;
use crate::model::page::Page;
use crate::storage::query::{ConsumerFilter, PageRequest};
use crate::storage::sql::consumers;
use crate::storage::store::{ConsumerStore, StoreResult};

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
}
