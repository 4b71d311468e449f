//! Violation groups, written to the log or the terminal as they occur.

use crate::model::violation::Violation;
use crate::pipeline::record::notice::{Notice, NoticeReason, NoticeSink};

/// One structured log event per notice.
#[derive(Debug, Default)]
pub struct LogNotices;

/// One readable line per notice on standard output.
#[derive(Debug)]
pub struct TerminalNotices {
    /// Whether to use colours.
    pub colours: bool,
    /// What the document is called in lines.
    pub document: String,
}

impl NoticeSink for LogNotices {
    fn violation(&self, notice: &Notice) {
        let Notice { reason, group, fault, schema_id, operation, violation, trace, count } = notice;
        let position = violation.position;
        tracing::warn!(
            event = "violation",
            reason = reason.as_str(),
            %group,
            schema_id,
            operation,
            fault = fault.as_str(),
            code = violation.code.as_str(),
            name = violation.name.as_deref(),
            instance_pointer = violation.instance_pointer.as_str(),
            schema_pointer = &*violation.schema_pointer,
            keyword = &*violation.keyword,
            found = Some(violation.found.as_str()).filter(|found| !found.is_empty()),
            line = position.map(|position| position.line),
            column = position.map(|position| position.column),
            count,
            trace_id = trace.map(|trace| trace.to_string()),
            seen_before = reason.seen_before().map(|time| time.to_string()),
            "{}",
            violation.message
        );
    }
}

impl NoticeSink for TerminalNotices {
    fn violation(&self, notice: &Notice) {
        let line =
            format_violation(&notice.operation, &notice.violation, &self.document, self.colours);
        let history = match notice.reason {
            NoticeReason::New | NoticeReason::Unstored => String::new(),
            NoticeReason::Returned { seen_before } => format!("  (again; last seen {seen_before})"),
            NoticeReason::Ongoing { .. } => "  (known)".to_owned(),
        };
        println!("{line}{history}");
    }
}

/// A violation in one line: operation, code, place, sentence, place in the document.
pub fn format_violation(
    operation: &str,
    violation: &Violation,
    document: &str,
    colours: bool,
) -> String {
    let (mark, dim, plain) =
        if colours { ("\x1b[33m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let name = violation.name.as_deref().map(|name| format!(" `{name}`")).unwrap_or_default();
    let at = match violation.instance_pointer.as_str() {
        "" => String::new(),
        pointer => format!(" at {pointer}"),
    };
    let place = violation
        .position
        .map(|position| format!("  {dim}{document}:{}:{}{plain}", position.line, position.column))
        .unwrap_or_default();
    format!(
        "{mark}✗{plain} {operation}  {mark}{}{plain}{name}{at}: {}{place}",
        violation.code, violation.message
    )
}
