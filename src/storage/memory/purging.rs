//! Purging in memory.

use async_trait::async_trait;

use super::MemoryStore;
use crate::storage::query::Purge;
use crate::storage::store::{PurgeStore, StoreResult};

#[async_trait]
impl PurgeStore for MemoryStore {
    async fn purge(&self, purge: Purge<'_>, batch: u32) -> StoreResult<u64> {
        let mut state = self.state.lock();
        let batch = batch as usize;
        match purge {
            Purge::ConsumerRecords(consumer) => {
                Ok(state.delete_records(batch, |record| record.consumer_id == consumer))
            }
            Purge::ConsumerInGroups(name) => {
                let groups = state.groups.values_mut();
                let mut touched = 0;
                for group in groups.filter(|group| group.lists_consumer(name)).take(batch) {
                    group.consumers.retain(|known| known != name);
                    touched += 1;
                }
                Ok(touched)
            }
            Purge::GroupsLastSeenBefore(time) => {
                let old = state.groups.values().filter(|group| group.last_seen < time).take(batch);
                let old: Vec<_> = old.map(|group| group.fingerprint.clone()).collect();
                for fingerprint in &old {
                    state.groups.remove(fingerprint);
                }
                Ok(old.len() as u64)
            }
            Purge::UsageLastSeenBefore(time) => Ok(state.delete_facts_before(time, batch)),
        }
    }
}
