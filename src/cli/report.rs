//! `cvt-sidecar report`: what of the documents is used, by whom, and what is not.
//!
//! Everything comes from storage: what all sidecars on it have seen since it was made.

mod build;
mod documented;
mod markdown;
mod text;

use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::common::{self, StoreArgs};
use super::output::EXIT_OK;
use super::output::write_json;
use crate::contract::{CompileOptions, Contract};
use crate::model::group::ViolationGroup;
use crate::model::usage::{OperationUsage, UsageKind};
use crate::storage::{GroupFilter, PageRequest, Store, UsageFilter};

pub(super) use build::{Coverage, FaultCounts, OperationReport, SchemaReport, UsageCount};

/// Rows read at once.
const PAGE: u32 = 500;

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
    /// Also name the parameters, statuses and fields that were never seen
    #[arg(long)]
    details: bool,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct UsageReport {
    /// One part per schema.
    pub(super) schemas: Vec<SchemaReport>,
    /// Exchanges that were not validated, by reason, over all schemas.
    #[serde(rename = "never_validated")]
    pub(super) never_validated: Vec<UsageCount>,
}

/// Writes the report.
pub fn run(arguments: &ReportArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    common::run_command(async {
        let store = arguments.store_args.open(environment, true).await?;
        let report = gather(&*store, arguments).await;
        store.close().await;
        let report = report?;
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

async fn gather(store: &dyn Store, arguments: &ReportArgs) -> Result<UsageReport, String> {
    let ids = match &arguments.schema_id {
        Some(id) => vec![id.clone()],
        None => store.list_schema_ids().await.map_err(|error| error.to_string())?,
    };
    let mut schemas = Vec::new();
    for id in ids {
        let record = store.get_schema(&id).await.map_err(|error| error.to_string())?;
        let Some(record) = record else {
            return Err(format!("no schema is registered under {id:?}"));
        };
        let contract = compile(&record.content).map_err(|error| format!("{id}: {error}"))?;
        let usage = all_usage(store, &usage_of(&id, arguments)).await?;
        let groups = top_groups(store, &id, arguments.top as usize).await?;
        schemas.push(SchemaReport::new(&record, &contract, &usage, groups));
    }
    let unvalidated = all_usage(store, &usage_of("", arguments)).await?;
    Ok(UsageReport {
        schemas,
        never_validated: build::facts_of(&unvalidated, UsageKind::Unvalidated),
    })
}

fn usage_of(schema_id: &str, arguments: &ReportArgs) -> UsageFilter {
    UsageFilter {
        schema_id: Some(schema_id.to_owned()),
        environment: arguments.environment.clone(),
        ..UsageFilter::default()
    }
}

/// With the shapes of all bodies, which tell the documented fields.
fn compile(content: &str) -> Result<Contract, String> {
    let options = CompileOptions { strict_fields: true, ..CompileOptions::default() };
    Contract::compile(content.as_bytes(), &options).map_err(|error| error.to_string())
}

/// Everything seen that `filter` asks for.
pub(super) async fn all_usage(
    store: &dyn Store,
    filter: &UsageFilter,
) -> Result<Vec<OperationUsage>, String> {
    let mut all = Vec::new();
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.list_usage(filter, &page).await.map_err(|error| error.to_string())?;
        all.extend(found.items);
        let Some(cursor) = found.next else { return Ok(all) };
        page = PageRequest::after(PAGE, cursor);
    }
}

/// The most frequent groups; no more of them are held than asked for.
async fn top_groups(
    store: &dyn Store,
    schema_id: &str,
    top: usize,
) -> Result<Vec<ViolationGroup>, String> {
    let filter = GroupFilter { schema_id: Some(schema_id.to_owned()), ..GroupFilter::default() };
    let mut all = Vec::new();
    let mut page = PageRequest::first(PAGE);
    loop {
        let found = store.list_groups(&filter, &page).await.map_err(|error| error.to_string())?;
        all.extend(found.items);
        all.sort_by(|a: &ViolationGroup, b| {
            b.count.cmp(&a.count).then_with(|| a.fingerprint.cmp(&b.fingerprint))
        });
        all.truncate(top);
        let Some(cursor) = found.next else { return Ok(all) };
        page = PageRequest::after(PAGE, cursor);
    }
}
