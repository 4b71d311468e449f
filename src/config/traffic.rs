//! The traffic side as the whole process has it: listener, threads, deadlines.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("listen", &["CVT_LISTEN"]),
    Setting::new("traffic.threads", &["CVT_TRAFFIC_THREADS"]),
    Setting::new("traffic.head_timeout", &["CVT_HEAD_TIMEOUT"]),
    Setting::new("traffic.drain_timeout", &["CVT_DRAIN_TIMEOUT"]),
];

/// How traffic is taken.
#[derive(Debug, Clone)]
pub struct TrafficSettings {
    /// Where the downstream connects.
    pub listen: SocketAddr,
    /// Traffic threads; 0 means one per core.
    pub threads: usize,
    /// The longest a downstream may take to send a request's head.
    pub head_timeout: Duration,
    /// The longest that exchanges in flight may take at shutdown.
    pub drain_timeout: Duration,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> TrafficSettings {
    let (zero, hour) = (Duration::ZERO, Duration::from_hours(1));
    TrafficSettings {
        listen: values.read(
            "listen",
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9080)),
            problems,
            parse::listen_address,
        ),
        threads: usize_of(values, "traffic.threads", 0, 0..=1024, problems),
        head_timeout: values.read(
            "traffic.head_timeout",
            Duration::from_secs(30),
            problems,
            parse::duration(Duration::from_millis(1)..=hour),
        ),
        drain_timeout: values.read(
            "traffic.drain_timeout",
            Duration::from_secs(25),
            problems,
            parse::duration(zero..=hour),
        ),
    }
}

/// A whole number that counts things in memory.
pub(super) fn usize_of(
    values: &Values,
    key: &str,
    default: usize,
    range: std::ops::RangeInclusive<u64>,
    problems: &mut Problems,
) -> usize {
    let number = values.read(key, default as u64, problems, parse::integer(range));
    usize::try_from(number).unwrap_or(default)
}
