//! Keywords whose argument decides whether they can be enforced: patterns, formats, limits of
//! numbers and dialects.

use serde_json::{Map, Value};

use super::SchemaContext;
use super::arguments::mark_unenforceable;
use super::lenient_reading::LenientReading;
use super::units::Lowerer;
use super::{LESS_THAN, MORE_THAN, NUMBER_FORMAT};
use crate::contract::LintCode;
use crate::contract::format::{self, FormatKind};
use crate::json::number::{Decimal, Divisor};
use crate::json::pointer;
use crate::model::rule::Rule;

impl Lowerer<'_> {
    /// Keeps a regular expression that can be run.
    pub(super) fn pattern(&mut self, value: &Value, at: &str, lowered: &mut Map<String, Value>) {
        if let Some(message) = value.as_str().and_then(misleading_pattern) {
            self.lint(LintCode::MisleadingRule, at, message);
        }
        match value {
            Value::String(pattern) if !self.patterns.can_run(pattern) => {
                self.unusable_pattern(at);
                mark_unenforceable(lowered, "pattern");
            }
            value => {
                lowered.insert("pattern".to_owned(), value.clone());
            }
        }
    }

    /// Names a regular expression that cannot be run.
    pub(super) fn unusable_pattern(&mut self, at: &str) {
        let message = "the regular expression cannot be run; values pass it and are counted";
        self.lint(LintCode::UnusablePattern, at, message);
    }

    /// Keeps a format that asserts something.
    pub(super) fn format(
        &mut self,
        value: &Value,
        schema: &Map<String, Value>,
        at: &str,
        lowered: &mut Map<String, Value>,
    ) {
        let Value::String(name) = value else {
            let code = if value.is_null() { LintCode::EmptyPart } else { LintCode::UnknownFormat };
            return self.lint(code, at, "a format is a text; this one is read as left out");
        };
        if !self.options.asserts_format(name) {
            return;
        }
        match format::kind(name) {
            FormatKind::Number => {
                // Protocol Buffers write 64-bit integers as strings: those are not numbers.
                let is_string = schema.get("type").and_then(Value::as_str) == Some("string");
                if !is_string {
                    lowered.insert(NUMBER_FORMAT.to_owned(), value.clone());
                }
            }
            FormatKind::Text => {
                let reading = match name.as_str() {
                    "date-time" => Some(LenientReading::DateTime),
                    "time" => Some(LenientReading::Time),
                    _ => None,
                };
                if let Some(reading) =
                    reading.filter(|_| !self.options.rules.is_strict(Rule::Offsets))
                {
                    self.count_use(reading, at);
                }
                lowered.insert("format".to_owned(), value.clone());
            }
            FormatKind::Annotation => {}
            FormatKind::Unknown => self.unknown_format(name, at),
        }
    }

    /// Keeps a divisor that can be divided by.
    pub(super) fn multiple_of(
        &mut self,
        value: &Value,
        at: &str,
        lowered: &mut Map<String, Value>,
    ) {
        let decimal = value.as_number().and_then(|number| Decimal::parse(number.as_str()));
        let Some(decimal) = decimal.filter(Decimal::is_positive) else {
            let message = "multipleOf is a number above zero; it is not enforced";
            self.lint(LintCode::UnenforceableKeyword, at, message);
            return mark_unenforceable(lowered, "multipleOf");
        };
        if Divisor::new(&decimal).is_some() {
            lowered.insert("multipleOf".to_owned(), value.clone());
        } else {
            let message = "multipleOf has more digits than can be divided by exactly";
            self.lint(LintCode::UnenforceableKeyword, at, message);
            mark_unenforceable(lowered, "multipleOf");
        }
    }

    /// `exclusiveMinimum: true` where JSON Schema is read: draft 4 means the limit beside it, later
    /// drafts mean nothing.
    pub(super) fn boolean_bound(
        &mut self,
        keyword: &str,
        value: &Value,
        at: &str,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) {
        let (limit, ours) = match keyword {
            "exclusiveMinimum" => ("minimum", MORE_THAN),
            _ => ("maximum", LESS_THAN),
        };
        if !self.is_draft_4 {
            let message = "a limit is a number here, not a boolean; it is not enforced";
            self.lint(LintCode::UnenforceableKeyword, at, message);
            mark_unenforceable(lowered, keyword);
        } else if let (Some(limit @ Value::Number(_)), Value::Bool(true)) =
            (schema.get(limit), value)
        {
            lowered.insert(ours.to_owned(), limit.clone());
        }
    }

    /// The dialect that `$schema` names, when it is another than the usual one.
    pub(super) fn meta_schema(&mut self, value: &Value, at: &str) -> Option<String> {
        const BASE: &str = "https://spec.openapis.org/oas/3.";
        let name = value.as_str()?;
        let known = ["draft-04", "draft-06", "draft-07", "draft/2019-09", "draft/2020-12"];
        if known.iter().any(|known| name.contains("json-schema.org/") && name.contains(known)) {
            return (!name.contains("draft/2020-12")).then(|| name.to_owned());
        }
        if !(name.starts_with(BASE) && name.contains("/dialect/")) {
            let message = "the dialect is not known; the schema is read as JSON Schema 2020-12";
            self.lint(LintCode::UnknownDialect, at, message);
        }
        None
    }
}

/// Why a pattern means something else than it seems to, if it does.
fn misleading_pattern(pattern: &str) -> Option<&'static str> {
    let delimited = pattern.strip_prefix('/').and_then(|rest| rest.rsplit_once('/'));
    if delimited.is_some_and(|(inner, flags)| {
        (inner.starts_with('^') || inner.ends_with('$'))
            && flags.bytes().all(|flag| b"gimsuvy".contains(&flag))
    }) {
        return Some(
            "the pattern is written with its delimiters, so that no value matches; leave out the \
             slashes around it, and the flags",
        );
    }
    let posix = ["alpha", "digit", "alnum", "upper", "lower", "space", "punct", "xdigit", "word"];
    let has_class = |name: &&str| pattern.contains(&format!("[:{name}:]"));
    posix.iter().any(has_class).then_some(
        "a class such as [:alpha:] is none in the regular expressions of JSON Schema, which read it \
         as these characters; write [A-Za-z]",
    )
}

/// Whether a limit is given as an exclusive one, the way draft 4 does it.
pub(super) fn is_excluded(limit: &str, schema: &Map<String, Value>) -> bool {
    let exclusive = if limit == "minimum" { "exclusiveMinimum" } else { "exclusiveMaximum" };
    schema.get(exclusive) == Some(&Value::Bool(true))
}

/// Whether a reference is a pointer into the document.
pub(super) fn is_pointer(reference: &Value, context: SchemaContext<'_>) -> bool {
    let fragment = reference.as_str().and_then(|target| target.strip_prefix('#'));
    !context.embedded && fragment.and_then(pointer::of_fragment).is_some()
}

/// Whether some number in a value is compared exactly only in our own form.
pub(super) fn holds_number(value: &Value) -> bool {
    match value {
        // What an `i64` holds in its shortest form is compared exactly as it is.
        Value::Number(number) => {
            number.as_i64().is_none_or(|value| value.to_string() != number.as_str())
        }
        Value::Array(items) => items.iter().any(holds_number),
        Value::Object(members) => members.values().any(holds_number),
        _ => false,
    }
}
