//! Shapes: what of a schema guides the reading of text that is not JSON.
//!
//! A parameter, a form field or an XML element carries no types of its own; its schema says
//! whether `7` is a number or a string, whether a repeated key is an array, and which fields are
//! declared. What must hold:
//!
//! - a shape never judges: where schemas disagree it says everything that some branch allows;
//! - it is built lazily and shared, so that recursive schemas have finite shapes; building
//!   costs no more than one visit per schema object of the document;
//! - looking at it allocates nothing.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use serde_json::{Map, Value};

/// Branches (`allOf`, `oneOf` …) followed from one schema at most; a document with more of them
/// in one place gets a shape that allows everything.
const MAX_BRANCHES: usize = 2_000;

/// A JSON type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are JSON Schema's own")]
#[repr(u8)]
pub enum Type {
    Null = 1,
    Boolean = 2,
    Integer = 4,
    Number = 8,
    String = 16,
    Array = 32,
    Object = 64,
}

/// A set of JSON types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types(u8);

/// Index of a shape in its [`Shapes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShapeId(u32);

/// Every shape of one contract.
#[derive(Debug, Default)]
pub struct Shapes {
    all: Vec<ShapeData>,
}

/// What a schema allows, as far as reading needs to know. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Shape<'c> {
    shapes: &'c Shapes,
    id: ShapeId,
}

/// How a property or an item is written in XML (the `xml` object).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct XmlForm {
    /// Replaces the property's name.
    pub name: Option<Box<str>>,
    /// Namespace of the element or attribute.
    pub namespace: Option<Box<str>>,
    /// Prefix, for display only: messages may choose their own.
    pub prefix: Option<Box<str>>,
    /// An attribute of the parent rather than an element.
    pub attribute: bool,
    /// An array has an element of its own around its items.
    pub wrapped: bool,
    /// The character data of the parent (`nodeType: text` or `cdata`, OpenAPI 3.2).
    pub text: bool,
}

#[derive(Debug, Clone)]
struct ShapeData {
    types: Types,
    properties: HashMap<Box<str>, ShapeId, FixedState>,
    /// In the document's order.
    names: Vec<Box<str>>,
    /// Patterns of property names; matched as the schema does, so kept with their shape.
    patterns: Vec<(regex::Regex, ShapeId)>,
    /// A pattern that this engine's linear matcher cannot run: any name may be declared by it.
    opaque_patterns: bool,
    additional: Additional,
    prefix_items: Vec<ShapeId>,
    items: Option<ShapeId>,
    format: Option<Box<str>>,
    content_encoded: bool,
    content_media_type: Option<Box<str>>,
    xml: XmlForm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Additional {
    /// Nothing is said: allowed, but not declared.
    Silent,
    /// `additionalProperties: true` or `{}` in so many words: declared.
    Open,
    /// A schema.
    Shaped(ShapeId),
    /// `false`.
    Closed,
}

/// Builds shapes, each set of schemas once.
pub struct ShapeBuilder<'d> {
    resolve: &'d dyn Fn(&str) -> Option<&'d Value>,
    /// Whether keywords beside a `$ref` count (3.1) or not (2.0, 3.0).
    ref_siblings: bool,
    all: Vec<ShapeData>,
    known: HashMap<Box<[usize]>, ShapeId, FixedState>,
    queue: Vec<(Vec<&'d Value>, ShapeId)>,
    /// Types found so far, so that a diamond of branches is walked once.
    types_of: HashMap<usize, Types, FixedState>,
}

/// What the branches of a set of schemas say together.
#[derive(Default)]
struct Gathered<'d> {
    properties: HashMap<&'d str, Vec<&'d Value>, FixedState>,
    names: Vec<&'d str>,
    patterns: Vec<(&'d str, &'d Value)>,
    additional: Vec<&'d Value>,
    prefix_items: Vec<Vec<&'d Value>>,
    items: Vec<&'d Value>,
    format: Option<&'d str>,
    content_encoded: bool,
    content_media_type: Option<&'d str>,
    xml: Option<&'d Value>,
}

// === impl Types ===

impl Types {
    /// Every type.
    pub const ANY: Self = Self(127);
    /// No type.
    pub const NONE: Self = Self(0);

    /// Whether the set holds `one`.
    pub const fn has(self, one: Type) -> bool {
        self.0 & one as u8 != 0
    }

    /// Whether nothing is left out.
    pub const fn is_any(self) -> bool {
        self.0 == Self::ANY.0
    }

    /// Whether anything but arrays and objects is in the set.
    pub const fn any_scalar(self) -> bool {
        self.0 & !(Type::Array as u8 | Type::Object as u8) != 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    fn named(name: &str) -> Self {
        Self(match name {
            "null" => Type::Null as u8,
            "boolean" => Type::Boolean as u8,
            "integer" => Type::Integer as u8,
            "number" => Type::Integer as u8 | Type::Number as u8,
            // Swagger 2.0's `file` is bytes.
            "string" | "file" => Type::String as u8,
            "array" => Type::Array as u8,
            "object" => Type::Object as u8,
            _ => return Self::ANY,
        })
    }

    fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::named("null"),
            Value::Bool(_) => Self::named("boolean"),
            Value::Number(_) => Self::named("number"),
            Value::String(_) => Self::named("string"),
            Value::Array(_) => Self::named("array"),
            Value::Object(_) => Self::named("object"),
        }
    }
}

// === impl Shape ===

impl<'c> Shape<'c> {
    fn data(self) -> Option<&'c ShapeData> {
        self.shapes.all.get(self.id.0 as usize)
    }

    fn at(self, id: ShapeId) -> Self {
        Self { shapes: self.shapes, id }
    }

    /// The shape of no schema, for what is not described.
    #[must_use]
    pub fn unknown(self) -> Self {
        self.at(ShapeId::ANY)
    }

    /// The types that some branch of the schema allows.
    pub fn types(self) -> Types {
        self.data().map_or(Types::ANY, |data| data.types)
    }

    /// The shape of a property: its own, else that of a pattern, else of all others.
    pub fn property(self, name: &str) -> Option<Self> {
        let data = self.data()?;
        let own = data.properties.get(name).copied();
        let matched =
            || data.patterns.iter().find(|(pattern, _)| pattern.is_match(name)).map(|(_, id)| *id);
        let additional = || match data.additional {
            Additional::Shaped(id) => Some(id),
            _ => None,
        };
        own.or_else(matched).or_else(additional).map(|id| self.at(id))
    }

    /// Whether a property of this name is declared: by name, by pattern, or because
    /// `additionalProperties` says so in so many words. An object schema that names nothing
    /// at all is free-form and declares everything.
    pub fn declares(self, name: &str) -> bool {
        let Some(data) = self.data() else { return true };
        let open = matches!(data.additional, Additional::Open | Additional::Shaped(_));
        let free = data.properties.is_empty()
            && data.patterns.is_empty()
            && data.additional == Additional::Silent;
        open || free
            || data.opaque_patterns
            || data.properties.contains_key(name)
            || data.patterns.iter().any(|(pattern, _)| pattern.is_match(name))
    }

    /// Whether a property of this name is declared by its name or a pattern.
    pub fn names_property(self, name: &str) -> bool {
        self.data().is_some_and(|data| {
            data.properties.contains_key(name)
                || data.patterns.iter().any(|(pattern, _)| pattern.is_match(name))
        })
    }

    /// Whether other properties than the named ones are asked for by a schema of their own.
    pub fn invites_others(self) -> bool {
        self.data().is_some_and(|data| {
            matches!(data.additional, Additional::Shaped(_) | Additional::Open)
        })
    }

    /// Named properties in the document's order.
    pub fn properties(self) -> impl Iterator<Item = (&'c str, Self)> {
        let data = self.data();
        data.into_iter().flat_map(move |data| {
            let named = data.names.iter();
            named.filter_map(move |name| Some((&**name, self.at(*data.properties.get(name)?))))
        })
    }

    /// The shape of the item at `index`.
    pub fn item(self, index: usize) -> Option<Self> {
        let data = self.data()?;
        data.prefix_items.get(index).copied().or(data.items).map(|id| self.at(id))
    }

    /// The `format`, where there is one.
    pub fn format(self) -> Option<&'c str> {
        self.data()?.format.as_deref()
    }

    /// The `contentMediaType`, where there is one.
    pub fn content_media_type(self) -> Option<&'c str> {
        self.data()?.content_media_type.as_deref()
    }

    /// Whether it stands for bytes as they are (`format: binary`, or a `contentMediaType`
    /// without a `contentEncoding`).
    pub fn is_binary(self) -> bool {
        self.data().is_some_and(|data| {
            data.format.as_deref() == Some("binary")
                || data.content_media_type.is_some() && !data.content_encoded
        })
    }

    /// How it is written in XML.
    pub fn xml(self) -> Option<&'c XmlForm> {
        self.data().map(|data| &data.xml)
    }

    /// Its identity within the contract.
    pub fn id(self) -> ShapeId {
        self.id
    }
}

// === impl Shapes ===

impl Shapes {
    /// The shape behind `id`.
    pub fn get(&self, id: ShapeId) -> Shape<'_> {
        Shape { shapes: self, id }
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        let one = |data: &ShapeData| {
            size_of::<ShapeData>() + data.properties.len() * 96 + data.patterns.len() * 4_096
        };
        self.all.iter().map(one).sum()
    }
}

impl ShapeId {
    /// The shape of no schema: it allows and declares everything.
    pub const ANY: Self = Self(0);
}

// === impl ShapeBuilder ===

impl<'d> ShapeBuilder<'d> {
    /// A builder that finds references through `resolve`.
    pub fn new(resolve: &'d dyn Fn(&str) -> Option<&'d Value>, ref_siblings: bool) -> Self {
        let any = ShapeData::any();
        let known = HashMap::default();
        Self { resolve, ref_siblings, all: vec![any], known, queue: Vec::new(), types_of: HashMap::default() }
    }

    /// The shape of a schema; all that hang from it are built with it.
    pub fn shape(&mut self, schema: &'d Value) -> ShapeId {
        let id = self.intern(vec![schema]);
        while let Some((set, id)) = self.queue.pop() {
            let data = self.build(&set);
            if let Some(slot) = self.all.get_mut(id.0 as usize) {
                *slot = data;
            }
        }
        id
    }

    /// The types that a shape built so far allows.
    pub fn types_of_shape(&self, id: ShapeId) -> Types {
        self.all.get(id.0 as usize).map_or(Types::ANY, |data| data.types)
    }

    /// Every shape built.
    pub fn finish(self) -> Shapes {
        Shapes { all: self.all }
    }

    fn intern(&mut self, mut set: Vec<&'d Value>) -> ShapeId {
        set.sort_by_key(|schema| address(schema));
        set.dedup_by_key(|schema| address(schema));
        let key: Box<[usize]> = set.iter().map(|schema| address(schema)).collect();
        if let Some(id) = self.known.get(&key) {
            return *id;
        }
        let id = ShapeId(u32::try_from(self.all.len()).unwrap_or(0));
        self.all.push(ShapeData::any());
        self.known.insert(key, id);
        self.queue.push((set, id));
        id
    }

    fn build(&mut self, set: &[&'d Value]) -> ShapeData {
        let mut types = Types::NONE;
        for schema in set {
            let one = self.types(schema, &mut Vec::new());
            if !one.is_any() {
                types = types.or(one);
            }
        }
        if types == Types::NONE {
            types = Types::ANY;
        }
        let Some(gathered) = self.gather(set) else { return ShapeData { types, ..ShapeData::any() } };
        self.assemble(types, gathered)
    }

    fn assemble(&mut self, types: Types, gathered: Gathered<'d>) -> ShapeData {
        let mut data = ShapeData { types, ..ShapeData::any() };
        for name in gathered.names {
            let Some(set) = gathered.properties.get(name) else { continue };
            let id = self.intern(set.clone());
            data.properties.insert(name.into(), id);
            data.names.push(name.into());
        }
        for (pattern, schema) in gathered.patterns {
            let id = self.intern(vec![schema]);
            match regex::RegexBuilder::new(pattern).size_limit(1 << 18).build() {
                Ok(pattern) => data.patterns.push((pattern, id)),
                Err(_) => data.opaque_patterns = true,
            }
        }
        data.additional = self.additional(gathered.additional);
        data.prefix_items = gathered.prefix_items.into_iter().map(|set| self.intern(set)).collect();
        data.items = (!gathered.items.is_empty()).then(|| self.intern(gathered.items));
        data.format = gathered.format.map(Into::into);
        data.content_encoded = gathered.content_encoded;
        data.content_media_type = gathered.content_media_type.map(Into::into);
        data.xml = gathered.xml.map(XmlForm::of).unwrap_or_default();
        data
    }

    fn additional(&mut self, said: Vec<&'d Value>) -> Additional {
        let shaped: Vec<&Value> = said
            .iter()
            .copied()
            .filter(|schema| schema.as_object().is_some_and(|map| !map.is_empty()))
            .collect();
        if !shaped.is_empty() {
            return Additional::Shaped(self.intern(shaped));
        }
        let open = said.iter().any(|schema| *schema != &Value::Bool(false));
        match (open, said.is_empty()) {
            (true, _) => Additional::Open,
            (false, true) => Additional::Silent,
            (false, false) => Additional::Closed,
        }
    }

    fn gather(&self, set: &[&'d Value]) -> Option<Gathered<'d>> {
        let mut gathered = Gathered::default();
        let mut stack: Vec<&'d Value> = set.iter().rev().copied().collect();
        let mut seen = std::collections::HashSet::new();
        while let Some(schema) = stack.pop() {
            let Some(map) = schema.as_object() else { continue };
            if !seen.insert(address(schema)) {
                continue;
            }
            if seen.len() > MAX_BRANCHES {
                return None;
            }
            let target = self.target(map);
            if !self.ignores_siblings(map) {
                gathered.keywords(map);
                branches(map).for_each(|branch| stack.push(branch));
            }
            stack.extend(target);
        }
        Some(gathered)
    }

    fn target(&self, map: &'d Map<String, Value>) -> Option<&'d Value> {
        let text = ["$ref", "$dynamicRef"].iter().find_map(|key| map.get(*key)?.as_str())?;
        (self.resolve)(text)
    }

    fn ignores_siblings(&self, map: &Map<String, Value>) -> bool {
        !self.ref_siblings && map.get("$ref").is_some_and(Value::is_string)
    }

    /// The types a schema allows; `path` holds the schemas on the way, against cycles.
    fn types(&mut self, schema: &'d Value, path: &mut Vec<usize>) -> Types {
        let Some(map) = schema.as_object() else { return Types::ANY };
        if let Some(types) = self.types_of.get(&address(schema)) {
            return *types;
        }
        if path.contains(&address(schema)) || path.len() > 64 {
            return Types::ANY;
        }
        path.push(address(schema));
        let target = self.target(map);
        let mut types = target.map_or(Types::ANY, |target| self.types(target, path));
        if !self.ignores_siblings(map) {
            types = types.and(own_types(map));
            for branch in list(map, "allOf") {
                types = types.and(self.types(branch, path));
            }
            for key in ["oneOf", "anyOf"] {
                let mut union = Types::NONE;
                for branch in list(map, key) {
                    union = union.or(self.types(branch, path));
                }
                if union != Types::NONE {
                    types = types.and(union);
                }
            }
        }
        path.pop();
        self.types_of.insert(address(schema), types);
        types
    }
}

fn own_types(map: &Map<String, Value>) -> Types {
    let mut types = match map.get("type") {
        Some(Value::String(name)) => Types::named(name),
        Some(Value::Array(names)) => names
            .iter()
            .filter_map(Value::as_str)
            .fold(Types::NONE, |all, name| all.or(Types::named(name))),
        _ => Types::ANY,
    };
    if map.get("nullable") == Some(&Value::Bool(true)) {
        types = types.or(Types::named("null"));
    }
    if let Some(values) = map.get("enum").and_then(Value::as_array) {
        types = types.and(values.iter().fold(Types::NONE, |all, v| all.or(Types::of_value(v))));
    }
    if let Some(value) = map.get("const") {
        types = types.and(Types::of_value(value));
    }
    types
}

fn list<'d>(map: &'d Map<String, Value>, key: &str) -> impl Iterator<Item = &'d Value> {
    map.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn branches<'d>(map: &'d Map<String, Value>) -> impl Iterator<Item = &'d Value> {
    let lists = ["allOf", "oneOf", "anyOf"].into_iter().flat_map(|key| list(map, key));
    let single = ["if", "then", "else"].into_iter().filter_map(|key| map.get(key));
    let dependent = map.get("dependentSchemas").and_then(Value::as_object);
    lists.chain(single).chain(dependent.into_iter().flat_map(Map::values))
}

fn address(schema: &Value) -> usize {
    std::ptr::from_ref(schema) as usize
}

// === impl Gathered ===

impl<'d> Gathered<'d> {
    fn keywords(&mut self, map: &'d Map<String, Value>) {
        for (name, schema) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let set = self.properties.entry(name).or_default();
            if set.is_empty() {
                self.names.push(name);
            }
            set.push(schema);
        }
        let patterns = map.get("patternProperties").and_then(Value::as_object);
        self.patterns.extend(patterns.into_iter().flatten().map(|(key, schema)| (key.as_str(), schema)));
        for key in ["additionalProperties", "unevaluatedProperties"] {
            self.additional.extend(map.get(key));
        }
        match map.get("items") {
            Some(Value::Array(schemas)) => self.prefix(schemas),
            Some(schema) => self.items.push(schema),
            None => {}
        }
        if let Some(schemas) = map.get("prefixItems").and_then(Value::as_array) {
            self.prefix(schemas);
        }
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        self.format = self.format.or(text("format"));
        self.content_encoded |= text("contentEncoding").is_some();
        self.content_media_type = self.content_media_type.or(text("contentMediaType"));
        self.xml = self.xml.or(map.get("xml"));
    }

    fn prefix(&mut self, schemas: &'d [Value]) {
        for (at, schema) in schemas.iter().enumerate() {
            match self.prefix_items.get_mut(at) {
                Some(set) => set.push(schema),
                None => self.prefix_items.push(vec![schema]),
            }
        }
    }
}

// === impl ShapeData ===

impl ShapeData {
    fn any() -> Self {
        Self {
            types: Types::ANY,
            properties: HashMap::default(),
            names: Vec::new(),
            patterns: Vec::new(),
            opaque_patterns: false,
            additional: Additional::Silent,
            prefix_items: Vec::new(),
            items: None,
            format: None,
            content_encoded: false,
            content_media_type: None,
            xml: XmlForm::default(),
        }
    }
}

// === impl XmlForm ===

impl XmlForm {
    fn of(xml: &Value) -> Self {
        let text = |key: &str| xml.get(key).and_then(Value::as_str).map(Into::into);
        let flag = |key: &str| xml.get(key) == Some(&Value::Bool(true));
        let node = xml.get("nodeType").and_then(Value::as_str);
        Self {
            name: text("name"),
            namespace: text("namespace"),
            prefix: text("prefix"),
            attribute: flag("attribute") || node == Some("attribute"),
            wrapped: flag("wrapped") || node == Some("element"),
            text: matches!(node, Some("text" | "cdata")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shaped(root: &Value, check: impl Fn(Shape<'_>)) {
        let resolve = |text: &str| root.pointer(text.strip_prefix('#')?);
        let mut builder = ShapeBuilder::new(&resolve, true);
        let id = builder.shape(root);
        let shapes = builder.finish();
        check(shapes.get(id));
    }

    #[test]
    fn types_follow_branches_and_references() {
        let root = json!({
            "allOf": [{"$ref": "#/$defs/a"}, {"oneOf": [{"type": "integer"}, {"enum": ["x"]}]}],
            "$defs": {"a": {"type": ["string", "number", "null"]}}
        });
        shaped(&root, |shape| {
            let types = shape.types();
            assert!(types.has(Type::Integer) && types.has(Type::String));
            assert!(!types.has(Type::Null) && !types.has(Type::Object));
        });
    }

    #[test]
    fn recursion_ends() {
        let root = json!({
            "type": "object",
            "properties": {"next": {"$ref": "#"}, "all": {"type": "array", "items": {"$ref": "#"}}},
            "allOf": [{"$ref": "#"}]
        });
        shaped(&root, |shape| {
            let deep = (0..50).try_fold(shape, |one, _| one.property("next")).unwrap();
            assert!(deep.property("all").unwrap().item(3).unwrap().declares("next"));
        });
    }

    #[test]
    fn trap_t11_what_is_declared() {
        let root = json!({
            "allOf": [
                {"properties": {"a": {}}},
                {"oneOf": [{"properties": {"b": {}}}, {"patternProperties": {"^x-": {"type": "integer"}}}]}
            ]
        });
        shaped(&root, |shape| {
            assert!(shape.declares("a") && shape.declares("b") && shape.declares("x-1"));
            assert!(!shape.declares("c"));
            assert!(shape.property("x-1").unwrap().types().has(Type::Integer));
        });
        shaped(&json!({"properties": {"a": {}}, "additionalProperties": true}), |shape| {
            assert!(shape.declares("z") && shape.property("z").is_none());
        });
        shaped(&json!({"properties": {"a": {}}, "additionalProperties": {"type": "null"}}), |shape| {
            assert!(shape.property("z").unwrap().types().has(Type::Null));
        });
        shaped(&json!({"type": "object"}), |shape| assert!(shape.declares("anything")));
    }

    #[test]
    fn one_property_of_many_branches_allows_what_any_of_them_does() {
        let root = json!({"anyOf": [
            {"properties": {"x": {"type": "integer"}}},
            {"properties": {"x": {"type": "string"}, "y": {}}}
        ], "properties": {"x": {}}});
        shaped(&root, |shape| {
            let x = shape.property("x").unwrap().types();
            assert!(x.has(Type::Integer) && x.has(Type::String) && !x.has(Type::Array));
        });
    }
}
