//! What one caller, one connection and one exchange may take.
//!
//! Rates and concurrency outside of `routes` hold for all traffic together, those of a route for
//! the route besides. Limits on bodies hold for each body: what a route says takes the place of
//! what is said outside.

use std::num::NonZeroU64;
use std::time::Duration;

use super::traffic::usize_of;
use super::{Problems, Setting, SettingSource, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("limits.connections", &["CVT_LIMIT_CONNECTIONS"]),
    Setting::new("limits.head_size", &["CVT_LIMIT_HEAD_SIZE"]),
    Setting::new("limits.headers", &["CVT_LIMIT_HEADERS"]),
    Setting::new("limits.streams", &["CVT_LIMIT_STREAMS"]),
    Setting::new("limits.resets", &["CVT_LIMIT_RESETS"]),
    Setting::new("limits.keep_alive", &["CVT_LIMIT_KEEP_ALIVE"]),
    Setting::new("limits.min_rate", &["CVT_LIMIT_MIN_RATE"]),
    Setting::new("limits.min_rate_window", &["CVT_LIMIT_MIN_RATE_WINDOW"]),
    Setting::new("limits.target", &["CVT_LIMIT_TARGET"]),
    Setting::new("limits.request_body", &["CVT_LIMIT_REQUEST_BODY"]).per_route(),
    Setting::new("limits.response_body", &["CVT_LIMIT_RESPONSE_BODY"]).per_route(),
    Setting::new("limits.rate", &["CVT_LIMIT_RATE"]).per_route(),
    Setting::new("limits.client_rate", &["CVT_LIMIT_CLIENT_RATE"]).per_route(),
    Setting::new("limits.concurrency", &["CVT_LIMIT_CONCURRENCY"]).per_route(),
    Setting::new("limits.queue", &["CVT_LIMIT_QUEUE"]).per_route(),
    Setting::new("limits.queue_timeout", &["CVT_LIMIT_QUEUE_TIMEOUT"]).per_route(),
];

/// Settings that outside of `routes` hold for all traffic, beside what a route says of its own.
pub const GLOBAL_LIMITS: &[&str] = &[
    "limits.rate",
    "limits.client_rate",
    "limits.concurrency",
    "limits.queue",
    "limits.queue_timeout",
];

/// Every limit of the traffic side.
#[derive(Debug, Clone, Copy, Default)]
pub struct LimitSettings {
    /// Those of the listener and its connections.
    pub connection: ConnectionLimits,
    /// Those of exchanges.
    pub exchange: ExchangeLimits,
}

/// What connections may take.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections open at once.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head_size: usize,
    /// Header lines of a request over HTTP/1.
    pub headers: usize,
    /// Exchanges at once on one HTTP/2 connection.
    pub streams: u32,
    /// Exchanges a second that an HTTP/2 connection may give up.
    pub resets: usize,
    /// How long a connection may stay without an exchange.
    pub keep_alive: Duration,
    /// How fast a caller must send or read.
    pub min_rate: MinRate,
}

/// The rate at which a caller must send or read.
#[derive(Debug, Clone, Copy)]
pub struct MinRate {
    /// Bytes a second; 0 waits for ever.
    pub bytes_per_second: usize,
    /// The time over which it is measured.
    pub window: Duration,
}

/// What exchanges may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExchangeLimits {
    /// Bytes of a request's target.
    pub target: usize,
    /// Exchanges a second, if there is a limit.
    pub rate: Option<NonZeroU64>,
    /// Exchanges a second from one address, if there is a limit.
    pub client_rate: Option<NonZeroU64>,
    /// Exchanges at once, if there is a limit.
    pub concurrency: Option<NonZeroU64>,
    /// Requests that may wait for their turn.
    pub queue: usize,
    /// How long they may wait.
    pub queue_timeout: Duration,
}

/// How long bodies may be that pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct BodyLimits {
    /// Bytes of a request's, if there is a limit.
    pub request: Option<NonZeroU64>,
    /// Bytes of a response's, if there is a limit.
    pub response: Option<NonZeroU64>,
}

// === impl ConnectionLimits ===

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            head_size: 64 << 10,
            headers: 100,
            streams: 200,
            resets: 100,
            keep_alive: Duration::from_secs(75),
            min_rate: MinRate::default(),
        }
    }
}

// === impl MinRate ===

impl Default for MinRate {
    fn default() -> Self {
        Self { bytes_per_second: 100, window: Duration::from_secs(30) }
    }
}

impl MinRate {
    /// The bytes that must pass in one window.
    pub fn bytes_per_window(&self) -> u64 {
        (self.bytes_per_second as u64).saturating_mul(self.window.as_secs().max(1))
    }
}

// === impl ExchangeLimits ===

impl Default for ExchangeLimits {
    fn default() -> Self {
        Self {
            target: 16 << 10,
            rate: None,
            client_rate: None,
            concurrency: None,
            queue: 100,
            queue_timeout: Duration::from_secs(1),
        }
    }
}

impl ExchangeLimits {
    /// Whether nothing but the target is limited.
    pub fn is_unlimited(&self) -> bool {
        (self.rate, self.client_rate, self.concurrency) == (None, None, None)
    }
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> LimitSettings {
    LimitSettings {
        connection: read_connection(values, problems),
        exchange: read_exchange(values, problems),
    }
}

/// Reads and checks the limits on bodies.
pub fn read_bodies(values: &Values, problems: &mut Problems) -> BodyLimits {
    let mut size = |key| {
        let bytes = values.read(key, 0, problems, parse::bytes(0..=1 << 50));
        NonZeroU64::new(bytes as u64)
    };
    BodyLimits { request: size("limits.request_body"), response: size("limits.response_body") }
}

fn read_connection(values: &Values, problems: &mut Problems) -> ConnectionLimits {
    let default = ConnectionLimits::default();
    let mut size = |key, default, range| values.read(key, default, problems, parse::bytes(range));
    // hyper's smallest buffer is 8 KiB; it refuses a target over 64 KiB whatever the limit.
    let head_size = size("limits.head_size", default.head_size, 8 << 10..=16 << 20);
    let min_rate = size("limits.min_rate", default.min_rate.bytes_per_second, 0..=1 << 30);
    let brief = Duration::from_millis(100)..=Duration::from_hours(24);
    let window = values.read(
        "limits.min_rate_window",
        default.min_rate.window,
        problems,
        parse::duration(Duration::from_secs(1)..=Duration::from_hours(1)),
    );
    let mut count = |key, default, range| usize_of(values, key, default, range, problems);
    let connections = count("limits.connections", default.connections, 1..=10_000_000);
    let headers = count("limits.headers", default.headers, 1..=32_768);
    let resets = count("limits.resets", default.resets, 1..=1_000_000);
    let streams = count("limits.streams", default.streams as usize, 1..=1_000_000);
    ConnectionLimits {
        connections,
        head_size,
        headers,
        streams: u32::try_from(streams).unwrap_or(default.streams),
        resets,
        keep_alive: values.read(
            "limits.keep_alive",
            default.keep_alive,
            problems,
            parse::duration(brief),
        ),
        min_rate: MinRate { bytes_per_second: min_rate, window },
    }
}

/// Reads and checks the limits of exchanges, of all or of a route's own.
pub fn read_exchange(values: &Values, problems: &mut Problems) -> ExchangeLimits {
    let default = ExchangeLimits::default();
    let target =
        values.read("limits.target", default.target, problems, parse::bytes(64..=64 << 10));
    for key in ["limits.queue", "limits.queue_timeout"] {
        if let (Some((_, source)), None) = (values.get(key), values.get("limits.concurrency")) {
            let message = format!("{key}: has no effect without limits.concurrency");
            problems.push(SettingSource::clone(source), message);
        }
    }
    let mut count =
        |key| NonZeroU64::new(values.read(key, 0, problems, parse::integer(0..=1_000_000_000)));
    ExchangeLimits {
        target,
        rate: count("limits.rate"),
        client_rate: count("limits.client_rate"),
        concurrency: count("limits.concurrency"),
        queue: usize_of(values, "limits.queue", default.queue, 0..=1_000_000, problems),
        queue_timeout: values.read(
            "limits.queue_timeout",
            default.queue_timeout,
            problems,
            parse::duration(Duration::from_millis(1)..=Duration::from_mins(5)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawSettings;

    fn load(file: &str) -> (LimitSettings, String) {
        let mut problems = Problems::default();
        let file = Some(("cvt.yaml".into(), file.into()));
        let values = Values::collect(
            RawSettings { file, ..RawSettings::default() },
            crate::config::Config::TABLES,
            &mut problems,
        );
        let limits = read(&values, &mut problems);
        (limits, problems.or_fail().err().map_or_else(String::new, |error| error.to_string()))
    }

    #[test]
    fn by_default_only_limits_that_protect_the_sidecar_apply() {
        let (limits, problems) = load("");
        assert_eq!(problems, "");
        assert!(limits.exchange.is_unlimited());
        assert_eq!(limits.connection.min_rate.bytes_per_window(), 3000);
    }

    #[test]
    fn limits_are_read() {
        let (limits, problems) = load(
            "limits:\n  request_body: 10MiB\n  concurrency: 5\n  queue: 2\n  client_rate: 7\n",
        );
        assert_eq!(problems, "");
        assert_eq!(limits.exchange.client_rate.map(NonZeroU64::get), Some(7));
        assert_eq!(limits.exchange.queue, 2);
    }

    #[test]
    fn a_queue_without_concurrency_limit_is_refused() {
        let (_, problems) = load("limits:\n  queue: 2\n");
        assert!(problems.contains("limits.queue: has no effect"), "{problems}");
    }
}
