//! `cvt-sidecar violations show`: one group explained.

use std::io::{self, Write};

use clap::Args;

use super::headline;
use crate::cli::output::{EXIT_OK, name_list, sanitize, thousands, write_json};
use crate::cli::store_args::{CommandError, StoreArgs};
use crate::control::groups::{self, GroupDetails};
use crate::model::record::ValidationRecord;

/// Characters of a body that are shown.
const MAX_BODY_CHARS: usize = 4_000;

#[derive(Debug, Args)]
pub(super) struct ShowGroupArgs {
    #[command(flatten)]
    store_args: StoreArgs,
    /// Id of the group, or the beginning of one
    #[arg(value_name = "ID")]
    id: String,
    /// Where the printed curl command sends its request
    #[arg(long, value_name = "URL", default_value = "http://localhost:9080")]
    url: String,
}

pub(super) async fn show(
    arguments: &ShowGroupArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, CommandError> {
    let store = arguments.store_args.open(environment, true).await?;
    let details = groups::get(&*store, &arguments.id, &arguments.url).await;
    store.close().await;
    let details = details?;
    // A reader that has seen enough closes the pipe.
    let _ = if arguments.store_args.json {
        write_json(&details, out)
    } else {
        write_details(&details, out)
    };
    Ok(EXIT_OK)
}

fn write_details(details: &GroupDetails, out: &mut dyn Write) -> io::Result<()> {
    let group = &details.group;
    writeln!(out, "{}\n", headline(group))?;
    writeln!(out, "  group      {}", group.fingerprint)?;
    let (times, first, last) = (thousands(group.count), group.first_seen, group.last_seen);
    writeln!(out, "  seen       {times} times, {first} to {last}")?;
    if let Some(fault) = group.fault {
        writeln!(out, "  fault      {fault}")?;
    }
    if !group.statuses.is_empty() {
        writeln!(out, "  answered   {}", name_list(&group.statuses, 20))?;
    }
    writeln!(out, "  consumers  {}", name_list(&group.consumers, 20))?;
    writeln!(out, "  versions   {}", name_list(&group.versions, 20))?;
    write_rule(details, out)?;
    match &details.example {
        Some(record) => write_example(record, out)?,
        None => writeln!(out, "\nNo record of it is kept any more.")?,
    }
    if let Some(curl) = &details.curl {
        writeln!(out, "\nTo send the request again (hidden values stay hidden):\n\n{curl}")?;
    }
    Ok(())
}

fn write_rule(details: &GroupDetails, out: &mut dyn Write) -> io::Result<()> {
    let pointer = sanitize(&details.group.schema_pointer);
    let Some(rule) = &details.rule else {
        return writeln!(out, "  rule       {pointer}");
    };
    let keyword = match rule.keyword.as_str() {
        "" => String::new(),
        keyword => format!("{keyword}, "),
    };
    writeln!(out, "  rule       {keyword}{pointer}")?;
    let Some(position) = rule.position else { return Ok(()) };
    let (schema, version) = (&details.group.schema_id, &rule.version);
    writeln!(out, "\n{schema} {version}, line {}:\n", position.line)?;
    for (number, text) in &rule.lines {
        let mark = if *number == position.line as usize { '>' } else { ' ' };
        writeln!(out, "{mark} {number:>5} │ {}", sanitize(text))?;
    }
    Ok(())
}

fn write_example(record: &ValidationRecord, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\nFor example record {} of {}, by {}:",
        record.id,
        record.validated_at,
        sanitize(&record.consumer_id)
    )?;
    let status = record.response_status.map_or_else(|| "none".to_owned(), |s| s.to_string());
    let request = format!("{} {}", record.request_method, sanitize(&record.request_path));
    let sides = [
        (request, &record.request_headers, &record.request_body),
        (format!("response {status}"), &record.response_headers, &record.response_body),
    ];
    for (start, headers, body) in sides {
        writeln!(out, "\n  {start}")?;
        for (name, value) in headers {
            writeln!(out, "  {}: {}", sanitize(name), sanitize(value))?;
        }
        if let Some(body) = body {
            let shown: String = body.chars().take(MAX_BODY_CHARS).collect();
            writeln!(out, "\n  {}", sanitize(&shown).replace('\n', "\n  "))?;
            if shown.len() < body.len() {
                writeln!(out, "  … {} bytes more", body.len() - shown.len())?;
            }
        }
    }
    Ok(())
}
