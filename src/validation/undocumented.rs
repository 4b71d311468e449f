//! What was found that the document does not list: paths, methods, statuses and media types.
//!
//! Invariants: the sentence names what was found and what the document lists instead; `found` is
//! bounded and has no value of the message, as groups of violations are made of it.

use http::{Method, StatusCode};

use super::names::{document_text, listed};
use crate::contract::Contract;
use crate::contract::media_type::{MediaTable, MediaTypeRef};
use crate::contract::operation::CompiledOperation;
use crate::model::violation::MAX_FOUND;
use crate::redaction::Redactor;

/// Documented alternatives that a sentence lists.
const SHOWN: usize = 8;

/// What was found, and the sentence about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undocumented {
    pub(super) found: String,
    pub(super) message: String,
}

/// A path that no template matches.
pub(super) fn path(contract: &Contract, redactor: &Redactor, path: &str) -> Undocumented {
    let nearest = contract.routes().nearest(path);
    let is_parameter = |at| nearest.as_ref().is_some_and(|nearest: &_| nearest.is_parameter(at));
    let mut found = redactor.fold_path(path, is_parameter);
    truncate(&mut found);
    let mut message = format!("the document lists no path {found}");
    if let Some(nearest) = nearest {
        message.push_str("; the nearest documented path is ");
        message.push_str(&nearest.template);
    }
    let bases = contract.routes().missing_bases(path);
    if !bases.is_empty() {
        let (shown, rest) = bases.split_at(bases.len().min(SHOWN));
        let more = if rest.is_empty() { "" } else { " and others" };
        message.push_str("; documented paths begin with ");
        message.push_str(&shown.join(" or "));
        message.push_str(more);
    }
    Undocumented { found, message }
}

/// A method that a documented path does not have.
pub(super) fn method(
    contract: &Contract,
    redactor: &Redactor,
    template: &str,
    method: &Method,
) -> Undocumented {
    let name = method.as_str();
    let is_standard = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "QUERY",
        "PROPFIND", "PURGE",
    ]
    .contains(&name);
    let found = if is_standard || redactor.may_show_name(name) { name } else { "" };
    let here = contract.operations().iter().filter(|operation| &*operation.template == template);
    let documented: Vec<String> =
        here.map(|operation| operation.method.to_string()).take(SHOWN).collect();
    let subject = match found {
        "" => "the method".to_owned(),
        name => format!("the method {name}"),
    };
    let listed = listed(&documented);
    Undocumented {
        found: found.to_owned(),
        message: format!("{subject} is not documented for {template}, which has {listed}"),
    }
}

/// A status that an operation does not list.
pub(super) fn status(operation: &CompiledOperation, status: StatusCode) -> Undocumented {
    let mut documented: Vec<String> =
        operation.responses.iter().map(|(status, _)| status).take(SHOWN + 1).collect();
    if documented.len() > SHOWN {
        documented.truncate(SHOWN);
        documented.push("others".to_owned());
    }
    let (code, method, template) = (status.as_u16(), &operation.method, &operation.template);
    Undocumented {
        found: code.to_string(),
        message: format!(
            "the status {code} is not documented for {method} {template}, which lists {}",
            listed(&documented)
        ),
    }
}

/// A media type that a message must not have. `of` says whose it is.
pub(super) fn media_type<'t>(
    redactor: &Redactor,
    documented: impl Iterator<Item = &'t str>,
    actual: &MediaTypeRef<'_>,
    of: &str,
) -> Undocumented {
    // The patterns of secrets depend on the case that was sent.
    let sent = format!("{}/{}", actual.main, actual.sub);
    let is_shown = redactor.may_show_media_type(&sent);
    let mut found = if is_shown { sent.to_ascii_lowercase() } else { String::new() };
    truncate(&mut found);
    let subject = match found.as_str() {
        "" => "the media type".to_owned(),
        essence => format!("the media type {essence}"),
    };
    let documented = list_media_types(documented);
    Undocumented {
        message: format!("{subject} is not documented for {of}; the document lists {documented}"),
        found,
    }
}

/// The documented media types of a table.
pub(super) fn ranges<T>(table: &MediaTable<T>) -> impl Iterator<Item = &str> {
    table.iter().map(|(range, _)| range.as_str())
}

/// Documented media types in a sentence.
pub(super) fn list_media_types<'t>(documented: impl Iterator<Item = &'t str>) -> String {
    let mut shown: Vec<String> =
        documented.take(SHOWN + 1).map(|range| document_text(range.trim())).collect();
    if shown.len() > SHOWN {
        shown.truncate(SHOWN);
        shown.push("others".to_owned());
    }
    listed(&shown)
}

fn truncate(found: &mut String) {
    if found.len() > MAX_FOUND {
        let end = (0..=MAX_FOUND).rev().find(|at| found.is_char_boundary(*at)).unwrap_or(0);
        found.truncate(end);
    }
}
