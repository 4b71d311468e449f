//! Who watches a connection that does nothing, or too little.
//!
//! A look now and then costs less than a timer per request, and one rule sees what no single
//! request shows: heads that never end, answers nobody reads, exchanges given up by the
//! hundred.

use std::time::{Duration, Instant};

use super::wire::Snapshot;
use crate::config::limits::{ConnectionLimits, Pace};

/// Watches one connection.
#[derive(Debug)]
pub struct Overseer {
    limits: ConnectionLimits,
    head_timeout: Duration,
    last: Snapshot,
    /// Since when there has been no exchange.
    idle_since: Instant,
    /// Since when a head has been on its way.
    head_since: Option<Instant>,
    /// Since when the peer has been reading too slowly, and what had been written then.
    reading: (Instant, u64),
}

/// What is to be done about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing.
    Fine,
    /// It has been idle long enough: it ends in good order.
    Idle,
    /// It abuses us: it is cut.
    Cut(Abuse),
}

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abuse {
    /// The head of a request took too long.
    SlowHead,
    /// An answer was read too slowly.
    SlowReader,
    /// Too many exchanges were given up.
    Resets,
}

// === impl Overseer ===

impl Overseer {
    /// Watches a connection that begins `now`.
    pub fn new(limits: ConnectionLimits, head_timeout: Duration, now: Instant) -> Self {
        Self {
            limits,
            head_timeout,
            last: Snapshot::default(),
            idle_since: now,
            head_since: Some(now),
            reading: (now, 0),
        }
    }

    /// How often a look is worth taking.
    pub fn interval(&self) -> Duration {
        let Pace { window, .. } = self.limits.pace;
        let shortest = self.head_timeout.min(self.limits.keep_alive).min(window);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Looks at the connection as it stands `now`.
    pub fn look(&mut self, seen: Snapshot, now: Instant) -> Finding {
        let finding = self.judge(&seen, now);
        self.last = seen;
        finding
    }

    fn judge(&mut self, seen: &Snapshot, now: Instant) -> Finding {
        if seen.multiplexed && seen.given_up as usize > self.limits.resets {
            return Finding::Cut(Abuse::Resets);
        }
        if seen.started != self.last.started || seen.open > 0 {
            self.idle_since = now;
            self.head_since = None;
        } else if seen.read != self.last.read && !seen.multiplexed {
            // Over HTTP/2, bytes without an exchange are pings and the like.
            self.head_since.get_or_insert(now);
        }
        if self.reads_slowly(seen, now) {
            return Finding::Cut(Abuse::SlowReader);
        }
        let since = |then: Instant| now.saturating_duration_since(then);
        if self.head_since.is_some_and(|then| since(then) >= self.head_timeout) {
            return Finding::Cut(Abuse::SlowHead);
        }
        if since(self.idle_since) >= self.limits.keep_alive {
            return Finding::Idle;
        }
        Finding::Fine
    }

    fn reads_slowly(&mut self, seen: &Snapshot, now: Instant) -> bool {
        let pace = self.limits.pace;
        let (since, written) = self.reading;
        let enough = seen.written.saturating_sub(written) >= pace.least();
        let waits = seen.blocked || seen.stalled > 0;
        if !waits || enough || pace.min_rate == 0 {
            self.reading = (now, seen.written);
            return false;
        }
        now.saturating_duration_since(since) >= pace.window
    }
}

// === impl Abuse ===

impl Abuse {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SlowHead => "slow_head",
            Self::SlowReader => "slow_reader",
            Self::Resets => "resets",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::{Clock, SystemClock};

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks once a second at what `seen` shows, and says after how many something was found.
    fn found(head_timeout: Duration, seen: impl Fn(u32) -> Snapshot) -> Option<(u32, Finding)> {
        let mut now = SystemClock.instant();
        let mut overseer = Overseer::new(ConnectionLimits::default(), head_timeout, now);
        (1..1000).find_map(|second| {
            now += SECOND;
            let finding = overseer.look(seen(second), now);
            (finding != Finding::Fine).then_some((second, finding))
        })
    }

    #[test]
    fn a_head_that_never_ends_is_cut() {
        let slow_head = Some((30, Finding::Cut(Abuse::SlowHead)));
        assert_eq!(found(SECOND * 30, |_| Snapshot::default()), slow_head);
        let drips = |second| Snapshot { read: u64::from(second), ..Snapshot::default() };
        assert_eq!(found(SECOND * 30, drips), slow_head);
        let second_head = |second: u32| Snapshot {
            read: u64::from(second),
            started: 1,
            open: u32::from(second < 10),
            ..Snapshot::default()
        };
        assert_eq!(found(SECOND * 30, second_head), Some((40, Finding::Cut(Abuse::SlowHead))));
    }

    #[test]
    fn a_connection_without_exchanges_ends_and_pings_do_not_keep_it() {
        let idle = |multiplexed| {
            move |second: u32| Snapshot {
                read: if multiplexed { u64::from(second) } else { 1 },
                started: 1,
                multiplexed,
                ..Snapshot::default()
            }
        };
        assert_eq!(found(SECOND * 30, idle(false)), Some((76, Finding::Idle)));
        assert_eq!(found(SECOND * 30, idle(true)), Some((76, Finding::Idle)));
    }

    #[test]
    fn an_exchange_may_last_and_a_slow_reader_may_not() {
        let open = Snapshot { started: 1, open: 1, ..Snapshot::default() };
        assert_eq!(found(SECOND, |_| open), None);
        let slow = |second| Snapshot { written: u64::from(second), blocked: true, ..open };
        assert_eq!(found(SECOND, slow), Some((30, Finding::Cut(Abuse::SlowReader))));
        let withholds = Snapshot { stalled: 1, multiplexed: true, ..open };
        assert_eq!(found(SECOND, |_| withholds), Some((30, Finding::Cut(Abuse::SlowReader))));
        let steady = |second| Snapshot { written: u64::from(second) * 200, blocked: true, ..open };
        assert_eq!(found(SECOND, steady), None);
    }

    #[test]
    fn exchanges_given_up_by_the_hundred_are_cut() {
        let resets =
            |_| Snapshot { started: 1, given_up: 101, multiplexed: true, ..Snapshot::default() };
        assert_eq!(found(SECOND, resets), Some((1, Finding::Cut(Abuse::Resets))));
    }
}
