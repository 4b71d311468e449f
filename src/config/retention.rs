//! How long what was recorded is kept.

use std::time::Duration;

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("retention.days", &["CVT_VALIDATION_RETENTION_DAYS"]),
    Setting::new("retention.valid_days", &["CVT_RETENTION_VALID_DAYS"]),
    Setting::new("retention.invalid_days", &["CVT_RETENTION_INVALID_DAYS"]),
    Setting::new("retention.body_days", &["CVT_RETENTION_BODY_DAYS"]),
    Setting::new("retention.interval", &["CVT_RETENTION_INTERVAL"]),
    Setting::new("retention.batch", &["CVT_RETENTION_BATCH"]),
];

/// Days of the seed's default.
const DEFAULT_DAYS: u64 = 90;

/// How long records live, and how they are expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Age at which records of valid exchanges expire; `None` keeps them.
    pub valid: Option<Duration>,
    /// Age at which records of invalid exchanges expire; `None` keeps them.
    pub invalid: Option<Duration>,
    /// Age at which bodies are removed from records that stay; `None` keeps them.
    pub bodies: Option<Duration>,
    /// Time between two rounds.
    pub interval: Duration,
    /// Rows touched by one statement.
    pub batch: u32,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> RetentionSettings {
    let mut days = |key: &str| {
        let range = parse::integer(0..=36_500);
        values.read(key, None, problems, |text| range(text).map(Some))
    };
    let all = days("retention.days").unwrap_or(DEFAULT_DAYS);
    let age = |days: u64| (days > 0).then(|| Duration::from_secs(days * 86_400));
    let valid = days("retention.valid_days").unwrap_or(all);
    let invalid = days("retention.invalid_days").unwrap_or(all);
    let bodies = days("retention.body_days").unwrap_or(0);
    let batch = values.read("retention.batch", 5_000, problems, parse::integer(1..=100_000));
    RetentionSettings {
        valid: age(valid),
        invalid: age(invalid),
        bodies: age(bodies),
        interval: values.read(
            "retention.interval",
            Duration::from_hours(1),
            problems,
            parse::duration(Duration::from_secs(1)..=Duration::from_hours(24 * 30)),
        ),
        batch: u32::try_from(batch).unwrap_or(u32::MAX),
    }
}
