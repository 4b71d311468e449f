//! YAML documents: YAML 1.2 core schema, anchors, and the merge keys of YAML 1.1.
//!
//! What YAML has and JSON has not is read as people mean it: a key that is no string keeps its
//! written form (`200:` is `"200"`), numbers keep their digits, `.inf` and `.nan` stay strings,
//! timestamps are strings.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span};
use serde_json::{Map, Number, Value};

use crate::contract::error::{ContractError, Diagnostic};
use crate::contract::options::DocumentLimits;
use crate::json::number;
use crate::json::pointer;
use crate::model::violation::Position;

/// Reads the first document of a YAML text into a tree, numbers exact.
///
/// Repeated keys are an error. Aliases may not add more than [`DocumentLimits::alias_values`] values.
pub(super) fn read(text: &str, limits: &DocumentLimits) -> Result<Value, ContractError> {
    let mut reader =
        YamlReader { limits, anchors: HashMap::new(), copied: 0, stack: Vec::new(), root: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| syntax(&error))?;
        if matches!(event, Event::DocumentEnd) {
            break;
        }
        reader.take(event, span)?;
    }
    Ok(reader.root.unwrap_or(Value::Null))
}

/// Calls `found` with the pointer and position of every key and item of a text that [`read`] has
/// accepted. What an alias or a merge brings in is not reported: it is written elsewhere.
pub(super) fn positions(text: &str, mut found: impl FnMut(&str, Position)) {
    let mut pointer = String::new();
    let mut levels: Vec<OpenLevel> = Vec::new();
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return };
        let opens = match event {
            Event::MappingStart(..) => Some(true),
            Event::SequenceStart(..) => Some(false),
            Event::Scalar(..) | Event::Alias(_) => None,
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(level) = levels.pop() {
                    pointer.truncate(level.outer);
                    value_done(&mut levels, &mut pointer);
                }
                continue;
            }
            Event::DocumentEnd => return,
            _ => continue,
        };
        let is_key = levels.last().is_some_and(|level| level.is_map && !level.has_key);
        if is_key {
            if let (Event::Scalar(key, ..), Some(level)) = (&event, levels.last_mut()) {
                level.has_key = true;
                pointer::push_token(&mut pointer, key);
                found(&pointer, position(span.start));
                continue;
            }
        } else if let Some(level) = levels.last_mut().filter(|level| !level.is_map) {
            pointer::push_token(&mut pointer, &level.items.to_string());
            level.items += 1;
            found(&pointer, position(span.start));
        } else if levels.is_empty() {
            found("", position(span.start));
        }
        match opens {
            Some(is_map) => {
                let outer = pointer.len();
                levels.push(OpenLevel { is_map, has_key: false, items: 0, outer });
            }
            None => value_done(&mut levels, &mut pointer),
        }
    }
}

/// A container whose positions are being listed.
struct OpenLevel {
    is_map: bool,
    has_key: bool,
    items: usize,
    /// Length of the pointer to the container.
    outer: usize,
}

fn value_done(levels: &mut [OpenLevel], pointer: &mut String) {
    if let Some(level) = levels.last_mut() {
        level.has_key = false;
        pointer.truncate(level.outer);
    }
}

struct YamlReader<'l> {
    limits: &'l DocumentLimits,
    anchors: HashMap<usize, (Rc<Value>, usize)>,
    /// Values that aliases brought in.
    copied: usize,
    stack: Vec<OpenNode>,
    root: Option<Value>,
}

/// A container being read.
struct OpenNode {
    anchor: usize,
    /// Values read into it, itself included.
    size: usize,
    kind: OpenNodeKind,
}

enum OpenNodeKind {
    Sequence(Vec<Value>),
    Mapping {
        members: Map<String, Value>,
        key: Option<PendingKey>,
        /// What merge keys bring in, first come first kept, after all members of its own.
        merged: Vec<Value>,
    },
}

enum PendingKey {
    Name(String),
    Merge,
}

// === impl YamlReader ===

impl YamlReader<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), ContractError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_key = matches!(
                    self.stack.last(),
                    Some(OpenNode { kind: OpenNodeKind::Mapping { key: None, .. }, .. })
                );
                if is_key {
                    return self.take_key(text, style, span.start);
                }
                let tag = tag.as_deref().map(|tag| tag.suffix.as_str());
                self.finish(scalar(text, style, tag), anchor, 1, span.start)
            }
            Event::SequenceStart(anchor, _) => {
                self.begin(anchor, OpenNodeKind::Sequence(Vec::new()), span.start)
            }
            Event::MappingStart(anchor, _) => {
                let (members, merged) = (Map::new(), Vec::new());
                let kind = OpenNodeKind::Mapping { members, key: None, merged };
                self.begin(anchor, kind, span.start)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span.start),
            Event::Alias(anchor) => {
                let Some((value, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(at(span.start, "an alias is inside its own anchor"));
                };
                self.copied += size;
                if self.copied > self.limits.alias_values {
                    let message = "aliases add more values than the limit allows";
                    return Err(ContractError::OverLimit(Diagnostic::at(
                        position(span.start),
                        message,
                    )));
                }
                self.finish(Value::clone(&value), 0, size, span.start)
            }
            _ => Ok(()),
        }
    }

    fn take_key(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        mark: Marker,
    ) -> Result<(), ContractError> {
        let Some(OpenNode { kind: OpenNodeKind::Mapping { members, key, .. }, .. }) =
            self.stack.last_mut()
        else {
            return Ok(());
        };
        if style == ScalarStyle::Plain && text == "<<" {
            *key = Some(PendingKey::Merge);
        } else if members.contains_key(text.as_ref()) {
            return Err(at(mark, "a key appears twice in one mapping"));
        } else {
            *key = Some(PendingKey::Name(text.into_owned()));
        }
        Ok(())
    }

    fn begin(
        &mut self,
        anchor: usize,
        kind: OpenNodeKind,
        mark: Marker,
    ) -> Result<(), ContractError> {
        if let Some(OpenNode { kind: OpenNodeKind::Mapping { key: None, .. }, .. }) =
            self.stack.last()
        {
            return Err(at(mark, "a mapping's key is not a scalar"));
        }
        if self.stack.len() >= self.limits.depth as usize {
            let diagnostic = Diagnostic::at(position(mark), "the text is nested too deep");
            return Err(ContractError::OverLimit(diagnostic));
        }
        self.stack.push(OpenNode { anchor, size: 1, kind });
        Ok(())
    }

    fn end(&mut self, mark: Marker) -> Result<(), ContractError> {
        let Some(OpenNode { anchor, size, kind }) = self.stack.pop() else { return Ok(()) };
        let value = match kind {
            OpenNodeKind::Sequence(items) => Value::Array(items),
            OpenNodeKind::Mapping { mut members, merged, .. } => {
                for source in merged {
                    merge(&mut members, source)
                        .ok_or_else(|| at(mark, "a merge key does not name a mapping"))?;
                }
                Value::Object(members)
            }
        };
        self.finish(value, anchor, size, mark)
    }

    /// Puts a complete value where it belongs.
    fn finish(
        &mut self,
        value: Value,
        anchor: usize,
        size: usize,
        mark: Marker,
    ) -> Result<(), ContractError> {
        if anchor != 0 {
            self.copied += size;
            self.anchors.insert(anchor, (Rc::new(value.clone()), size));
        }
        let Some(building) = self.stack.last_mut() else {
            self.root = Some(value);
            return Ok(());
        };
        building.size += size;
        match &mut building.kind {
            OpenNodeKind::Sequence(items) => items.push(value),
            OpenNodeKind::Mapping { members, key, merged } => match key.take() {
                Some(PendingKey::Name(name)) => {
                    members.insert(name, value);
                }
                Some(PendingKey::Merge) => merged.push(value),
                None => {
                    let Value::String(name) = value else {
                        return Err(at(mark, "a mapping's key is not a scalar"));
                    };
                    *key = Some(PendingKey::Name(name));
                }
            },
        }
        Ok(())
    }
}

/// Adds what `source` (a mapping, or a sequence of them) has and `members` lacks.
fn merge(members: &mut Map<String, Value>, source: Value) -> Option<()> {
    match source {
        Value::Object(source) => {
            for (name, value) in source {
                members.entry(name).or_insert(value);
            }
            Some(())
        }
        Value::Array(sources) => sources.into_iter().try_for_each(|source| match source {
            Value::Object(_) => merge(members, source),
            _ => None,
        }),
        _ => None,
    }
}

/// A scalar by the core schema of YAML 1.2 (§10.3.2), or by its tag.
fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&str>) -> Value {
    if style != ScalarStyle::Plain || tag == Some("str") {
        return Value::String(text.into_owned());
    }
    match text.as_ref() {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        plain => match to_number(plain) {
            Some(number) => Value::Number(number),
            None => Value::String(text.into_owned()),
        },
    }
}

/// A number of the core schema in JSON's form, its digits kept.
fn to_number(plain: &str) -> Option<Number> {
    if number::is_json_number(plain.as_bytes()) {
        return plain.parse().ok();
    }
    let radix = |digits: &str, radix| i128::from_str_radix(digits, radix).ok();
    if let Some(digits) = plain.strip_prefix("0x").filter(|digits| !digits.starts_with(['+', '-']))
    {
        return radix(digits, 16)?.to_string().parse().ok();
    }
    if let Some(digits) = plain.strip_prefix("0o").filter(|digits| !digits.starts_with(['+', '-']))
    {
        return radix(digits, 8)?.to_string().parse().ok();
    }
    let (sign, digits) = match plain.as_bytes().first()? {
        b'-' => ("-", &plain[1..]),
        b'+' => ("", &plain[1..]),
        _ => ("", plain),
    };
    let mantissa_len = digits.find(['e', 'E']).unwrap_or(digits.len());
    let (mantissa, exponent) = digits.split_at(mantissa_len);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if fraction.is_empty() { "" } else { "." };
    let written = format!("{sign}{whole}{point}{fraction}{exponent}");
    number::is_json_number(written.as_bytes()).then(|| written.parse().ok())?
}

fn position(mark: Marker) -> Position {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position { line: count(mark.line()), column: count(mark.col() + 1) }
}

fn at(mark: Marker, message: &str) -> ContractError {
    ContractError::Syntax(Diagnostic::at(position(mark), message))
}

fn syntax(error: &ScanError) -> ContractError {
    at(*error.marker(), error.info())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::json;

    use super::*;

    fn value(text: &str) -> Value {
        read(text, &DocumentLimits::default()).unwrap()
    }

    fn diagnostic(text: &str) -> Diagnostic {
        read(text, &DocumentLimits::default()).unwrap_err().diagnostic().clone()
    }

    #[test]
    fn scalars_follow_the_core_schema() {
        let text = "a: yes\nb: true\nc: no\nd: ~\ne: 0o17\nf: 0x1F\ng: +5\nh: 007\ni: .5\nj: 1.\n\
                    k: 12345678901234567890\nl: 1e3\nm: .inf\nn: '1'\no: 2001-12-14\np: !!str 12\nq: 0.10\n";
        let expected: Value = serde_json::from_str(
            r#"{"a":"yes","b":true,"c":"no","d":null,"e":15,"f":31,"g":5,"h":7,"i":0.5,"j":1,
                "k":12345678901234567890,"l":1e3,"m":".inf","n":"1","o":"2001-12-14","p":"12","q":0.10}"#,
        )
        .unwrap();
        assert_eq!(value(text), expected);
    }

    #[test]
    fn keys_keep_their_written_form() {
        assert_eq!(
            value("200: a\ntrue: b\n1.0: c\n"),
            json!({"200": "a", "true": "b", "1.0": "c"})
        );
    }

    #[test]
    fn strings_of_several_lines() {
        assert_eq!(value("a: |\n  x\n  y\nb: >-\n  x\n  y\n"), json!({"a": "x\ny\n", "b": "x y"}));
    }

    #[test]
    fn anchors_and_merge_keys() {
        let text = "base: &b {x: 1, y: 2}\nmore: &m {y: 3, z: 4}\none:\n  <<: *b\n  y: 9\n\
                    two:\n  <<: [*b, *m]\nthree: *b\n";
        let value = value(text);
        assert_eq!(value["one"], json!({"y": 9, "x": 1}));
        assert_eq!(value["two"], json!({"x": 1, "y": 2, "z": 4}));
        assert_eq!(value["three"], json!({"x": 1, "y": 2}));
    }

    #[test]
    fn errors_have_positions() {
        assert_eq!(
            diagnostic("a: 1\nb:\n  c: 1\n  c: 2\n").position,
            Some(Position { line: 4, column: 3 })
        );
        assert_eq!(diagnostic("a: [1, 2\nb: }").position.map(|at| at.line), Some(2));
        assert!(diagnostic("a: &a [*a]").message.contains("its own anchor"));
        assert!(diagnostic("? [1, 2]\n: x\n").message.contains("key"));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let before = level - 1;
            let aliases = vec![format!("*a{before}"); 10].join(",");
            writeln!(text, "a{level}: &a{level} [{aliases}]").unwrap();
        }
        let error = read(&text, &DocumentLimits::default()).unwrap_err();
        assert!(matches!(error, ContractError::OverLimit(_)), "{error}");
    }

    #[test]
    fn depth_is_bounded() {
        let error = read(&"[".repeat(10_000), &DocumentLimits::default()).unwrap_err();
        assert!(matches!(error, ContractError::OverLimit(_) | ContractError::Syntax(_)), "{error}");
    }

    #[test]
    fn positions_name_every_key_and_item() {
        let text = "a:\n  b: [10, {c: 1}]\nd:\n- x\n- e: 1\n";
        let mut positions_of = HashMap::new();
        positions(text, |pointer, position| {
            positions_of.insert(pointer.to_owned(), (position.line, position.column));
        });
        assert_eq!(positions_of["/a"], (1, 1));
        assert_eq!(positions_of["/a/b"], (2, 3));
        assert_eq!(positions_of["/a/b/1"], (2, 11));
        assert_eq!(positions_of["/a/b/1/c"], (2, 12));
        assert_eq!(positions_of["/d/1/e"], (5, 3));
    }
}
