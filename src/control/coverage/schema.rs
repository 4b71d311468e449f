//! One document and what was seen of it, put together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::documented::DocumentedParts;
use crate::contract::{CompiledOperation, Contract};
use crate::model::clock::Timestamp;
use crate::model::fault::Fault;
use crate::model::group::ViolationGroup;
use crate::model::schema::SchemaRecord;
use crate::model::usage::{OperationUsage, UsageFact, UsageKind, fault_fact};
use crate::model::verdict::Outcome;

/// Consumers named per operation.
const MAX_CONSUMERS: usize = 20;

/// One schema: its latest version against everything that was seen of it.
#[derive(Debug, Serialize)]
pub(crate) struct SchemaReport {
    pub(crate) schema_id: String,
    pub(crate) version: String,
    pub(crate) title: String,
    /// Exchanges validated.
    pub(crate) exchanges: u64,
    /// Those of them that broke the contract.
    pub(crate) violating: u64,
    /// Whose fault those were.
    pub(crate) faults: FaultCounts,
    /// Documented and used, most used first.
    pub(crate) used: Vec<OperationReport>,
    /// Documented and never used.
    pub(crate) never_used: Vec<OperationReport>,
    /// Used and not documented, their paths guessed from what was seen.
    pub(crate) undocumented: Vec<NamedUsage>,
    /// Used while an earlier version documented it.
    pub(crate) no_longer_documented: Vec<NamedUsage>,
    /// What was not validated, and why.
    #[serde(rename = "not_validated")]
    pub(crate) unvalidated: Vec<NamedUsage>,
    /// The most frequent violation groups.
    pub(crate) groups: Vec<ViolationGroup>,
}

/// One documented operation.
#[derive(Debug, Serialize)]
pub(crate) struct OperationReport {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) operation_id: Option<String>,
    pub(crate) deprecated: bool,
    pub(crate) exchanges: u64,
    pub(crate) violating: u64,
    pub(crate) faults: FaultCounts,
    pub(crate) first_seen: Option<Timestamp>,
    pub(crate) last_seen: Option<Timestamp>,
    /// By whom, most calls first.
    pub(crate) consumers: Vec<NamedUsage>,
    pub(crate) parameters: Coverage,
    pub(crate) statuses: Coverage,
    pub(crate) request_fields: Coverage,
    pub(crate) response_fields: Coverage,
}

/// Exchanges that break the contract, by fault. Exchanges validated by releases before faults are in
/// none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct FaultCounts {
    pub(crate) service: u64,
    pub(crate) accepted: u64,
    pub(crate) stranger: u64,
    pub(crate) caller: u64,
}

/// How much of what is documented was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Coverage {
    pub(crate) documented: usize,
    pub(crate) seen: usize,
    pub(crate) never_seen: Vec<String>,
    /// Seen and not documented.
    pub(crate) undocumented: Vec<NamedUsage>,
}

/// A name and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NamedUsage {
    pub(crate) name: String,
    pub(crate) count: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) consumers: Vec<String>,
}

/// What all consumers used of one operation.
#[derive(Debug, Default)]
struct OperationTotals<'u> {
    facts: BTreeMap<(UsageKind, &'u str), u64>,
    consumers: BTreeMap<&'u str, u64>,
    seen: Option<(Timestamp, Timestamp)>,
}

// === impl SchemaReport ===

impl SchemaReport {
    /// Puts together what the document promises and what was seen.
    pub(super) fn new(
        record: &SchemaRecord,
        contract: &Contract,
        usage: &[OperationUsage],
        groups: Vec<ViolationGroup>,
    ) -> Self {
        let mut seen = used_operations(usage);
        let operations = contract.operations().iter().map(|operation| {
            let used = seen.remove(&(operation.method.as_str(), &*operation.template));
            OperationReport::new(contract, operation, &used.unwrap_or_default())
        });
        let (mut used, never_used): (Vec<_>, Vec<_>) =
            operations.partition(|operation| operation.exchanges > 0);
        used.sort_by_key(|operation| std::cmp::Reverse(operation.exchanges));
        // what belongs to no operation has an empty path
        seen.retain(|(_, path), _| !path.is_empty());
        let no_longer_documented = seen.iter().map(|((method, path), used)| NamedUsage {
            name: format!("{method} {path}"),
            count: used.count(UsageKind::Operation, ""),
            consumers: used.consumers.keys().map(|name| (*name).to_owned()).collect(),
        });
        let undocumented = facts_of(usage, UsageKind::Undocumented);
        let outside: u64 = undocumented.iter().map(|named| named.count).sum();
        let known: u64 = used.iter().map(|operation| operation.exchanges).sum();
        let violating: u64 = used.iter().map(|operation| operation.violating).sum();
        Self {
            schema_id: record.schema_id.to_string(),
            version: record.version.clone(),
            title: contract.title().to_owned(),
            exchanges: known + outside,
            violating: violating + outside,
            faults: FaultCounts::new(|name| {
                let facts = usage.iter().flat_map(|usage| &usage.facts);
                let named =
                    facts.filter(|fact| fact.kind == UsageKind::Outcome && fact.name == name);
                named.map(|fact| fact.count).sum()
            }),
            never_used,
            undocumented,
            no_longer_documented: no_longer_documented.collect(),
            unvalidated: facts_of(usage, UsageKind::Unvalidated),
            groups,
            used,
        }
    }

    /// The deprecated operations among those used.
    pub(crate) fn deprecated(&self) -> impl Iterator<Item = &OperationReport> {
        self.used.iter().filter(|operation| operation.deprecated)
    }
}

fn used_operations(usage: &[OperationUsage]) -> BTreeMap<(&str, &str), OperationTotals<'_>> {
    let mut all: BTreeMap<(&str, &str), OperationTotals<'_>> = BTreeMap::new();
    for usage in usage {
        let used = all.entry((&usage.method, &usage.path)).or_default();
        for fact in &usage.facts {
            used.add(&usage.consumer_id, fact);
        }
    }
    all
}

/// Every fact of one kind, over all consumers and operations, most frequent first.
pub(super) fn facts_of(usage: &[OperationUsage], kind: UsageKind) -> Vec<NamedUsage> {
    let mut all: BTreeMap<&str, (u64, BTreeSet<&str>)> = BTreeMap::new();
    for usage in usage {
        for fact in usage.facts.iter().filter(|fact| fact.kind == kind) {
            let (count, consumers) = all.entry(&fact.name).or_default();
            *count += fact.count;
            consumers.insert(&usage.consumer_id);
        }
    }
    let named = all.into_iter().map(|(name, (count, consumers))| NamedUsage {
        name: name.to_owned(),
        count,
        consumers: consumers.into_iter().take(MAX_CONSUMERS).map(str::to_owned).collect(),
    });
    let mut named: Vec<_> = named.collect();
    named.sort_by_key(|named| std::cmp::Reverse(named.count));
    named
}

// === impl OperationTotals ===

impl<'u> OperationTotals<'u> {
    fn add(&mut self, consumer: &'u str, fact: &'u UsageFact) {
        *self.facts.entry((fact.kind, &fact.name)).or_default() += fact.count;
        if fact.kind == UsageKind::Operation {
            *self.consumers.entry(consumer).or_default() += fact.count;
            let (first, last) = self.seen.unwrap_or((fact.first_seen, fact.last_seen));
            self.seen = Some((first.min(fact.first_seen), last.max(fact.last_seen)));
        }
    }

    fn count(&self, kind: UsageKind, name: &str) -> u64 {
        self.facts.get(&(kind, name)).copied().unwrap_or(0)
    }

    fn of(&self, kind: UsageKind) -> impl Iterator<Item = (&'u str, u64)> {
        let all = self.facts.iter().filter(move |((known, _), _)| *known == kind);
        all.map(|((_, name), count)| (*name, *count))
    }
}

// === impl OperationReport ===

impl OperationReport {
    fn new(contract: &Contract, operation: &CompiledOperation, used: &OperationTotals<'_>) -> Self {
        let documented = DocumentedParts::of(contract, operation);
        let consumers = used.consumers.iter().map(|(name, count)| NamedUsage {
            name: (*name).to_owned(),
            count: *count,
            consumers: Vec::new(),
        });
        let mut consumers: Vec<_> = consumers.collect();
        consumers.sort_by_key(|named| std::cmp::Reverse(named.count));
        consumers.truncate(MAX_CONSUMERS);
        let coverage = |all, kind| Coverage::new(all, used.of(kind), str::to_owned);
        let status = |seen: &str| documented.status(seen).unwrap_or(seen).to_owned();
        Self {
            method: operation.method.to_string(),
            path: operation.template.to_string(),
            operation_id: operation.operation_id.as_deref().map(str::to_owned),
            deprecated: operation.deprecated,
            exchanges: used.count(UsageKind::Operation, ""),
            violating: used.count(UsageKind::Outcome, Outcome::Violates.as_str()),
            faults: FaultCounts::new(|name| used.count(UsageKind::Outcome, name)),
            first_seen: used.seen.map(|(first, _)| first),
            last_seen: used.seen.map(|(_, last)| last),
            consumers,
            parameters: coverage(&documented.parameters, UsageKind::Parameter),
            statuses: Coverage::new(&documented.statuses, used.of(UsageKind::Status), status),
            request_fields: coverage(&documented.request_fields, UsageKind::RequestField),
            response_fields: coverage(&documented.response_fields, UsageKind::ResponseField),
        }
    }
}

// === impl FaultCounts ===

impl FaultCounts {
    /// `count` says how often a fact was seen.
    fn new(count: impl Fn(&str) -> u64) -> Self {
        Self {
            service: count(fault_fact(Fault::Service)),
            accepted: count(fault_fact(Fault::Accepted)),
            stranger: count(fault_fact(Fault::Stranger)),
            caller: count(fault_fact(Fault::Caller)),
        }
    }

    /// Each fault with its count.
    pub(crate) fn all(self) -> [(Fault, u64); 4] {
        Fault::ALL.map(|fault| {
            let count = match fault {
                Fault::Service => self.service,
                Fault::Accepted => self.accepted,
                Fault::Stranger => self.stranger,
                Fault::Caller => self.caller,
            };
            (fault, count)
        })
    }
}

// === impl Coverage ===

impl Coverage {
    /// `documented_name` says under which documented name something seen falls.
    fn new<'u>(
        documented: &BTreeSet<String>,
        seen: impl Iterator<Item = (&'u str, u64)>,
        documented_name: impl Fn(&str) -> String,
    ) -> Self {
        let mut seen_names = BTreeSet::new();
        let mut undocumented = Vec::new();
        for (name, count) in seen {
            let name_in_document = documented_name(name);
            if documented.contains(&name_in_document) {
                seen_names.insert(name_in_document);
            } else {
                undocumented.push(NamedUsage {
                    name: name.to_owned(),
                    count,
                    consumers: Vec::new(),
                });
            }
        }
        Self {
            documented: documented.len(),
            seen: seen_names.len(),
            never_seen: documented.difference(&seen_names).cloned().collect(),
            undocumented,
        }
    }
}
