//! Removing what was recorded of a consumer, or before a time.
//!
//! Only storage is purged: what a running sidecar still holds in memory or in its spool arrives
//! later, and takes another purge.

use serde::Serialize;

use super::page_walk::PageWalk;
use super::{ControlError, consumers};
use crate::model::clock::Timestamp;
use crate::model::consumer::ConsumerRecord;
use crate::storage::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, GroupFilter, Purge, Store, ValidationFilter,
};

/// Rows removed by one transaction.
const BATCH: u32 = 2_000;

/// What to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PurgeScope {
    /// Records, registrations and usage of a consumer, and its name in violation groups.
    Consumer(String),
    /// Records of exchanges that ended before, and violation groups not seen since.
    Before(Timestamp),
}

/// What is, or would be, removed.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PurgeReport {
    /// Records.
    pub(crate) records: u64,
    /// Registrations of consumers, with their usage.
    pub(crate) registrations: u64,
    /// Violation groups; of a consumer, those that lose its name.
    pub(crate) groups: u64,
    /// Whether nothing was removed: this is what would be.
    pub(crate) dry_run: bool,
}

/// What [`purge`] would remove.
pub(crate) async fn preview(
    store: &dyn Store,
    scope: &PurgeScope,
) -> Result<PurgeReport, ControlError> {
    let mut found = PurgeReport { dry_run: true, ..PurgeReport::default() };
    match scope {
        PurgeScope::Consumer(consumer) => {
            let filter = ValidationFilter {
                consumer_id: Some(consumer.clone()),
                ..ValidationFilter::default()
            };
            let options = AnalyticsOptions { bucket: None, top: 1 };
            let numbers = store.get_validation_analytics(&filter, &options).await?;
            found.records = numbers.total_validations;
            found.registrations = registrations(store, consumer).await?.len() as u64;
        }
        PurgeScope::Before(time) => {
            found.records = store.count_expirable(ExpireKind::All, *time).await?;
        }
    }
    let mut walk = PageWalk::new();
    while let Some(page) = walk.next() {
        let groups = walk.items(store.list_groups(&GroupFilter::default(), &page).await?);
        let affected = groups.iter().filter(|group| match scope {
            PurgeScope::Consumer(consumer) => group.lists_consumer(consumer),
            PurgeScope::Before(time) => group.last_seen < *time,
        });
        found.groups += affected.count() as u64;
    }
    Ok(found)
}

/// Removes, in steps: after an error, part of it may be gone and the rest takes another call.
pub(crate) async fn purge(
    store: &dyn Store,
    scope: &PurgeScope,
) -> Result<PurgeReport, ControlError> {
    let mut removed = PurgeReport::default();
    match scope {
        PurgeScope::Consumer(consumer) => {
            removed.records = purge_all(store, Purge::ConsumerRecords(consumer)).await?;
            for record in registrations(store, consumer).await? {
                let (schema_id, environment) = (record.schema_id.as_str(), &record.environment);
                let gone = store.deregister_consumer(consumer, schema_id, environment).await?;
                removed.registrations += u64::from(gone);
            }
            removed.groups = purge_all(store, Purge::ConsumerInGroups(consumer)).await?;
        }
        PurgeScope::Before(time) => {
            loop {
                match store.expire_validations(ExpireKind::All, *time, BATCH).await? {
                    0 => break,
                    rows => removed.records += rows,
                }
            }
            removed.groups = purge_all(store, Purge::GroupsLastSeenBefore(*time)).await?;
        }
    }
    Ok(removed)
}

async fn purge_all(store: &dyn Store, purge: Purge<'_>) -> Result<u64, ControlError> {
    let mut total = 0;
    loop {
        match store.purge(purge, BATCH).await? {
            0 => return Ok(total),
            rows => total += rows,
        }
    }
}

async fn registrations(
    store: &dyn Store,
    consumer: &str,
) -> Result<Vec<ConsumerRecord>, ControlError> {
    let consumer_id = Some(consumer.to_owned());
    consumers::registrations(store, &ConsumerFilter { consumer_id, ..ConsumerFilter::default() })
        .await
}

// === impl PurgeReport ===

impl PurgeReport {
    /// Whether there is nothing to remove.
    pub(crate) const fn is_empty(&self) -> bool {
        self.records == 0 && self.registrations == 0 && self.groups == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures;
    use crate::storage::{GroupStore, PageRequest};

    async fn records_left(store: &dyn Store) -> usize {
        let all = ValidationFilter::default();
        store.list_validations(&all, &PageRequest::first(10)).await.unwrap().items.len()
    }

    #[tokio::test]
    async fn a_preview_removes_nothing_and_says_what_a_purge_then_removes() {
        let app = PurgeScope::Consumer("app".into());
        let early = PurgeScope::Before(fixtures::at(3));
        let late = PurgeScope::Before(fixtures::at(4));
        let report = |records, registrations, groups| PurgeReport {
            records,
            registrations,
            groups,
            dry_run: false,
        };
        for (scope, expected, left) in [
            (app, report(1, 1, 1), 2),
            (early, report(2, 0, 0), 1),
            (late, report(3, 0, 1), 0),
            (PurgeScope::Consumer("x".into()), report(0, 0, 0), 3),
        ] {
            let store = fixtures::used_store().await;
            let previewed = preview(&*store, &scope).await.unwrap();
            assert!(previewed.dry_run);
            assert_eq!(previewed.is_empty(), left == 3, "{scope:?}");
            assert_eq!(records_left(&*store).await, 3);
            assert_eq!(PurgeReport { dry_run: false, ..previewed }, expected, "{scope:?}");
            assert_eq!(purge(&*store, &scope).await.unwrap(), expected, "{scope:?}");
            assert_eq!(records_left(&*store).await, left, "{scope:?}");
        }
    }

    #[tokio::test]
    async fn a_purged_consumer_is_in_no_group_any_more_and_the_group_stays() {
        let store = fixtures::used_store().await;
        purge(&*store, &PurgeScope::Consumer("app".into())).await.unwrap();
        let groups =
            GroupStore::list_groups(&*store, &GroupFilter::default(), &PageRequest::first(10))
                .await;
        let [group] = groups.unwrap().items.try_into().unwrap();
        assert!(group.consumers.is_empty());
    }
}
