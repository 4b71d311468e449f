//! Log lines: readable on a terminal, one JSON object a line elsewhere, always on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The form that suits where stderr goes: lines on a terminal, JSON elsewhere.
pub fn format_for_stderr() -> LineFormat {
    if std::io::stderr().is_terminal() { LineFormat::Text } else { LineFormat::Json }
}

/// Installs the process's logger. `level` is the least severe level of our own lines; the
/// libraries below speak from `warn` on. A second call changes nothing.
pub fn install(level: &str, format: LineFormat) {
    // hyper and sqlx may put message or statement text into their debug lines: never shown.
    // What Pingora warns of are peers that come and go, which we count and name ourselves.
    let quiet = "pingora_core=error,pingora_load_balancing=error";
    let filter = EnvFilter::new(format!("warn,{quiet},cvt_sidecar={level}"));
    let registry = tracing_subscriber::registry().with(filter);
    // The first logger stays: tests share a process.
    let _ = match format {
        LineFormat::Json => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .json()
                    .flatten_event(true)
                    .with_current_span(false)
                    .with_writer(std::io::stderr),
            )
            .try_init(),
        LineFormat::Text => registry
            .with(tracing_subscriber::fmt::layer().with_target(false).with_writer(std::io::stderr))
            .try_init(),
    };
    let _ = tracing_log::LogTracer::init();
}

/// Makes panics one log line that names the place only: a panic's message may quote the data
/// that caused it.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let location =
            info.location().map_or_else(|| "unknown place".to_owned(), ToString::to_string);
        tracing::error!(
            event = "panic",
            place = location,
            "a panic was caught; only its exchange is lost"
        );
    }));
}
