//! Pure decisions about what to keep of what was judged.
//!
//! What must hold: no clock and no chance of its own; memory is bounded however many kinds
//! traffic has; a decision never changes a count.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use crate::config::record::{RecordPolicy, RecordSettings};
use crate::model::clock::Timestamp;

/// Kinds remembered; beyond them nothing is a first any more.
const MOST_KINDS: usize = 65_536;

/// Keys are hashes already.
type Keys = BuildHasherDefault<IdentityHasher>;

/// Why an exchange is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kept {
    /// The policy keeps everything.
    All,
    /// It breaks the contract, within the rate of its kind.
    Violation,
    /// It is the first of its kind.
    First,
    /// It conforms, within the rate.
    Rate,
}

/// Decides which exchanges become records.
#[derive(Debug)]
pub struct Keeper {
    policy: RecordPolicy,
    seen: HashSet<u64, Keys>,
    valid: Rate,
    violation_rate: u32,
    violations: HashMap<u64, Rate, Keys>,
}

/// So many a second; up to one second's worth may come at once.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    per_second: u32,
    tokens: f64,
    last: Option<Timestamp>,
}

#[derive(Debug, Default)]
struct IdentityHasher(u64);

// === impl Kept ===

impl Kept {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::All, Self::Violation, Self::First, Self::Rate];

    /// The reason's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Violation => "violation",
            Self::First => "first",
            Self::Rate => "rate",
        }
    }
}

// === impl Keeper ===

impl Keeper {
    /// A keeper that has seen nothing yet.
    pub fn new(settings: &RecordSettings) -> Self {
        Self {
            policy: settings.policy,
            seen: HashSet::default(),
            valid: Rate::new(settings.valid_rate),
            violation_rate: settings.violation_rate,
            violations: HashMap::default(),
        }
    }

    /// Whether to keep an exchange of `kind` that has violations of `violation_kinds`, and
    /// why. One kind of violation within its rate is enough.
    pub fn decide(&mut self, kind: u64, violation_kinds: &[u64], now: Timestamp) -> Option<Kept> {
        if self.policy == RecordPolicy::All {
            return Some(Kept::All);
        }
        if !violation_kinds.is_empty() {
            let mut keep = false;
            for kind in violation_kinds {
                // Every kind pays, so that no kind rides on another's allowance.
                keep |= self.violation_within_rate(*kind, now);
            }
            return keep.then_some(Kept::Violation);
        }
        if self.policy == RecordPolicy::Violations {
            return None;
        }
        if self.seen.len() < MOST_KINDS && self.seen.insert(kind) {
            return Some(Kept::First);
        }
        self.valid.allow(now).then_some(Kept::Rate)
    }

    fn violation_within_rate(&mut self, kind: u64, now: Timestamp) -> bool {
        let rate = self.violation_rate;
        if self.violations.len() >= MOST_KINDS && !self.violations.contains_key(&kind) {
            // All kinds beyond the cap share one allowance.
            return self.violations.entry(0).or_insert_with(|| Rate::new(rate)).allow(now);
        }
        self.violations.entry(kind).or_insert_with(|| Rate::new(rate)).allow(now)
    }
}

// === impl Rate ===

impl Rate {
    /// `per_second` a second.
    pub fn new(per_second: u32) -> Self {
        Self { per_second, tokens: f64::from(per_second), last: None }
    }

    /// Whether one more fits at `now`. A clock that goes back allows nothing extra.
    pub fn allow(&mut self, now: Timestamp) -> bool {
        let limit = f64::from(self.per_second);
        let elapsed = self.last.map_or(0.0, |last| now.since(last).as_secs_f64());
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        self.tokens = (self.tokens + elapsed * limit).min(limit);
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

// === impl IdentityHasher ===

impl std::hash::Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(policy: RecordPolicy) -> Keeper {
        Keeper::new(&RecordSettings {
            policy,
            valid_rate: 2,
            violation_rate: 1,
            body_limit: 0,
            environment: "test".into(),
        })
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn sampled_keeps_firsts_some_valid_ones_and_violations_by_kind() {
        let mut keeper = keeper(RecordPolicy::Sampled);
        assert_eq!(keeper.decide(1, &[], at(0)), Some(Kept::First));
        assert_eq!(keeper.decide(1, &[], at(0)), Some(Kept::Rate));
        assert_eq!(keeper.decide(1, &[], at(0)), Some(Kept::Rate));
        assert_eq!(keeper.decide(1, &[], at(0)), None);
        assert_eq!(keeper.decide(2, &[], at(0)), Some(Kept::First));
        assert_eq!(keeper.decide(1, &[7], at(0)), Some(Kept::Violation));
        assert_eq!(keeper.decide(1, &[7], at(0)), None);
        assert_eq!(keeper.decide(1, &[7, 8], at(0)), Some(Kept::Violation));
        assert_eq!(keeper.decide(1, &[7], at(1)), Some(Kept::Violation));
    }

    #[test]
    fn the_other_policies_do_what_they_are_called() {
        let mut all = keeper(RecordPolicy::All);
        let mut violations = keeper(RecordPolicy::Violations);
        for _ in 0..50 {
            assert_eq!(all.decide(1, &[], at(0)), Some(Kept::All));
            assert_eq!(violations.decide(1, &[], at(0)), None);
        }
        assert_eq!(violations.decide(1, &[3], at(0)), Some(Kept::Violation));
    }

    #[test]
    fn memory_is_bounded_and_kinds_beyond_the_bound_share_one_rate() {
        let mut keeper = keeper(RecordPolicy::Sampled);
        for kind in 1..=MOST_KINDS as u64 + 10 {
            keeper.decide(kind, &[kind], at(0));
            keeper.decide(kind, &[], at(0));
        }
        assert!(keeper.seen.len() <= MOST_KINDS);
        assert!(keeper.violations.len() <= MOST_KINDS + 1);
    }

    #[test]
    fn a_rate_refills_with_time_and_not_when_the_clock_goes_back() {
        let mut rate = Rate::new(2);
        assert!(rate.allow(at(10)) && rate.allow(at(10)) && !rate.allow(at(10)));
        assert!(!rate.allow(at(5)));
        assert!(!rate.allow(at(10)));
        assert!(rate.allow(at(11)));
    }
}
