//! Observed usage in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use uuid::Uuid;

use super::consumers::key_of;
use super::schemas::entries_after;
use super::{MemoryState, MemoryStore, StoredUsage, same};
use crate::model::clock::Timestamp;
use crate::model::page::{Cursor, Page};
use crate::model::usage::OperationUsage;
use crate::storage::observed_consumer::{add_usage, registration_of};
use crate::storage::query::{PageRequest, UsageFilter};
use crate::storage::sql::schemas::into_page;
use crate::storage::store::{StoreResult, UsageStore};

#[async_trait]
impl UsageStore for MemoryStore {
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

fn operation_of(usage: &OperationUsage) -> [String; 5] {
    [&usage.schema_id, &usage.consumer_id, &usage.environment, &usage.path, &usage.method]
        .map(Clone::clone)
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
