//! Judging off the traffic path: memory, threads, priority.

use super::traffic::usize_of;
use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("observer.workers", &["CVT_OBSERVER_WORKERS"]),
    Setting::new("observer.priority", &["CVT_OBSERVER_PRIORITY"]),
    Setting::new("observer.queue_exchanges", &["CVT_OBSERVER_QUEUE_EXCHANGES"]),
    Setting::new("observer.memory", &["CVT_OBSERVER_MEMORY"]),
];

/// How the judging threads compete with traffic for the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The same as traffic: everything is judged, and traffic shares the cores.
    Normal,
    /// Below traffic, with a share of about a tenth of the CPU when all cores are busy.
    Low,
}

/// How exchanges are judged.
#[derive(Debug, Clone)]
pub struct ObserverSettings {
    /// Judging threads; 0 means half the cores, at least one.
    pub workers: usize,
    /// How they compete with traffic.
    pub priority: Priority,
    /// Exchanges that may wait to be judged.
    pub queue_exchanges: usize,
    /// Bytes of heads and bodies that may be held for judging, in all.
    pub memory: usize,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> ObserverSettings {
    let priorities = [("normal", Priority::Normal), ("low", Priority::Low)];
    ObserverSettings {
        workers: usize_of(values, "observer.workers", 0, 0..=1024, problems),
        priority: values.read(
            "observer.priority",
            Priority::Low,
            problems,
            parse::choice(&priorities),
        ),
        queue_exchanges: usize_of(
            values,
            "observer.queue_exchanges",
            16_384,
            1..=1 << 22,
            problems,
        ),
        memory: values.read(
            "observer.memory",
            16 << 20,
            problems,
            parse::bytes(1 << 20..=64 << 30),
        ),
    }
}
