//! Where every key and item of a YAML text is written.

use std::borrow::Cow;
use std::collections::HashMap;

use super::parser::{EventKind, YamlEvent, YamlParser};
use super::position;
use crate::json::pointer;
use crate::model::violation::Position;

/// Calls `found` with the pointer and position of every key and item of a text that
/// [`read`](super::read) has accepted. What an alias or a merge brings in is not reported: it is
/// written elsewhere. A key that is written twice is reported twice.
pub(in crate::contract::document) fn positions(text: &str, found: impl FnMut(&str, Position)) {
    if let Ok(parser) = YamlParser::new(text) {
        let (pointer, levels, anchors) = (String::new(), Vec::new(), HashMap::new());
        PositionLister { found, pointer, levels, anchors }.list(parser);
    }
}

struct PositionLister<'t, F> {
    found: F,
    pointer: String,
    levels: Vec<OpenLevel>,
    /// Scalars that an alias may name as a key.
    anchors: HashMap<&'t str, Cow<'t, str>>,
}

/// A container whose positions are being listed.
struct OpenLevel {
    is_map: bool,
    has_key: bool,
    items: usize,
    /// Length of the pointer to the container.
    outer: usize,
}

// === impl PositionLister ===

impl<'t, F: FnMut(&str, Position)> PositionLister<'t, F> {
    fn list(mut self, mut parser: YamlParser<'t>) {
        while let Ok(YamlEvent { kind, start }) = parser.next_event() {
            let start = position(start);
            match kind {
                EventKind::DocumentStart => {}
                EventKind::DocumentEnd | EventKind::StreamEnd => return,
                EventKind::MappingEnd | EventKind::SequenceEnd => {
                    if let Some(level) = self.levels.pop() {
                        self.pointer.truncate(level.outer);
                        self.value_done();
                    }
                }
                EventKind::MappingStart(_) => self.open(true, start),
                EventKind::SequenceStart(_) => self.open(false, start),
                EventKind::Scalar { text, properties, .. } => {
                    let text = match properties.anchor {
                        Some(anchor) => {
                            self.anchors.insert(anchor, text.clone());
                            text
                        }
                        None => text,
                    };
                    self.scalar(&text, start);
                }
                EventKind::Alias(name) => {
                    let text = self.anchors.get(name).cloned().unwrap_or_default();
                    self.scalar(&text, start);
                }
            }
        }
    }

    fn scalar(&mut self, text: &str, start: Position) {
        match self.levels.last_mut() {
            Some(level) if level.is_map && !level.has_key => {
                level.has_key = true;
                pointer::push_token(&mut self.pointer, text);
                (self.found)(&self.pointer, start);
            }
            _ => {
                self.item(start);
                self.value_done();
            }
        }
    }

    fn open(&mut self, is_map: bool, start: Position) {
        self.item(start);
        let outer = self.pointer.len();
        self.levels.push(OpenLevel { is_map, has_key: false, items: 0, outer });
    }

    /// Reports the root or an item of a sequence; a member was reported with its key.
    fn item(&mut self, start: Position) {
        match self.levels.last_mut() {
            None => (self.found)("", start),
            Some(level) if !level.is_map => {
                pointer::push_token(&mut self.pointer, &level.items.to_string());
                level.items += 1;
                (self.found)(&self.pointer, start);
            }
            Some(_) => {}
        }
    }

    fn value_done(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            level.has_key = false;
            self.pointer.truncate(level.outer);
        }
    }
}
