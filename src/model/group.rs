//! Violation groups: all violations of one kind at one place, with counts.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;
use super::fault::Fault;
use super::violation::ViolationCode;

/// How many consumers and versions a group lists.
pub const MAX_GROUP_NAMES: usize = 50;

/// Every violation with one fingerprint.
///
/// To be merged, its count is the increment; read from storage, it is the total.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViolationGroup {
    /// Hex hash of schema, operation, code (which holds the side), name, schema pointer, erased
    /// instance pointer, fault and what was found.
    pub fingerprint: String,
    /// The fingerprint that releases before faults gave it, by which storage knows what they saw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_fingerprint: Option<String>,
    /// The schema broken.
    pub schema_id: String,
    /// Method, upper case.
    pub method: String,
    /// Path template; empty when the document lists no such operation.
    #[serde(alias = "operation")]
    pub path_template: String,
    /// Which rule, on which side.
    pub code: ViolationCode,
    /// The documented name of the parameter, header or scheme, where one is concerned.
    pub name: Option<String>,
    /// Whose fault; `None` in groups of releases before faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The status, method, media type or folded path in the place of a documented one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Statuses that the service answered with, sorted; at most [`MAX_GROUP_NAMES`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<String>,
    /// Pointer into the document.
    pub schema_pointer: String,
    /// Pointer into the message, indices erased.
    pub instance_pointer: String,
    /// The sentence of the first violation.
    pub message: String,
    /// In how many exchanges.
    pub count: u64,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// The consumers concerned, sorted; at most [`MAX_GROUP_NAMES`].
    pub consumers: Vec<String>,
    /// The schema versions validated against, sorted; at most [`MAX_GROUP_NAMES`].
    pub versions: Vec<String>,
    /// A record with such a violation, where one was kept.
    pub example: Option<Uuid>,
}

/// The result of merging a group in storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedGroup {
    /// Which group.
    pub fingerprint: String,
    /// When any process had seen it last before; `None` for a new group.
    pub seen_before: Option<Timestamp>,
    /// When a group with its earlier fingerprint was seen last, where the group itself is new.
    #[serde(default)]
    pub seen_before_as_earlier: Option<Timestamp>,
}

// === impl ViolationGroup ===

impl ViolationGroup {
    /// Counts one more exchange.
    pub fn record(&mut self, at: Timestamp, consumer: &str, version: &str, example: Option<Uuid>) {
        self.count = self.count.saturating_add(1);
        self.first_seen = self.first_seen.min(at);
        self.last_seen = self.last_seen.max(at);
        self.example = self.example.or(example);
        merge_name(&mut self.consumers, consumer);
        merge_name(&mut self.versions, version);
    }

    /// Adds a status that the service answered with.
    pub fn record_status(&mut self, status: Option<u16>) {
        if let Some(status) = status {
            merge_name(&mut self.statuses, &status.to_string());
        }
    }

    /// Whether it lists a consumer.
    pub fn lists_consumer(&self, consumer: &str) -> bool {
        self.consumers.iter().any(|known| known == consumer)
    }

    /// Whether it lists a status.
    pub fn lists_status(&self, status: u16) -> bool {
        self.statuses.contains(&status.to_string())
    }

    /// Adds the counts of `other`, a group of the same fingerprint. Commutative except for the message
    /// and the example, which stay those of the group seen first.
    pub fn merge(&mut self, other: &Self) {
        if other.first_seen < self.first_seen {
            self.message.clone_from(&other.message);
        }
        self.count = self.count.saturating_add(other.count);
        self.first_seen = self.first_seen.min(other.first_seen);
        self.last_seen = self.last_seen.max(other.last_seen);
        self.example = self.example.or(other.example);
        merge_names(&mut self.consumers, &other.consumers);
        merge_names(&mut self.versions, &other.versions);
        merge_names(&mut self.statuses, &other.statuses);
    }
}

fn merge_names(names: &mut Vec<String>, more: &[String]) {
    for name in more {
        merge_name(names, name);
    }
}

fn merge_name(names: &mut Vec<String>, name: &str) {
    let found = names.binary_search_by(|known| known.as_str().cmp(name));
    if let (Err(at), true) = (found, names.len() < MAX_GROUP_NAMES) {
        names.insert(at, name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(at: i64, consumer: &str) -> ViolationGroup {
        ViolationGroup {
            fingerprint: "f".into(),
            earlier_fingerprint: None,
            schema_id: "s".into(),
            method: "GET".into(),
            path_template: "/a".into(),
            code: ViolationCode::REQUEST_BODY_SCHEMA,
            name: None,
            fault: Some(Fault::Caller),
            found: None,
            statuses: vec!["422".into()],
            schema_pointer: String::new(),
            instance_pointer: String::new(),
            message: format!("seen at {at}"),
            count: 2,
            first_seen: Timestamp::from_micros(at),
            last_seen: Timestamp::from_micros(at),
            consumers: vec![consumer.into()],
            versions: vec!["1".into()],
            example: None,
        }
    }

    #[test]
    fn merging_adds_counts_and_bounds_names() {
        let mut all = group(5, "b");
        all.merge(&group(3, "a"));
        assert_eq!((all.count, all.first_seen.as_micros(), all.last_seen.as_micros()), (4, 3, 5));
        assert_eq!(all.consumers, ["a", "b"]);
        assert_eq!(all.message, "seen at 3");
        for n in 0..200 {
            all.merge(&group(9, &format!("c{n}")));
        }
        assert_eq!(all.consumers.len(), MAX_GROUP_NAMES);
    }
}
