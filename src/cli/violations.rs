//! `cvt-sidecar violations`: what breaks the contract, by kind and place.

mod show;

use std::io::{self, Write};

use clap::{Args, Subcommand};

use super::fault_args::FaultArgs;
use super::output::{EXIT_OK, name_list, sanitize, thousands, write_json};
use super::store_args::{self, CommandError, PageArgs, StoreArgs};
use crate::control::groups;
use crate::model::group::ViolationGroup;
use crate::storage::GroupFilter;

/// Arguments of `violations`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ViolationsArgs {
    #[command(subcommand)]
    command: Option<ViolationsCommand>,
    #[command(flatten)]
    list: ListGroupsArgs,
}

#[derive(Debug, Subcommand)]
enum ViolationsCommand {
    /// List groups of violations, seen last first
    List(Box<ListGroupsArgs>),
    /// Explain one group: the rule, an example, a command that repeats it
    Show(show::ShowGroupArgs),
}

#[derive(Debug, Args)]
struct ListGroupsArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// Groups of one schema only
    #[arg(long = "schema", value_name = "ID")]
    schema_id: Option<String>,
    /// Groups of one path template only, such as /books/{id}
    #[arg(long = "path", value_name = "TEMPLATE")]
    operation: Option<String>,
    /// Groups of one code only, such as response.body.schema
    #[arg(long)]
    code: Option<String>,
    #[command(flatten)]
    faults: FaultArgs,
    /// Groups seen at this time or later: RFC 3339, or a duration before now such as 10m or 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    #[command(flatten)]
    paging: PageArgs,
}

/// Lists or explains.
pub fn run(arguments: ViolationsArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    store_args::run_command(async {
        match arguments.command {
            None => list(arguments.list, environment, out).await,
            Some(ViolationsCommand::List(arguments)) => list(*arguments, environment, out).await,
            Some(ViolationsCommand::Show(arguments)) => {
                show::show(&arguments, environment, out).await
            }
        }
    })
}

async fn list(
    arguments: ListGroupsArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let page = arguments.paging.request()?;
    let filter = GroupFilter {
        fingerprint: None,
        schema_id: arguments.schema_id,
        code: arguments.code,
        path_template: arguments.operation,
        fault: arguments.faults.fault,
        side: arguments.faults.side,
        status: arguments.faults.status,
        seen_since: store_args::parse_time("--since", arguments.since.as_deref())?,
    };
    let store = arguments.store_args.open(environment, true).await?;
    let page = groups::list(&*store, &filter, &page).await;
    store.close().await;
    let page = page?;
    let json = arguments.store_args.json;
    for group in &page.items {
        let written = if json { write_json(group, out) } else { write_group(group, out) };
        if written.is_err() {
            // A reader that has seen enough closes the pipe.
            return Ok(EXIT_OK);
        }
    }
    if page.items.is_empty() && !json {
        let _ = writeln!(out, "No violations.");
    }
    if let Some(next) = page.next {
        eprintln!("more with --cursor {next}");
    }
    Ok(EXIT_OK)
}

fn write_group(group: &ViolationGroup, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "✗ {}", headline(group))?;
    writeln!(
        out,
        "    {}{} times, {} to {}, by {}; {}",
        group.fault.map(|fault| format!("fault {fault}, ")).unwrap_or_default(),
        thousands(group.count),
        group.first_seen,
        group.last_seen,
        name_list(&group.consumers, 3),
        group.fingerprint
    )
}

/// Operation, code, place and sentence on one line.
pub(super) fn headline(group: &ViolationGroup) -> String {
    let operation = match group.path_template.as_str() {
        "" => "undocumented".to_owned(),
        template => format!("{} {template}", group.method),
    };
    let name = group.name.as_deref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let at = match group.instance_pointer.as_str() {
        "" => String::new(),
        pointer => format!(" at {pointer}"),
    };
    sanitize(&format!("{operation}  {}{name}{at}: {}", group.code, group.message))
}
