//! Pure decisions about what to judge, and what to keep of what was judged.
//!
//! What must hold: no clock and no chance of its own; memory is bounded however many kinds
//! traffic has; a decision never changes a count. Shares go by the request's id alone: every
//! replica that sees the id decides alike, and what is kept is a part of what is judged. Of
//! each kind (operation, status, media types, shape of the bodies, and the same per consumer)
//! the first few are always taken, and everything for a while after something new.

mod firsts;
mod hash;
mod rate;
mod shape;

use std::time::Duration;

use crate::config::record::{RecordPolicy, RecordSettings};
use crate::config::sampling::{Rates, SamplingSettings};
use crate::model::clock::Timestamp;
use firsts::{ByHash, Firsts};

pub use hash::{hash, mix};
pub use rate::Rate;
pub use shape::shape;

/// Kinds of violation that have a rate of their own, and operations with an escalation.
const MOST_KINDS: usize = 65_536;
/// When judging is short of time: how long what came lately is remembered …
const LATELY: Duration = Duration::from_secs(10);
/// … how often a kind is judged in that time …
const FEW: u8 = 3;
/// … and one that is suspected of a violation.
const SOME: u8 = 50;
/// How long an operation that broke its contract is suspected.
const SUSPECTED: Duration = Duration::from_mins(1);

/// An exchange as sampling sees it: hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// The request's id.
    pub id: u64,
    /// Schema and operation.
    pub operation: u64,
    /// Operation, status and media types.
    pub kind: u64,
    /// Shape of both bodies; 0 when nobody looked.
    pub shape: u64,
    /// The consumer.
    pub consumer: u64,
    /// The operation's shares.
    pub rates: Rates,
}

/// Why an exchange is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// The policy keeps everything.
    All,
    /// It breaks the contract, within the rate of its kind.
    Violation,
    /// It is one of the first of its kind.
    First,
    /// It conforms, within share and rate.
    Rate,
    /// It conforms, and something new was seen lately.
    Escalated,
}

/// Decides which exchanges are judged and which become records.
#[derive(Debug)]
pub struct Sampler {
    policy: RecordPolicy,
    firsts: u8,
    judged: Kinds,
    kept: Kinds,
    lately: Lately,
    escalation: Escalation,
    valid: Rate,
    escalated: Rate,
    violation_rate: u32,
    violations: ByHash<Rate>,
}

/// Kinds by themselves, and kinds per consumer: neither crowds the other out.
#[derive(Debug, Default)]
struct Kinds {
    plain: Firsts,
    by_consumer: Firsts,
}

/// What came lately, for when there is no time for all of it.
#[derive(Debug, Default)]
struct Lately {
    kinds: Firsts,
    since: Timestamp,
    suspected: ByHash<Timestamp>,
}

/// Since when, and until when, everything is taken.
#[derive(Debug)]
struct Escalation {
    lasts: Duration,
    all: Option<Timestamp>,
    operations: ByHash<Timestamp>,
    contracts: ByHash<u64>,
}

// === impl Kept ===

impl Kept {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::All, Self::Violation, Self::First, Self::Rate, Self::Escalated];

    /// The reason's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Violation => "violation",
            Self::First => "initial",
            Self::Rate => "rate",
            Self::Escalated => "escalated",
        }
    }
}

// === impl Sampler ===

impl Sampler {
    /// A sampler that has seen nothing yet.
    pub fn new(record: &RecordSettings, sampling: &SamplingSettings) -> Self {
        Self {
            policy: record.policy,
            firsts: sampling.firsts,
            judged: Kinds::default(),
            kept: Kinds::default(),
            lately: Lately::default(),
            escalation: Escalation {
                lasts: sampling.escalate,
                all: None,
                operations: ByHash::default(),
                contracts: ByHash::default(),
            },
            valid: Rate::new(record.valid_rate),
            escalated: Rate::new(sampling.escalate_rate),
            violation_rate: record.violation_rate,
            violations: ByHash::default(),
        }
    }

    /// Whether keeping asks for the shapes of bodies.
    pub fn asks_for_shapes(&self) -> bool {
        self.policy == RecordPolicy::Sampled
    }

    /// Whether to judge an exchange.
    pub fn judges(&mut self, sample: &Sample, now: Timestamp) -> bool {
        let is_first = self.judged.is_among(self.firsts, sample);
        is_first || sample.rates.judge.includes(sample.id) || self.escalation.holds(sample, now)
    }

    /// Whether to judge an exchange although there is no time for all of them: the first of
    /// its kind lately, and some of those that may break the contract.
    pub fn is_worth_it(&mut self, sample: &Sample, suspected: bool, now: Timestamp) -> bool {
        self.lately.is_worth_it(sample, suspected, now)
    }

    /// Whether to keep a judged exchange that has violations of these kinds, and why. One kind
    /// of violation within its rate is enough.
    pub fn keeps(
        &mut self,
        sample: &Sample,
        violation_kinds: &[u64],
        now: Timestamp,
    ) -> Option<Kept> {
        if !violation_kinds.is_empty() {
            self.lately.suspect(sample.operation, now);
        }
        match self.policy {
            RecordPolicy::All => Some(Kept::All),
            _ if !violation_kinds.is_empty() => {
                // Every kind pays, so that no kind rides on another's allowance.
                let mut within = false;
                for kind in violation_kinds {
                    within |= self.violation_within_rate(*kind, now);
                }
                within.then_some(Kept::Violation)
            }
            RecordPolicy::Violations => None,
            RecordPolicy::Sampled => self.keeps_conforming(sample, now),
        }
    }

    /// Notes that an operation broke its contract in a way it had not before.
    pub fn note_new_violation(&mut self, operation: u64, now: Timestamp) {
        self.escalation.begin(operation, now);
    }

    /// Notes by which contract a schema judges; another one than before is something new.
    pub fn note_contract(&mut self, schema: u64, contract: u64, now: Timestamp) {
        self.escalation.note_contract(schema, contract, now);
    }

    fn keeps_conforming(&mut self, sample: &Sample, now: Timestamp) -> Option<Kept> {
        if self.kept.is_among(self.firsts, sample) {
            return Some(Kept::First);
        }
        if sample.rates.keep.includes(sample.id) && self.valid.allow(now) {
            return Some(Kept::Rate);
        }
        (self.escalation.holds(sample, now) && self.escalated.allow(now)).then_some(Kept::Escalated)
    }

    fn violation_within_rate(&mut self, kind: u64, now: Timestamp) -> bool {
        let rate = self.violation_rate;
        // All kinds beyond the cap share one allowance.
        let is_beyond = self.violations.len() >= MOST_KINDS && !self.violations.contains_key(&kind);
        let kind = if is_beyond { 0 } else { kind };
        self.violations.entry(kind).or_insert_with(|| Rate::new(rate)).allow(now)
    }
}

// === impl Kinds ===

impl Kinds {
    fn is_among(&mut self, times: u8, sample: &Sample) -> bool {
        let kind = mix(sample.kind, sample.shape);
        // Both count, so that neither is first again because of the other.
        let is_first = self.plain.is_among(times, sample.operation, kind);
        let of_consumer = mix(kind, sample.consumer);
        self.by_consumer.is_among(times, sample.operation, of_consumer) || is_first
    }
}

// === impl Lately ===

impl Lately {
    fn is_worth_it(&mut self, sample: &Sample, suspected: bool, now: Timestamp) -> bool {
        if now.since(self.since) >= LATELY {
            self.kinds.clear();
            self.since = now;
        }
        let lately = |at: &Timestamp| now.since(*at) < SUSPECTED;
        let suspected = suspected || self.suspected.get(&sample.operation).is_some_and(lately);
        let kind = mix(sample.kind, sample.consumer);
        self.kinds.is_among(if suspected { SOME } else { FEW }, sample.operation, kind)
    }

    fn suspect(&mut self, operation: u64, now: Timestamp) {
        if self.suspected.len() < MOST_KINDS || self.suspected.contains_key(&operation) {
            self.suspected.insert(operation, now);
        }
    }
}

// === impl Escalation ===

impl Escalation {
    fn holds(&self, sample: &Sample, now: Timestamp) -> bool {
        let of_operation = self.operations.get(&sample.operation);
        self.all.iter().chain(of_operation).any(|until| now < *until)
    }

    fn begin(&mut self, operation: u64, now: Timestamp) {
        if self.operations.len() >= MOST_KINDS {
            self.operations.retain(|_, until| now < *until);
        }
        if !self.lasts.is_zero() && self.operations.len() < MOST_KINDS {
            self.operations.insert(operation, now.plus(self.lasts));
        }
    }

    fn note_contract(&mut self, schema: u64, contract: u64, now: Timestamp) {
        if self.contracts.len() >= MOST_KINDS && !self.contracts.contains_key(&schema) {
            return;
        }
        let before = self.contracts.insert(schema, contract);
        if !self.lasts.is_zero() && before.is_some_and(|before| before != contract) {
            self.all = Some(now.plus(self.lasts));
        }
    }
}

#[cfg(test)]
mod tests;
