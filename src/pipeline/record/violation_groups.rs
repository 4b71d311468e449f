//! The violation groups that this process has seen: how often each occurred, what storage does
//! not know of it yet, and what the operator was notified of.
//!
//! Invariants:
//! - every violation of a tracked group is in exactly one batch for storage;
//! - a group is notified when it is new to storage, when it returns, and now and then while it
//!   goes on, even when storage is unavailable;
//! - memory is bounded, and what exceeds the bound is counted.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::config::group::GroupSettings;
use crate::model::clock::Timestamp;
use crate::model::fault::Fault;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::trace::TraceId;
use crate::model::violation::Violation;
use crate::pipeline::record::found_names::FoundNames;
use crate::pipeline::record::group_id::{GroupId, GroupIdentity, erase_indices};
use crate::pipeline::record::notice::{Notice, NoticeReason};

/// ViolationGroups kept apart; violations of further kinds are counted together.
const MAX_GROUPS: usize = 10_000;
/// A group is notified as unstored when storage has not answered for this long.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// One kind of violation, for the summary.
#[derive(Debug, Clone)]
pub struct GroupSummary {
    /// Which group.
    pub group: GroupId,
    /// Whose fault.
    pub fault: Fault,
    /// The schema broken.
    pub schema_id: String,
    /// Method and path template, or what stands for an undocumented one.
    pub operation: String,
    /// The violation seen first.
    pub violation: Violation,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// In how many exchanges it came.
    pub count: u64,
}

/// One violation, and where it was seen.
#[derive(Debug, Clone, Copy)]
pub struct ViolationEvent<'s> {
    /// Its group.
    pub group: GroupIdentity<'s>,
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
    /// What the service answered with, if it answered.
    pub status: Option<u16>,
    /// When.
    pub at: Timestamp,
    /// The record that shows it, when one is kept.
    pub example: Option<Uuid>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// Whether the mode in force tells the operator.
    pub notify: bool,
}

/// Every kind seen by this process. Shared by the workers.
#[derive(Debug, Default)]
pub struct ViolationGroups {
    table: Mutex<GroupTable>,
    found_names: FoundNames,
    new_group: Notify,
}

#[derive(Debug, Default)]
struct GroupTable {
    entries: HashMap<GroupId, GroupEntry>,
    ungrouped: u64,
}

#[derive(Debug)]
struct GroupEntry {
    summary: GroupSummary,
    /// What storage does not know of yet.
    unsent: Option<ViolationGroup>,
    /// What is on its way: when it was packed, and when it was seen first.
    in_flight: Option<(Timestamp, Timestamp)>,
    /// Violations to tell of.
    unnotified: u64,
    notified_at: Option<Timestamp>,
}

// === impl ViolationGroups ===

impl ViolationGroups {
    /// The group of a violation in an operation of a schema.
    pub fn identify<'v>(
        &self,
        (schema_id, operation): (&str, &str),
        violation: &'v Violation,
        fault: Fault,
    ) -> GroupIdentity<'v> {
        let earlier = GroupId::earlier(schema_id, operation, violation);
        let found = self.found_names.bounded(earlier, fault, violation);
        let id = GroupId::of(schema_id, operation, violation, fault, found);
        GroupIdentity { id, earlier, fault, found }
    }

    /// Counts one exchange with a violation; true when it is the first of its kind.
    pub fn record(&self, event: &ViolationEvent<'_>) -> bool {
        let mut table = self.table.lock();
        let known = table.entries.len();
        if known >= MAX_GROUPS && !table.entries.contains_key(&event.group.id) {
            table.ungrouped += 1;
            return false;
        }
        let entry = table.entries.entry(event.group.id).or_insert_with(|| GroupEntry::new(event));
        entry.summary.count += 1;
        entry.unnotified += u64::from(event.notify);
        let ViolationEvent { at, consumer, version, example, .. } = *event;
        match &mut entry.unsent {
            Some(unsent) => {
                unsent.record(at, consumer, version, example);
                unsent.record_status(event.status);
            }
            none => *none = Some(group_of(event)),
        }
        let is_first = entry.summary.count == 1;
        if is_first {
            self.new_group.notify_one();
        }
        is_first
    }

    /// Waits for a kind that was not seen before.
    pub async fn wait_for_new(&self) {
        self.new_group.notified().await;
    }

    /// Violations of kinds beyond those kept apart.
    pub fn ungrouped(&self) -> u64 {
        self.table.lock().ungrouped
    }

    /// What storage does not know of yet; it is the caller's from now on.
    pub fn take_unsent(&self, now: Timestamp) -> Vec<ViolationGroup> {
        let mut table = self.table.lock();
        let taken = table.entries.values_mut().filter_map(|entry| {
            let unsent = entry.unsent.take()?;
            let (since, first) = entry.in_flight.unwrap_or((now, unsent.first_seen));
            entry.in_flight = Some((since, first.min(unsent.first_seen)));
            Some(unsent)
        });
        taken.collect()
    }

    /// Takes back what could not be sent on.
    pub fn restore(&self, groups: Vec<ViolationGroup>) {
        let mut table = self.table.lock();
        for group in groups {
            let id = GroupId::parse(&group.fingerprint);
            let Some(entry) = id.and_then(|id| table.entries.get_mut(&id)) else { continue };
            match &mut entry.unsent {
                Some(unsent) => unsent.merge(&group),
                none => *none = Some(group),
            }
        }
    }

    /// What there is to tell now that storage has taken a batch.
    pub fn acknowledge(
        &self,
        merged: &[MergedGroup],
        now: Timestamp,
        settings: &GroupSettings,
    ) -> Vec<Notice> {
        let mut table = self.table.lock();
        let mut notices = Vec::new();
        for group in merged {
            let id = GroupId::parse(&group.fingerprint);
            let Some(entry) = id.and_then(|id| table.entries.get_mut(&id)) else { continue };
            let first = entry.in_flight.take().map_or(now, |(_, first)| first);
            let before = group.seen_before.or_else(|| {
                // Groups of before had another identity: what was seen as such is not new.
                let earlier = group.seen_before_as_earlier;
                earlier.filter(|seen| first.since(*seen) < settings.silence)
            });
            let reason = NoticeReason::of(before, first, entry.notified_at, now, settings);
            notices.extend(reason.and_then(|reason| entry.notice(reason, now)));
        }
        notices
    }

    /// What was sent on long ago, never told, and not answered for.
    pub fn overdue(&self, now: Timestamp) -> Vec<Notice> {
        let mut table = self.table.lock();
        let mut notices = Vec::new();
        for entry in table.entries.values_mut().filter(|entry| entry.notified_at.is_none()) {
            if entry.in_flight.is_some_and(|(sent, _)| now.since(sent) >= STORE_TIMEOUT) {
                notices.extend(entry.notice(NoticeReason::Unstored, now));
            }
        }
        notices
    }

    /// What was never told, at the end.
    pub fn unnotified_groups(&self, now: Timestamp) -> Vec<Notice> {
        let mut table = self.table.lock();
        let entries = table.entries.values_mut().filter(|entry| entry.notified_at.is_none());
        entries.filter_map(|entry| entry.notice(NoticeReason::Unstored, now)).collect()
    }

    /// Every kind, the most frequent first, and the number of violations of kinds beyond the
    /// cap.
    pub fn summary(&self) -> (Vec<GroupSummary>, u64) {
        let table = self.table.lock();
        let mut groups: Vec<GroupSummary> =
            table.entries.values().map(|entry| entry.summary.clone()).collect();
        groups.sort_by(|a, b| b.count.cmp(&a.count).then(a.group.cmp(&b.group)));
        (groups, table.ungrouped)
    }
}

// === impl GroupEntry ===

impl GroupEntry {
    fn new(event: &ViolationEvent<'_>) -> Self {
        Self {
            summary: GroupSummary {
                group: event.group.id,
                fault: event.group.fault,
                schema_id: event.schema_id.to_owned(),
                operation: event.operation_name.to_owned(),
                violation: event.violation.clone(),
                trace: event.trace,
                count: 0,
            },
            unsent: None,
            in_flight: None,
            unnotified: 0,
            notified_at: None,
        }
    }

    /// The notice, when there is something to tell.
    fn notice(&mut self, reason: NoticeReason, now: Timestamp) -> Option<Notice> {
        let count = std::mem::take(&mut self.unnotified);
        if count == 0 {
            return None;
        }
        self.notified_at = Some(now);
        Some(Notice {
            reason,
            group: self.summary.group,
            fault: self.summary.fault,
            schema_id: self.summary.schema_id.clone(),
            operation: self.summary.operation.clone(),
            violation: self.summary.violation.clone(),
            trace: self.summary.trace,
            count,
        })
    }
}

fn group_of(event: &ViolationEvent<'_>) -> ViolationGroup {
    let violation = event.violation;
    let (method, template) = event.operation;
    let GroupIdentity { id, earlier, fault, found } = event.group;
    ViolationGroup {
        fingerprint: id.to_string(),
        earlier_fingerprint: Some(earlier.to_string()),
        schema_id: event.schema_id.to_owned(),
        method: method.to_owned(),
        path_template: template.to_owned(),
        code: violation.code,
        name: violation.name.as_deref().map(str::to_owned),
        fault: Some(fault),
        found: (!found.is_empty()).then(|| found.to_owned()),
        statuses: event.status.iter().map(u16::to_string).collect(),
        schema_pointer: violation.schema_pointer.to_string(),
        instance_pointer: erase_indices(&violation.instance_pointer),
        message: violation.message.clone(),
        count: 1,
        first_seen: event.at,
        last_seen: event.at,
        consumers: vec![event.consumer.to_owned()],
        versions: vec![event.version.to_owned()],
        example: event.example,
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
            found: String::new(),
            position: None,
            message: "is required".into(),
        }
    }

    fn see(groups: &ViolationGroups, violation: &Violation, seconds: i64, notify: bool) -> bool {
        groups.record(&ViolationEvent {
            group: groups.identify(("a", "GET /"), violation, Fault::Caller),
            status: Some(422),
            violation,
            schema_id: "a",
            version: "1",
            operation: ("GET", "/"),
            operation_name: "GET /",
            consumer: "shop",
            at: Timestamp::from_micros(seconds * 1_000_000),
            example: None,
            trace: None,
            notify,
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
        let (groups, violation) = (ViolationGroups::default(), violation());
        assert!(see(&groups, &violation, 1, true));
        assert!(!see(&groups, &violation, 2, true));
        let (summary, beyond) = groups.summary();
        assert_eq!((summary.len(), summary[0].count, beyond), (1, 2, 0));
    }

    #[test]
    fn each_violation_is_sent_on_once_also_when_it_had_to_be_put_back() {
        let (groups, violation, now) =
            (ViolationGroups::default(), violation(), Timestamp::from_micros(0));
        see(&groups, &violation, 1, true);
        let first = groups.take_unsent(now);
        assert_eq!(first[0].count, 1);
        see(&groups, &violation, 2, true);
        groups.restore(first);
        let both = groups.take_unsent(now);
        assert_eq!((both.len(), both[0].count), (1, 2));
        assert_eq!(both[0].first_seen.as_seconds(), 1);
        assert!(groups.take_unsent(now).is_empty());
    }

    #[test]
    fn a_group_is_notified_once_and_only_where_the_mode_notifies() {
        let (groups, violation) = (ViolationGroups::default(), violation());
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let merged = |before| {
            let group = groups.identify(("a", "GET /"), &violation, Fault::Caller);
            let fingerprint = group.id.to_string();
            [MergedGroup { fingerprint, seen_before: before, seen_before_as_earlier: None }]
        };
        see(&groups, &violation, 1, false);
        groups.take_unsent(at(1));
        assert!(groups.acknowledge(&merged(None), at(2), &settings()).is_empty());
        see(&groups, &violation, 3, true);
        see(&groups, &violation, 4, true);
        groups.take_unsent(at(4));
        let told = groups.acknowledge(&merged(Some(at(1))), at(5), &settings());
        assert_eq!((told.len(), told[0].count), (1, 2));
        assert_eq!(told[0].reason, NoticeReason::Ongoing { seen_before: at(1) });
        see(&groups, &violation, 6, true);
        groups.take_unsent(at(6));
        assert!(groups.acknowledge(&merged(Some(at(4))), at(7), &settings()).is_empty());
        assert!(groups.overdue(at(99)).is_empty() && groups.unnotified_groups(at(99)).is_empty());
    }

    #[test]
    fn a_group_with_another_identity_before_is_not_new_for_one_silence_period() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let silence = i64::try_from(settings().silence.as_secs()).unwrap();
        for (now, reason) in [
            (silence - 1, NoticeReason::Ongoing { seen_before: at(0) }),
            (silence, NoticeReason::New),
        ] {
            let (groups, violation) = (ViolationGroups::default(), violation());
            let group = groups.identify(("a", "GET /"), &violation, Fault::Caller);
            see(&groups, &violation, now, true);
            let sent = groups.take_unsent(at(now));
            assert_eq!(sent[0].earlier_fingerprint, Some(group.earlier.to_string()));
            let merged = MergedGroup {
                fingerprint: group.id.to_string(),
                seen_before: None,
                seen_before_as_earlier: Some(at(0)),
            };
            let told = groups.acknowledge(&[merged], at(now), &settings());
            assert_eq!(told[0].reason, reason);
        }
    }

    #[test]
    fn a_group_is_notified_while_storage_is_unavailable() {
        let (groups, violation) = (ViolationGroups::default(), violation());
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        see(&groups, &violation, 1, true);
        groups.take_unsent(at(1));
        assert!(groups.overdue(at(2)).is_empty());
        assert_eq!(groups.overdue(at(7))[0].reason, NoticeReason::Unstored);
        assert!(groups.overdue(at(8)).is_empty());
    }
}
