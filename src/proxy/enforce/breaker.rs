//! When too much is rejected, the fault is more likely in the contract than in every caller.
//!
//! Invariants: time comes in; each opening and each closing is reported to exactly one caller;
//! memory does not depend on traffic.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::enforcement::BreakerSettings;

/// Parts of the window, which expire one by one.
const SLOTS: u32 = 10;

/// Counts rejections in a sliding window; open, it asks for enforcement to pause.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    origin: Instant,
    state: Mutex<WindowState>,
}

/// What made it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerTrip {
    /// Exchanges rejected in the window.
    pub rejected: u32,
    /// Exchanges enforced in the window.
    pub seen: u32,
}

#[derive(Debug, Default)]
struct WindowState {
    slots: [WindowSlot; SLOTS as usize],
    open: Option<(Instant, BreakerTrip)>,
    retired: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct WindowSlot {
    slot_number: u64,
    seen: u32,
    rejected: u32,
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker; `origin` is not later than any time it is given.
    pub fn new(settings: BreakerSettings, origin: Instant) -> Self {
        Self { settings, origin, state: Mutex::default() }
    }

    /// Records an enforced exchange; returns the cause if this one opens the breaker.
    pub fn record(&self, rejected: bool, now: Instant) -> Option<BreakerTrip> {
        let slot_number = self.slot_number(now);
        let mut state = self.state.lock();
        if state.open.is_some() || state.retired {
            return None;
        }
        // The remainder is below SLOTS.
        let slot = &mut state.slots[usize::try_from(slot_number % u64::from(SLOTS)).unwrap_or(0)];
        if slot.slot_number != slot_number {
            *slot = WindowSlot { slot_number, ..WindowSlot::default() };
        }
        slot.seen = slot.seen.saturating_add(1);
        slot.rejected = slot.rejected.saturating_add(u32::from(rejected));
        if !rejected {
            return None;
        }
        let trip = state.within(slot_number);
        let enough = trip.seen >= self.settings.minimum;
        if enough && self.settings.share.is_exceeded(trip.rejected, trip.seen) {
            state.open = Some((now + self.settings.cooldown, trip));
            return Some(trip);
        }
        None
    }

    /// Closes the breaker when its time is over; true for the one caller that closed it.
    pub fn close_if_due(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        if state.open.is_some_and(|(until, _)| now >= until) {
            *state = WindowState::default();
            return true;
        }
        false
    }

    /// While it is open: what opened it, and how long it will stay so.
    pub fn open(&self, now: Instant) -> Option<(BreakerTrip, Duration)> {
        let (until, trip) = self.state.lock().open?;
        (until > now).then(|| (trip, until - now))
    }

    /// Closes the breaker for good, because another one replaces it. True if it was open.
    pub fn retire(&self) -> bool {
        let mut state = self.state.lock();
        state.retired = true;
        state.open.take().is_some()
    }

    /// What it was made with.
    pub fn settings(&self) -> BreakerSettings {
        self.settings
    }

    /// How long it stays open.
    pub fn cooldown(&self) -> Duration {
        self.settings.cooldown
    }

    /// The number of the current slot, counted from 1: 0 marks a slot that was never used.
    fn slot_number(&self, now: Instant) -> u64 {
        let slot = (self.settings.window / SLOTS).as_millis().max(1);
        let elapsed = now.saturating_duration_since(self.origin).as_millis();
        u64::try_from(elapsed / slot).unwrap_or(u64::MAX - 1) + 1
    }
}

// === impl WindowState ===

impl WindowState {
    fn within(&self, slot_number: u64) -> BreakerTrip {
        let recent = |slot: &&WindowSlot| {
            slot.slot_number > 0 && slot.slot_number + u64::from(SLOTS) > slot_number
        };
        self.slots.iter().filter(recent).fold(BreakerTrip { rejected: 0, seen: 0 }, |sum, slot| {
            BreakerTrip {
                rejected: sum.rejected.saturating_add(slot.rejected),
                seen: sum.seen.saturating_add(slot.seen),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::enforcement::Percentage;
    use crate::model::clock::{Clock, ManualClock, Timestamp};

    fn breaker(clock: &ManualClock) -> Breaker {
        let settings = BreakerSettings {
            share: Percentage::percent(50),
            window: Duration::from_secs(10),
            minimum: 4,
            cooldown: Duration::from_secs(30),
        };
        Breaker::new(settings, clock.instant())
    }

    #[test]
    fn opens_above_the_share_and_closes_after_the_cooldown() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let breaker = breaker(&clock);
        let record = |rejected| breaker.record(rejected, clock.instant());
        assert_eq!(record(true), None, "one of one is too few to tell");
        assert_eq!([record(false), record(true), record(false)], [None; 3]);
        assert_eq!(record(false), None);
        assert_eq!(record(true), None, "half is not more than half");
        assert_eq!(record(true), Some(BreakerTrip { rejected: 4, seen: 7 }));
        assert_eq!(record(true), None, "told once");
        assert!(!breaker.close_if_due(clock.instant()));
        clock.advance(Duration::from_secs(29));
        let left = Duration::from_secs(1);
        assert_eq!(
            breaker.open(clock.instant()),
            Some((BreakerTrip { rejected: 4, seen: 7 }, left))
        );
        clock.advance(left);
        assert_eq!(breaker.open(clock.instant()), None);
        assert!(breaker.close_if_due(clock.instant()) && !breaker.close_if_due(clock.instant()));
        assert_eq!([record(true), record(true), record(true)], [None; 3], "it starts from nothing");
        assert!(record(true).is_some());
    }

    #[test]
    fn a_retired_breaker_neither_opens_nor_closes() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let (open, closed) = (breaker(&clock), breaker(&clock));
        let trips = |breaker: &Breaker| {
            (0..4).filter(|_| breaker.record(true, clock.instant()).is_some()).count()
        };
        assert_eq!(trips(&open), 1);
        assert!(open.retire() && !closed.retire());
        assert_eq!([trips(&open), trips(&closed)], [0, 0]);
        clock.advance(Duration::from_secs(31));
        assert!(!open.close_if_due(clock.instant()), "its successor is not told to close");
    }

    #[test]
    fn rejections_before_the_window_do_not_count() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let breaker = breaker(&clock);
        let record = |rejected| breaker.record(rejected, clock.instant());
        assert_eq!([record(true), record(true), record(true)], [None; 3]);
        clock.advance(Duration::from_secs(10));
        assert_eq!([record(true), record(true), record(true)], [None; 3]);
        clock.advance(Duration::from_secs(5));
        assert_eq!(record(true), Some(BreakerTrip { rejected: 4, seen: 4 }));
    }
}
