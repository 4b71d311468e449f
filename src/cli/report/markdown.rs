//! The report as Markdown, for a wiki or a pull request.

use std::io::{self, Write};

use crate::cli::output::{name_list, sanitize, thousands};
use crate::control::coverage::{Coverage, NamedUsage, SchemaReport, UsageReport};
use crate::model::fault::Fault;

/// Writes it; with `details` what was never seen is named.
pub(super) fn write(report: &UsageReport, details: bool, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# Contract report")?;
    for schema in &report.schemas {
        write_schema(schema, details, out)?;
    }
    write_named("Exchanges never validated", &report.never_validated, out)
}

fn write_schema(schema: &SchemaReport, details: bool, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n## {} {}\n", cell(&schema.title), cell(&schema.version))?;
    writeln!(out, "{}", super::text::headline(schema).replace('\n', ".\n"))?;
    write_used(schema, out)?;
    if !schema.never_used.is_empty() {
        writeln!(out, "\n### Documented and never used\n")?;
    }
    for operation in &schema.never_used {
        writeln!(out, "- `{} {}`", operation.method, cell(&operation.path))?;
    }
    write_named("Used but not documented", &schema.undocumented, out)?;
    write_named("Used but no longer documented", &schema.no_longer_documented, out)?;
    let deprecated = schema.deprecated().map(|operation| NamedUsage {
        name: format!("{} {}", operation.method, operation.path),
        count: operation.exchanges,
        consumers: operation.consumers.iter().map(|named| named.name.clone()).collect(),
    });
    write_named("Deprecated but used", &deprecated.collect::<Vec<_>>(), out)?;
    if !schema.groups.is_empty() {
        writeln!(
            out,
            "\n### Most frequent violations\n\n| count | fault | operation | code | at | rule |"
        )?;
        writeln!(out, "|--:|---|---|---|---|---|")?;
    }
    for group in &schema.groups {
        writeln!(
            out,
            "| {} | {} | `{} {}` | `{}` | `{}` | {} |",
            thousands(group.count),
            group.fault.map_or("–", Fault::as_str),
            group.method,
            cell(&group.path_template),
            group.code,
            cell(&group.instance_pointer),
            cell(&group.message)
        )?;
    }
    write_named("Not validated", &schema.unvalidated, out)?;
    if details {
        write_details(schema, out)?;
    }
    Ok(())
}

fn write_used(schema: &SchemaReport, out: &mut dyn Write) -> io::Result<()> {
    if !schema.used.is_empty() {
        writeln!(out, "\n### Documented and used\n")?;
        writeln!(
            out,
            "| operation | exchanges | broken | service | accepted | caller | by | parameters | statuses | request fields | response fields |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|")?;
    }
    for operation in &schema.used {
        let by: Vec<_> = operation.consumers.iter().map(|named| named.name.clone()).collect();
        let note = if operation.deprecated { " (deprecated)" } else { "" };
        let covered = super::text::coverages(operation).map(|(_, coverage)| share(coverage));
        writeln!(
            out,
            "| `{} {}`{note} | {} | {} | {} | {} | {} | {} | {} |",
            operation.method,
            cell(&operation.path),
            thousands(operation.exchanges),
            thousands(operation.violating),
            thousands(operation.faults.service),
            thousands(operation.faults.accepted),
            thousands(operation.faults.caller),
            cell(&name_list(&by, 5)),
            covered.join(" | ")
        )?;
    }
    Ok(())
}

fn write_details(schema: &SchemaReport, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n### Never seen\n")?;
    for operation in &schema.used {
        for (what, coverage) in super::text::coverages(operation) {
            if !coverage.never_seen.is_empty() {
                let all = cell(&coverage.never_seen.join(", "));
                let (method, path) = (&operation.method, cell(&operation.path));
                writeln!(out, "- `{method} {path}`, {what}: {all}")?;
            }
        }
    }
    Ok(())
}

fn write_named(title: &str, all: &[NamedUsage], out: &mut dyn Write) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n### {title}\n")?;
    for named in all {
        let by = match named.consumers.len() {
            0 => String::new(),
            _ => format!(" by {}", cell(&name_list(&named.consumers, 5))),
        };
        writeln!(out, "- {} × `{}`{by}", thousands(named.count), cell(&named.name))?;
    }
    Ok(())
}

fn share(coverage: &Coverage) -> String {
    match coverage.documented {
        0 => "–".to_owned(),
        documented => format!("{}/{documented}", coverage.seen),
    }
}

/// Text that breaks no table and starts no markup.
fn cell(text: &str) -> String {
    sanitize(text).replace(['\n', '`'], " ").replace('|', "\\|").replace('<', "&lt;")
}
