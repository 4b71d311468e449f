//! Monitors connections: idle ones are closed, abusive ones are cut.
//!
//! A check at intervals costs less than a timer per request, and one rule sees what no single
//! request shows: heads that never end, responses that are not read, exchanges given up by the
//! hundred.

use std::time::{Duration, Instant};

use crate::config::limits::{ConnectionLimits, MinRate};
use crate::proxy::downstream::stream::StatsSnapshot;

/// Monitors one connection.
#[derive(Debug)]
pub struct ConnectionMonitor {
    limits: ConnectionLimits,
    head_timeout: Duration,
    last: StatsSnapshot,
    /// Since when there has been no exchange.
    idle_since: Instant,
    /// Since when a head has been on its way.
    head_since: Option<Instant>,
    /// Since when the peer has been reading too slowly, and what had been written then.
    reading: (Instant, u64),
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorAction {
    /// Nothing.
    Continue,
    /// It has been idle long enough: it is closed gracefully.
    CloseIdle,
    /// It abuses us: it is cut.
    Abort(Abuse),
}

/// Why a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Abuse {
    /// The head of a request took too long.
    SlowHead,
    /// A response was read too slowly.
    SlowReader,
    /// Too many exchanges were given up.
    Resets,
}

// === impl ConnectionMonitor ===

impl ConnectionMonitor {
    /// Monitors a connection that begins `now`.
    pub fn new(limits: ConnectionLimits, head_timeout: Duration, now: Instant) -> Self {
        Self {
            limits,
            head_timeout,
            last: StatsSnapshot::default(),
            idle_since: now,
            head_since: Some(now),
            reading: (now, 0),
        }
    }

    /// The time between two checks.
    pub fn interval(&self) -> Duration {
        let MinRate { window, .. } = self.limits.min_rate;
        let shortest = self.head_timeout.min(self.limits.keep_alive).min(window);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// Checks the connection as it is `now`.
    pub fn check(&mut self, stats: StatsSnapshot, now: Instant) -> MonitorAction {
        let action = self.action(&stats, now);
        self.last = stats;
        action
    }

    fn action(&mut self, stats: &StatsSnapshot, now: Instant) -> MonitorAction {
        if stats.multiplexed && stats.abandoned as usize > self.limits.resets {
            return MonitorAction::Abort(Abuse::Resets);
        }
        if stats.started != self.last.started || stats.open > 0 {
            self.idle_since = now;
            self.head_since = None;
        } else if stats.read != self.last.read && !stats.multiplexed {
            // Over HTTP/2, bytes without an exchange are pings and the like.
            self.head_since.get_or_insert(now);
        }
        if self.is_slow_reader(stats, now) {
            return MonitorAction::Abort(Abuse::SlowReader);
        }
        let since = |then: Instant| now.saturating_duration_since(then);
        if self.head_since.is_some_and(|then| since(then) >= self.head_timeout) {
            return MonitorAction::Abort(Abuse::SlowHead);
        }
        if since(self.idle_since) >= self.limits.keep_alive {
            return MonitorAction::CloseIdle;
        }
        MonitorAction::Continue
    }

    fn is_slow_reader(&mut self, stats: &StatsSnapshot, now: Instant) -> bool {
        let pace = self.limits.min_rate;
        let (since, written) = self.reading;
        let enough = stats.written.saturating_sub(written) >= pace.bytes_per_window();
        let waits = stats.blocked || stats.stalled > 0;
        if !waits || enough || pace.bytes_per_second == 0 {
            self.reading = (now, stats.written);
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

    /// Checks once a second what `stats` shows, and says after how many something was found.
    fn found(
        head_timeout: Duration,
        stats: impl Fn(u32) -> StatsSnapshot,
    ) -> Option<(u32, MonitorAction)> {
        let mut now = SystemClock.instant();
        let mut monitor = ConnectionMonitor::new(ConnectionLimits::default(), head_timeout, now);
        (1..1000).find_map(|second| {
            now += SECOND;
            let action = monitor.check(stats(second), now);
            (action != MonitorAction::Continue).then_some((second, action))
        })
    }

    #[test]
    fn a_head_that_never_ends_is_cut() {
        let slow_head = Some((30, MonitorAction::Abort(Abuse::SlowHead)));
        assert_eq!(found(SECOND * 30, |_| StatsSnapshot::default()), slow_head);
        let drips = |second| StatsSnapshot { read: u64::from(second), ..StatsSnapshot::default() };
        assert_eq!(found(SECOND * 30, drips), slow_head);
        let second_head = |second: u32| StatsSnapshot {
            read: u64::from(second),
            started: 1,
            open: u32::from(second < 10),
            ..StatsSnapshot::default()
        };
        assert_eq!(
            found(SECOND * 30, second_head),
            Some((40, MonitorAction::Abort(Abuse::SlowHead)))
        );
    }

    #[test]
    fn an_idle_connection_is_closed_despite_pings() {
        let idle = |multiplexed| {
            move |second: u32| StatsSnapshot {
                read: if multiplexed { u64::from(second) } else { 1 },
                started: 1,
                multiplexed,
                ..StatsSnapshot::default()
            }
        };
        assert_eq!(found(SECOND * 30, idle(false)), Some((76, MonitorAction::CloseIdle)));
        assert_eq!(found(SECOND * 30, idle(true)), Some((76, MonitorAction::CloseIdle)));
    }

    #[test]
    fn a_long_exchange_is_kept_and_a_slow_reader_is_cut() {
        let open = StatsSnapshot { started: 1, open: 1, ..StatsSnapshot::default() };
        assert_eq!(found(SECOND, |_| open), None);
        let slow = |second| StatsSnapshot { written: u64::from(second), blocked: true, ..open };
        assert_eq!(found(SECOND, slow), Some((30, MonitorAction::Abort(Abuse::SlowReader))));
        let withholds = StatsSnapshot { stalled: 1, multiplexed: true, ..open };
        assert_eq!(
            found(SECOND, |_| withholds),
            Some((30, MonitorAction::Abort(Abuse::SlowReader)))
        );
        let steady =
            |second| StatsSnapshot { written: u64::from(second) * 200, blocked: true, ..open };
        assert_eq!(found(SECOND, steady), None);
    }

    #[test]
    fn a_connection_with_too_many_resets_is_cut() {
        let resets = |_| StatsSnapshot {
            started: 1,
            abandoned: 101,
            multiplexed: true,
            ..StatsSnapshot::default()
        };
        assert_eq!(found(SECOND, resets), Some((1, MonitorAction::Abort(Abuse::Resets))));
    }
}
