//! Log level and form.

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("log.level", &["LOG_LEVEL", "CVT_LOG_LEVEL"]),
    Setting::new("log.format", &["CVT_LOG_FORMAT"]),
];

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are the field's own")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// In which form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people on a terminal, JSON elsewhere.
    Auto,
    /// One JSON object per line.
    Json,
    /// Lines for people.
    Text,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy)]
pub struct LoggingSettings {
    /// The least severe level shown.
    pub level: LogLevel,
    /// In which form.
    pub format: LogFormat,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> LoggingSettings {
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let formats = [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)];
    LoggingSettings {
        level: values.read("log.level", LogLevel::Info, problems, parse::choice(&levels)),
        format: values.read("log.format", LogFormat::Auto, problems, parse::choice(&formats)),
    }
}

impl LogLevel {
    /// The level's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}
