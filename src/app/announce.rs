//! New kinds of violation, shown to the operator as they are found.

use crate::model::violation::Violation;
use crate::observer::group::GroupId;
use crate::observer::recorder::Announce;

/// One structured log event per new kind.
#[derive(Debug, Default)]
pub struct LogLines;

/// One readable line per new kind on standard output.
#[derive(Debug)]
pub struct TerminalLines {
    /// Whether to use colours.
    pub colours: bool,
    /// What the document is called in lines.
    pub document: String,
}

impl Announce for LogLines {
    fn new_kind(&self, group: GroupId, schema_id: &str, operation: &str, violation: &Violation) {
        let position = violation.position;
        tracing::warn!(
            event = "violation",
            group = %group,
            schema_id,
            operation,
            code = violation.code.as_str(),
            name = violation.name.as_deref(),
            instance_pointer = violation.instance_pointer.as_str(),
            schema_pointer = &*violation.schema_pointer,
            keyword = &*violation.keyword,
            line = position.map(|position| position.line),
            column = position.map(|position| position.column),
            "{}",
            violation.message
        );
    }
}

impl Announce for TerminalLines {
    fn new_kind(&self, _group: GroupId, _schema_id: &str, operation: &str, violation: &Violation) {
        println!("{}", describe(operation, violation, &self.document, self.colours));
    }
}

/// A violation in one line: operation, code, place, sentence, place in the document.
pub fn describe(operation: &str, violation: &Violation, document: &str, colours: bool) -> String {
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
