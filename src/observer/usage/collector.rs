//! One worker's counts.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::metrics::UsageMetrics;
use super::names::Names;
use super::pack::Packing;
use super::path::Guesser;
use super::sketch::{Sketch, Sketcher};
use crate::contract::OperationIndex;
use crate::contract::instance::Outliner;
use crate::model::clock::Timestamp;
use crate::model::usage::UsageKind;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::Side;
use crate::observer::consumer::Consumer;
use crate::observer::exchange::Exchange;
use crate::observer::worker::Judged;
use crate::registry::LoadedContract;
use crate::validation::{SeenMessage, Witness};

/// Facts that one worker holds between two batches; further ones are not kept apart.
const MOST_FACTS: usize = 200_000;

/// Every worker's collector. Cheap to clone.
#[derive(Debug, Clone)]
pub struct UsageBook {
    collectors: Arc<Mutex<Vec<Arc<Mutex<Collector>>>>>,
    /// One for all: what one worker sees another knows again.
    outlines: RandomState,
    metrics: UsageMetrics,
}

/// A collector of one's own: a clone has another one.
#[derive(Debug)]
pub struct UsageHandle {
    book: UsageBook,
    mine: Arc<Mutex<Collector>>,
}

/// What one worker has counted since the last batch.
#[derive(Debug)]
pub struct Collector {
    contracts: Vec<Known>,
    /// The contract of the exchange at hand.
    current: Option<usize>,
    seen: Seen,
    walk: u64,
    outliner: Outliner,
    guesser: Guesser,
    rows: HashMap<RowKey, Row, RandomState>,
    facts: usize,
    metrics: UsageMetrics,
}

/// How often, first and last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

#[derive(Debug)]
struct Known {
    contract: Arc<LoadedContract>,
    operations: HashMap<OperationIndex, Names, RandomState>,
    /// Whether it judged anything since the last batch; one that did not may go.
    used: bool,
}

/// What the judge showed of the exchange at hand.
#[derive(Debug, Default)]
struct Seen {
    parameters: Vec<u32>,
    request: Vec<u32>,
    response: Vec<u32>,
    outlines: Outlines,
    cut: bool,
}

/// The outlines of both bodies, where they were read as one value.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outlines {
    /// The request's.
    pub request: Option<u64>,
    /// The response's.
    pub response: Option<u64>,
}

/// Consumer by its address, contract by its place, operation.
type RowKey = (usize, usize, Option<OperationIndex>);

/// What one consumer uses of one operation.
#[derive(Debug)]
struct Row {
    /// Keeps the address in the key its own.
    consumer: Arc<Consumer>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    exchanges: Tally,
    outcomes: [Tally; 3],
    statuses: SmallVec<[(u16, Tally); 2]>,
    unjudged: SmallVec<[((Side, SkipReason), Tally); 1]>,
    parameters: Vec<Tally>,
    request: Vec<Tally>,
    response: Vec<Tally>,
    undocumented: HashMap<String, Tally>,
}

// === impl UsageBook ===

impl UsageBook {
    /// A book without collectors.
    pub fn new(metrics: UsageMetrics) -> Self {
        Self { collectors: Arc::default(), outlines: RandomState::default(), metrics }
    }

    /// A collector for one worker.
    pub fn open(&self) -> UsageHandle {
        let mine =
            Arc::new(Mutex::new(Collector::new(self.outlines.clone(), self.metrics.clone())));
        self.collectors.lock().push(mine.clone());
        UsageHandle { book: self.clone(), mine }
    }

    /// Draws sketches that every collector of this book can read.
    pub fn sketcher(&self) -> Sketcher {
        Sketcher::new(Outliner::new(self.outlines.clone()))
    }

    /// Moves everything counted into `packing`. Waits for exchanges that are just being judged.
    pub fn drain(&self, packing: &mut Packing) {
        let collectors = self.collectors.lock().clone();
        for collector in collectors {
            collector.lock().drain(packing);
        }
    }
}

// === impl UsageHandle ===

impl UsageHandle {
    /// The collector, shared with whoever drains it.
    pub fn collector(&self) -> Arc<Mutex<Collector>> {
        self.mine.clone()
    }
}

impl Clone for UsageHandle {
    fn clone(&self) -> Self {
        self.book.open()
    }
}

impl Drop for UsageHandle {
    fn drop(&mut self) {
        let mine = self.mine.lock();
        // what was counted stays until it is drained
        if mine.rows.is_empty() {
            drop(mine);
            self.book.collectors.lock().retain(|other| !Arc::ptr_eq(other, &self.mine));
        }
    }
}

// === impl Collector ===

impl Collector {
    fn new(outlines: RandomState, metrics: UsageMetrics) -> Self {
        Self {
            contracts: Vec::new(),
            current: None,
            seen: Seen::default(),
            walk: 0,
            outliner: Outliner::new(outlines),
            guesser: Guesser::default(),
            rows: HashMap::default(),
            facts: 0,
            metrics,
        }
    }

    /// Makes ready for an exchange; to be called before it is judged.
    pub fn begin(&mut self, contract: Option<&Arc<LoadedContract>>) {
        self.seen.clear();
        let Some(contract) = contract else { return self.current = None };
        let found = self.contracts.iter().position(|known| Arc::ptr_eq(&known.contract, contract));
        let at = found.unwrap_or_else(|| {
            let (contract, operations) = (contract.clone(), HashMap::default());
            self.contracts.push(Known { contract, operations, used: true });
            self.contracts.len() - 1
        });
        self.contracts[at].used = true;
        self.current = Some(at);
    }

    /// Whether the sketch of a message says all that reading it would; it counts as seen then.
    pub fn recalls(&mut self, operation: OperationIndex, side: Side, sketch: &Sketch) -> bool {
        let known = self.current.and_then(|at| self.contracts.get(at));
        let names = known.and_then(|known| known.operations.get(&operation));
        let Some(recalled) = names.and_then(|names| names.recall(side, sketch)) else {
            return false;
        };
        let (into, number) = match side {
            Side::Request => (&mut self.seen.request, &mut self.seen.outlines.request),
            Side::Response => (&mut self.seen.response, &mut self.seen.outlines.response),
        };
        into.extend_from_slice(recalled.fields);
        *number = recalled.outline;
        self.seen.parameters.extend(recalled.parameters);
        true
    }

    /// Counts a judged exchange of `consumer`.
    pub fn note(
        &mut self,
        exchange: &Exchange,
        judged: &Judged,
        consumer: &Arc<Consumer>,
        at: Timestamp,
    ) {
        let Some(contract) = self.current else { return };
        if judged.request.skipped.contains(&SkipReason::Preflight) {
            return;
        }
        let room = MOST_FACTS.saturating_sub(self.facts);
        let key = (Arc::as_ptr(consumer) as usize, contract, judged.operation);
        if room == 0 && !self.rows.contains_key(&key) {
            return self.metrics.uncounted();
        }
        let row = self
            .rows
            .entry(key)
            .or_insert_with(|| Row { consumer: consumer.clone(), counts: Counts::default() });
        let before = row.counts.facts();
        if judged.operation.is_some() {
            row.counts.add(exchange, judged, &self.seen, at, room);
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
        if self.seen.cut || self.facts >= MOST_FACTS {
            self.metrics.uncounted();
        }
    }

    /// The outlines of the exchange at hand.
    pub fn outlines(&self) -> Outlines {
        self.seen.outlines
    }

    /// Moves everything counted into `packing`.
    fn drain(&mut self, packing: &mut Packing) {
        for ((_, contract, operation), row) in self.rows.drain() {
            let Some(known) = self.contracts.get(contract) else { continue };
            let names = operation.and_then(|operation| known.operations.get(&operation));
            row.pack(&known.contract, operation, names, packing);
        }
        self.facts = 0;
        // nothing names a contract by its place any more
        self.contracts.retain_mut(|known| std::mem::take(&mut known.used));
        self.current = None;
    }
}

impl Witness for Collector {
    fn message(&mut self, seen: &SeenMessage<'_>) {
        let Some(known) = self.current.and_then(|at| self.contracts.get_mut(at)) else { return };
        let names = known.operations.entry(seen.operation).or_default();
        for plan in seen.parameters {
            self.seen.parameters.push(names.parameter(plan));
        }
        let Some(body) = seen.body else { return };
        self.walk += 1;
        let outline = self.outliner.outline(body);
        let outlines = &mut self.seen.outlines;
        let (tree, into, number) = match seen.side {
            Side::Request => (&mut names.request, &mut self.seen.request, &mut outlines.request),
            Side::Response => {
                (&mut names.response, &mut self.seen.response, &mut outlines.response)
            }
        };
        *number = outline.map(|outline| outline.number);
        let names = seen.contract.property_names();
        let whole = tree.add(names, (body, outline), self.walk, into);
        self.seen.cut |= !whole;
    }
}

// === impl Seen ===

impl Seen {
    fn clear(&mut self) {
        self.parameters.clear();
        self.request.clear();
        self.response.clear();
        self.outlines = Outlines::default();
        self.cut = false;
    }
}

// === impl Tally ===

impl Tally {
    pub(super) fn add(&mut self, at: Timestamp) {
        if self.count == 0 {
            (self.first, self.last) = (at, at);
        }
        self.count += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
    }
}

// === impl Counts ===

impl Counts {
    fn add(
        &mut self,
        exchange: &Exchange,
        judged: &Judged,
        seen: &Seen,
        at: Timestamp,
        room: usize,
    ) {
        self.exchanges.add(at);
        self.outcomes[judged.outcome() as usize].add(at);
        if let Some(head) = &exchange.response {
            tally(&mut self.statuses, head.status.as_u16()).add(at);
        }
        let sides =
            [(Side::Request, Some(&judged.request)), (Side::Response, judged.response.as_ref())];
        for (side, verdict) in sides {
            for reason in verdict.into_iter().flat_map(|verdict| &verdict.skipped) {
                tally(&mut self.unjudged, (side, *reason)).add(at);
            }
        }
        add_all(&mut self.parameters, &seen.parameters, at, room);
        add_all(&mut self.request, &seen.request, at, room);
        add_all(&mut self.response, &seen.response, at, room);
    }

    /// Places taken, about.
    fn facts(&self) -> usize {
        self.statuses.len()
            + self.unjudged.len()
            + self.parameters.len()
            + self.request.len()
            + self.response.len()
            + self.undocumented.len()
    }
}

fn tally<K: PartialEq, const N: usize>(all: &mut SmallVec<[(K, Tally); N]>, key: K) -> &mut Tally
where
    [(K, Tally); N]: smallvec::Array<Item = (K, Tally)>,
{
    let at = all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        all.push((key, Tally::default()));
        all.len() - 1
    });
    &mut all[at].1
}

fn add_all(tallies: &mut Vec<Tally>, numbers: &[u32], at: Timestamp, room: usize) {
    for number in numbers {
        let place = *number as usize;
        if place >= tallies.len() {
            if place - tallies.len() >= room {
                continue;
            }
            tallies.resize(place + 1, Tally::default());
        }
        tallies[place].add(at);
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

// === impl Row ===

impl Row {
    fn pack(
        self,
        contract: &LoadedContract,
        operation: Option<OperationIndex>,
        names: Option<&Names>,
        packing: &mut Packing,
    ) {
        let Counts {
            exchanges,
            outcomes,
            statuses,
            unjudged,
            parameters,
            request,
            response,
            undocumented,
        } = self.counts;
        let mut into = packing.operation(contract, operation, &self.consumer);
        into.add(UsageKind::Operation, "", exchanges);
        for outcome in [Outcome::Conforms, Outcome::Violates, Outcome::Skipped] {
            into.add(UsageKind::Outcome, outcome.as_str(), outcomes[outcome as usize]);
        }
        for (status, tally) in statuses {
            into.add(UsageKind::Status, &status.to_string(), tally);
        }
        for ((side, reason), tally) in unjudged {
            let side = if side == Side::Request { "request" } else { "response" };
            into.add(UsageKind::Unjudged, &format!("{side}:{reason}"), tally);
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
        for (kind, tree, tallies) in trees {
            for (number, tally) in (0..).zip(tallies) {
                if let Some(path) = tree.path(number) {
                    into.add(kind, path, tally);
                }
            }
        }
    }
}
