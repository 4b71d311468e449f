//! Shapes from schemas.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{Additional, NamePattern, ShapeData, ShapeId, Shapes, Types, XmlShape};
use crate::contract::document::Document;
use crate::contract::lower::SchemaDialect;
use crate::json::pointer;

/// Builds shapes, each once.
pub(in crate::contract) struct ShapeBuilder<'d> {
    document: &'d Document,
    dialect: SchemaDialect,
    shapes: Shapes,
    /// Types by the address of their schema, which does not move while shapes are built.
    types: HashMap<usize, Types>,
    /// Shapes by the schemas they are of, joined by a space.
    known: HashMap<String, ShapeId>,
}

/// Schemas that one shape is put together from, at most.
const MAX_PARTS: usize = 500;
/// Branches within branches that types are looked for in.
const MAX_DEPTH: usize = 24;

/// What is gathered for one shape.
#[derive(Default)]
struct Gathered<'d> {
    parts: Vec<(String, &'d Value)>,
    seen: HashSet<String>,
}

// === impl ShapeBuilder ===

impl<'d> ShapeBuilder<'d> {
    pub(in crate::contract) fn new(document: &'d Document) -> Self {
        let dialect = SchemaDialect::of(document.version());
        Self {
            document,
            dialect,
            shapes: Shapes::default(),
            types: HashMap::new(),
            known: HashMap::new(),
        }
    }

    /// Everything built so far.
    pub(in crate::contract) fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Everything built.
    pub(in crate::contract) fn into_shapes(self) -> Shapes {
        self.shapes
    }

    /// The shape of the schema at a pointer, and of all it leads to.
    pub(in crate::contract) fn shape(&mut self, pointer: &str) -> ShapeId {
        let mut todo = Vec::new();
        let id = self.intern(vec![pointer.to_owned()], &mut todo);
        while let Some((id, pointers)) = todo.pop() {
            let known = self.build(&pointers, &mut todo);
            if let Some(slot) = self.shapes.known.get_mut(id.0 as usize) {
                *slot = known;
            }
        }
        id
    }

    /// The id of the shape of some schemas together; a new one is put on the list.
    fn intern(
        &mut self,
        mut pointers: Vec<String>,
        todo: &mut Vec<(ShapeId, Vec<String>)>,
    ) -> ShapeId {
        pointers.sort_unstable();
        pointers.dedup();
        let key = pointers.join(" ");
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let id = ShapeId(u32::try_from(self.shapes.known.len()).unwrap_or(u32::MAX));
        self.shapes.known.push(ShapeData::any());
        self.known.insert(key, id);
        todo.push((id, pointers));
        id
    }

    fn build(&mut self, pointers: &[String], todo: &mut Vec<(ShapeId, Vec<String>)>) -> ShapeData {
        let mut gathered = Gathered::default();
        let mut types = Types::NONE;
        let mut said = false;
        for pointer in pointers {
            let Some(schema) = pointer::lookup(self.document.root(), pointer) else { continue };
            let own = self.types(schema, 0);
            if !own.is_any() {
                types = types | own;
                said = true;
            }
            self.gather(pointer, schema, &mut gathered);
        }
        let mut known =
            ShapeData { types: if said { types } else { Types::ANY }, ..ShapeData::any() };
        let mut children = Children::default();
        for (at, part) in &gathered.parts {
            read_part(at, part, &mut known, &mut children);
        }
        for (name, pointers) in children.properties {
            known.properties.insert(name.into(), self.intern(pointers, todo));
        }
        for (pattern, pointers) in children.patterns {
            known.patterns.push((NamePattern::new(&pattern), self.intern(pointers, todo)));
        }
        if !children.additional.is_empty() {
            known.additional = Additional::Like(self.intern(children.additional, todo));
        }
        for pointers in children.prefix_items {
            let id = self.intern(pointers, todo);
            known.prefix_items.push(id);
        }
        if !children.items.is_empty() {
            known.items = Some(self.intern(children.items, todo));
        }
        known
    }

    /// Collects a schema and all that apply to the same value because of it.
    fn gather(&self, at: &str, schema: &'d Value, gathered: &mut Gathered<'d>) {
        if gathered.parts.len() >= MAX_PARTS || !gathered.seen.insert(at.to_owned()) {
            return;
        }
        let target = self.target(schema);
        if target.is_some() && self.dialect == SchemaDialect::OpenApi {
            if let Some((pointer, target)) = target {
                self.gather(&pointer, target, gathered);
            }
            return;
        }
        gathered.parts.push((at.to_owned(), schema));
        if let Some((pointer, target)) = target {
            self.gather(&pointer, target, gathered);
        }
        for keyword in ["allOf", "oneOf", "anyOf"] {
            let branches = schema.get(keyword).and_then(Value::as_array);
            for (index, branch) in branches.into_iter().flatten().enumerate() {
                self.gather(&format!("{at}/{keyword}/{index}"), branch, gathered);
            }
        }
        for keyword in ["if", "then", "else"] {
            if let Some(branch) = schema.get(keyword) {
                self.gather(&format!("{at}/{keyword}"), branch, gathered);
            }
        }
    }

    /// The types a schema allows; each schema is looked at once, however often it is composed.
    fn types(&mut self, schema: &Value, depth: usize) -> Types {
        if depth > MAX_DEPTH {
            return Types::ANY;
        }
        let address = std::ptr::from_ref(schema) as usize;
        if let Some(types) = self.types.get(&address) {
            return *types;
        }
        // What a circle leads back to says nothing.
        self.types.insert(address, Types::ANY);
        let types = self.types_uncached(schema, depth);
        self.types.insert(address, types);
        types
    }

    fn types_uncached(&mut self, schema: &Value, depth: usize) -> Types {
        if schema == &Value::Bool(false) {
            return Types::NONE;
        }
        let target = self.target(schema).map(|(_, target)| self.types(target, depth + 1));
        if let (Some(target), SchemaDialect::OpenApi) = (target, self.dialect) {
            return target;
        }
        let mut types = own_types(schema, self.dialect) & target.unwrap_or(Types::ANY);
        let branches = |keyword| schema.get(keyword).and_then(Value::as_array);
        for branch in branches("allOf").into_iter().flatten() {
            types = types & self.types(branch, depth + 1);
        }
        for keyword in ["oneOf", "anyOf"] {
            if let Some(branches) = branches(keyword) {
                let mut union = Types::NONE;
                for branch in branches {
                    union = union | self.types(branch, depth + 1);
                }
                types = types & union;
            }
        }
        types
    }

    fn target(&self, schema: &Value) -> Option<(String, &'d Value)> {
        let fragment = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        let pointer = pointer::of_fragment(fragment)?;
        let value = pointer::lookup(self.document.root(), &pointer)?;
        Some((pointer, value))
    }
}

/// The schemas of a shape's children, by their pointers.
#[derive(Default)]
struct Children {
    properties: BTreeMap<String, Vec<String>>,
    patterns: BTreeMap<String, Vec<String>>,
    additional: Vec<String>,
    prefix_items: Vec<Vec<String>>,
    items: Vec<String>,
}

/// The types that a schema's own keywords allow.
fn own_types(schema: &Value, dialect: SchemaDialect) -> Types {
    let Some(members) = schema.as_object() else { return Types::ANY };
    if let Some(types) = members.get("type").and_then(Types::named) {
        let nullable = |keyword| members.get(keyword) == Some(&Value::Bool(true));
        let nullable =
            dialect == SchemaDialect::OpenApi && (nullable("nullable") || nullable("x-nullable"));
        return if nullable { types | Types::NULL } else { types };
    }
    if let Some(value) = members.get("const") {
        return Types::of(value);
    }
    if let Some(Value::Array(values)) = members.get("enum") {
        return values.iter().fold(Types::NONE, |types, value| types | Types::of(value));
    }
    if members.contains_key("properties") {
        return Types::OBJECT;
    }
    if members.contains_key("items") || members.contains_key("prefixItems") {
        return Types::ARRAY;
    }
    Types::ANY
}

/// Adds what one schema says.
fn read_part(at: &str, part: &Value, known: &mut ShapeData, children: &mut Children) {
    let Some(members) = part.as_object() else { return };
    let text = |name: &str| members.get(name).and_then(Value::as_str).map(Box::from);
    known.format = known.format.take().or_else(|| text("format"));
    known.content_encoding = known.content_encoding.take().or_else(|| text("contentEncoding"));
    known.content_media_type = known.content_media_type.take().or_else(|| text("contentMediaType"));
    if let (None, Some(Value::Object(xml))) = (&known.xml, members.get("xml")) {
        let text = |name: &str| xml.get(name).and_then(Value::as_str).map(Box::from);
        let flag = |name: &str| xml.get(name) == Some(&Value::Bool(true));
        // OpenAPI 3.2 says the same, and more, by `nodeType`.
        let node = |kind: &str| xml.get("nodeType").and_then(Value::as_str) == Some(kind);
        known.xml = Some(XmlShape {
            name: text("name"),
            namespace: text("namespace"),
            prefix: text("prefix"),
            attribute: flag("attribute") || node("attribute"),
            text: node("text") || node("cdata"),
            wrapped: flag("wrapped") || node("element"),
        });
    }
    let listed = members.get("enum").and_then(Value::as_array).into_iter().flatten();
    let mut values = listed.chain(members.get("const")).chain(members.get("default"));
    known.names_empty_text |= values.any(|value| value == "");
    let required = members.get("required").and_then(Value::as_array);
    known.required.extend(required.into_iter().flatten().filter_map(|n| n.as_str().map(Box::from)));
    for (keyword, into) in
        [("properties", &mut children.properties), ("patternProperties", &mut children.patterns)]
    {
        let named = members.get(keyword).and_then(Value::as_object);
        for name in named.into_iter().flatten().map(|(name, _)| name) {
            let pointer = pointer::join(&format!("{at}/{keyword}"), name);
            into.entry(name.clone()).or_default().push(pointer);
        }
    }
    for keyword in ["additionalProperties", "unevaluatedProperties"] {
        match members.get(keyword) {
            Some(Value::Bool(true)) => known.additional = Additional::Open,
            Some(Value::Bool(false)) if known.additional == Additional::Unspecified => {
                known.additional = Additional::Closed;
            }
            Some(Value::Object(_)) => children.additional.push(format!("{at}/{keyword}")),
            _ => {}
        }
    }
    let tuple = ["prefixItems", "items"]
        .iter()
        .find_map(|keyword| Some((*keyword, members.get(*keyword)?.as_array()?)));
    if let Some((keyword, items)) = tuple {
        children.prefix_items.resize_with(children.prefix_items.len().max(items.len()), Vec::new);
        for (index, pointers) in children.prefix_items.iter_mut().enumerate().take(items.len()) {
            pointers.push(format!("{at}/{keyword}/{index}"));
        }
    }
    if members.get("items").is_some_and(Value::is_object) {
        children.items.push(format!("{at}/items"));
    }
}
