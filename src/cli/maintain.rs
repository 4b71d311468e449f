//! `cvt-sidecar migrate` and `cvt-sidecar retention`: looking after the database.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::sync::watch;

use super::{FAILED, FINE, settings};
use crate::config::{Config, StoreConfig};
use crate::model::clock::{Clock, SystemClock};
use crate::retention::Retention;
use crate::storage::{self, Access};

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    place: Place,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
}

/// Arguments of `retention`.
#[derive(Debug, Args)]
pub struct RetentionArgs {
    #[command(subcommand)]
    command: RetentionCommand,
}

#[derive(Debug, Subcommand)]
enum RetentionCommand {
    /// Expire what is old enough, once
    Run(RetentionRunArgs),
}

#[derive(Debug, Args)]
struct RetentionRunArgs {
    #[command(flatten)]
    place: Place,
    /// Say what would expire, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
struct Place {
    /// The database: a path, sqlite://PATH or postgres://… [default: as `run` has it]
    #[arg(long, value_name = "DSN")]
    storage: Option<String>,
    /// JSON instead of lines for people
    #[arg(long)]
    json: bool,
}

/// Brings the database to this version's form.
pub fn migrate(
    arguments: &MigrateArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> u8 {
    finish(blocking(async {
        let config = arguments.place.load(environment)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = storage::open(&config.storage, Access::Migrate, clock)
            .await
            .map_err(|error| format!("storage {}: {error}", config.storage))?;
        let report = store.migrate(arguments.dry_run).await;
        store.close().await;
        let report = report.map_err(|error| format!("storage {}: {error}", config.storage))?;
        if arguments.place.json {
            let text = serde_json::to_string(&report).map_err(|error| error.to_string())?;
            return writeln!(out, "{text}").map_err(|error| error.to_string());
        }
        let mut lines = vec![match (report.steps.len(), report.applied) {
            (0, _) => format!("{}: nothing to do, migration {}", config.storage, report.to),
            (steps, true) => format!("{}: {steps} migrations done", config.storage),
            (steps, false) => format!("{}: {steps} migrations to do", config.storage),
        }];
        lines.extend(report.steps.iter().map(|(number, name)| format!("  {number:03} {name}")));
        writeln!(out, "{}", lines.join("\n")).map_err(|error| error.to_string())
    }))
}

/// Expires what is old enough.
pub fn retention(
    arguments: &RetentionArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> u8 {
    let RetentionCommand::Run(arguments) = &arguments.command;
    finish(blocking(async {
        let config = arguments.place.load(environment)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let access = if arguments.dry_run { Access::Read } else { Access::Write };
        let store = storage::open(&config.storage, access, clock.clone())
            .await
            .map_err(|error| format!("storage {}: {error}", config.storage))?;
        let retention = Retention::new(config.retention, store.clone(), clock, None);
        let (_never, stop) = watch::channel(false);
        let outcome = if arguments.dry_run {
            retention.preview().await
        } else {
            retention.round(&stop).await
        };
        store.close().await;
        let expired = outcome.map_err(|error| error.to_string())?;
        if arguments.place.json {
            let text = serde_json::to_string(&expired).map_err(|error| error.to_string())?;
            return writeln!(out, "{text}").map_err(|error| error.to_string());
        }
        let verb = if arguments.dry_run { "would expire" } else { "expired" };
        for expired in expired {
            let kind = format!("{:?}", expired.kind).to_lowercase();
            writeln!(out, "{kind}: {} {verb}, judged before {}", expired.rows, expired.older_than)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }))
}

fn blocking(work: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the system gives no threads: {error}"))?
        .block_on(work)
}

fn finish(outcome: Result<(), String>) -> u8 {
    match outcome {
        Ok(()) => FINE,
        Err(message) => {
            eprintln!("cvt-sidecar: {message}");
            FAILED
        }
    }
}

// === impl Place ===

impl Place {
    fn load(&self, environment: &[(String, String)]) -> Result<StoreConfig, String> {
        let flags = self.storage.iter().map(|dsn| ("storage.dsn", "--storage", dsn.clone()));
        let typed = settings::typed(None, environment, flags.collect())?;
        Config::load_store(typed).map_err(|error| error.to_string())
    }
}
