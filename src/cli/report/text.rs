//! The report as plain text.

use std::io::{self, Write};

use crate::cli::output::{name_list, sanitize, thousands};
use crate::cli::violations::headline as headline_of;
use crate::control::coverage::{
    Coverage, FaultCounts, NamedUsage, OperationReport, SchemaReport, UsageReport,
};
use crate::model::fault::Fault;

/// Writes it; with `details` what was never seen is named.
pub(super) fn write(report: &UsageReport, details: bool, out: &mut dyn Write) -> io::Result<()> {
    if report.schemas.is_empty() {
        writeln!(out, "No schema is registered.")?;
    }
    for (at, schema) in report.schemas.iter().enumerate() {
        if at > 0 {
            writeln!(out)?;
        }
        write_schema(schema, details, out)?;
    }
    write_named("exchanges never validated", &report.never_validated, out)
}

fn write_schema(schema: &SchemaReport, details: bool, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", sanitize(&headline(schema)))?;
    if !schema.used.is_empty() {
        writeln!(out, "\ndocumented and used")?;
    }
    for operation in &schema.used {
        write_operation(operation, details, out)?;
    }
    if !schema.never_used.is_empty() {
        writeln!(out, "\ndocumented and never used")?;
    }
    for operation in &schema.never_used {
        let note = if operation.deprecated { "  deprecated" } else { "" };
        writeln!(out, "  {:<7} {}{note}", operation.method, sanitize(&operation.path))?;
    }
    write_named("used but not documented", &schema.undocumented, out)?;
    write_named("used but no longer documented", &schema.no_longer_documented, out)?;
    let deprecated: Vec<_> = schema.deprecated().collect();
    if !deprecated.is_empty() {
        writeln!(out, "\ndeprecated but used")?;
    }
    for operation in deprecated {
        let by: Vec<_> = operation.consumers.iter().map(|named| named.name.clone()).collect();
        let (method, path) = (&operation.method, sanitize(&operation.path));
        writeln!(out, "  {method:<7} {path}  by {}", name_list(&by, 5))?;
    }
    if !schema.groups.is_empty() {
        writeln!(out, "\nmost frequent violations")?;
    }
    for group in &schema.groups {
        let (count, line) = (thousands(group.count), headline_of(group));
        let fault = group.fault.map_or("-", Fault::as_str);
        writeln!(out, "  {count:>9} × {fault:<8}  {line}  ({})", group.fingerprint)?;
    }
    write_named("not validated", &schema.unvalidated, out)
}

/// Names, versions and totals in one or two lines.
pub(super) fn headline(schema: &SchemaReport) -> String {
    let share = if schema.exchanges == 0 {
        0.0
    } else {
        schema.violating as f64 * 100.0 / schema.exchanges as f64
    };
    format!(
        "{} {}: {} operations, {} used, {} never used\n{} exchanges validated, {} ({share:.1} %) broke \
         the contract{}",
        schema.schema_id,
        schema.version,
        schema.used.len() + schema.never_used.len(),
        schema.used.len(),
        schema.never_used.len(),
        thousands(schema.exchanges),
        thousands(schema.violating),
        by_fault(schema.faults)
    )
}

/// Whose fault broken exchanges were; nothing where that is not known.
fn by_fault(faults: FaultCounts) -> String {
    if faults == FaultCounts::default() {
        return String::new();
    }
    let all = faults.all().map(|(fault, count)| format!("{fault} {}", thousands(count)));
    format!("; by fault: {}", all.join(", "))
}

fn write_operation(
    operation: &OperationReport,
    details: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let by: Vec<_> = operation
        .consumers
        .iter()
        .map(|named| format!("{} ({})", named.name, thousands(named.count)))
        .collect();
    writeln!(
        out,
        "  {:<7} {}  {} times, {} broke the contract{}; by {}",
        operation.method,
        sanitize(&operation.path),
        thousands(operation.exchanges),
        thousands(operation.violating),
        by_fault(operation.faults),
        name_list(&by, 3)
    )?;
    let coverages = coverages(operation);
    let parts: Vec<_> = coverages
        .iter()
        .filter(|(_, coverage)| coverage.documented > 0)
        .map(|(what, coverage)| format!("{} of {} {what}", coverage.seen, coverage.documented))
        .collect();
    if !parts.is_empty() {
        writeln!(out, "          seen {}", parts.join(", "))?;
    }
    for (what, coverage) in coverages {
        if !coverage.undocumented.is_empty() {
            let all: Vec<_> =
                coverage.undocumented.iter().map(|named| named.name.clone()).collect();
            writeln!(out, "          not documented: {what} {}", name_list(&all, 10))?;
        }
        if details && !coverage.never_seen.is_empty() {
            let all = sanitize(&coverage.never_seen.join(", "));
            writeln!(out, "          never seen: {what} {all}")?;
        }
    }
    Ok(())
}

fn write_named(title: &str, all: &[NamedUsage], out: &mut dyn Write) -> io::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{title}")?;
    for named in all {
        let by = match named.consumers.len() {
            0 => String::new(),
            _ => format!("  by {}", name_list(&named.consumers, 5)),
        };
        writeln!(out, "  {:>9} × {}{by}", thousands(named.count), sanitize(&named.name))?;
    }
    Ok(())
}

/// What was seen of each kind of thing, and what to call it.
pub(super) fn coverages(operation: &OperationReport) -> [(&'static str, &Coverage); 4] {
    [
        ("parameters", &operation.parameters),
        ("statuses", &operation.statuses),
        ("request fields", &operation.request_fields),
        ("response fields", &operation.response_fields),
    ]
}
