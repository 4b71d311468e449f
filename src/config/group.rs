//! Violation groups, and how often they and usage are added to storage.

use std::time::Duration;

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("groups.silence", &["CVT_GROUPS_SILENCE"]),
    Setting::new("groups.reminder", &["CVT_GROUPS_REMINDER"]),
    Setting::new("groups.interval", &["CVT_GROUPS_INTERVAL"]),
];

/// When a violation group is notified, and when groups and usage are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSettings {
    /// A group that was not seen for this long has returned when it is seen again.
    pub silence: Duration,
    /// A group that continues is notified again after this long.
    pub reminder: Duration,
    /// Time between two additions to storage.
    pub interval: Duration,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> GroupSettings {
    let mut time = |key: &str, default: Duration, least: Duration| {
        let range = parse::duration(least..=Duration::from_hours(24 * 365));
        values.read(key, default, problems, range)
    };
    let second = Duration::from_secs(1);
    GroupSettings {
        silence: time("groups.silence", Duration::from_hours(24), second),
        reminder: time("groups.reminder", Duration::from_hours(1), second),
        interval: time("groups.interval", 5 * second, Duration::from_millis(100)),
    }
}
