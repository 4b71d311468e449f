//! The fields of one kind of body, as far as they were seen.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};

use crate::contract::PropertyNames;
use crate::contract::instance::{Node, Outline};

/// What stands for a member that the document does not name.
const UNNAMED: &str = "*";
/// Fields kept apart per body.
const MOST_FIELDS: usize = 2_000;
/// Levels kept apart; deeper fields count as part of the level above.
const DEEPEST: usize = 12;
/// Members looked at per body.
const MOST_STEPS: usize = 50_000;
/// Fields remembered by the outlines of the bodies that had them.
const MOST_REMEMBERED: usize = 4_096;
/// What an outline itself takes, in fields.
const REMEMBERING: usize = 12;

/// Fields in the seed's form: dot notation, arrays by their elements under the array's own name.
/// Grows as fields are seen; a field keeps its number.
#[derive(Debug)]
pub(super) struct FieldTree {
    fields: Vec<Field>,
    /// By the outline of a body: bodies of one outline have the same fields.
    outlines: HashMap<u64, Box<[u32]>, RandomState>,
    remembered: usize,
}

#[derive(Debug)]
struct Field {
    path: Arc<str>,
    depth: usize,
    children: HashMap<Box<str>, u32, FixedState>,
    unnamed: Option<u32>,
    /// The walk that met it last.
    met: u64,
}

// === impl FieldTree ===

impl Default for FieldTree {
    fn default() -> Self {
        let fields = vec![Field::new("".into(), 0)];
        Self { fields, outlines: HashMap::default(), remembered: 0 }
    }
}

impl FieldTree {
    /// Adds the numbers of the fields of `body` to `seen`, each once. `walk` differs from call to
    /// call. False when not all of the body was looked at, or not all fields have a number.
    pub(super) fn add(
        &mut self,
        names: &PropertyNames,
        (body, outline): (Node<'_>, Option<Outline>),
        walk: u64,
        seen: &mut Vec<u32>,
    ) -> bool {
        if let Some(known) = outline.and_then(|outline| self.recall(outline)) {
            seen.extend_from_slice(known);
            return true;
        }
        let before = seen.len();
        let whole = self.walk(names, body, walk, seen);
        if let Some(outline) = outline.filter(|outline| whole && outline.is_whole) {
            self.remember(outline.number, seen.get(before..).unwrap_or_default());
        }
        whole
    }

    /// The fields of every body of this outline, where one was looked at.
    pub(super) fn recall(&self, outline: Outline) -> Option<&[u32]> {
        let fields = outline.is_whole.then(|| self.outlines.get(&outline.number))?;
        fields.map(|fields| &**fields)
    }

    fn remember(&mut self, outline: u64, fields: &[u32]) {
        let takes = fields.len() + REMEMBERING;
        if self.remembered + takes > MOST_REMEMBERED {
            // Those that come often are soon back.
            self.outlines.clear();
            self.remembered = 0;
        }
        self.remembered += takes;
        self.outlines.insert(outline, fields.into());
    }

    fn walk(
        &mut self,
        names: &PropertyNames,
        body: Node<'_>,
        walk: u64,
        seen: &mut Vec<u32>,
    ) -> bool {
        let mut steps = MOST_STEPS;
        let mut whole = true;
        let mut todo = vec![(0_u32, body)];
        while let Some((at, node)) = todo.pop() {
            for item in node.items() {
                steps = steps.saturating_sub(1);
                if steps > 0 && (item.is_object() || item.is_array()) {
                    todo.push((at, item));
                }
            }
            for (name, value) in node.members() {
                steps = steps.saturating_sub(1);
                let child = if steps > 0 { self.child(at, names, name) } else { None };
                let Some(child) = child else {
                    whole = false;
                    continue;
                };
                let field = &mut self.fields[child as usize];
                if field.met != walk {
                    field.met = walk;
                    seen.push(child);
                }
                if value.is_object() || value.is_array() {
                    todo.push((child, value));
                }
            }
        }
        whole && steps > 0
    }

    /// The path of a field.
    pub(super) fn path(&self, field: u32) -> Option<&Arc<str>> {
        self.fields.get(field as usize).map(|field| &field.path)
    }

    fn child(&mut self, at: u32, names: &PropertyNames, name: &str) -> Option<u32> {
        let parent = self.fields.get(at as usize)?;
        if let Some(known) = parent.children.get(name) {
            return Some(*known);
        }
        let is_named = names.contains(name);
        if let (Some(known), false) = (parent.unnamed, is_named) {
            return Some(known);
        }
        if self.fields.len() >= MOST_FIELDS || parent.depth >= DEEPEST {
            return None;
        }
        let shown = if is_named { name } else { UNNAMED };
        let path = match &*parent.path {
            "" => shown.to_owned(),
            parent => format!("{parent}.{shown}"),
        };
        let number = u32::try_from(self.fields.len()).ok()?;
        let depth = parent.depth + 1;
        let parent = self.fields.get_mut(at as usize)?;
        if is_named {
            parent.children.insert(name.into(), number);
        } else {
            parent.unnamed = Some(number);
        }
        self.fields.push(Field::new(path.into(), depth));
        Some(number)
    }
}

// === impl Field ===

impl Field {
    fn new(path: Arc<str>, depth: usize) -> Self {
        Self { path, depth, children: HashMap::default(), unnamed: None, met: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::instance::{Arena, Outliner};
    use crate::contract::{CompileOptions, Contract};

    const DOCUMENT: &str = r#"{"openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "paths": {"/": {"get": {"responses": {"200": {"description": "", "content": {
            "application/json": {"schema": {"properties": {"items": {"items": {"properties": {
                "id": {}, "tags": {}, "author": {"properties": {"name": {}}}}}}, "by": {}}}}}}}}}}}"#;

    fn paths(tree: &mut FieldTree, walk: u64, body: &str) -> Vec<String> {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let mut arena = Arena::default();
        let id = arena.parse(body.as_bytes()).unwrap();
        let mut seen = Vec::new();
        assert!(tree.add(contract.property_names(), (arena.node(id), None), walk, &mut seen));
        let mut paths: Vec<_> =
            seen.iter().map(|field| tree.path(*field).unwrap().to_string()).collect();
        paths.sort();
        paths
    }

    #[test]
    fn arrays_by_all_their_elements_and_each_field_once() {
        let mut tree = FieldTree::default();
        let body = r#"{"items": [{"id": 1}, {"id": 2, "author": {"name": "x"}}], "by": null}"#;
        let expected = ["by", "items", "items.author", "items.author.name", "items.id"];
        assert_eq!(paths(&mut tree, 1, body), expected);
        assert_eq!(paths(&mut tree, 2, r#"[[{"id": 1}]]"#), ["id"]);
        assert_eq!(paths(&mut tree, 3, "1"), [""; 0]);
    }

    #[test]
    fn what_the_document_does_not_name_is_not_named() {
        let mut tree = FieldTree::default();
        let body = r#"{"by": {"bob@corp.com": {"id": 1}, "eve@corp.com": {"id": 2}}}"#;
        assert_eq!(paths(&mut tree, 1, body), ["by", "by.*", "by.*.id"]);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let mut tree = FieldTree::default();
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let mut arena = Arena::default();
        let deep = format!("{}1{}", r#"{"id":"#.repeat(60), "}".repeat(60));
        let id = arena.parse(deep.as_bytes()).unwrap();
        let mut seen = Vec::new();
        assert!(!tree.add(contract.property_names(), (arena.node(id), None), 1, &mut seen));
        assert_eq!(seen.len(), DEEPEST);
    }

    #[test]
    fn a_body_of_a_known_outline_has_the_fields_of_the_first() {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let (mut tree, mut outliner) = (FieldTree::default(), Outliner::default());
        let mut fields = |body: &str, walk| {
            let mut arena = Arena::default();
            let id = arena.parse(body.as_bytes()).unwrap();
            let (body, mut seen) = (arena.node(id), Vec::new());
            let outline = outliner.outline(body);
            assert!(tree.add(contract.property_names(), (body, outline), walk, &mut seen));
            seen.sort_unstable();
            seen
        };
        let first = fields(r#"{"by":1,"items":[{"id":"a"},{"id":"b"}]}"#, 1);
        assert_eq!(first, fields(r#"{"items":[{"id":"c"}],"by":2}"#, 2));
        assert_ne!(first, fields(r#"{"by":1,"items":[{}]}"#, 3));
    }

    #[test]
    fn outlines_without_end_are_forgotten_and_fields_stay() {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let (mut tree, mut outliner) = (FieldTree::default(), Outliner::default());
        for walk in 1..2_000 {
            let mut arena = Arena::default();
            let id = arena.parse(format!(r#"{{"id":1,"x{walk}":1}}"#).as_bytes()).unwrap();
            let (body, mut seen) = (arena.node(id), Vec::new());
            let outline = outliner.outline(body);
            assert!(tree.add(contract.property_names(), (body, outline), walk, &mut seen));
            assert_eq!(seen, [1, 2]);
            assert!(tree.remembered <= MOST_REMEMBERED);
        }
    }
}
