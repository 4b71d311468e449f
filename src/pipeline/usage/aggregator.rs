//! One worker's counts.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::batch_builder::UsageBatchBuilder;
use super::count::TimedCount;
use super::metrics::UsageMetrics;
use super::names::OperationNames;
use super::template_guesser::TemplateGuesser;
use crate::contract::OperationIndex;
use crate::exchange::Exchange;
use crate::exchange::fingerprint::{MessageFingerprint, MessageFingerprinter};
use crate::json::ShapeHasher;
use crate::model::clock::Timestamp;
use crate::model::fault::Fault;
use crate::model::usage::{UsageKind, fault_fact};
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::Side;
use crate::pipeline::usage::consumer::ConsumerEntry;
use crate::pipeline::validate::ExchangeValidation;
use crate::registry::LoadedContract;
use crate::validation::{ObservedMessage, ValidationObserver};

/// Facts that one worker holds between two batches; further ones are not kept apart.
const MAX_FACTS: usize = 200_000;

/// Every worker's aggregator. Cheap to clone.
#[derive(Debug, Clone)]
pub struct UsageRegistry {
    aggregators: Arc<Mutex<Vec<Arc<Mutex<UsageAggregator>>>>>,
    /// One for all: what one worker sees another knows again.
    shapes: RandomState,
    metrics: UsageMetrics,
}

/// A aggregator of one's own: a clone has another one.
#[derive(Debug)]
pub struct AggregatorHandle {
    registry: UsageRegistry,
    mine: Arc<Mutex<UsageAggregator>>,
}

/// What one worker has counted since the last batch.
#[derive(Debug)]
pub struct UsageAggregator {
    contracts: Vec<KnownContract>,
    /// The contract of the exchange at hand.
    current: Option<usize>,
    seen: ObservedUsage,
    walk: u64,
    shape_hasher: ShapeHasher,
    guesser: TemplateGuesser,
    rows: HashMap<RowKey, UsageRow, RandomState>,
    facts: usize,
    metrics: UsageMetrics,
}

#[derive(Debug)]
struct KnownContract {
    contract: Arc<LoadedContract>,
    operations: HashMap<OperationIndex, OperationNames, RandomState>,
    /// Whether it validated anything since the last batch; one that did not may go.
    used: bool,
}

/// What the validator showed of the exchange at hand.
#[derive(Debug, Default)]
struct ObservedUsage {
    parameters: Vec<u32>,
    request: Vec<u32>,
    response: Vec<u32>,
    shapes: BodyShapes,
    cut: bool,
}

/// The shapes of both bodies, where they were read as one value.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyShapes {
    /// The request's.
    pub request: Option<u64>,
    /// The response's.
    pub response: Option<u64>,
}

/// ConsumerEntry by its address, contract by its place, operation.
type RowKey = (usize, usize, Option<OperationIndex>);

/// What one consumer uses of one operation.
#[derive(Debug)]
struct UsageRow {
    /// Keeps the address in the key its own.
    consumer: Arc<ConsumerEntry>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    exchanges: TimedCount,
    outcomes: [TimedCount; 3],
    faults: [TimedCount; Fault::ALL.len()],
    statuses: SmallVec<[(u16, TimedCount); 2]>,
    unvalidated: SmallVec<[((Side, SkipReason), TimedCount); 1]>,
    parameters: Vec<TimedCount>,
    request: Vec<TimedCount>,
    response: Vec<TimedCount>,
    undocumented: HashMap<String, TimedCount>,
}

// === impl UsageRegistry ===

impl UsageRegistry {
    /// A book without aggregators.
    pub fn new(metrics: UsageMetrics) -> Self {
        Self { aggregators: Arc::default(), shapes: RandomState::default(), metrics }
    }

    /// A aggregator for one worker.
    pub fn open(&self) -> AggregatorHandle {
        let mine =
            Arc::new(Mutex::new(UsageAggregator::new(self.shapes.clone(), self.metrics.clone())));
        self.aggregators.lock().push(mine.clone());
        AggregatorHandle { registry: self.clone(), mine }
    }

    /// Draws sketches that every aggregator of this book can read.
    pub fn fingerprinter(&self) -> MessageFingerprinter {
        MessageFingerprinter::new(ShapeHasher::new(self.shapes.clone()))
    }

    /// Moves everything counted into `batches`. Waits for exchanges that are just being validated.
    pub fn drain(&self, batches: &mut UsageBatchBuilder) {
        let aggregators = self.aggregators.lock().clone();
        for aggregator in aggregators {
            aggregator.lock().drain(batches);
        }
    }
}

// === impl AggregatorHandle ===

impl AggregatorHandle {
    /// The aggregator, shared with the task that drains it.
    pub fn aggregator(&self) -> Arc<Mutex<UsageAggregator>> {
        self.mine.clone()
    }
}

impl Clone for AggregatorHandle {
    fn clone(&self) -> Self {
        self.registry.open()
    }
}

impl Drop for AggregatorHandle {
    fn drop(&mut self) {
        let mine = self.mine.lock();
        // what was counted stays until it is drained
        if mine.rows.is_empty() {
            drop(mine);
            self.registry.aggregators.lock().retain(|other| !Arc::ptr_eq(other, &self.mine));
        }
    }
}

// === impl UsageAggregator ===

impl UsageAggregator {
    fn new(shapes: RandomState, metrics: UsageMetrics) -> Self {
        Self {
            contracts: Vec::new(),
            current: None,
            seen: ObservedUsage::default(),
            walk: 0,
            shape_hasher: ShapeHasher::new(shapes),
            guesser: TemplateGuesser::default(),
            rows: HashMap::default(),
            facts: 0,
            metrics,
        }
    }

    /// Makes ready for an exchange; to be called before it is validated.
    pub fn begin(&mut self, contract: Option<&Arc<LoadedContract>>) {
        self.seen.clear();
        let Some(contract) = contract else { return self.current = None };
        let found = self.contracts.iter().position(|known| Arc::ptr_eq(&known.contract, contract));
        let at = found.unwrap_or_else(|| {
            let (contract, operations) = (contract.clone(), HashMap::default());
            self.contracts.push(KnownContract { contract, operations, used: true });
            self.contracts.len() - 1
        });
        self.contracts[at].used = true;
        self.current = Some(at);
    }

    /// Whether the fingerprint of a message says all that reading it would; it counts as seen then.
    pub fn recall(
        &mut self,
        operation: OperationIndex,
        side: Side,
        fingerprint: &MessageFingerprint,
    ) -> bool {
        let known = self.current.and_then(|at| self.contracts.get(at));
        let names = known.and_then(|known| known.operations.get(&operation));
        let Some(recalled) = names.and_then(|names| names.recall(side, fingerprint)) else {
            return false;
        };
        let (into, number) = match side {
            Side::Request => (&mut self.seen.request, &mut self.seen.shapes.request),
            Side::Response => (&mut self.seen.response, &mut self.seen.shapes.response),
        };
        into.extend_from_slice(recalled.fields);
        *number = recalled.shape;
        self.seen.parameters.extend(recalled.parameters);
        true
    }

    /// Counts a validated exchange of `consumer`.
    pub fn record_exchange(
        &mut self,
        exchange: &Exchange,
        validation: &ExchangeValidation,
        consumer: &Arc<ConsumerEntry>,
        at: Timestamp,
    ) {
        let Some(contract) = self.current else { return };
        if validation.request.skipped.contains(&SkipReason::Preflight) {
            return;
        }
        let room = MAX_FACTS.saturating_sub(self.facts);
        let key = (Arc::as_ptr(consumer) as usize, contract, validation.operation);
        if room == 0 && !self.rows.contains_key(&key) {
            return self.metrics.uncounted();
        }
        let row = self
            .rows
            .entry(key)
            .or_insert_with(|| UsageRow { consumer: consumer.clone(), counts: Counts::default() });
        let before = row.counts.facts();
        if let Some(fault) = validation.fault(exchange) {
            row.counts.faults[fault as usize].add(at);
        }
        if validation.operation.is_some() {
            row.counts.add(exchange, validation, &self.seen, at, room);
        } else {
            let method = if is_standard(&exchange.request.method) {
                exchange.request.method.as_str()
            } else {
                "OTHER"
            };
            let name = format!("{method} {}", self.guesser.template(exchange.request.path()));
            row.counts.undocumented.entry(name).or_default().add(at);
        }
        self.facts += row.counts.facts().saturating_sub(before) + usize::from(before == 0);
        if self.seen.cut || self.facts >= MAX_FACTS {
            self.metrics.uncounted();
        }
    }

    /// The shapes of the exchange at hand.
    pub fn shapes(&self) -> BodyShapes {
        self.seen.shapes
    }

    /// Moves everything counted into `batches`.
    fn drain(&mut self, batches: &mut UsageBatchBuilder) {
        for ((_, contract, operation), row) in self.rows.drain() {
            let Some(known) = self.contracts.get(contract) else { continue };
            let names = operation.and_then(|operation| known.operations.get(&operation));
            row.pack(&known.contract, operation, names, batches);
        }
        self.facts = 0;
        // nothing names a contract by its place any more
        self.contracts.retain_mut(|known| std::mem::take(&mut known.used));
        self.current = None;
    }
}

impl ValidationObserver for UsageAggregator {
    fn observe(&mut self, seen: &ObservedMessage<'_>) {
        let Some(known) = self.current.and_then(|at| self.contracts.get_mut(at)) else { return };
        let names = known.operations.entry(seen.operation).or_default();
        for plan in seen.parameters {
            self.seen.parameters.push(names.parameter(plan));
        }
        let Some(body) = seen.body else { return };
        self.walk += 1;
        let shape = self.shape_hasher.shape_hash(body);
        let shapes = &mut self.seen.shapes;
        let (tree, into, number) = match seen.side {
            Side::Request => (&mut names.request, &mut self.seen.request, &mut shapes.request),
            Side::Response => (&mut names.response, &mut self.seen.response, &mut shapes.response),
        };
        *number = shape.map(|shape| shape.number);
        let names = seen.contract.property_names();
        let whole = tree.add(names, (body, shape), self.walk, into);
        self.seen.cut |= !whole;
    }
}

// === impl ObservedUsage ===

impl ObservedUsage {
    fn clear(&mut self) {
        self.parameters.clear();
        self.request.clear();
        self.response.clear();
        self.shapes = BodyShapes::default();
        self.cut = false;
    }
}

// === impl Counts ===

impl Counts {
    fn add(
        &mut self,
        exchange: &Exchange,
        validation: &ExchangeValidation,
        seen: &ObservedUsage,
        at: Timestamp,
        room: usize,
    ) {
        self.exchanges.add(at);
        self.outcomes[validation.outcome() as usize].add(at);
        if let Some(head) = &exchange.response {
            count_of(&mut self.statuses, head.status.as_u16()).add(at);
        }
        let sides = [
            (Side::Request, Some(&validation.request)),
            (Side::Response, validation.response.as_ref()),
        ];
        for (side, verdict) in sides {
            for reason in verdict.into_iter().flat_map(|verdict| &verdict.skipped) {
                count_of(&mut self.unvalidated, (side, *reason)).add(at);
            }
        }
        add_all(&mut self.parameters, &seen.parameters, at, room);
        add_all(&mut self.request, &seen.request, at, room);
        add_all(&mut self.response, &seen.response, at, room);
    }

    /// Places taken, about.
    fn facts(&self) -> usize {
        self.statuses.len()
            + self.unvalidated.len()
            + self.parameters.len()
            + self.request.len()
            + self.response.len()
            + self.undocumented.len()
    }
}

fn count_of<K: PartialEq, const N: usize>(
    all: &mut SmallVec<[(K, TimedCount); N]>,
    key: K,
) -> &mut TimedCount
where
    [(K, TimedCount); N]: smallvec::Array<Item = (K, TimedCount)>,
{
    let at = all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        all.push((key, TimedCount::default()));
        all.len() - 1
    });
    &mut all[at].1
}

fn add_all(counts: &mut Vec<TimedCount>, numbers: &[u32], at: Timestamp, room: usize) {
    for number in numbers {
        let place = *number as usize;
        if place >= counts.len() {
            if place - counts.len() >= room {
                continue;
            }
            counts.resize(place + 1, TimedCount::default());
        }
        counts[place].add(at);
    }
}

fn is_standard(method: &http::Method) -> bool {
    use http::Method;
    let all = [
        Method::GET,
        Method::PUT,
        Method::POST,
        Method::DELETE,
        Method::OPTIONS,
        Method::HEAD,
        Method::PATCH,
        Method::TRACE,
    ];
    all.contains(method)
}

// === impl UsageRow ===

impl UsageRow {
    fn pack(
        self,
        contract: &LoadedContract,
        operation: Option<OperationIndex>,
        names: Option<&OperationNames>,
        batches: &mut UsageBatchBuilder,
    ) {
        let Counts {
            exchanges,
            outcomes,
            faults,
            statuses,
            unvalidated,
            parameters,
            request,
            response,
            undocumented,
        } = self.counts;
        let mut into = batches.operation(contract, operation, &self.consumer);
        into.add(UsageKind::Operation, "", exchanges);
        for outcome in [Outcome::Conforms, Outcome::Violates, Outcome::Skipped] {
            into.add(UsageKind::Outcome, outcome.as_str(), outcomes[outcome as usize]);
        }
        for fault in Fault::ALL {
            into.add(UsageKind::Outcome, fault_fact(fault), faults[fault as usize]);
        }
        for (status, tally) in statuses {
            into.add(UsageKind::Status, &status.to_string(), tally);
        }
        for ((side, reason), tally) in unvalidated {
            let side = if side == Side::Request { "request" } else { "response" };
            into.add(UsageKind::Unvalidated, &format!("{side}:{reason}"), tally);
        }
        for (name, tally) in undocumented {
            into.add(UsageKind::Undocumented, &name, tally);
        }
        let Some(names) = names else { return };
        for ((_, name), tally) in names.parameters.iter().zip(parameters) {
            into.add(UsageKind::Parameter, name, tally);
        }
        let trees = [
            (UsageKind::RequestField, &names.request, request),
            (UsageKind::ResponseField, &names.response, response),
        ];
        for (kind, tree, counts) in trees {
            for (number, tally) in (0..).zip(counts) {
                if let Some(path) = tree.path(number) {
                    into.add(kind, path, tally);
                }
            }
        }
    }
}
