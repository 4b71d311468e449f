//! Consumers in memory.

use async_trait::async_trait;

use super::schemas::entries_after;
use super::{MemoryStore, same};
use crate::model::clock::Timestamp;
use crate::model::consumer::ConsumerRecord;
use crate::model::page::{Cursor, Page};
use crate::storage::query::{ConsumerFilter, PageRequest};
use crate::storage::sql::schemas::into_page;
use crate::storage::store::{ConsumerStore, StoreResult};

#[async_trait]
impl ConsumerStore for MemoryStore {
    async fn register_consumer(&self, record: &ConsumerRecord) -> StoreResult<ConsumerRecord> {
        let mut state = self.state.lock();
        let mut record = record.clone();
        let key = key_of(&record);
        if let Some(old) = state.consumers.get(&key) {
            record.id = old.id;
            record.registered_at = old.registered_at;
        }
        state.consumers.insert(key, record.clone());
        Ok(record)
    }

    async fn get_consumer(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
    ) -> StoreResult<Option<ConsumerRecord>> {
        let key = [consumer_id, schema_id, environment].map(str::to_owned);
        Ok(self.state.lock().consumers.get(&key).cloned())
    }

    async fn list_consumers(
        &self,
        filter: &ConsumerFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ConsumerRecord>> {
        let start = page.cursor.as_ref().map(|cursor| cursor.parts::<3>()).transpose()?;
        let state = self.state.lock();
        let items = entries_after(&state.consumers, start.map(|parts| parts.map(str::to_owned)))
            .map(|(_, record)| record)
            .filter(|record| same(filter.schema_id.as_ref(), record.schema_id.as_str()))
            .filter(|record| same(filter.environment.as_ref(), &record.environment))
            .filter(|record| same(filter.consumer_id.as_ref(), &record.consumer_id))
            .take(page.limit() as usize + 1)
            .cloned()
            .collect();
        Ok(into_page(items, page, |record| Cursor::new(key_of(record))))
    }

    async fn deregister_consumer(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
    ) -> StoreResult<bool> {
        let mut state = self.state.lock();
        state.usage.retain(|key, _| {
            [key[0].as_str(), &key[1], &key[2]] != [schema_id, consumer_id, environment]
        });
        let key = [consumer_id, schema_id, environment].map(str::to_owned);
        Ok(state.consumers.remove(&key).is_some())
    }

    async fn update_consumer_validation(
        &self,
        consumer_id: &str,
        schema_id: &str,
        environment: &str,
        validated_at: Timestamp,
    ) -> StoreResult<bool> {
        let key = [consumer_id, schema_id, environment].map(str::to_owned);
        let mut state = self.state.lock();
        let Some(record) = state.consumers.get_mut(&key) else { return Ok(false) };
        record.last_validated_at = record.last_validated_at.max(validated_at);
        Ok(true)
    }
}

pub(super) fn key_of(record: &ConsumerRecord) -> [String; 3] {
    [record.consumer_id.clone(), record.schema_id.to_string(), record.environment.clone()]
}
