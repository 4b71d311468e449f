//! Validation off the traffic path: memory, threads, priority.

use super::traffic::usize_of;
use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("pipeline.workers", &["CVT_PIPELINE_WORKERS"]),
    Setting::new("pipeline.priority", &["CVT_PIPELINE_PRIORITY"]),
    Setting::new("pipeline.queue_exchanges", &["CVT_PIPELINE_QUEUE_EXCHANGES"]),
    Setting::new("pipeline.memory", &["CVT_PIPELINE_MEMORY"]),
];

/// How the validation threads compete with traffic for the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// The same as traffic: everything is validated, and traffic shares the cores.
    Normal,
    /// Below traffic, with a share of about a tenth of the CPU when all cores are busy.
    Low,
}

/// How exchanges are validated.
#[derive(Debug, Clone)]
pub struct PipelineSettings {
    /// Validation threads; 0 means half the cores, at least one.
    pub workers: usize,
    /// How they compete with traffic.
    pub priority: Priority,
    /// Exchanges that may wait for validation.
    pub queue_exchanges: usize,
    /// Bytes of heads and bodies that may be captured for validation, in all.
    pub memory: usize,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> PipelineSettings {
    let priorities = [("normal", Priority::Normal), ("low", Priority::Low)];
    PipelineSettings {
        workers: usize_of(values, "pipeline.workers", 0, 0..=1024, problems),
        priority: values.read(
            "pipeline.priority",
            Priority::Low,
            problems,
            parse::choice(&priorities),
        ),
        queue_exchanges: usize_of(
            values,
            "pipeline.queue_exchanges",
            16_384,
            1..=1 << 22,
            problems,
        ),
        memory: values.read(
            "pipeline.memory",
            16 << 20,
            problems,
            parse::bytes(1 << 20..=64 << 30),
        ),
    }
}
