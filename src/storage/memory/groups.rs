//! Violation groups in memory.

use async_trait::async_trait;
use uuid::Uuid;

use super::{MemoryStore, same};
use crate::model::clock::Timestamp;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::page::{Cursor, Page};
use crate::storage::error::StoreError;
use crate::storage::query::{GroupFilter, PageRequest};
use crate::storage::sql::schemas::into_page;
use crate::storage::store::{GroupStore, StoreResult};

#[async_trait]
impl GroupStore for MemoryStore {
    async fn merge_groups(
        &self,
        batch: Uuid,
        groups: &[ViolationGroup],
    ) -> StoreResult<Vec<MergedGroup>> {
        let now = self.clock.now();
        let mut state = self.state.lock();
        if !state.register_batch(batch, now) {
            return Ok(Vec::new());
        }
        let mut sorted: Vec<_> = groups.iter().collect();
        sorted.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
        let mut merged = Vec::with_capacity(sorted.len());
        for group in sorted {
            let fingerprint = group.fingerprint.clone();
            let last_seen = |id: &String| state.groups.get(id).map(|known| known.last_seen);
            let seen_before = last_seen(&fingerprint);
            let seen_before_as_earlier = match seen_before {
                None => group.earlier_fingerprint.as_ref().and_then(last_seen),
                Some(_) => None,
            };
            match state.groups.get_mut(&fingerprint) {
                Some(known) => known.merge(group),
                None => drop(state.groups.insert(fingerprint.clone(), group.clone())),
            }
            merged.push(MergedGroup { fingerprint, seen_before, seen_before_as_earlier });
        }
        Ok(merged)
    }

    async fn list_groups(
        &self,
        filter: &GroupFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ViolationGroup>> {
        let before = page.cursor.as_ref().map(time_and_name).transpose()?;
        let state = self.state.lock();
        let mut items: Vec<_> = state
            .groups
            .values()
            .filter(|group| same(filter.fingerprint.as_ref(), &group.fingerprint))
            .filter(|group| same(filter.schema_id.as_ref(), &group.schema_id))
            .filter(|group| same(filter.code.as_ref(), group.code.as_str()))
            .filter(|group| same(filter.path_template.as_ref(), &group.path_template))
            .filter(|group| filter.fault.is_none_or(|fault| group.fault == Some(fault)))
            .filter(|group| filter.side.is_none_or(|side| group.code.side == side))
            .filter(|group| filter.status.is_none_or(|status| group.lists_status(status)))
            .filter(|group| filter.seen_since.is_none_or(|since| group.last_seen >= since))
            .filter(|group| {
                before.is_none_or(|before| (group.last_seen, &*group.fingerprint) < before)
            })
            .cloned()
            .collect();
        items.sort_by(|a, b| (b.last_seen, &b.fingerprint).cmp(&(a.last_seen, &a.fingerprint)));
        items.truncate(page.limit() as usize + 1);
        Ok(into_page(items, page, |group| {
            Cursor::new([group.last_seen.as_micros().to_string(), group.fingerprint.clone()])
        }))
    }
}

fn time_and_name(cursor: &Cursor) -> StoreResult<(Timestamp, &str)> {
    let [at, name] = cursor.parts()?;
    let at = at.parse().map_err(|_| StoreError::InvalidCursor)?;
    Ok((Timestamp::from_micros(at), name))
}
