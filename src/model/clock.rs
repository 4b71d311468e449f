//! Time as a value that is passed in.
//!
//! Nothing below `app` asks the operating system for the time: it receives a [`Clock`].
//! Timestamps are UTC with microseconds, the precision both databases keep.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A UTC instant in microseconds since the Unix epoch.
///
/// Displays and serializes as RFC 3339 with exactly six fractional digits, so that texts
/// sort like the instants they stand for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Where times come from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, for what is stored and shown.
    fn now(&self) -> Timestamp;
    /// The monotonic clock, for durations.
    fn instant(&self) -> Instant;
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// A clock that only moves when a test advances it; monotonic time follows wall time.
#[derive(Debug)]
pub struct ManualClock {
    micros: AtomicI64,
    origin: Instant,
    start: i64,
}

// === impl Timestamp ===

impl Timestamp {
    /// The instant `micros` microseconds after the Unix epoch.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch (CVT's wire form), rounded towards the past.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant moved into the future; saturates at the end of the range.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// This instant moved into the past; saturates at the start of the range.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this instant, zero where that is in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Reads RFC 3339 text with any offset and any precision; digits past the microsecond are cut.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        Some(Self::from(parsed))
    }
}

impl From<OffsetDateTime> for Timestamp {
    fn from(value: OffsetDateTime) -> Self {
        Self(i64::try_from(value.unix_timestamp_nanos().div_euclid(1_000)).unwrap_or(i64::MAX))
    }
}

impl From<Timestamp> for OffsetDateTime {
    fn from(value: Timestamp) -> Self {
        Self::from_unix_timestamp_nanos(i128::from(value.0) * 1_000).unwrap_or(Self::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let t = OffsetDateTime::from(*self);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            t.year(),
            u8::from(t.month()),
            t.day(),
            t.hour(),
            t.minute(),
            t.second(),
            t.microsecond()
        )
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not an RFC 3339 time"))
    }
}

// === impl SystemClock ===

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::default().plus(since),
            Err(before) => Timestamp::default().minus(before.duration()),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn instant(&self) -> Instant {
        Instant::now()
    }
}

// === impl ManualClock ===

impl ManualClock {
    /// A clock that shows `start`.
    #[allow(clippy::disallowed_methods, reason = "an Instant cannot be made from a number")]
    pub fn new(start: Timestamp) -> Self {
        Self { micros: AtomicI64::new(start.0), origin: Instant::now(), start: start.0 }
    }

    /// Moves the clock forward.
    pub fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.micros.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.micros.load(Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        self.origin + self.now().since(Timestamp(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_show_six_digits_and_parse_back() {
        let t = Timestamp::from_micros(1_700_000_000_000_120);
        assert_eq!(t.to_string(), "2023-11-14T22:13:20.000120Z");
        assert_eq!(Timestamp::parse(&t.to_string()), Some(t));
    }

    #[test]
    fn reads_other_offsets_as_the_same_instant() {
        assert_eq!(
            Timestamp::parse("2023-11-14T23:13:20.00012+01:00"),
            Timestamp::parse("2023-11-14T22:13:20.00012Z")
        );
    }

    #[test]
    fn manual_clock_moves_both_sides() {
        let clock = ManualClock::new(Timestamp::from_micros(5));
        let before = clock.instant();
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now().as_micros(), 2_000_005);
        assert_eq!(clock.instant() - before, Duration::from_secs(2));
    }
}
