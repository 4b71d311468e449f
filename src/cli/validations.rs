//! `cvt-sidecar validations`: read back what was recorded.

use std::io::Write;
use std::sync::Arc;

use clap::{Args, Subcommand};
use uuid::Uuid;

use super::{FAILED, FINE, NO, settings};
use crate::app;
use crate::config::Config;
use crate::model::clock::{Clock, SystemClock, Timestamp};
use crate::model::page::Cursor;
use crate::model::record::ValidationRecord;
use crate::model::violation::Violation;
use crate::storage::{PageRequest, Store, ValidationFilter};

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
struct Place {
    /// Where records are kept: a path, sqlite://PATH or postgres://… [default: as `run` has it]
    #[arg(long, value_name = "DSN")]
    storage: Option<String>,
    /// One JSON object per line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Records that break the contract only
    #[arg(long, conflicts_with = "valid")]
    invalid: bool,
    /// Records that do not break the contract only
    #[arg(long)]
    valid: bool,
    /// Records of one schema only
    #[arg(long, value_name = "ID")]
    schema_id: Option<String>,
    /// Records of one method only
    #[arg(long)]
    method: Option<String>,
    /// Records of one path template only, such as /books/{id}
    #[arg(long, value_name = "TEMPLATE")]
    operation: Option<String>,
    /// Records of one consumer only
    #[arg(long, value_name = "ID")]
    consumer: Option<String>,
    /// Records with a violation of one code only, such as response.body.schema
    #[arg(long)]
    code: Option<String>,
    /// Records of one environment only
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Records judged at this time or later, RFC 3339
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Records judged before this time only, RFC 3339
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Records on a page
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Where to go on: the cursor that the page before ended with
    #[arg(long)]
    cursor: Option<String>,
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
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("cvt-sidecar: the system gives no threads: {error}");
            return FAILED;
        }
    };
    let outcome = runtime.block_on(async {
        match arguments.command {
            ValidationsCommand::List(arguments) => list(*arguments, environment, out).await,
            ValidationsCommand::Show(arguments) => show(arguments, environment, out).await,
        }
    });
    outcome.unwrap_or_else(|message| {
        eprintln!("cvt-sidecar: {message}");
        FAILED
    })
}

async fn list(
    arguments: ListArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, String> {
    let json = arguments.place.json;
    let store = open(&arguments.place, environment).await?;
    let size = arguments.limit;
    let page = match &arguments.cursor {
        Some(text) => {
            let cursor: Cursor = text.parse().map_err(|error| format!("--cursor: {error}"))?;
            PageRequest::after(size, cursor)
        }
        None => PageRequest::first(size),
    };
    let filter = arguments.into_filter()?;
    let page = store.list_validations(&filter, &page).await.map_err(|error| error.to_string())?;
    store.close().await;
    for record in &page.items {
        // A reader that has seen enough closes the pipe.
        let written = if json { write_json(record, out) } else { write_line(record, out) };
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
    arguments: ShowArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, String> {
    let store = open(&arguments.place, environment).await?;
    let record = store.get_validation(arguments.id).await.map_err(|error| error.to_string())?;
    store.close().await;
    let Some(record) = record else {
        eprintln!("cvt-sidecar: no record has the id {}", arguments.id);
        return Ok(NO);
    };
    let _ = if arguments.place.json { write_json(&record, out) } else { write_whole(&record, out) };
    Ok(FINE)
}

async fn open(place: &Place, environment: &[(String, String)]) -> Result<Arc<dyn Store>, String> {
    let flags = place.storage.iter().map(|dsn| ("storage.dsn", "--storage", dsn.clone()));
    let typed = settings::typed(None, environment, flags.collect())?;
    let config = Config::load_store(typed).map_err(|error| error.to_string())?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let opened = app::open_store(&config.storage, &config.encryption, true, &clock).await;
    opened.map_err(|error| error.to_string())
}

fn write_json(record: &ValidationRecord, out: &mut dyn Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    writeln!(out)
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
        record.request_method,
        record.request_path,
        record.consumer_id,
        record.id
    )?;
    record.errors.iter().try_for_each(|error| writeln!(out, "    {error}"))
}

fn write_whole(record: &ValidationRecord, out: &mut dyn Write) -> std::io::Result<()> {
    write_line(record, out)?;
    writeln!(out, "\nschema      {}@{}", record.schema_id, record.schema_version)?;
    writeln!(out, "operation   {}", record.operation.as_deref().unwrap_or("undocumented"))?;
    writeln!(out, "consumer    {} {}", record.consumer_id, record.consumer_version)?;
    writeln!(out, "request id  {}", record.request_id)?;
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
            writeln!(out, "  {name}: {value}")?;
        }
        if let Some(body) = body {
            writeln!(out, "\n{body}")?;
        }
    }
    Ok(())
}

fn write_violation(violation: &Violation, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "\n{}: {}", violation.code, violation.message)?;
    if !violation.instance_pointer.is_empty() {
        writeln!(out, "  in the message  {}", violation.instance_pointer)?;
    }
    let position = violation
        .position
        .map_or_else(String::new, |p| format!(", line {}, column {}", p.line, p.column));
    writeln!(out, "  in the document {}{position}", violation.schema_pointer)
}

// === impl ListArgs ===

impl ListArgs {
    fn into_filter(self) -> Result<ValidationFilter, String> {
        let time = |flag: &str, text: Option<String>| match text {
            None => Ok(None),
            Some(text) => Timestamp::parse(&text)
                .map(Some)
                .ok_or_else(|| format!("{flag}: expected a time such as 2026-01-31T12:00:00Z")),
        };
        Ok(ValidationFilter {
            schema_id: self.schema_id,
            method: self.method,
            environment: self.environment,
            valid: if self.invalid { Some(false) } else { self.valid.then_some(true) },
            from: time("--since", self.since)?,
            until: time("--until", self.until)?,
            consumer_id: self.consumer,
            operation: self.operation,
            code: self.code,
        })
    }
}
