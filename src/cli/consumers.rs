//! `cvt-sidecar consumers`: who calls, and what they use.

use std::io::{self, Write};

use super::output::{EXIT_OK, sanitize, thousands, write_json};
use super::store_args::{self, CommandError, PageArgs, StoreArgs};
use crate::control::consumers::{self, ConsumerDetails, ConsumerQuestion};
use crate::model::consumer::ConsumerRecord;
use crate::model::usage::{OperationUsage, UsageFact, UsageKind};
use crate::storage::ConsumerFilter;
use clap::{Args, Subcommand};

/// Arguments of `consumers`.
#[derive(Debug, Args)]
pub struct ConsumersArgs {
    #[command(subcommand)]
    command: ConsumersCommand,
}

#[derive(Debug, Subcommand)]
enum ConsumersCommand {
    /// List consumers by schema and environment
    List(ListConsumersArgs),
    /// Show what one consumer uses
    Show(ShowConsumerArgs),
}

#[derive(Debug, Args)]
struct ListConsumersArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// Consumers of one schema only
    #[arg(long = "schema", value_name = "ID")]
    schema_id: Option<String>,
    /// Consumers of one environment only
    #[arg(long = "env", value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    paging: PageArgs,
}

#[derive(Debug, Args)]
struct ShowConsumerArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// Its id
    #[arg(value_name = "ID")]
    consumer: String,
    /// What it uses of one schema only
    #[arg(long = "schema", value_name = "ID")]
    schema_id: Option<String>,
    /// What it uses in one environment only
    #[arg(long = "env", value_name = "NAME")]
    environment: Option<String>,
}

/// Lists consumers or shows one.
pub fn run(arguments: &ConsumersArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    store_args::run_command(async {
        match &arguments.command {
            ConsumersCommand::List(arguments) => list(arguments, environment, out).await,
            ConsumersCommand::Show(arguments) => show(arguments, environment, out).await,
        }
    })
}

async fn list(
    arguments: &ListConsumersArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let page = arguments.paging.request()?;
    let filter = ConsumerFilter {
        schema_id: arguments.schema_id.clone(),
        environment: arguments.environment.clone(),
        consumer_id: None,
    };
    let store = arguments.store_args.open(environment, true).await?;
    let page = consumers::list(&*store, &filter, &page).await;
    store.close().await;
    let page = page?;
    for record in &page.items {
        let json = arguments.store_args.json;
        let written = if json { write_json(record, out) } else { write_line(record, out) };
        if written.is_err() {
            // A reader that has seen enough closes the pipe.
            return Ok(EXIT_OK);
        }
    }
    if page.items.is_empty() && !arguments.store_args.json {
        let _ = writeln!(out, "No consumers.");
    }
    if let Some(next) = page.next {
        eprintln!("more with --cursor {next}");
    }
    Ok(EXIT_OK)
}

fn write_line(record: &ConsumerRecord, out: &mut dyn Write) -> io::Result<()> {
    let version = match record.consumer_version.as_str() {
        "" => String::new(),
        version => format!(" {version}"),
    };
    let line = format!(
        "{}{version}  {} {} ({})  {} operations, last seen {}",
        record.consumer_id,
        record.schema_id,
        record.schema_version,
        record.environment,
        record.used_endpoints.len(),
        record.last_validated_at
    );
    writeln!(out, "{}", sanitize(&line))
}

async fn show(
    arguments: &ShowConsumerArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let question = ConsumerQuestion {
        consumer_id: arguments.consumer.clone(),
        schema_id: arguments.schema_id.clone(),
        environment: arguments.environment.clone(),
    };
    let store = arguments.store_args.open(environment, true).await?;
    let found = consumers::get(&*store, &question).await;
    store.close().await;
    for details in &found? {
        let json = arguments.store_args.json;
        let written = if json { write_json(details, out) } else { write_details(details, out) };
        if written.is_err() {
            break;
        }
    }
    Ok(EXIT_OK)
}

fn write_details(details: &ConsumerDetails, out: &mut dyn Write) -> io::Result<()> {
    let record = &details.registration;
    write_line(record, out)?;
    writeln!(out, "  registered {}", record.registered_at)?;
    for endpoint in &record.used_endpoints {
        let same = |usage: &&OperationUsage| {
            usage.method == endpoint.method && usage.path == endpoint.path
        };
        let usage = details.usage.iter().find(same);
        let calls = usage.and_then(|usage| facts_of(usage, UsageKind::Operation).next());
        let seen = calls.map_or_else(
            || "registered, not seen".to_owned(),
            |fact| format!("{} times, last {}", thousands(fact.count), fact.last_seen),
        );
        writeln!(out, "\n  {} {}  {seen}", sanitize(&endpoint.method), sanitize(&endpoint.path))?;
        if let Some(usage) = usage {
            write_facts("parameters", usage, UsageKind::Parameter, out)?;
            write_facts("sends", usage, UsageKind::RequestField, out)?;
            write_facts("statuses", usage, UsageKind::Status, out)?;
        }
        if !endpoint.used_fields.is_empty() {
            writeln!(out, "    receives    {}", sanitize(&endpoint.used_fields.join(", ")))?;
        }
    }
    let undocumented =
        details.usage.iter().flat_map(|usage| facts_of(usage, UsageKind::Undocumented));
    for (at, fact) in undocumented.enumerate() {
        if at == 0 {
            writeln!(out, "\n  not in the document")?;
        }
        writeln!(out, "    {}  {} times", sanitize(&fact.name), thousands(fact.count))?;
    }
    writeln!(out)
}

fn facts_of(usage: &OperationUsage, kind: UsageKind) -> impl Iterator<Item = &UsageFact> {
    usage.facts.iter().filter(move |fact| fact.kind == kind)
}

fn write_facts(
    title: &str,
    usage: &OperationUsage,
    kind: UsageKind,
    out: &mut dyn Write,
) -> io::Result<()> {
    let all: Vec<_> = facts_of(usage, kind)
        .map(|fact| format!("{} ({})", fact.name, thousands(fact.count)))
        .collect();
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "    {title:<11} {}", sanitize(&all.join(", ")))
}
