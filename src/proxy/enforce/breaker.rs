//! When too much is rejected, the fault is more likely ours than everybody's.
//!
//! What must hold: time comes in; each opening and each closing is told to exactly one caller;
//! memory does not depend on traffic.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::config::enforcement::BreakerSettings;

/// Parts of the window that are forgotten one by one.
const SLOTS: u32 = 10;

/// Counts rejections in a sliding window; open, it asks for enforcement to pause.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    origin: Instant,
    state: Mutex<State>,
}

/// What made it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trip {
    /// Exchanges rejected in the window.
    pub rejected: u32,
    /// Exchanges enforced in the window.
    pub seen: u32,
}

#[derive(Debug, Default)]
struct State {
    slots: [Slot; SLOTS as usize],
    open: Option<(Instant, Trip)>,
    retired: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Slot {
    turn: u64,
    seen: u32,
    rejected: u32,
}

// === impl Breaker ===

impl Breaker {
    /// A closed breaker; `origin` is not later than any time it will be told.
    pub fn new(settings: BreakerSettings, origin: Instant) -> Self {
        Self { settings, origin, state: Mutex::default() }
    }

    /// Notes an exchange that was enforced. Says so when this one opens the breaker.
    pub fn note(&self, rejected: bool, now: Instant) -> Option<Trip> {
        let turn = self.turn(now);
        let mut state = self.state.lock();
        if state.open.is_some() || state.retired {
            return None;
        }
        // The remainder is below SLOTS.
        let slot = &mut state.slots[usize::try_from(turn % u64::from(SLOTS)).unwrap_or(0)];
        if slot.turn != turn {
            *slot = Slot { turn, ..Slot::default() };
        }
        slot.seen = slot.seen.saturating_add(1);
        slot.rejected = slot.rejected.saturating_add(u32::from(rejected));
        if !rejected {
            return None;
        }
        let trip = state.within(turn);
        let enough = trip.seen >= self.settings.minimum;
        if enough && self.settings.share.is_exceeded(trip.rejected, trip.seen) {
            state.open = Some((now + self.settings.cooldown, trip));
            return Some(trip);
        }
        None
    }

    /// Closes the breaker when its time is over; true for the one caller that closed it.
    pub fn settle(&self, now: Instant) -> bool {
        let mut state = self.state.lock();
        if state.open.is_some_and(|(until, _)| now >= until) {
            *state = State::default();
            return true;
        }
        false
    }

    /// While it is open: what opened it, and how long it will stay so.
    pub fn open(&self, now: Instant) -> Option<(Trip, Duration)> {
        let (until, trip) = self.state.lock().open?;
        (until > now).then(|| (trip, until - now))
    }

    /// Another one has taken its place: it never opens again. Whether it was open.
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

    /// Which slot's turn it is, counted from 1: 0 marks a slot that was never used.
    fn turn(&self, now: Instant) -> u64 {
        let slot = (self.settings.window / SLOTS).as_millis().max(1);
        let elapsed = now.saturating_duration_since(self.origin).as_millis();
        u64::try_from(elapsed / slot).unwrap_or(u64::MAX - 1) + 1
    }
}

// === impl State ===

impl State {
    fn within(&self, turn: u64) -> Trip {
        let recent = |slot: &&Slot| slot.turn > 0 && slot.turn + u64::from(SLOTS) > turn;
        self.slots.iter().filter(recent).fold(Trip { rejected: 0, seen: 0 }, |sum, slot| Trip {
            rejected: sum.rejected.saturating_add(slot.rejected),
            seen: sum.seen.saturating_add(slot.seen),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::enforcement::Share;
    use crate::model::clock::{Clock, ManualClock, Timestamp};

    fn breaker(clock: &ManualClock) -> Breaker {
        let settings = BreakerSettings {
            share: Share::percent(50),
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
        let note = |rejected| breaker.note(rejected, clock.instant());
        assert_eq!(note(true), None, "one of one is too few to tell");
        assert_eq!([note(false), note(true), note(false)], [None; 3]);
        assert_eq!(note(false), None);
        assert_eq!(note(true), None, "half is not more than half");
        assert_eq!(note(true), Some(Trip { rejected: 4, seen: 7 }));
        assert_eq!(note(true), None, "told once");
        assert!(!breaker.settle(clock.instant()));
        clock.advance(Duration::from_secs(29));
        let left = Duration::from_secs(1);
        assert_eq!(breaker.open(clock.instant()), Some((Trip { rejected: 4, seen: 7 }, left)));
        clock.advance(left);
        assert_eq!(breaker.open(clock.instant()), None);
        assert!(breaker.settle(clock.instant()) && !breaker.settle(clock.instant()));
        assert_eq!([note(true), note(true), note(true)], [None; 3], "it starts from nothing");
        assert!(note(true).is_some());
    }

    #[test]
    fn one_that_is_retired_neither_opens_nor_closes() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let (open, closed) = (breaker(&clock), breaker(&clock));
        let trips = |breaker: &Breaker| {
            (0..4).filter(|_| breaker.note(true, clock.instant()).is_some()).count()
        };
        assert_eq!(trips(&open), 1);
        assert!(open.retire() && !closed.retire());
        assert_eq!([trips(&open), trips(&closed)], [0, 0]);
        clock.advance(Duration::from_secs(31));
        assert!(!open.settle(clock.instant()), "its successor is not told to close");
    }

    #[test]
    fn what_lies_before_the_window_does_not_count() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let breaker = breaker(&clock);
        let note = |rejected| breaker.note(rejected, clock.instant());
        assert_eq!([note(true), note(true), note(true)], [None; 3]);
        clock.advance(Duration::from_secs(10));
        assert_eq!([note(true), note(true), note(true)], [None; 3]);
        clock.advance(Duration::from_secs(5));
        assert_eq!(note(true), Some(Trip { rejected: 4, seen: 4 }));
    }
}
