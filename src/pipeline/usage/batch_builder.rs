//! From counts to batches for storage.

use std::collections::BTreeMap;

use super::count::TimedCount;
use crate::contract::OperationIndex;
use crate::model::clock::Timestamp;
use crate::model::consumer::UNKNOWN_CONSUMER;
use crate::model::usage::{OperationUsage, UsageFact, UsageKind};
use crate::model::verdict::SkipReason;
use crate::pipeline::usage::consumer::ConsumerEntry;
use crate::registry::LoadedContract;

/// Operations in one batch, about as many as storage merges within a second.
const MAX_OPERATIONS_PER_BATCH: usize = 200;

/// What all workers counted, put together.
#[derive(Debug)]
pub struct UsageBatchBuilder {
    environment: String,
    /// By schema, consumer, path and method.
    operations: BTreeMap<[String; 4], OperationFacts>,
}

/// What one consumer used of one operation.
#[derive(Debug)]
pub(super) struct OperationFacts {
    schema_version: String,
    consumer_version: String,
    last: Timestamp,
    facts: BTreeMap<(UsageKind, String), TimedCount>,
}

/// Where facts of one worker go.
pub(super) struct FactsWriter<'p> {
    operation: &'p mut OperationFacts,
    versions: (&'p str, &'p str),
}

// === impl UsageBatchBuilder ===

impl UsageBatchBuilder {
    /// An empty one, for a sidecar in `environment`.
    pub fn new(environment: &str) -> Self {
        Self { environment: environment.to_owned(), operations: BTreeMap::new() }
    }

    /// Adds whole exchanges that were not validated; they belong to no schema and no consumer.
    pub fn add_unvalidated(&mut self, reason: SkipReason, count: u64, at: Timestamp) {
        let key = ["", UNKNOWN_CONSUMER, "", ""].map(str::to_owned);
        let operation = self.operations.entry(key).or_insert_with(OperationFacts::new);
        let tally = TimedCount { count, first: at, last: at };
        operation.add(UsageKind::Unvalidated, &format!("exchange:{reason}"), tally);
    }

    pub(super) fn operation<'p>(
        &'p mut self,
        contract: &'p LoadedContract,
        operation: Option<OperationIndex>,
        consumer: &'p ConsumerEntry,
    ) -> FactsWriter<'p> {
        let compiled = operation.map(|index| contract.contract.operation(index));
        let (path, method) =
            compiled.map_or(("", ""), |compiled| (&*compiled.template, compiled.method.as_str()));
        let key = [contract.schema_id.as_str(), &consumer.id, path, method].map(str::to_owned);
        FactsWriter {
            operation: self.operations.entry(key).or_insert_with(OperationFacts::new),
            versions: (contract.contract.version(), &consumer.version),
        }
    }

    /// Everything, in batches.
    pub fn into_batches(self) -> Vec<Vec<OperationUsage>> {
        let environment = self.environment;
        let usage: Vec<_> = self
            .operations
            .into_iter()
            .map(|([schema_id, consumer_id, path, method], operation)| OperationUsage {
                schema_id,
                schema_version: operation.schema_version,
                consumer_id,
                consumer_version: operation.consumer_version,
                environment: environment.clone(),
                method,
                path,
                facts: operation.facts.into_iter().map(fact_of).collect(),
            })
            .collect();
        usage.chunks(MAX_OPERATIONS_PER_BATCH).map(<[_]>::to_vec).collect()
    }
}

fn fact_of(((kind, name), tally): ((UsageKind, String), TimedCount)) -> UsageFact {
    UsageFact { kind, name, count: tally.count, first_seen: tally.first, last_seen: tally.last }
}

// === impl OperationFacts ===

impl OperationFacts {
    fn new() -> Self {
        Self {
            schema_version: String::new(),
            consumer_version: String::new(),
            last: Timestamp::from_micros(i64::MIN),
            facts: BTreeMap::new(),
        }
    }

    fn add(&mut self, kind: UsageKind, name: &str, tally: TimedCount) {
        if tally.count == 0 {
            return;
        }
        let known = self.facts.entry((kind, name.to_owned())).or_insert(TimedCount {
            count: 0,
            first: tally.first,
            last: tally.last,
        });
        known.count += tally.count;
        known.first = known.first.min(tally.first);
        known.last = known.last.max(tally.last);
    }
}

// === impl FactsWriter ===

impl FactsWriter<'_> {
    /// Adds what was counted; nothing when that is nothing.
    pub(super) fn add(&mut self, kind: UsageKind, name: &str, tally: TimedCount) {
        let operation = &mut *self.operation;
        if tally.count > 0 && tally.last >= operation.last {
            operation.last = tally.last;
            let (schema, consumer) = self.versions;
            schema.clone_into(&mut operation.schema_version);
            consumer.clone_into(&mut operation.consumer_version);
        }
        operation.add(kind, name, tally);
    }
}
