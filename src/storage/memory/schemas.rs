//! Documents and comparisons in memory.

use std::ops::Bound;
use std::time::Duration;

use async_trait::async_trait;

use super::{MemoryState, MemoryStore, StoredVersion};
use crate::model::comparison::ComparisonRecord;
use crate::model::page::{Cursor, Page};
use crate::model::schema::SchemaRecord;
use crate::storage::query::{
    OnConflict, OnSchemaDelete, PageRequest, ReplacedContent, SchemaChange, SchemaFilter,
    SchemaList, StoredSchema,
};
use crate::storage::sql::schemas::{change_of, into_page};
use crate::storage::sql::validations::time_and_id;
use crate::storage::store::{ComparisonStore, SchemaStore, StoreResult};

#[async_trait]
impl SchemaStore for MemoryStore {
    async fn set_schema(
        &self,
        record: &SchemaRecord,
        on_conflict: OnConflict,
    ) -> StoreResult<StoredSchema> {
        let stored = self.state.lock().set_schema(record, on_conflict)?;
        self.notify_revision();
        Ok(stored)
    }

    async fn get_schema(&self, schema_id: &str) -> StoreResult<Option<SchemaRecord>> {
        let state = self.state.lock();
        Ok(state.latest(schema_id).map(|version| version.record.clone()))
    }

    async fn get_schema_version(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Option<SchemaRecord>> {
        let state = self.state.lock();
        Ok(state.version(schema_id, version).map(|version| version.record.clone()))
    }

    async fn delete_schema(&self, schema_id: &str, on_delete: OnSchemaDelete) -> StoreResult<bool> {
        let found = {
            let mut state = self.state.lock();
            if on_delete == OnSchemaDelete::DeleteRecords {
                state.delete_records(usize::MAX, |record| record.schema_id == schema_id);
            }
            state.delete_schema(schema_id)
        };
        self.notify_revision();
        Ok(found)
    }

    async fn delete_schema_version(&self, schema_id: &str, version: &str) -> StoreResult<bool> {
        let found = self.state.lock().delete_version(schema_id, version);
        self.notify_revision();
        Ok(found)
    }

    async fn list_schema_ids(&self) -> StoreResult<Vec<String>> {
        Ok(self.state.lock().schemas.keys().cloned().collect())
    }

    async fn list_versions(&self, schema_id: &str) -> StoreResult<Vec<String>> {
        let state = self.state.lock();
        let mut versions: Vec<_> =
            state.schemas.get(schema_id).into_iter().flat_map(|all| all.values()).collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.sequence));
        Ok(versions.into_iter().map(|version| version.record.version.clone()).collect())
    }

    async fn list_schemas(
        &self,
        filter: &SchemaFilter,
        page: &PageRequest,
    ) -> StoreResult<SchemaList> {
        let after = page.cursor.as_ref().map(|cursor| cursor.parts::<2>()).transpose()?;
        let state = self.state.lock();
        let matching = || {
            state
                .schemas
                .values()
                .flat_map(|versions| versions.values())
                .map(|version| &version.record)
                .filter(|record| matches(filter, record))
        };
        let total = matching().count() as u64;
        let items = matching()
            .filter(|record| {
                after.is_none_or(|after| [record.schema_id.as_str(), &record.version] > after)
            })
            .take(page.limit() as usize + 1)
            .map(SchemaRecord::metadata)
            .collect();
        let page = into_page(items, page, |item| {
            Cursor::new([item.schema_id.to_string(), item.schema_version.clone()])
        });
        Ok(SchemaList { page, total })
    }

    async fn get_previous_version(
        &self,
        schema_id: &str,
        current: &str,
    ) -> StoreResult<Option<String>> {
        let state = self.state.lock();
        let Some(current) = state.version(schema_id, current) else { return Ok(None) };
        let versions = state.schemas.get(schema_id).into_iter().flat_map(|all| all.values());
        let previous = versions
            .filter(|version| version.sequence < current.sequence)
            .max_by_key(|version| version.sequence);
        Ok(previous.map(|version| version.record.version.clone()))
    }

    async fn schema_history(
        &self,
        schema_id: &str,
        version: &str,
    ) -> StoreResult<Vec<ReplacedContent>> {
        let state = self.state.lock();
        let history = state.version(schema_id, version).map(|version| version.history.as_slice());
        Ok(history.unwrap_or_default().iter().rev().cloned().collect())
    }

    async fn schema_revision(&self) -> StoreResult<i64> {
        Ok(self.state.lock().revision)
    }

    async fn wait_schema_change(&self, seen: i64, max_wait: Duration) -> StoreResult<i64> {
        let mut revision = self.revision.subscribe();
        let changed = revision.wait_for(|revision| *revision != seen);
        // the sender lives as long as the store: only the time can run out
        let _ = tokio::time::timeout(max_wait, changed).await;
        self.schema_revision().await
    }
}

#[async_trait]
impl ComparisonStore for MemoryStore {
    async fn record_comparison(&self, record: &ComparisonRecord) -> StoreResult<()> {
        let key =
            [record.schema_id.to_string(), record.old_version.clone(), record.new_version.clone()];
        let mut state = self.state.lock();
        let mut record = record.clone();
        if let Some(old) = state.comparisons.get(&key) {
            record.id = old.id;
        }
        state.comparisons.insert(key, record);
        Ok(())
    }

    async fn get_comparison(
        &self,
        schema_id: &str,
        old_version: &str,
        new_version: &str,
    ) -> StoreResult<Option<ComparisonRecord>> {
        let key = [schema_id, old_version, new_version].map(str::to_owned);
        Ok(self.state.lock().comparisons.get(&key).cloned())
    }

    async fn list_comparisons(
        &self,
        schema_id: &str,
        page: &PageRequest,
    ) -> StoreResult<Page<ComparisonRecord>> {
        let before = page.cursor.as_ref().map(time_and_id).transpose()?;
        let state = self.state.lock();
        let mut items: Vec<_> = state
            .comparisons
            .values()
            .filter(|record| record.schema_id.as_str() == schema_id)
            .filter(|record| before.is_none_or(|before| (record.compared_at, record.id) < before))
            .cloned()
            .collect();
        items.sort_by_key(|record| std::cmp::Reverse((record.compared_at, record.id)));
        items.truncate(page.limit() as usize + 1);
        Ok(into_page(items, page, |record| {
            Cursor::new([record.compared_at.as_micros().to_string(), record.id.to_string()])
        }))
    }
}

fn matches(filter: &SchemaFilter, record: &SchemaRecord) -> bool {
    let same = |wanted: &Option<String>, value: &String| {
        wanted.as_ref().is_none_or(|wanted| wanted == value)
    };
    same(&filter.owner, &record.ownership.owner)
        && same(&filter.team, &record.ownership.team)
        && same(&filter.environment, &record.environment)
        && (filter.all_versions || record.is_latest)
}

// === impl MemoryStore ===

impl MemoryStore {
    /// Notifies waiters of the newest revision.
    fn notify_revision(&self) {
        let newest = self.state.lock().revision;
        self.revision.send_if_modified(|revision| {
            let grew = *revision < newest;
            *revision = newest.max(*revision);
            grew
        });
    }
}

// === impl MemoryState ===

impl MemoryState {
    fn version(&self, schema_id: &str, version: &str) -> Option<&StoredVersion> {
        self.schemas.get(schema_id)?.get(version)
    }

    fn latest(&self, schema_id: &str) -> Option<&StoredVersion> {
        self.schemas.get(schema_id)?.values().find(|version| version.record.is_latest)
    }

    fn set_schema(
        &mut self,
        record: &SchemaRecord,
        on_conflict: OnConflict,
    ) -> StoreResult<StoredSchema> {
        let old = self.version(record.schema_id.as_str(), &record.version);
        let change = match old {
            None => SchemaChange::Created,
            Some(old) => change_of(&old.record, record, on_conflict)?,
        };
        if let (SchemaChange::Unchanged, Some(old)) = (change, old) {
            return Ok(StoredSchema { record: old.record.clone(), change });
        }
        self.revision += 1;
        let versions = self.schemas.entry(record.schema_id.to_string()).or_default();
        let mut new = StoredVersion {
            record: SchemaRecord { is_latest: true, ..record.clone() },
            sequence: self.revision,
            history: Vec::new(),
        };
        if let Some(old) = versions.remove(&record.version) {
            new.inherit(old, change);
        }
        for version in versions.values_mut() {
            version.record.is_latest = false;
        }
        let stored = new.record.clone();
        versions.insert(record.version.clone(), new);
        Ok(StoredSchema { record: stored, change })
    }

    fn delete_version(&mut self, schema_id: &str, version: &str) -> bool {
        let Some(versions) = self.schemas.get_mut(schema_id) else { return false };
        if versions.remove(version).is_none() {
            return false;
        }
        match versions.values_mut().max_by_key(|version| version.sequence) {
            Some(last) => {
                last.record.is_latest = true;
                self.revision += 1;
                true
            }
            None => self.delete_schema(schema_id),
        }
    }

    fn delete_schema(&mut self, schema_id: &str) -> bool {
        if self.schemas.remove(schema_id).is_none() {
            return false;
        }
        self.revision += 1;
        self.comparisons.retain(|key, _| key[0] != schema_id);
        self.consumers.retain(|key, _| key[1] != schema_id);
        self.usage.retain(|key, _| key[0] != schema_id);
        self.groups.retain(|_, group| group.schema_id != schema_id);
        true
    }
}

// === impl StoredVersion ===

impl StoredVersion {
    /// Copies from `old` what a repeated registration keeps.
    fn inherit(&mut self, old: Self, change: SchemaChange) {
        self.record.id = old.record.id;
        self.record.registered_at = old.record.registered_at;
        self.history = old.history;
        if old.record.is_latest {
            self.sequence = old.sequence;
        }
        if change == SchemaChange::Replaced {
            self.history.push(ReplacedContent {
                content_hash: old.record.content_hash,
                replaced_at: self.record.updated_at,
            });
        } else {
            self.record.content = old.record.content;
            self.record.openapi_version = old.record.openapi_version;
            self.record.endpoint_count = old.record.endpoint_count;
        }
    }
}

/// The items of a map strictly after `key`.
pub(super) fn entries_after<K: Ord + Clone, V>(
    map: &std::collections::BTreeMap<K, V>,
    key: Option<K>,
) -> impl Iterator<Item = (&K, &V)> {
    let start = key.map_or(Bound::Unbounded, Bound::Excluded);
    map.range((start, Bound::Unbounded))
}
