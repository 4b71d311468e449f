//! The fields of one kind of body, as far as they were seen.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::{FixedState, RandomState};

use crate::contract::PropertyNames;
use crate::json::{Node, ShapeHash};

/// What stands for a member that the document does not name.
const UNNAMED: &str = "*";
/// Fields kept apart per body.
const MAX_FIELDS: usize = 2_000;
/// Levels kept apart; deeper fields count as part of the level above.
const MAX_DEPTH: usize = 12;
/// Members looked at per body.
const MAX_STEPS: usize = 50_000;
/// Fields remembered by the shapes of the bodies that had them.
const MAX_REMEMBERED: usize = 4_096;
/// What an shape itself takes, in fields.
const REMEMBERING: usize = 12;

/// Fields in the seed's form: dot notation, arrays by their elements under the array's own name.
/// Grows as fields are seen; a field keeps its number.
#[derive(Debug)]
pub(super) struct FieldTree {
    fields: Vec<FieldNode>,
    /// By the shape of a body: bodies of one shape have the same fields.
    shapes: HashMap<u64, Box<[u32]>, RandomState>,
    remembered: usize,
}

#[derive(Debug)]
struct FieldNode {
    path: Arc<str>,
    depth: usize,
    children: HashMap<Box<str>, u32, FixedState>,
    unnamed: Option<u32>,
    /// The walk that met it last.
    last_walk: u64,
}

// === impl FieldTree ===

impl Default for FieldTree {
    fn default() -> Self {
        let fields = vec![FieldNode::new("".into(), 0)];
        Self { fields, shapes: HashMap::default(), remembered: 0 }
    }
}

impl FieldTree {
    /// Adds the numbers of the fields of `body` to `seen`, each once. `walk` differs from call to
    /// call. False when not all of the body was looked at, or not all fields have a number.
    pub(super) fn add(
        &mut self,
        names: &PropertyNames,
        (body, shape): (Node<'_>, Option<ShapeHash>),
        walk: u64,
        seen: &mut Vec<u32>,
    ) -> bool {
        if let Some(known) = shape.and_then(|shape| self.recall(shape)) {
            seen.extend_from_slice(known);
            return true;
        }
        let before = seen.len();
        let whole = self.walk(names, body, walk, seen);
        if let Some(shape) = shape.filter(|shape| whole && shape.is_exact) {
            self.remember(shape.number, seen.get(before..).unwrap_or_default());
        }
        whole
    }

    /// The fields of every body of this shape, where one was looked at.
    pub(super) fn recall(&self, shape: ShapeHash) -> Option<&[u32]> {
        let fields = shape.is_exact.then(|| self.shapes.get(&shape.number))?;
        fields.map(|fields| &**fields)
    }

    fn remember(&mut self, shape: u64, fields: &[u32]) {
        let takes = fields.len() + REMEMBERING;
        if self.remembered + takes > MAX_REMEMBERED {
            // Those that come often are soon back.
            self.shapes.clear();
            self.remembered = 0;
        }
        self.remembered += takes;
        self.shapes.insert(shape, fields.into());
    }

    fn walk(
        &mut self,
        names: &PropertyNames,
        body: Node<'_>,
        walk: u64,
        seen: &mut Vec<u32>,
    ) -> bool {
        let mut steps = MAX_STEPS;
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
                if field.last_walk != walk {
                    field.last_walk = walk;
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
        if self.fields.len() >= MAX_FIELDS || parent.depth >= MAX_DEPTH {
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
        self.fields.push(FieldNode::new(path.into(), depth));
        Some(number)
    }
}

// === impl FieldNode ===

impl FieldNode {
    fn new(path: Arc<str>, depth: usize) -> Self {
        Self { path, depth, children: HashMap::default(), unnamed: None, last_walk: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{CompileOptions, Contract};
    use crate::json::{Arena, ShapeHasher};

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
    fn array_elements_are_merged_and_each_field_counted_once() {
        let mut tree = FieldTree::default();
        let body = r#"{"items": [{"id": 1}, {"id": 2, "author": {"name": "x"}}], "by": null}"#;
        let expected = ["by", "items", "items.author", "items.author.name", "items.id"];
        assert_eq!(paths(&mut tree, 1, body), expected);
        assert_eq!(paths(&mut tree, 2, r#"[[{"id": 1}]]"#), ["id"]);
        assert_eq!(paths(&mut tree, 3, "1"), [""; 0]);
    }

    #[test]
    fn undocumented_members_are_a_wildcard() {
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
        assert_eq!(seen.len(), MAX_DEPTH);
    }

    #[test]
    fn a_body_of_a_known_shape_has_the_fields_of_the_first() {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let (mut tree, mut shape_hasher) = (FieldTree::default(), ShapeHasher::default());
        let mut fields = |body: &str, walk| {
            let mut arena = Arena::default();
            let id = arena.parse(body.as_bytes()).unwrap();
            let (body, mut seen) = (arena.node(id), Vec::new());
            let shape = shape_hasher.shape_hash(body);
            assert!(tree.add(contract.property_names(), (body, shape), walk, &mut seen));
            seen.sort_unstable();
            seen
        };
        let first = fields(r#"{"by":1,"items":[{"id":"a"},{"id":"b"}]}"#, 1);
        assert_eq!(first, fields(r#"{"items":[{"id":"c"}],"by":2}"#, 2));
        assert_ne!(first, fields(r#"{"by":1,"items":[{}]}"#, 3));
    }

    #[test]
    fn remembered_shapes_are_bounded_and_fields_stay() {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let (mut tree, mut shape_hasher) = (FieldTree::default(), ShapeHasher::default());
        for walk in 1..2_000 {
            let mut arena = Arena::default();
            let id = arena.parse(format!(r#"{{"id":1,"x{walk}":1}}"#).as_bytes()).unwrap();
            let (body, mut seen) = (arena.node(id), Vec::new());
            let shape = shape_hasher.shape_hash(body);
            assert!(tree.add(contract.property_names(), (body, shape), walk, &mut seen));
            assert_eq!(seen, [1, 2]);
            assert!(tree.remembered <= MAX_REMEMBERED);
        }
    }
}
