//! Consumers and usage in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use uuid::Uuid;

use super::schemas::entries_after;
use super::{MemoryState, MemoryStore, StoredUsage};
use crate::model::clock::Timestamp;
use crate::model::consumer::ConsumerRecord;
use crate::model::page::{Cursor, Page};
use crate::model::usage::OperationUsage;
use crate::storage::observed_consumer::{add_usage, registration_of};
use crate::storage::query::{ConsumerFilter, PageRequest, UsageFilter};
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

    async fn merge_usage(&self, batch: Uuid, usage: &[OperationUsage]) -> StoreResult<()> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if state.register_batch(batch, now) {
            let mut sorted: Vec<_> = usage.iter().collect();
            sorted.sort_by_key(|usage| operation_of(usage));
            for usage in sorted {
                state.merge(usage);
            }
        }
        Ok(())
    }

    async fn list_usage(
        &self,
        filter: &UsageFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<OperationUsage>> {
        let start = page.cursor.as_ref().map(|cursor| cursor.parts::<5>()).transpose()?;
        let state = self.state.lock();
        let items = entries_after(&state.usage, start.map(|parts| parts.map(str::to_owned)))
            .filter(|(key, _)| same(filter.schema_id.as_ref(), &key[0]))
            .filter(|(key, _)| same(filter.consumer_id.as_ref(), &key[1]))
            .filter(|(key, _)| same(filter.environment.as_ref(), &key[2]))
            .filter(|(key, _)| same(filter.path.as_ref(), &key[3]))
            .filter(|(key, _)| same(filter.method.as_ref(), &key[4]))
            .take(page.limit() as usize + 1)
            .map(|(key, used)| used.to_usage(key))
            .collect();
        Ok(into_page(items, page, |usage| Cursor::new(operation_of(usage))))
    }
}

fn key_of(record: &ConsumerRecord) -> [String; 3] {
    [record.consumer_id.clone(), record.schema_id.to_string(), record.environment.clone()]
}

fn operation_of(usage: &OperationUsage) -> [String; 5] {
    [&usage.schema_id, &usage.consumer_id, &usage.environment, &usage.path, &usage.method]
        .map(Clone::clone)
}

fn same(wanted: Option<&String>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

// === impl MemoryState ===

impl MemoryState {
    /// Deletes at most `batch` facts last seen before `time`; returns how many.
    pub(super) fn delete_facts_before(&mut self, time: Timestamp, batch: usize) -> u64 {
        let mut deleted = 0;
        for used in self.usage.values_mut() {
            used.facts.retain(|_, fact| {
                let expired = fact.last_seen < time && deleted < batch;
                deleted += usize::from(expired);
                !expired
            });
        }
        self.usage.retain(|_, used| !used.facts.is_empty());
        deleted as u64
    }

    fn merge(&mut self, usage: &OperationUsage) {
        if let Some(new) = registration_of(usage) {
            let record = self.consumers.entry(key_of(&new)).or_insert(new);
            add_usage(record, usage);
        }
        let used = self.usage.entry(operation_of(usage)).or_insert_with(|| StoredUsage {
            schema_version: String::new(),
            consumer_version: String::new(),
            facts: BTreeMap::new(),
        });
        let newest = used.facts.values().map(|fact| fact.last_seen).max();
        if usage.facts.iter().any(|fact| newest.is_none_or(|newest| fact.last_seen >= newest)) {
            used.schema_version.clone_from(&usage.schema_version);
            used.consumer_version.clone_from(&usage.consumer_version);
        }
        for fact in &usage.facts {
            let key = (fact.kind, fact.name.clone());
            match used.facts.get_mut(&key) {
                Some(known) => {
                    known.count = known.count.saturating_add(fact.count);
                    known.first_seen = known.first_seen.min(fact.first_seen);
                    known.last_seen = known.last_seen.max(fact.last_seen);
                }
                None => drop(used.facts.insert(key, fact.clone())),
            }
        }
    }
}
