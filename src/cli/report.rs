//! `cvt-sidecar report`: what of the documents is used, by whom, and what is not.
//!
//! Everything comes from storage: what all sidecars on it have seen since it was made.

mod markdown;
mod text;

use std::io::Write;

use clap::Args;

use super::fault_args::FaultArgs;
use super::output::{EXIT_OK, write_json};
use super::store_args::{self, CommandError, StoreArgs};
use crate::control::coverage::{self, CoverageQuestion};
use crate::storage::GroupFilter;

/// Arguments of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// Markdown instead of plain text
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// One schema only
    #[arg(long = "schema", value_name = "ID")]
    schema_id: Option<String>,
    /// What was seen in one environment only
    #[arg(long = "env", value_name = "NAME")]
    environment: Option<String>,
    /// Violation groups shown
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: u32,
    #[command(flatten)]
    faults: FaultArgs,
    /// Violation groups seen at this time or later: RFC 3339, or a duration before now such as 10m
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Also name the parameters, statuses and fields that were never seen
    #[arg(long)]
    details: bool,
}

/// Writes the report.
pub fn run(arguments: &ReportArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    store_args::run_command(async {
        let question = CoverageQuestion {
            schema_id: arguments.schema_id.clone(),
            environment: arguments.environment.clone(),
            groups: GroupFilter {
                fault: arguments.faults.fault,
                side: arguments.faults.side,
                status: arguments.faults.status,
                seen_since: store_args::parse_time("--since", arguments.since.as_deref())?,
                ..GroupFilter::default()
            },
            top_groups: arguments.top as usize,
        };
        let store = arguments.store_args.open(environment, true).await?;
        let report = coverage::report(&*store, &question).await;
        store.close().await;
        let report = report.map_err(|error| CommandError::from(error).into_failure())?;
        // A reader that has seen enough closes the pipe.
        let _ = if arguments.store_args.json {
            write_json(&report, out)
        } else if arguments.markdown {
            markdown::write(&report, arguments.details, out)
        } else {
            text::write(&report, arguments.details, out)
        };
        Ok(EXIT_OK)
    })
}
