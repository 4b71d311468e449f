//! `cvt-sidecar purge`: removes what was recorded of a consumer, or before a time.
//!
//! Only storage is purged: what a running sidecar still holds in memory or in its spool arrives
//! later, and takes another purge.

use std::io::{self, BufRead as _, IsTerminal, Write};

use clap::Args;
use serde::Serialize;

use super::common::{self, StoreArgs};
use super::output::{EXIT_NEGATIVE, EXIT_OK};
use super::output::{sanitize, thousands, write_json};
use crate::model::clock::Timestamp;
use crate::storage::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, GroupFilter, PageRequest, Purge, Store,
    StoreResult, ValidationFilter,
};

/// Rows removed by one transaction.
const BATCH: u32 = 2_000;

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

/// What is, or would be, removed.
#[derive(Debug, Default, Serialize)]
struct Removed {
    records: u64,
    registrations: u64,
    groups: u64,
    dry_run: bool,
}

/// What to remove.
enum PurgeScope {
    Consumer(String),
    Before(Timestamp),
}

/// Removes, after asking.
pub fn run(arguments: &PurgeArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    common::run_command(async {
        let before = common::parse_time("--before", arguments.before.as_deref())?;
        let scope = match (&arguments.consumer, before) {
            (Some(consumer), _) => PurgeScope::Consumer(consumer.clone()),
            (None, Some(time)) => PurgeScope::Before(time),
            (None, None) => return Err("name --consumer or --before".to_owned()),
        };
        let store = arguments.store_args.open(environment, arguments.dry_run).await?;
        let outcome = purge(&*store, &scope, arguments, out).await;
        store.close().await;
        outcome
    })
}

async fn purge(
    store: &dyn Store,
    scope: &PurgeScope,
    arguments: &PurgeArgs,
    out: &mut dyn Write,
) -> Result<u8, String> {
    let mut removed = preview(store, scope).await.map_err(|error| error.to_string())?;
    let nothing = removed.records + removed.registrations + removed.groups == 0;
    removed.dry_run = arguments.dry_run;
    if !arguments.dry_run && !nothing {
        if !arguments.yes && !confirmed(&removed, scope)? {
            return Ok(EXIT_NEGATIVE);
        }
        removed = remove(store, scope).await.map_err(|error| error.to_string())?;
    }
    // A reader that has seen enough closes the pipe.
    let _ = if arguments.store_args.json {
        write_json(&removed, out)
    } else {
        let verb = if arguments.dry_run { "would be removed" } else { "removed" };
        writeln!(out, "{} {verb}", removed.in_words(scope))
    };
    Ok(EXIT_OK)
}

async fn preview(store: &dyn Store, scope: &PurgeScope) -> StoreResult<Removed> {
    let mut found = Removed::default();
    match scope {
        PurgeScope::Consumer(consumer) => {
            let filter = ValidationFilter {
                consumer_id: Some(consumer.clone()),
                ..ValidationFilter::default()
            };
            let options = AnalyticsOptions { bucket: None, top: 1 };
            let numbers = store.get_validation_analytics(&filter, &options).await?;
            found.records = numbers.total_validations;
            found.registrations = registrations(store, consumer).await?.len() as u64;
        }
        PurgeScope::Before(time) => {
            found.records = store.count_expirable(ExpireKind::All, *time).await?;
        }
    }
    let mut page = PageRequest::first(1_000);
    loop {
        let groups = store.list_groups(&GroupFilter::default(), &page).await?;
        let goes = groups.items.iter().filter(|group| match scope {
            PurgeScope::Consumer(consumer) => group.lists_consumer(consumer),
            PurgeScope::Before(time) => group.last_seen < *time,
        });
        found.groups += goes.count() as u64;
        let Some(cursor) = groups.next else { return Ok(found) };
        page = PageRequest::after(1_000, cursor);
    }
}

async fn remove(store: &dyn Store, scope: &PurgeScope) -> StoreResult<Removed> {
    let mut removed = Removed::default();
    match scope {
        PurgeScope::Consumer(consumer) => {
            removed.records = purge_all(store, Purge::ConsumerRecords(consumer)).await?;
            for [schema_id, environment] in registrations(store, consumer).await? {
                let gone = store.deregister_consumer(consumer, &schema_id, &environment).await?;
                removed.registrations += u64::from(gone);
            }
            removed.groups = purge_all(store, Purge::ConsumerInGroups(consumer)).await?;
        }
        PurgeScope::Before(time) => {
            loop {
                match store.expire_validations(ExpireKind::All, *time, BATCH).await? {
                    0 => break,
                    rows => removed.records += rows,
                }
            }
            removed.groups = purge_all(store, Purge::GroupsLastSeenBefore(*time)).await?;
        }
    }
    Ok(removed)
}

async fn purge_all(store: &dyn Store, purge: Purge<'_>) -> StoreResult<u64> {
    let mut total = 0;
    loop {
        match store.purge(purge, BATCH).await? {
            0 => return Ok(total),
            rows => total += rows,
        }
    }
}

/// Schema and environment of each registration of a consumer.
async fn registrations(store: &dyn Store, consumer: &str) -> StoreResult<Vec<[String; 2]>> {
    let filter =
        ConsumerFilter { consumer_id: Some(consumer.to_owned()), ..ConsumerFilter::default() };
    let mut all = Vec::new();
    let mut page = PageRequest::first(1_000);
    loop {
        let found = store.list_consumers(&filter, &page).await?;
        let names = found.items.into_iter();
        all.extend(names.map(|record| [record.schema_id.to_string(), record.environment]));
        let Some(cursor) = found.next else { return Ok(all) };
        page = PageRequest::after(1_000, cursor);
    }
}

fn confirmed(removed: &Removed, scope: &PurgeScope) -> Result<bool, String> {
    let words = removed.in_words(scope);
    if !io::stdin().is_terminal() {
        return Err(format!("{words} would be removed; say --yes to do it"));
    }
    eprint!("Remove {words}? This cannot be undone. [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

// === impl Removed ===

impl Removed {
    fn in_words(&self, scope: &PurgeScope) -> String {
        let (records, groups) = (thousands(self.records), thousands(self.groups));
        match scope {
            PurgeScope::Consumer(consumer) => format!(
                "{records} records and {} registrations of {}, and its name in {groups} violation \
                 groups,",
                thousands(self.registrations),
                sanitize(consumer)
            ),
            PurgeScope::Before(time) => {
                format!("{records} records and {groups} violation groups of before {time}")
            }
        }
    }
}
