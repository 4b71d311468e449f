//! The kinds of violation that this process has seen: how often each came, what storage does not
//! know of it yet, and what the operator was told.
//!
//! What must hold: every violation of a kind kept apart is in exactly one batch for storage;
//! a kind is told when it is new to storage, when it returns, and now and then while it goes on,
//! and also when storage is away; memory is bounded, and what goes beyond is counted.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use super::group::{GroupId, erase_indices};
use super::notice::{News, Notice};
use crate::config::group::GroupSettings;
use crate::model::clock::Timestamp;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::trace::TraceId;
use crate::model::violation::Violation;

/// Kinds kept apart; violations of further kinds are counted together.
const MOST_KINDS: usize = 10_000;
/// A kind is told as unstored when storage has not answered for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// One kind of violation, for the summary.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Which group.
    pub group: GroupId,
    /// The schema broken.
    pub schema_id: String,
    /// Method and path template, or what stands for an undocumented one.
    pub operation: String,
    /// The violation seen first.
    pub violation: Violation,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// How often it came.
    pub count: u64,
}

/// One violation, and where it was seen.
#[derive(Debug, Clone, Copy)]
pub struct Sighting<'s> {
    /// Its group.
    pub group: GroupId,
    /// The violation.
    pub violation: &'s Violation,
    /// The schema broken.
    pub schema_id: &'s str,
    /// Its version.
    pub version: &'s str,
    /// Method and path template; both empty when the document lists no such operation.
    pub operation: (&'s str, &'s str),
    /// What to call the operation.
    pub operation_name: &'s str,
    /// Who called.
    pub consumer: &'s str,
    /// When.
    pub at: Timestamp,
    /// The record that shows it, when one is kept.
    pub example: Option<Uuid>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// Whether the mode in force tells the operator.
    pub tell: bool,
}

/// Every kind seen by this process. Shared by the workers.
#[derive(Debug, Default)]
pub struct Kinds {
    table: Mutex<Table>,
    first: Notify,
}

#[derive(Debug, Default)]
struct Table {
    kinds: HashMap<GroupId, Entry>,
    beyond: u64,
}

#[derive(Debug)]
struct Entry {
    kind: Kind,
    /// What storage does not know of yet.
    fresh: Option<ViolationGroup>,
    /// What is on its way: when it was packed, and when it was seen first.
    sent: Option<(Timestamp, Timestamp)>,
    /// Violations to tell of.
    untold: u64,
    told: Option<Timestamp>,
}

// === impl Kinds ===

impl Kinds {
    /// Counts one violation; true when it is the first of its kind.
    pub fn saw(&self, sighting: &Sighting<'_>) -> bool {
        let mut table = self.table.lock();
        let known = table.kinds.len();
        if known >= MOST_KINDS && !table.kinds.contains_key(&sighting.group) {
            table.beyond += 1;
            return false;
        }
        let entry = table.kinds.entry(sighting.group).or_insert_with(|| Entry::new(sighting));
        entry.kind.count += 1;
        entry.untold += u64::from(sighting.tell);
        let Sighting { at, consumer, version, example, .. } = *sighting;
        match &mut entry.fresh {
            Some(fresh) => fresh.see(at, consumer, version, example),
            none => *none = Some(group_of(sighting)),
        }
        let is_first = entry.kind.count == 1;
        if is_first {
            self.first.notify_one();
        }
        is_first
    }

    /// Waits for a kind that was not seen before.
    pub async fn first(&self) {
        self.first.notified().await;
    }

    /// Violations of kinds beyond those kept apart.
    pub fn beyond(&self) -> u64 {
        self.table.lock().beyond
    }

    /// What storage does not know of yet; it is the caller's from now on.
    pub fn pack(&self, now: Timestamp) -> Vec<ViolationGroup> {
        let mut table = self.table.lock();
        let packed = table.kinds.values_mut().filter_map(|entry| {
            let fresh = entry.fresh.take()?;
            let (since, first) = entry.sent.unwrap_or((now, fresh.first_seen));
            entry.sent = Some((since, first.min(fresh.first_seen)));
            Some(fresh)
        });
        packed.collect()
    }

    /// Takes back what could not be sent on.
    pub fn put_back(&self, groups: Vec<ViolationGroup>) {
        let mut table = self.table.lock();
        for group in groups {
            let id = GroupId::parse(&group.fingerprint);
            let Some(entry) = id.and_then(|id| table.kinds.get_mut(&id)) else { continue };
            match &mut entry.fresh {
                Some(fresh) => fresh.absorb(&group),
                none => *none = Some(group),
            }
        }
    }

    /// What there is to tell now that storage has taken a batch.
    pub fn settle(
        &self,
        merged: &[MergedGroup],
        now: Timestamp,
        settings: &GroupSettings,
    ) -> Vec<Notice> {
        let mut table = self.table.lock();
        let mut notices = Vec::new();
        for group in merged {
            let id = GroupId::parse(&group.fingerprint);
            let Some(entry) = id.and_then(|id| table.kinds.get_mut(&id)) else { continue };
            let first = entry.sent.take().map_or(now, |(_, first)| first);
            let news = News::of(group.seen_before, first, entry.told, now, settings);
            notices.extend(news.and_then(|news| entry.tell(news, now)));
        }
        notices
    }

    /// What was sent on long ago, never told, and not answered for.
    pub fn overdue(&self, now: Timestamp) -> Vec<Notice> {
        let mut table = self.table.lock();
        let mut notices = Vec::new();
        for entry in table.kinds.values_mut().filter(|entry| entry.told.is_none()) {
            if entry.sent.is_some_and(|(sent, _)| now.since(sent) >= PATIENCE) {
                notices.extend(entry.tell(News::Unstored, now));
            }
        }
        notices
    }

    /// What was never told, at the end.
    pub fn untold(&self, now: Timestamp) -> Vec<Notice> {
        let mut table = self.table.lock();
        let entries = table.kinds.values_mut().filter(|entry| entry.told.is_none());
        entries.filter_map(|entry| entry.tell(News::Unstored, now)).collect()
    }

    /// Every kind, the most frequent first, and the number of violations of kinds beyond the
    /// cap.
    pub fn summary(&self) -> (Vec<Kind>, u64) {
        let table = self.table.lock();
        let mut kinds: Vec<Kind> = table.kinds.values().map(|entry| entry.kind.clone()).collect();
        kinds.sort_by(|a, b| b.count.cmp(&a.count).then(a.group.cmp(&b.group)));
        (kinds, table.beyond)
    }
}

// === impl Entry ===

impl Entry {
    fn new(sighting: &Sighting<'_>) -> Self {
        Self {
            kind: Kind {
                group: sighting.group,
                schema_id: sighting.schema_id.to_owned(),
                operation: sighting.operation_name.to_owned(),
                violation: sighting.violation.clone(),
                trace: sighting.trace,
                count: 0,
            },
            fresh: None,
            sent: None,
            untold: 0,
            told: None,
        }
    }

    /// The notice, when there is something to tell.
    fn tell(&mut self, news: News, now: Timestamp) -> Option<Notice> {
        let count = std::mem::take(&mut self.untold);
        if count == 0 {
            return None;
        }
        self.told = Some(now);
        Some(Notice {
            news,
            group: self.kind.group,
            schema_id: self.kind.schema_id.clone(),
            operation: self.kind.operation.clone(),
            violation: self.kind.violation.clone(),
            trace: self.kind.trace,
            count,
        })
    }
}

fn group_of(sighting: &Sighting<'_>) -> ViolationGroup {
    let violation = sighting.violation;
    let (method, template) = sighting.operation;
    ViolationGroup {
        fingerprint: sighting.group.to_string(),
        schema_id: sighting.schema_id.to_owned(),
        method: method.to_owned(),
        operation: template.to_owned(),
        code: violation.code,
        name: violation.name.as_deref().map(str::to_owned),
        schema_pointer: violation.schema_pointer.to_string(),
        instance_pointer: erase_indices(&violation.instance_pointer),
        message: violation.message.clone(),
        count: 1,
        first_seen: sighting.at,
        last_seen: sighting.at,
        consumers: vec![sighting.consumer.to_owned()],
        versions: vec![sighting.version.to_owned()],
        example: sighting.example,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::violation::ViolationCode;

    fn violation() -> Violation {
        Violation {
            code: ViolationCode::REQUEST_QUERY_MISSING,
            name: Some("page".into()),
            instance_pointer: String::new(),
            schema_pointer: "/paths".into(),
            keyword: "required".into(),
            position: None,
            message: "is required".into(),
        }
    }

    fn see(kinds: &Kinds, violation: &Violation, seconds: i64, tell: bool) -> bool {
        kinds.saw(&Sighting {
            group: GroupId::of("a", "GET /", violation),
            violation,
            schema_id: "a",
            version: "1",
            operation: ("GET", "/"),
            operation_name: "GET /",
            consumer: "shop",
            at: Timestamp::from_micros(seconds * 1_000_000),
            example: None,
            trace: None,
            tell,
        })
    }

    fn settings() -> GroupSettings {
        GroupSettings {
            silence: Duration::from_hours(24),
            reminder: Duration::from_hours(1),
            interval: Duration::from_secs(1),
        }
    }

    #[test]
    fn only_the_first_is_new_and_every_one_is_counted() {
        let (kinds, violation) = (Kinds::default(), violation());
        assert!(see(&kinds, &violation, 1, true));
        assert!(!see(&kinds, &violation, 2, true));
        let (summary, beyond) = kinds.summary();
        assert_eq!((summary.len(), summary[0].count, beyond), (1, 2, 0));
    }

    #[test]
    fn each_violation_is_sent_on_once_also_when_it_had_to_be_put_back() {
        let (kinds, violation, now) = (Kinds::default(), violation(), Timestamp::from_micros(0));
        see(&kinds, &violation, 1, true);
        let first = kinds.pack(now);
        assert_eq!(first[0].count, 1);
        see(&kinds, &violation, 2, true);
        kinds.put_back(first);
        let both = kinds.pack(now);
        assert_eq!((both.len(), both[0].count), (1, 2));
        assert_eq!(both[0].first_seen.as_seconds(), 1);
        assert!(kinds.pack(now).is_empty());
    }

    #[test]
    fn a_kind_is_told_once_and_only_where_the_mode_tells() {
        let (kinds, violation) = (Kinds::default(), violation());
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let merged = |before| {
            let fingerprint = GroupId::of("a", "GET /", &violation).to_string();
            [MergedGroup { fingerprint, seen_before: before }]
        };
        see(&kinds, &violation, 1, false);
        kinds.pack(at(1));
        assert!(kinds.settle(&merged(None), at(2), &settings()).is_empty());
        see(&kinds, &violation, 3, true);
        see(&kinds, &violation, 4, true);
        kinds.pack(at(4));
        let told = kinds.settle(&merged(Some(at(1))), at(5), &settings());
        assert_eq!((told.len(), told[0].count), (1, 2));
        assert_eq!(told[0].news, News::GoesOn { seen_before: at(1) });
        see(&kinds, &violation, 6, true);
        kinds.pack(at(6));
        assert!(kinds.settle(&merged(Some(at(4))), at(7), &settings()).is_empty());
        assert!(kinds.overdue(at(99)).is_empty() && kinds.untold(at(99)).is_empty());
    }

    #[test]
    fn a_kind_is_told_although_storage_is_away() {
        let (kinds, violation) = (Kinds::default(), violation());
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        see(&kinds, &violation, 1, true);
        kinds.pack(at(1));
        assert!(kinds.overdue(at(2)).is_empty());
        assert_eq!(kinds.overdue(at(7))[0].news, News::Unstored);
        assert!(kinds.overdue(at(8)).is_empty());
    }
}
