//! `cvt-sidecar validations`: read back what was recorded.

use std::io::Write;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::output::{EXIT_OK, sanitize, write_json};
use super::selection::Selection;
use super::store_args::{self, CommandError, PageArgs, StoreArgs};
use crate::control::records;
use crate::model::record::ValidationRecord;
use crate::model::violation::Violation;

/// Arguments of `validations`.
#[derive(Debug, Args)]
pub struct ValidationsArgs {
    #[command(subcommand)]
    command: ValidationsCommand,
}

#[derive(Debug, Subcommand)]
enum ValidationsCommand {
    /// List records, newest first
    List(Box<ListRecordsArgs>),
    /// Show one record whole
    Show(ShowRecordArgs),
}

#[derive(Debug, Args)]
struct ListRecordsArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    paging: PageArgs,
}

#[derive(Debug, Args)]
struct ShowRecordArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// Id of the record
    id: Uuid,
}

/// Reads records back.
pub fn run(
    arguments: ValidationsArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> u8 {
    store_args::run_command(async {
        match arguments.command {
            ValidationsCommand::List(arguments) => list(&arguments, environment, out).await,
            ValidationsCommand::Show(arguments) => show(&arguments, environment, out).await,
        }
    })
}

async fn list(
    arguments: &ListRecordsArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let (filter, page) = (arguments.selection.filter()?, arguments.paging.request()?);
    let store = arguments.store_args.open(environment, true).await?;
    let page = records::list(&*store, &filter, &page).await;
    store.close().await;
    let page = page?;
    for record in &page.items {
        // A reader that has seen enough closes the pipe.
        let written = if arguments.store_args.json {
            write_json(record, out)
        } else {
            write_line(record, out)
        };
        if written.is_err() {
            return Ok(EXIT_OK);
        }
    }
    if let Some(next) = page.next {
        eprintln!("more with --cursor {next}");
    }
    Ok(EXIT_OK)
}

async fn show(
    arguments: &ShowRecordArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let store = arguments.store_args.open(environment, true).await?;
    let record = records::get(&*store, arguments.id).await;
    store.close().await;
    let record = record?;
    let _ = if arguments.store_args.json {
        write_json(&record, out)
    } else {
        write_record(&record, out)
    };
    Ok(EXIT_OK)
}

fn write_line(record: &ValidationRecord, out: &mut dyn Write) -> std::io::Result<()> {
    let mark = if record.valid { "✓" } else { "✗" };
    let status = match (record.response_status, record.rejected) {
        (Some(status), None) => status.to_string(),
        (Some(status), Some(_)) => format!("{status} rejected"),
        (None, Some(_)) => "rejected".to_owned(),
        (None, None) => "-".to_owned(),
    };
    writeln!(
        out,
        "{} {mark} {:<6} {} {status} {} {}",
        record.validated_at,
        sanitize(&record.request_method),
        sanitize(&record.request_path),
        sanitize(&record.consumer_id),
        record.id
    )?;
    record.errors.iter().try_for_each(|error| writeln!(out, "    {}", sanitize(error)))
}

fn write_record(record: &ValidationRecord, out: &mut dyn Write) -> std::io::Result<()> {
    write_line(record, out)?;
    writeln!(out, "\nschema      {}@{}", record.schema_id, record.schema_version)?;
    writeln!(out, "template    {}", record.path_template.as_deref().unwrap_or("undocumented"))?;
    writeln!(
        out,
        "consumer    {} {}",
        sanitize(&record.consumer_id),
        sanitize(&record.consumer_version)
    )?;
    writeln!(out, "request id  {}", sanitize(&record.request_id))?;
    writeln!(out, "took        {} ms", record.duration_ms)?;
    writeln!(out, "mode        {}", record.mode)?;
    if let Some(side) = record.rejected {
        writeln!(out, "rejected    for its {}", side.as_str())?;
    }
    for violation in &record.violations {
        write_violation(violation, out)?;
    }
    let sides = [
        ("request", &record.request_headers, &record.request_body),
        ("response", &record.response_headers, &record.response_body),
    ];
    for (side, headers, body) in sides {
        writeln!(out, "\n{side}")?;
        for (name, value) in headers {
            writeln!(out, "  {}: {}", sanitize(name), sanitize(value))?;
        }
        if let Some(body) = body {
            writeln!(out, "\n{}", sanitize(body))?;
        }
    }
    Ok(())
}

fn write_violation(violation: &Violation, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "\n{}: {}", violation.code, sanitize(&violation.message))?;
    if !violation.instance_pointer.is_empty() {
        writeln!(out, "  in the message  {}", sanitize(&violation.instance_pointer))?;
    }
    let position = violation
        .position
        .map_or_else(String::new, |p| format!(", line {}, column {}", p.line, p.column));
    writeln!(out, "  in the document {}{position}", violation.schema_pointer)
}
