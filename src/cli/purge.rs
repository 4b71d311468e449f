//! `cvt-sidecar purge`: removes what was recorded of a consumer, or before a time, after asking.

use std::io::{self, BufRead as _, IsTerminal, Write};

use clap::Args;

use super::output::{EXIT_NEGATIVE, EXIT_OK, sanitize, thousands, write_json};
use super::store_args::{self, CommandError, StoreArgs};
use crate::control::purge::{self, PurgeReport, PurgeScope};
use crate::storage::Store;

/// Arguments of `purge`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct PurgeArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// Remove the records, the registrations and the usage of this consumer, and its name from
    /// violation groups. What still waits in the spool of a sidecar arrives later
    #[arg(long, value_name = "ID", group = "what")]
    consumer: Option<String>,
    /// Remove the records of exchanges that ended before this time, and the violation groups not
    /// seen since, RFC 3339
    #[arg(long, value_name = "TIME", group = "what")]
    before: Option<String>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Removes, after asking.
pub fn run(arguments: &PurgeArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    store_args::run_command(async {
        let before = store_args::parse_time("--before", arguments.before.as_deref())?;
        let scope = match (&arguments.consumer, before) {
            (Some(consumer), _) => PurgeScope::Consumer(consumer.clone()),
            (None, Some(time)) => PurgeScope::Before(time),
            (None, None) => return Err("name --consumer or --before".to_owned().into()),
        };
        let store = arguments.store_args.open(environment, arguments.dry_run).await?;
        let outcome = remove(&*store, &scope, arguments, out).await;
        store.close().await;
        outcome
    })
}

async fn remove(
    store: &dyn Store,
    scope: &PurgeScope,
    arguments: &PurgeArgs,
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let mut removed = purge::preview(store, scope).await?;
    removed.dry_run = arguments.dry_run;
    if !arguments.dry_run && !removed.is_empty() {
        if !arguments.yes && !confirmed(&removed, scope)? {
            return Ok(EXIT_NEGATIVE);
        }
        removed = purge::purge(store, scope).await?;
    }
    // A reader that has seen enough closes the pipe.
    let _ = if arguments.store_args.json {
        write_json(&removed, out)
    } else {
        let verb = if arguments.dry_run { "would be removed" } else { "removed" };
        writeln!(out, "{} {verb}", in_words(&removed, scope))
    };
    Ok(EXIT_OK)
}

fn confirmed(removed: &PurgeReport, scope: &PurgeScope) -> Result<bool, String> {
    let words = in_words(removed, scope);
    if !io::stdin().is_terminal() {
        return Err(format!("{words} would be removed; say --yes to do it"));
    }
    eprint!("Remove {words}? This cannot be undone. [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn in_words(removed: &PurgeReport, scope: &PurgeScope) -> String {
    let (records, groups) = (thousands(removed.records), thousands(removed.groups));
    match scope {
        PurgeScope::Consumer(consumer) => format!(
            "{records} records and {} registrations of {}, and its name in {groups} violation \
             groups,",
            thousands(removed.registrations),
            sanitize(consumer)
        ),
        PurgeScope::Before(time) => {
            format!("{records} records and {groups} violation groups of before {time}")
        }
    }
}
