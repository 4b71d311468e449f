//! Splits streams into items: NDJSON, JSON text sequences, server-sent events.
//!
//! Invariants: lazy, one pass, memory of one item at a time.

use std::borrow::Cow;

use crate::contract::schema::SchemaIndex;
use crate::contract::shape::{Shape, Types};
use crate::json::{Arena, JsonErrorKind, NodeId};
use crate::model::verdict::SkipReason;
use crate::model::violation::ViolationKind;
use crate::validation::media_type::BodyContext;
use crate::validation::value::{conforms, record_violations_at};
use crate::validation::verdict_builder::VerdictBuilder;

/// The mark with which widely used streams end; it is not an item.
const DONE: &str = "[DONE]";

/// One server-sent event (WHATWG HTML §9.2.6).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event<'b> {
    /// The `data` lines, joined by line feeds.
    pub(crate) data: Option<Cow<'b, str>>,
    /// The `event` field.
    pub(crate) kind: Option<&'b str>,
    /// The `id` field.
    pub(crate) id: Option<&'b str>,
    /// The `retry` field, where it is digits only.
    pub(crate) retry: Option<&'b str>,
}

/// The JSON texts of a body: one per line, or one per record separator (RFC 7464). Blank ones
/// are nothing.
pub(crate) fn json_items(text: &str) -> impl Iterator<Item = &str> {
    let separator = if text.trim_start().starts_with('\u{1e}') { '\u{1e}' } else { '\n' };
    text.split(separator)
        .map(|item| item.trim_matches([' ', '\t', '\r', '\n']))
        .filter(|item| !item.is_empty())
}

/// The events of a body. One that the body breaks off before its blank line is no event.
pub(crate) fn events(text: &str) -> Events<'_> {
    Events { rest: text.strip_prefix('\u{feff}').unwrap_or(text) }
}

/// Walks the events of a body.
pub(crate) struct Events<'b> {
    rest: &'b str,
}

// === impl Events ===

impl<'b> Iterator for Events<'b> {
    type Item = Event<'b>;

    fn next(&mut self) -> Option<Event<'b>> {
        let mut event = Event::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                if event == Event::default() {
                    continue;
                }
                return Some(event);
            }
            event.field(line);
        }
    }
}

impl<'b> Events<'b> {
    /// The next whole line; ends are CRLF, LF or CR.
    fn line(&mut self) -> Option<&'b str> {
        let end = self.rest.find(['\r', '\n'])?;
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix("\r\n").unwrap_or(&rest[1..]);
        Some(line)
    }
}

// === impl Event ===

impl<'b> Event<'b> {
    fn field(&mut self, line: &'b str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => match &mut self.data {
                Some(data) => {
                    let data = data.to_mut();
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(Cow::Borrowed(value)),
            },
            "event" => self.kind = Some(value),
            "id" if !value.contains('\0') => self.id = Some(value),
            "retry" if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => {
                self.retry = Some(value);
            }
            _ => {}
        }
    }
}

/// Validates a sequence of JSON texts. Each item is validated against `itemSchema`, else against
/// `schema`; where that allows only arrays, the items together are the array (OpenAPI 3.2 §4.14).
pub(super) fn validate_sequence(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    text: &str,
) {
    let media = context.media;
    let shape = verdict.contract.shapes().get(media.shape);
    if let Some((schema, _)) = media.item {
        return validate_items(arena, verdict, context, schema, json_items(text));
    }
    let Some(schema) = media.schema else { return };
    if !is_list(shape) {
        return validate_items(arena, verdict, context, schema, json_items(text));
    }
    arena.clear();
    arena.begin_array();
    for (at, item) in json_items(text).enumerate() {
        if !parse_item(arena, verdict, context, at, item) {
            arena.null();
        }
    }
    let id = arena.end();
    validate_whole(arena, verdict, context, schema, id);
}

fn validate_whole(
    arena: &Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    schema: SchemaIndex,
    id: NodeId,
) {
    if !conforms(arena, verdict, Some(schema), id) {
        record_violations_at(arena, verdict, Some(schema), context.rule(), id, "");
    }
}

fn validate_items<'t>(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    schema: SchemaIndex,
    items: impl Iterator<Item = &'t str>,
) {
    for (at, item) in items.enumerate() {
        arena.clear();
        match arena.parse(item.as_bytes()) {
            Ok(id) => validate_item(arena, verdict, context, schema, id, at),
            Err(error) if error.kind == JsonErrorKind::TooDeep => {
                verdict.skip(SkipReason::WorkBudget);
            }
            Err(_) => malformed(verdict, context, at),
        }
    }
}

fn validate_item(
    arena: &Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    schema: SchemaIndex,
    id: NodeId,
    at: usize,
) {
    if !conforms(arena, verdict, Some(schema), id) {
        record_violations_at(arena, verdict, Some(schema), context.rule(), id, &format!("/{at}"));
    }
}

fn parse_item(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    at: usize,
    item: &str,
) -> bool {
    let parsed = arena.parse(item.as_bytes()).is_ok();
    if !parsed {
        malformed(verdict, context, at);
    }
    parsed
}

fn malformed(verdict: &mut VerdictBuilder<'_>, context: &BodyContext<'_>, at: usize) {
    let message = format!("item {at} of the body is not JSON");
    verdict.add_at(context.rule(), ViolationKind::Malformed, format!("/{at}"), message);
}

fn is_list(shape: Shape<'_>) -> bool {
    let types = shape.types();
    types.intersects(Types::ARRAY) && !types.intersects(Types::OBJECT) && !types.any_scalar()
}

/// Validates server-sent events. `itemSchema` applies to each event as an object with `data`,
/// `event`, `id` and `retry` (OpenAPI 3.2 §4.14.4), and so does a `schema` of an array or of an
/// object that declares `data`. A `schema` that allows strings applies to the text as a whole; any
/// other applies to the JSON in the `data` of each event, which is how documents before 3.2 are
/// written.
pub(super) fn validate_events(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    text: &str,
) {
    let media = context.media;
    let shapes = verdict.contract.shapes();
    if let Some((schema, shape)) = media.item {
        for (at, event) in events(text).enumerate() {
            arena.clear();
            let id = write_event(arena, shapes.get(shape), &event);
            validate_item(arena, verdict, context, schema, id, at);
        }
        return;
    }
    let Some(schema) = media.schema else { return };
    let shape = shapes.get(media.shape);
    if is_list(shape) {
        arena.clear();
        arena.begin_array();
        for (at, event) in events(text).enumerate() {
            write_event(arena, shape.item(at).unwrap_or(shape.unknown()), &event);
        }
        let id = arena.end();
        return validate_whole(arena, verdict, context, schema, id);
    }
    if shape.types().intersects(Types::STRING) {
        return super::text::validate(arena, verdict, context, text);
    }
    if shape.names_property("data") {
        for (at, event) in events(text).enumerate() {
            arena.clear();
            let id = write_event(arena, shape, &event);
            validate_item(arena, verdict, context, schema, id, at);
        }
        return;
    }
    for (at, event) in events(text).enumerate() {
        let Some(data) = event.data.filter(|data| data.trim() != DONE) else { continue };
        arena.clear();
        match arena.parse(data.as_bytes()) {
            Ok(id) => validate_item(arena, verdict, context, schema, id, at),
            Err(_) => malformed(verdict, context, at),
        }
    }
}

/// An event as an object; `data` is what its schema asks for: a string, or the JSON in it.
fn write_event(arena: &mut Arena, shape: Shape<'_>, event: &Event<'_>) -> NodeId {
    arena.begin_object();
    if let Some(data) = &event.data {
        arena.key("data");
        let wants_text =
            shape.property("data").is_none_or(|data| data.types().intersects(Types::STRING));
        if wants_text || arena.parse(data.as_bytes()).is_err() {
            arena.string(data);
        }
    }
    for (key, value) in [("event", event.kind), ("id", event.id)] {
        if let Some(value) = value {
            arena.key(key);
            arena.string(value);
        }
    }
    if let Some(retry) = event.retry {
        arena.key("retry");
        if arena.number(retry).is_none() {
            arena.string(retry);
        }
    }
    arena.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_items_split_at_lines_or_record_separators() {
        assert_eq!(json_items("{}\r\n\n [1] \n").collect::<Vec<_>>(), ["{}", "[1]"]);
        let sequence = "\u{1e}{\n}\n\u{1e}2\n";
        assert_eq!(json_items(sequence).collect::<Vec<_>>(), ["{\n}", "2"]);
    }

    #[test]
    fn server_sent_events_end_at_blank_lines() {
        let text = ":hi\ndata: a\ndata:b\nid: 7\n\n\nevent: e\r\nretry: 10\r\ndata\r\n\r\nretry: x\n\ndata: cut";
        let all: Vec<_> = events(text).collect();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].data.as_deref(), all[0].id), (Some("a\nb"), Some("7")));
        assert_eq!(
            (all[1].kind, all[1].retry, all[1].data.as_deref()),
            (Some("e"), Some("10"), Some(""))
        );
    }
}
