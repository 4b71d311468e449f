//! `cvt-sidecar violations show`: one group explained.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use super::{curl, headline};
use crate::cli::common::StoreArgs;
use crate::cli::output::{EXIT_NEGATIVE, EXIT_OK};
use crate::cli::output::{name_list, sanitize, thousands, write_json};
use crate::contract::{CompileOptions, Document};
use crate::model::group::ViolationGroup;
use crate::model::record::ValidationRecord;
use crate::model::violation::{Position, Violation};
use crate::pipeline::record::found_names::OTHER_FOUND;
use crate::pipeline::record::group_id::GroupId;
use crate::storage::{GroupFilter, PageRequest, Store, ValidationFilter};

/// Lines of the document shown before and after the rule.
const CONTEXT_LINES: usize = 3;
/// Records searched for an example when the stored one is gone.
const MAX_RECORDS_SEARCHED: u32 = 200;
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

/// Everything known of a group.
#[derive(Debug, Serialize)]
struct Explanation {
    group: ViolationGroup,
    rule: Option<ViolatedRule>,
    example: Option<ValidationRecord>,
    curl: Option<String>,
}

/// The rule and where it stands.
#[derive(Debug, Serialize)]
struct ViolatedRule {
    version: String,
    keyword: String,
    #[serde(flatten)]
    position: Option<Position>,
    /// The lines around it, by their numbers.
    lines: Vec<(usize, String)>,
}

pub(super) async fn show(
    arguments: &ShowGroupArgs,
    environment: &[(String, String)],
    out: &mut dyn Write,
) -> Result<u8, String> {
    let store = arguments.store_args.open(environment, true).await?;
    let explained = explain(&*store, arguments).await;
    store.close().await;
    let Some(explained) = explained? else {
        eprintln!("cvt-sidecar: no violation group has the id {}", sanitize(&arguments.id));
        return Ok(EXIT_NEGATIVE);
    };
    // A reader that has seen enough closes the pipe.
    let _ =
        if arguments.store_args.json { write_json(&explained, out) } else { explained.write(out) };
    Ok(EXIT_OK)
}

async fn explain(
    store: &dyn Store,
    arguments: &ShowGroupArgs,
) -> Result<Option<Explanation>, String> {
    let Some(group) = find(store, &arguments.id).await? else { return Ok(None) };
    let example = example(store, &group).await?;
    let violation = example.as_ref().and_then(|record| violation_of(record, &group));
    let rule = rule(store, &group, violation).await?;
    let curl = example.as_ref().map(|record| curl::command(record, &arguments.url));
    Ok(Some(Explanation { group, rule, example, curl }))
}

/// The group whose id is, or begins with, `id`.
async fn find(store: &dyn Store, id: &str) -> Result<Option<ViolationGroup>, String> {
    let id = id.to_ascii_lowercase();
    let exact = GroupFilter { fingerprint: Some(id.clone()), ..GroupFilter::default() };
    let found = store.list_groups(&exact, &PageRequest::first(1)).await;
    let mut found = found.map_err(|error| error.to_string())?.items;
    if found.is_empty() && (4..16).contains(&id.len()) {
        let mut page = PageRequest::first(1_000);
        loop {
            let groups = store.list_groups(&GroupFilter::default(), &page).await;
            let groups = groups.map_err(|error| error.to_string())?;
            found.extend(
                groups.items.into_iter().filter(|group| group.fingerprint.starts_with(&id)),
            );
            let Some(cursor) = groups.next else { break };
            page = PageRequest::after(1_000, cursor);
        }
    }
    match found.len() {
        0 => Ok(None),
        1 => Ok(found.pop()),
        many => Err(format!("{many} groups begin with {}", sanitize(&id))),
    }
}

/// The stored record, or the newest of the same kind.
async fn example(
    store: &dyn Store,
    group: &ViolationGroup,
) -> Result<Option<ValidationRecord>, String> {
    if let Some(id) = group.example {
        let stored = store.get_validation(id).await.map_err(|error| error.to_string())?;
        if stored.is_some() {
            return Ok(stored);
        }
    }
    let filter = ValidationFilter {
        schema_id: Some(group.schema_id.clone()),
        path_template: Some(group.path_template.clone()).filter(|operation| !operation.is_empty()),
        code: Some(group.code.as_str().to_owned()),
        valid: Some(false),
        ..ValidationFilter::default()
    };
    let records = store.list_validations(&filter, &PageRequest::first(MAX_RECORDS_SEARCHED)).await;
    let records = records.map_err(|error| error.to_string())?.items;
    Ok(records.into_iter().find(|record| violation_of(record, group).is_some()))
}

/// The violation of a record that belongs to the group.
fn violation_of<'r>(record: &'r ValidationRecord, group: &ViolationGroup) -> Option<&'r Violation> {
    let operation = match group.path_template.as_str() {
        "" => crate::pipeline::record::recorder::UNDOCUMENTED.to_owned(),
        template => format!("{} {template}", group.method),
    };
    let is_group = |id: GroupId| id.to_string() == group.fingerprint;
    record.violations.iter().find(|violation| {
        let schema_id = record.schema_id.as_str();
        let of = |fault, found| GroupId::of(schema_id, &operation, violation, fault, found);
        let found = |fault| [violation.found.as_str(), OTHER_FOUND].map(|found| of(fault, found));
        is_group(GroupId::earlier(schema_id, &operation, violation))
            || record.fault.is_some_and(|fault| found(fault).into_iter().any(is_group))
    })
}

/// The rule in the document; in the version of the example, else in the newest one that was in force.
async fn rule(
    store: &dyn Store,
    group: &ViolationGroup,
    violation: Option<&Violation>,
) -> Result<Option<ViolatedRule>, String> {
    let newest = store.list_versions(&group.schema_id).await.map_err(|error| error.to_string())?;
    let validated = newest.into_iter().find(|version| group.versions.contains(version));
    let Some(version) = validated else { return Ok(None) };
    let record = store.get_schema_version(&group.schema_id, &version).await;
    let Some(record) = record.map_err(|error| error.to_string())? else { return Ok(None) };
    let position = position_in(&record.content, &group.schema_pointer)
        .or_else(|| violation.and_then(|violation| violation.position));
    let last = group.schema_pointer.rsplit('/').next().unwrap_or_default();
    let keyword = violation.map_or(last, |violation| &violation.keyword).to_owned();
    let lines = position.map(|position| lines_around(&record.content, position.line as usize));
    Ok(Some(ViolatedRule { version, keyword, position, lines: lines.unwrap_or_default() }))
}

fn position_in(content: &str, pointer: &str) -> Option<Position> {
    let document = Document::read(content.as_bytes(), &CompileOptions::default()).ok()?;
    document.origin(pointer).position
}

fn lines_around(content: &str, line: usize) -> Vec<(usize, String)> {
    let first = line.saturating_sub(CONTEXT_LINES).max(1);
    let lines = (1..).zip(content.lines()).skip(first - 1).take(line + CONTEXT_LINES + 1 - first);
    lines.map(|(number, text)| (number, text.to_owned())).collect()
}

// === impl Explanation ===

impl Explanation {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let group = &self.group;
        writeln!(out, "{}\n", headline(group))?;
        writeln!(out, "  group      {}", group.fingerprint)?;
        let (times, first, last) = (thousands(group.count), group.first_seen, group.last_seen);
        writeln!(out, "  seen       {times} times, {first} to {last}")?;
        writeln!(out, "  consumers  {}", name_list(&group.consumers, 20))?;
        writeln!(out, "  versions   {}", name_list(&group.versions, 20))?;
        self.write_rule(out)?;
        match &self.example {
            Some(record) => write_example(record, out)?,
            None => writeln!(out, "\nNo record of it is kept any more.")?,
        }
        if let Some(curl) = &self.curl {
            writeln!(out, "\nTo send the request again (hidden values stay hidden):\n\n{curl}")?;
        }
        Ok(())
    }

    fn write_rule(&self, out: &mut dyn Write) -> io::Result<()> {
        let pointer = sanitize(&self.group.schema_pointer);
        let Some(rule) = &self.rule else {
            return writeln!(out, "  rule       {pointer}");
        };
        let keyword = match rule.keyword.as_str() {
            "" => String::new(),
            keyword => format!("{keyword}, "),
        };
        writeln!(out, "  rule       {keyword}{pointer}")?;
        let Some(position) = rule.position else { return Ok(()) };
        let (schema, version) = (&self.group.schema_id, &rule.version);
        writeln!(out, "\n{schema} {version}, line {}:\n", position.line)?;
        for (number, text) in &rule.lines {
            let mark = if *number == position.line as usize { '>' } else { ' ' };
            writeln!(out, "{mark} {number:>5} │ {}", sanitize(text))?;
        }
        Ok(())
    }
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
