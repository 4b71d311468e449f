//! What several commands share: the store they read, pages, and how they run.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::output::{EXIT_ERROR, EXIT_NEGATIVE, sanitize};
use super::settings;
use crate::app;
use crate::config::{Config, StoreConfig, parse};
use crate::control::ControlError;
use crate::model::clock::{Clock, SystemClock, Timestamp};
use crate::model::page::Cursor;
use crate::storage::{PageRequest, Store};

/// Why a command ends without what it was asked for.
#[derive(Debug)]
pub(super) struct CommandError {
    code: u8,
    message: String,
}

/// Flags of every command about what was recorded.
#[derive(Debug, Args)]
pub(super) struct StoreArgs {
    /// Where it is kept: a path, sqlite://PATH or postgres://… [default: as `run` has it]
    #[arg(long, value_name = "DSN")]
    storage: Option<String>,
    /// JSON instead of text for people
    #[arg(long)]
    pub(super) json: bool,
}

/// Flags of every command that lists page by page.
#[derive(Debug, Args)]
pub(super) struct PageArgs {
    /// How many on a page
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Where to go on: the cursor that the page before ended with
    #[arg(long)]
    cursor: Option<String>,
}

// === impl StoreArgs ===

impl StoreArgs {
    /// Opens the store, to read from it or also to change it.
    pub(super) async fn open(
        &self,
        environment: &[(String, String)],
        read_only: bool,
    ) -> Result<Arc<dyn Store>, String> {
        let config = self.config(environment)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opened = app::open_store(&config.storage, &config.encryption, read_only, &clock).await;
        opened.map_err(|error| error.to_string())
    }

    /// The settings about what is stored.
    pub(super) fn config(&self, environment: &[(String, String)]) -> Result<StoreConfig, String> {
        let flags = self.storage.iter().map(|dsn| ("storage.dsn", "--storage", dsn.clone()));
        let typed = settings::typed(None, environment, flags.collect())?;
        Config::load_store(typed).map_err(|error| error.to_string())
    }
}

// === impl PageArgs ===

impl PageArgs {
    /// The page that was asked for.
    pub(super) fn request(&self) -> Result<PageRequest, String> {
        let Some(text) = &self.cursor else { return Ok(PageRequest::first(self.limit)) };
        let cursor: Cursor = text.parse().map_err(|error| format!("--cursor: {error}"))?;
        Ok(PageRequest::after(self.limit, cursor))
    }
}

// === impl CommandError ===

impl CommandError {
    /// The same, as the failure of a command that always has an answer.
    pub(super) fn into_failure(self) -> Self {
        Self { code: EXIT_ERROR, ..self }
    }
}

impl From<ControlError> for CommandError {
    fn from(error: ControlError) -> Self {
        let missing = matches!(error, ControlError::NotFound { .. });
        let code = if missing { EXIT_NEGATIVE } else { EXIT_ERROR };
        Self { code, message: sanitize(&error.to_string()) }
    }
}

impl From<String> for CommandError {
    fn from(message: String) -> Self {
        Self { code: EXIT_ERROR, message }
    }
}

/// Runs a command to its end; an error goes to standard error.
pub(super) fn run_command(command: impl Future<Output = Result<u8, CommandError>>) -> u8 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(|error| format!("cannot start the runtime: {error}").into())
        .and_then(|runtime| runtime.block_on(command));
    outcome.unwrap_or_else(|error: CommandError| {
        eprintln!("cvt-sidecar: {}", error.message);
        error.code
    })
}

/// Reads a time given as a flag: itself, or how long before now.
pub(super) fn parse_time(flag: &str, text: Option<&str>) -> Result<Option<Timestamp>, String> {
    text.map(|text| time_of(flag, text, SystemClock.now())).transpose()
}

fn time_of(flag: &str, text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let ago = || parse::duration(Duration::ZERO..=Duration::MAX)(text).ok();
    // a bare number is neither a time nor a duration
    let ago = ago().filter(|_| text.ends_with(|c: char| c.is_ascii_alphabetic()));
    let expected = || format!("{flag}: expected a time such as 2026-01-31T12:00:00Z, or 10m or 7d");
    Timestamp::parse(text).or(ago.map(|ago| now.minus(ago))).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_out_or_as_a_duration_before_now() {
        let now = Timestamp::parse("2026-01-31T12:00:00Z").unwrap();
        let time = |text: &str| time_of("--since", text, now);
        for (text, same) in [
            ("10m", "2026-01-31T11:50:00Z"),
            ("2h", "2026-01-31T10:00:00Z"),
            ("7d", "2026-01-24T12:00:00Z"),
            ("30s", "2026-01-31T11:59:30Z"),
            ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ] {
            assert_eq!(time(text), Ok(Timestamp::parse(same).unwrap()), "{text}");
        }
        for text in ["", "10", "m", "yesterday", "10 parsecs", "-5m"] {
            let error = time(text).unwrap_err();
            assert!(error.starts_with("--since: expected a time"), "{text}: {error}");
        }
    }
}
