//! `cvt-sidecar migrate` and `cvt-sidecar retention`: looking after the database.

use std::io::{self, Write};
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::output::{EXIT_OK, write_json};
use super::store_args::{self, CommandError, StoreArgs};
use crate::control::maintenance;
use crate::model::clock::{Clock, SystemClock};
use crate::storage::{self, Access};

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArgs {
    #[command(flatten)]
    store_args: StoreArgs,
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
    store_args: StoreArgs,
    /// Say what would expire, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

/// Brings the database to this version's form.
pub fn migrate(
    arguments: &MigrateArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> u8 {
    store_args::run_command(async {
        let config = arguments.store_args.config(environment)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = storage::open(&config.storage, Access::Migrate, clock)
            .await
            .map_err(|error| format!("storage {}: {error}", config.storage))?;
        let report = maintenance::migrate(&*store, arguments.dry_run).await;
        store.close().await;
        let report = report.map_err(|error| format!("storage {}: {error}", config.storage))?;
        if arguments.store_args.json {
            return answered(write_json(&report, out));
        }
        let mut lines = vec![match (report.steps.len(), report.applied) {
            (0, _) => format!("{}: nothing to do, migration {}", config.storage, report.to),
            (steps, true) => format!("{}: {steps} migrations done", config.storage),
            (steps, false) => format!("{}: {steps} migrations to do", config.storage),
        }];
        lines.extend(report.steps.iter().map(|(number, name)| format!("  {number:03} {name}")));
        answered(writeln!(out, "{}", lines.join("\n")))
    })
}

/// Expires what is old enough.
pub fn retention(
    arguments: &RetentionArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> u8 {
    let RetentionCommand::Run(arguments) = &arguments.command;
    store_args::run_command(async {
        let config = arguments.store_args.config(environment)?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let access = if arguments.dry_run { Access::Read } else { Access::Write };
        let store = storage::open(&config.storage, access, clock.clone())
            .await
            .map_err(|error| format!("storage {}: {error}", config.storage))?;
        let expired =
            maintenance::expire(store.clone(), config.retention, clock, arguments.dry_run).await;
        store.close().await;
        let expired = expired?;
        if arguments.store_args.json {
            return answered(write_json(&expired, out));
        }
        let verb = if arguments.dry_run { "would expire" } else { "expired" };
        for expired in expired {
            let kind = format!("{:?}", expired.kind).to_lowercase();
            writeln!(out, "{kind}: {} {verb}, ended before {}", expired.rows, expired.older_than)
                .map_err(|error| error.to_string())?;
        }
        Ok(EXIT_OK)
    })
}

fn answered(written: io::Result<()>) -> Result<u8, CommandError> {
    written.map(|()| EXIT_OK).map_err(|error| error.to_string().into())
}
