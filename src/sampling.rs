//! Pure decisions about what to validate, and what to keep of what was validated.
//!
//! Invariants: no clock and no chance of its own; memory is bounded however many kinds
//! traffic has; a decision never changes a count. Shares go by the request's id alone: every
//! replica that sees the id decides alike, and what is kept is a part of what is validated. Of
//! each kind (operation, status, media types, shape of the bodies, and the same per consumer)
//! the first few are always taken, and everything for a while after something new.

mod first_seen;
mod hash;
mod rate;
mod shape;

use std::time::Duration;

use crate::config::record::{RecordPolicy, RecordSettings};
use crate::config::sampling::{Rates, SamplingSettings};
use crate::model::clock::Timestamp;
use first_seen::{ByHash, FirstSeen};

pub use hash::{combine, hash};
pub use rate::RateLimiter;
pub use shape::shape;

/// KindCounters of violation that have a rate of their own, and operations with an escalation.
const MAX_KINDS: usize = 65_536;
/// When validation is short of time: how long what came lately is remembered …
const RECENT_WINDOW: Duration = Duration::from_secs(10);
/// … how often a kind is validated in that time …
const VALIDATED_PER_KIND: u8 = 3;
/// … and one that is suspected of a violation.
const VALIDATED_PER_SUSPECT: u8 = 50;
/// How long an operation that broke its contract is suspected.
const SUSPECT_TIME: Duration = Duration::from_mins(1);

/// An exchange as sampling sees it: hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeSample {
    /// The request's id.
    pub id: u64,
    /// Schema and operation.
    pub operation: u64,
    /// Operation, status and media types.
    pub kind: u64,
    /// Shape of both bodies; 0 when it was not computed.
    pub shape: u64,
    /// The consumer.
    pub consumer: u64,
    /// The operation's shares.
    pub rates: Rates,
}

/// Why an exchange is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeepReason {
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

/// Decides which exchanges are validated and which become records.
#[derive(Debug)]
pub struct Sampler {
    policy: RecordPolicy,
    firsts: u8,
    validated: KindCounters,
    kept: KindCounters,
    recent: RecentKinds,
    escalation: Escalation,
    valid: RateLimiter,
    escalated: RateLimiter,
    violation_rate: u32,
    violations: ByHash<RateLimiter>,
}

/// KindCounters by themselves, and kinds per consumer: neither crowds the other out.
#[derive(Debug, Default)]
struct KindCounters {
    plain: FirstSeen,
    by_consumer: FirstSeen,
}

/// What came lately, for when there is no time for all of it.
#[derive(Debug, Default)]
struct RecentKinds {
    kinds: FirstSeen,
    since: Timestamp,
    suspected: ByHash<Timestamp>,
}

/// Since when, and until when, everything is taken.
#[derive(Debug)]
struct Escalation {
    duration: Duration,
    all: Option<Timestamp>,
    operations: ByHash<Timestamp>,
    contracts: ByHash<u64>,
}

// === impl KeepReason ===

impl KeepReason {
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
            validated: KindCounters::default(),
            kept: KindCounters::default(),
            recent: RecentKinds::default(),
            escalation: Escalation {
                duration: sampling.escalate,
                all: None,
                operations: ByHash::default(),
                contracts: ByHash::default(),
            },
            valid: RateLimiter::new(record.valid_rate),
            escalated: RateLimiter::new(sampling.escalate_rate),
            violation_rate: record.violation_rate,
            violations: ByHash::default(),
        }
    }

    /// Whether keeping asks for the shapes of bodies.
    pub fn needs_shapes(&self) -> bool {
        self.policy == RecordPolicy::Sampled
    }

    /// Whether to validate an exchange.
    pub fn should_validate(&mut self, sample: &ExchangeSample, now: Timestamp) -> bool {
        let is_first = self.validated.is_among_first(self.firsts, sample);
        is_first
            || sample.rates.validate.includes(sample.id)
            || self.escalation.is_active(sample, now)
    }

    /// Whether to validate an exchange although there is no time for all of them: the first of
    /// its kind lately, and some of those that may break the contract.
    pub fn worth_validating(
        &mut self,
        sample: &ExchangeSample,
        suspected: bool,
        now: Timestamp,
    ) -> bool {
        self.recent.worth_validating(sample, suspected, now)
    }

    /// Whether to keep a validated exchange that has violations of these kinds, and why. One kind
    /// of violation within its rate is enough.
    pub fn keep_reason(
        &mut self,
        sample: &ExchangeSample,
        violation_kinds: &[u64],
        now: Timestamp,
    ) -> Option<KeepReason> {
        if !violation_kinds.is_empty() {
            self.recent.suspect(sample.operation, now);
        }
        match self.policy {
            RecordPolicy::All => Some(KeepReason::All),
            _ if !violation_kinds.is_empty() => {
                // Every kind pays, so that no kind rides on another's allowance.
                let mut within = false;
                for kind in violation_kinds {
                    within |= self.violation_within_rate(*kind, now);
                }
                within.then_some(KeepReason::Violation)
            }
            RecordPolicy::Violations => None,
            RecordPolicy::Sampled => self.keep_conforming_reason(sample, now),
        }
    }

    /// Records that an operation broke its contract in a way it had not before.
    pub fn record_new_violation(&mut self, operation: u64, now: Timestamp) {
        self.escalation.start(operation, now);
    }

    /// Records by which contract a schema is validated; another one than before is something new.
    pub fn record_contract(&mut self, schema: u64, contract: u64, now: Timestamp) {
        self.escalation.record_contract(schema, contract, now);
    }

    fn keep_conforming_reason(
        &mut self,
        sample: &ExchangeSample,
        now: Timestamp,
    ) -> Option<KeepReason> {
        if self.kept.is_among_first(self.firsts, sample) {
            return Some(KeepReason::First);
        }
        if sample.rates.keep.includes(sample.id) && self.valid.allow(now) {
            return Some(KeepReason::Rate);
        }
        (self.escalation.is_active(sample, now) && self.escalated.allow(now))
            .then_some(KeepReason::Escalated)
    }

    fn violation_within_rate(&mut self, kind: u64, now: Timestamp) -> bool {
        let rate = self.violation_rate;
        // All kinds beyond the cap share one allowance.
        let is_beyond = self.violations.len() >= MAX_KINDS && !self.violations.contains_key(&kind);
        let kind = if is_beyond { 0 } else { kind };
        self.violations.entry(kind).or_insert_with(|| RateLimiter::new(rate)).allow(now)
    }
}

// === impl KindCounters ===

impl KindCounters {
    fn is_among_first(&mut self, times: u8, sample: &ExchangeSample) -> bool {
        let kind = combine(sample.kind, sample.shape);
        // Both count, so that neither is first again because of the other.
        let is_first = self.plain.is_among_first(times, sample.operation, kind);
        let of_consumer = combine(kind, sample.consumer);
        self.by_consumer.is_among_first(times, sample.operation, of_consumer) || is_first
    }
}

// === impl RecentKinds ===

impl RecentKinds {
    fn worth_validating(
        &mut self,
        sample: &ExchangeSample,
        suspected: bool,
        now: Timestamp,
    ) -> bool {
        if now.since(self.since) >= RECENT_WINDOW {
            self.kinds.clear();
            self.since = now;
        }
        let is_recent = |at: &Timestamp| now.since(*at) < SUSPECT_TIME;
        let suspected = suspected || self.suspected.get(&sample.operation).is_some_and(is_recent);
        let kind = combine(sample.kind, sample.consumer);
        self.kinds.is_among_first(
            if suspected { VALIDATED_PER_SUSPECT } else { VALIDATED_PER_KIND },
            sample.operation,
            kind,
        )
    }

    fn suspect(&mut self, operation: u64, now: Timestamp) {
        if self.suspected.len() < MAX_KINDS || self.suspected.contains_key(&operation) {
            self.suspected.insert(operation, now);
        }
    }
}

// === impl Escalation ===

impl Escalation {
    fn is_active(&self, sample: &ExchangeSample, now: Timestamp) -> bool {
        let of_operation = self.operations.get(&sample.operation);
        self.all.iter().chain(of_operation).any(|until| now < *until)
    }

    fn start(&mut self, operation: u64, now: Timestamp) {
        if self.operations.len() >= MAX_KINDS {
            self.operations.retain(|_, until| now < *until);
        }
        if !self.duration.is_zero() && self.operations.len() < MAX_KINDS {
            self.operations.insert(operation, now.plus(self.duration));
        }
    }

    fn record_contract(&mut self, schema: u64, contract: u64, now: Timestamp) {
        if self.contracts.len() >= MAX_KINDS && !self.contracts.contains_key(&schema) {
            return;
        }
        let before = self.contracts.insert(schema, contract);
        if !self.duration.is_zero() && before.is_some_and(|before| before != contract) {
            self.all = Some(now.plus(self.duration));
        }
    }
}

#[cfg(test)]
mod tests;
