//! Events into a tree: anchors, aliases, merge keys, and keys that are written twice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::cursor::Mark;
use super::parser::{EventKind, NodeProperties, YamlEvent, YamlParser};
use super::scalar;
use super::{at, position, syntax};
use crate::contract::error::{ContractError, Diagnostic};
use crate::contract::options::DocumentLimits;
use crate::json::pointer;

/// Repeated keys that are reported of one text.
const MAX_REPEATED: usize = 100;

/// A YAML text read into a tree.
#[derive(Debug)]
pub(in crate::contract::document) struct YamlTree {
    pub value: Value,
    /// Keys that a mapping holds already, at their later place.
    pub repeated_keys: Vec<Diagnostic>,
    /// Where a second document begins, which is not read.
    pub further_document: Option<Diagnostic>,
}

// === impl YamlTree ===

impl YamlTree {
    /// The tree, and all that was noticed.
    pub(in crate::contract::document) fn into_parts(self) -> (Value, Vec<Diagnostic>) {
        let mut slips = self.repeated_keys;
        slips.extend(self.further_document);
        (self.value, slips)
    }
}

pub(super) struct YamlReader<'t, 'l> {
    limits: &'l DocumentLimits,
    anchors: HashMap<&'t str, AnchoredNode<'t>>,
    /// Values that aliases and anchors brought in.
    copied: usize,
    stack: Vec<OpenNode<'t>>,
    root: Option<Value>,
    repeated_keys: Vec<Diagnostic>,
}

#[derive(Clone)]
struct AnchoredNode<'t> {
    value: Rc<Value>,
    /// A scalar as it is written: what it is called where it is a key.
    written: Option<Cow<'t, str>>,
    size: usize,
}

/// A container being read.
struct OpenNode<'t> {
    anchor: Option<&'t str>,
    /// Values read into it, itself included.
    size: usize,
    kind: OpenNodeKind<'t>,
}

enum OpenNodeKind<'t> {
    Sequence(Vec<Value>),
    Mapping {
        members: Map<String, Value>,
        key: Option<PendingKey<'t>>,
        /// What merge keys bring in, after all members of its own.
        merged: Vec<Value>,
    },
}

enum PendingKey<'t> {
    Name(Cow<'t, str>),
    Merge,
}

/// A complete value on its way into the tree.
struct CompleteNode<'t> {
    value: Value,
    anchor: Option<&'t str>,
    size: usize,
    mark: Mark,
}

// === impl YamlReader ===

impl<'t, 'l> YamlReader<'t, 'l> {
    pub(super) fn new(limits: &'l DocumentLimits) -> Self {
        Self {
            limits,
            anchors: HashMap::new(),
            copied: 0,
            stack: Vec::new(),
            root: None,
            repeated_keys: Vec::new(),
        }
    }

    /// Reads the first document; what follows it is only looked at to see whether it is another one.
    pub(super) fn read(mut self, text: &'t str) -> Result<YamlTree, ContractError> {
        let mut parser = YamlParser::new(text).map_err(syntax)?;
        let mut is_over = false;
        let further_document = loop {
            let YamlEvent { kind, start } = parser.next_event().map_err(syntax)?;
            match kind {
                EventKind::DocumentEnd => is_over = true,
                EventKind::StreamEnd => break None,
                EventKind::DocumentStart if is_over => {
                    let message = "only the first document of a YAML text is read";
                    break Some(Diagnostic::at(position(start), message));
                }
                kind => self.take(kind, start)?,
            }
        };
        let value = self.root.unwrap_or(Value::Null);
        Ok(YamlTree { value, repeated_keys: self.repeated_keys, further_document })
    }

    fn take(&mut self, kind: EventKind<'t>, mark: Mark) -> Result<(), ContractError> {
        match kind {
            EventKind::Scalar { text, is_plain, properties } => {
                self.scalar(text, is_plain, &properties, mark)
            }
            EventKind::SequenceStart(properties) => {
                self.begin(properties.anchor, OpenNodeKind::Sequence(Vec::new()), mark)
            }
            EventKind::MappingStart(properties) => {
                let (members, merged) = (Map::new(), Vec::new());
                let kind = OpenNodeKind::Mapping { members, key: None, merged };
                self.begin(properties.anchor, kind, mark)
            }
            EventKind::SequenceEnd | EventKind::MappingEnd => self.end(mark),
            EventKind::Alias(name) => self.alias(name, mark),
            EventKind::DocumentStart | EventKind::DocumentEnd | EventKind::StreamEnd => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'t, str>,
        is_plain: bool,
        properties: &NodeProperties<'t>,
        mark: Mark,
    ) -> Result<(), ContractError> {
        let tag = properties.tag.as_deref();
        let Some(anchor) = properties.anchor else {
            if self.awaits_key() {
                self.take_key(text, is_plain, mark);
                return Ok(());
            }
            let value = scalar::resolve(text, is_plain, tag);
            return self.finish(CompleteNode { value, anchor: None, size: 1, mark });
        };
        let value = scalar::resolve(text.clone(), is_plain, tag);
        let is_key = self.awaits_key();
        if is_key {
            self.take_key(text.clone(), is_plain, mark);
            self.define(anchor, &value, 1, mark)?;
        } else {
            self.finish(CompleteNode { value, anchor: Some(anchor), size: 1, mark })?;
        }
        if let Some(node) = self.anchors.get_mut(anchor) {
            node.written = Some(text);
        }
        Ok(())
    }

    fn alias(&mut self, name: &'t str, mark: Mark) -> Result<(), ContractError> {
        let Some(node) = self.anchors.get(name).cloned() else {
            let is_inside = self.stack.iter().any(|open| open.anchor == Some(name));
            return Err(at(
                mark,
                if is_inside {
                    "an alias is inside its own anchor"
                } else {
                    "no anchor of this name comes before the alias"
                },
            ));
        };
        if self.awaits_key() {
            let Some(written) = node.written else {
                return Err(at(mark, "a mapping's key is not a scalar"));
            };
            self.count_copied(1, mark)?;
            self.take_key(written, false, mark);
            return Ok(());
        }
        self.count_copied(node.size, mark)?;
        let value = Value::clone(&node.value);
        self.finish(CompleteNode { value, anchor: None, size: node.size, mark })
    }

    fn awaits_key(&self) -> bool {
        let kind = self.stack.last().map(|open| &open.kind);
        matches!(kind, Some(OpenNodeKind::Mapping { key: None, .. }))
    }

    fn take_key(&mut self, text: Cow<'t, str>, is_plain: bool, mark: Mark) {
        let Some(OpenNode { kind: OpenNodeKind::Mapping { members, key, merged }, .. }) =
            self.stack.last_mut()
        else {
            return;
        };
        let is_merge = is_plain && text == "<<";
        let is_repeated =
            if is_merge { !merged.is_empty() } else { members.contains_key(text.as_ref()) };
        *key = Some(if is_merge { PendingKey::Merge } else { PendingKey::Name(text) });
        if is_repeated && self.repeated_keys.len() < MAX_REPEATED {
            let message = "a key appears twice in one mapping; the last one counts";
            let pointer = self.pointer();
            self.repeated_keys
                .push(Diagnostic { pointer, ..Diagnostic::at(position(mark), message) });
        }
    }

    /// The pointer to the value that is awaited.
    fn pointer(&self) -> String {
        let mut pointer = String::new();
        for open in &self.stack {
            match &open.kind {
                OpenNodeKind::Sequence(items) => {
                    pointer::push_token(&mut pointer, &items.len().to_string());
                }
                OpenNodeKind::Mapping { key: Some(PendingKey::Name(name)), .. } => {
                    pointer::push_token(&mut pointer, name);
                }
                OpenNodeKind::Mapping { .. } => {}
            }
        }
        pointer
    }

    fn begin(
        &mut self,
        anchor: Option<&'t str>,
        kind: OpenNodeKind<'t>,
        mark: Mark,
    ) -> Result<(), ContractError> {
        if self.awaits_key() {
            return Err(at(mark, "a mapping's key is not a scalar"));
        }
        if self.stack.len() >= self.limits.depth as usize {
            let diagnostic = Diagnostic::at(position(mark), "the text is nested too deep");
            return Err(ContractError::OverLimit(diagnostic));
        }
        if let Some(anchor) = anchor {
            self.anchors.remove(anchor);
        }
        self.stack.push(OpenNode { anchor, size: 1, kind });
        Ok(())
    }

    fn end(&mut self, mark: Mark) -> Result<(), ContractError> {
        let Some(OpenNode { anchor, size, kind }) = self.stack.pop() else { return Ok(()) };
        let value = match kind {
            OpenNodeKind::Sequence(items) => Value::Array(items),
            OpenNodeKind::Mapping { mut members, merged, .. } => {
                for source in merged.into_iter().rev() {
                    merge(&mut members, source)
                        .ok_or_else(|| at(mark, "a merge key does not name a mapping"))?;
                }
                Value::Object(members)
            }
        };
        self.finish(CompleteNode { value, anchor, size, mark })
    }

    /// Puts a complete value where it belongs.
    fn finish(&mut self, node: CompleteNode<'t>) -> Result<(), ContractError> {
        let CompleteNode { value, anchor, size, mark } = node;
        if let Some(anchor) = anchor {
            self.define(anchor, &value, size, mark)?;
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
                    members.insert(name.into_owned(), value);
                }
                Some(PendingKey::Merge) => merged.push(value),
                None => return Err(at(mark, "a mapping's key is not a scalar")),
            },
        }
        Ok(())
    }

    fn define(
        &mut self,
        anchor: &'t str,
        value: &Value,
        size: usize,
        mark: Mark,
    ) -> Result<(), ContractError> {
        self.count_copied(size, mark)?;
        let node = AnchoredNode { value: Rc::new(value.clone()), written: None, size };
        self.anchors.insert(anchor, node);
        Ok(())
    }

    fn count_copied(&mut self, size: usize, mark: Mark) -> Result<(), ContractError> {
        self.copied += size;
        if self.copied > self.limits.alias_values {
            let message = "aliases add more values than the limit allows";
            return Err(ContractError::OverLimit(Diagnostic::at(position(mark), message)));
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
