//! How much of the compiled contracts is cached, and how long.

use std::time::Duration;

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("storage.cache.enabled", &["CVT_STORAGE_CACHE_ENABLED"]),
    Setting::new("storage.cache.max_schemas", &["CVT_STORAGE_CACHE_MAX_SCHEMAS"]),
    Setting::new("storage.cache.max_bytes", &["CVT_STORAGE_CACHE_MAX_BYTES"]),
    Setting::new("storage.cache.ttl", &["CVT_STORAGE_CACHE_TTL"]),
];

/// Limits of the cache. A contract that a route uses is held by the route, whatever they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheSettings {
    /// Whether anything is cached.
    pub enabled: bool,
    /// Entries at most.
    pub max_schemas: u64,
    /// Bytes of compiled contracts at most.
    pub max_bytes: u64,
    /// How long an entry lives.
    pub ttl: Duration,
}

/// Reads and checks this section; the defaults are the seed's, and 512 MiB.
pub fn read(values: &Values, problems: &mut Problems) -> CacheSettings {
    let bytes = values.read(
        "storage.cache.max_bytes",
        512 << 20,
        problems,
        parse::bytes(1 << 20..=1 << 40),
    );
    CacheSettings {
        enabled: values.read("storage.cache.enabled", true, problems, parse::boolean),
        max_schemas: values.read(
            "storage.cache.max_schemas",
            1_000,
            problems,
            parse::integer(1..=1_000_000),
        ),
        max_bytes: bytes as u64,
        ttl: values.read(
            "storage.cache.ttl",
            Duration::from_hours(24),
            problems,
            parse::duration(Duration::from_secs(1)..=Duration::from_hours(24 * 365)),
        ),
    }
}
