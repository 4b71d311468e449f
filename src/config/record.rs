//! What is recorded of validated exchanges.

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("record", &["CVT_RECORD"]),
    Setting::new("record_valid_rate", &["CVT_RECORD_VALID_RATE"]),
    Setting::new("record_violation_rate", &["CVT_RECORD_VIOLATION_RATE"]),
    Setting::new("record_bodies", &["CVT_RECORD_BODIES"]),
    Setting::new("record_body_limit", &["CVT_RECORD_BODY_LIMIT"]),
    Setting::new("environment", &["CVT_ENVIRONMENT"]),
];

/// Which exchanges become records. Counts are exact whatever is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordPolicy {
    /// Every exchange.
    All,
    /// Violations up to a rate per kind; of the rest the first of each kind, and some a second.
    Sampled,
    /// Violations only, up to a rate per kind.
    Violations,
}

/// What is kept of bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyPolicy {
    /// All that was captured.
    Whole,
    /// The beginning.
    Truncated,
    /// Keys and types, every value masked; of bodies that have none, nothing.
    Shape,
    /// Nothing.
    Never,
}

/// What is kept.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// Which exchanges become records.
    pub policy: RecordPolicy,
    /// Valid exchanges kept a second under `sampled`.
    pub valid_rate: u32,
    /// Violating exchanges kept a second per kind of violation.
    pub violation_rate: u32,
    /// What is kept of bodies.
    pub bodies: BodyPolicy,
    /// Bytes of each body kept in a record, unless they are kept whole.
    pub body_limit: usize,
    /// Environment this sidecar runs in.
    pub environment: String,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> RecordSettings {
    let policies = [
        ("all", RecordPolicy::All),
        ("sampled", RecordPolicy::Sampled),
        ("violations", RecordPolicy::Violations),
    ];
    let bodies = [
        ("whole", BodyPolicy::Whole),
        ("truncated", BodyPolicy::Truncated),
        ("shape", BodyPolicy::Shape),
        ("none", BodyPolicy::Never),
    ];
    let mut rate = |key: &str, default: u32| {
        let read = values.read(key, u64::from(default), problems, parse::integer(0..=1_000_000));
        u32::try_from(read).unwrap_or(default)
    };
    let (valid_rate, violation_rate) =
        (rate("record_valid_rate", 100), rate("record_violation_rate", 10));
    RecordSettings {
        policy: values.read("record", RecordPolicy::Sampled, problems, parse::choice(&policies)),
        valid_rate,
        violation_rate,
        bodies: values.read(
            "record_bodies",
            BodyPolicy::Truncated,
            problems,
            parse::choice(&bodies),
        ),
        body_limit: values.read(
            "record_body_limit",
            64 << 10,
            problems,
            parse::bytes(0..=64 << 20),
        ),
        environment: values.read("environment", "dev".to_owned(), problems, |text| match text {
            "" => Err("expected a name such as dev or prod".into()),
            name => Ok(name.to_owned()),
        }),
    }
}

// === impl RecordSettings ===

impl RecordSettings {
    /// Bytes kept of each body.
    pub fn recorded_body_limit(&self) -> usize {
        match self.bodies {
            BodyPolicy::Whole => usize::MAX,
            BodyPolicy::Truncated | BodyPolicy::Shape => self.body_limit,
            BodyPolicy::Never => 0,
        }
    }
}
