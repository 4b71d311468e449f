//! `cvt-sidecar validations`: read back what was recorded.

use std::io::Write;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::output::{clean, write_json};
use super::place::{self, Paging, Place};
use super::selection::Selection;
use super::{FINE, NO};
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
    List(Box<ListArgs>),
    /// Show one record whole
    Show(ShowArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    place: Place,
    /// Id of the record
    id: Uuid,
}

/// Reads records back.
pub fn run(
    arguments: ValidationsArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> u8 {
    place::run(async {
        match arguments.command {
            ValidationsCommand::List(arguments) => list(&arguments, environment, out).await,
            ValidationsCommand::Show(arguments) => show(&arguments, environment, out).await,
        }
    })
}

async fn list(
    arguments: &ListArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, String> {
    let (filter, page) = (arguments.selection.filter()?, arguments.paging.request()?);
    let store = arguments.place.open(environment, true).await?;
    let page = store.list_validations(&filter, &page).await.map_err(|error| error.to_string())?;
    store.close().await;
    for record in &page.items {
        // A reader that has seen enough closes the pipe.
        let written =
            if arguments.place.json { write_json(record, out) } else { write_line(record, out) };
        if written.is_err() {
            return Ok(FINE);
        }
    }
    if let Some(next) = page.next {
        eprintln!("more with --cursor {next}");
    }
    Ok(FINE)
}

async fn show(
    arguments: &ShowArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, String> {
    let store = arguments.place.open(environment, true).await?;
    let record = store.get_validation(arguments.id).await.map_err(|error| error.to_string())?;
    store.close().await;
    let Some(record) = record else {
        eprintln!("cvt-sidecar: no record has the id {}", arguments.id);
        return Ok(NO);
    };
    let _ = if arguments.place.json { write_json(&record, out) } else { write_whole(&record, out) };
    Ok(FINE)
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
        clean(&record.request_method),
        clean(&record.request_path),
        clean(&record.consumer_id),
        record.id
    )?;
    record.errors.iter().try_for_each(|error| writeln!(out, "    {}", clean(error)))
}

fn write_whole(record: &ValidationRecord, out: &mut dyn Write) -> std::io::Result<()> {
    write_line(record, out)?;
    writeln!(out, "\nschema      {}@{}", record.schema_id, record.schema_version)?;
    writeln!(out, "template    {}", record.operation.as_deref().unwrap_or("undocumented"))?;
    writeln!(
        out,
        "consumer    {} {}",
        clean(&record.consumer_id),
        clean(&record.consumer_version)
    )?;
    writeln!(out, "request id  {}", clean(&record.request_id))?;
    writeln!(out, "took        {} ms", record.duration_ms)?;
    writeln!(out, "mode        {}", record.mode)?;
    if let Some(side) = record.rejected {
        writeln!(out, "rejected    for its {}", side.as_str())?;
    }
    for violation in &record.violations {
        write_violation(violation, out)?;
    }
    let halves = [
        ("request", &record.request_headers, &record.request_body),
        ("response", &record.response_headers, &record.response_body),
    ];
    for (half, headers, body) in halves {
        writeln!(out, "\n{half}")?;
        for (name, value) in headers {
            writeln!(out, "  {}: {}", clean(name), clean(value))?;
        }
        if let Some(body) = body {
            writeln!(out, "\n{}", clean(body))?;
        }
    }
    Ok(())
}

fn write_violation(violation: &Violation, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "\n{}: {}", violation.code, clean(&violation.message))?;
    if !violation.instance_pointer.is_empty() {
        writeln!(out, "  in the message  {}", clean(&violation.instance_pointer))?;
    }
    let position = violation
        .position
        .map_or_else(String::new, |p| format!(", line {}, column {}", p.line, p.column));
    writeln!(out, "  in the document {}{position}", violation.schema_pointer)
}
