//! Which schemas are lowered, and how often.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde_json::{Map, Value, json};

use super::arguments::{disabled, is_older_draft};
use super::discriminator::Discriminator;
use super::lenient_reading::LenientReading;
use super::{Applicator, Direction, SchemaContext, SchemaDialect, UnitForm, UnitKey, applicator};
use crate::contract::document::Document;
use crate::contract::lint::{Lint, LintCode};
use crate::contract::options::CompileOptions;
use crate::contract::pattern::PatternCheck;
use crate::json::pointer;

/// Everything lowered, ready to be compiled.
pub(in crate::contract) struct Lowered {
    /// Mostly one; a document that names schemas by `$id` or `$dynamicAnchor` gets one per
    /// direction, because a name may occur only once in a root.
    pub(in crate::contract) roots: Vec<Root>,
    /// For each requested entry: its root and its unit.
    pub(in crate::contract) entries: Vec<(usize, usize)>,
    /// Every property name that the schemas document.
    pub(in crate::contract) names: HashSet<Box<str>>,
    /// Discriminators beside a `oneOf` or `anyOf`, by the pointer of their schema.
    pub(in crate::contract) discriminators: HashMap<Box<str>, Discriminator>,
    /// Schemas with `additionalProperties: false` beside others that apply to the same value.
    pub(in crate::contract) closed_beside: HashSet<Box<str>>,
    pub(in crate::contract) lints: Vec<Lint>,
}

/// One JSON Schema that holds units as its `$defs`.
pub(in crate::contract) struct Root {
    pub(in crate::contract) schema: Value,
    pub(in crate::contract) units: Vec<UnitKey>,
}

/// Lowers the schemas at `entries` and all they refer to.
pub(in crate::contract) fn lower(
    document: &Document,
    options: &CompileOptions<'_>,
    entries: &[(String, Direction)],
) -> Lowered {
    let mut lowerer = Lowerer::new(document, options);
    lowerer.scan(entries);
    lowerer.propagate_direction();
    let mut roots = Vec::new();
    let mut placed = vec![(0, 0); entries.len()];
    if lowerer.uses_dynamic_scope {
        for direction in [Direction::Request, Direction::Response] {
            for (index, (pointer, _)) in
                entries.iter().enumerate().filter(|(_, entry)| entry.1 == direction)
            {
                placed[index] = (roots.len(), lowerer.entry(pointer, direction));
            }
            for pointer in lowerer.named_schemas() {
                lowerer.entry(&pointer, direction);
            }
            roots.push(lowerer.finish_root());
        }
    } else {
        for (index, (pointer, direction)) in entries.iter().enumerate() {
            placed[index] = (0, lowerer.entry(pointer, *direction));
        }
        roots.push(lowerer.finish_root());
    }
    let Lowerer { names, mut lints, unknown_formats, uses, discriminators, closed_beside, .. } =
        lowerer;
    for (reading, (at, count)) in uses {
        lints.push(document.lint(LintCode::LenientReading, &at, reading.sentence(count)));
    }
    for (format, (at, count)) in unknown_formats {
        let message = match count {
            1 => format!("nothing is known about the format {format:?}; values of it pass"),
            n => format!(
                "nothing is known about the format {format:?} ({n} uses); values of it pass"
            ),
        };
        lints.push(document.lint(LintCode::UnknownFormat, &at, message));
    }
    Lowered { roots, entries: placed, names, discriminators, closed_beside, lints }
}

/// Lowers schemas; remembers what it found from schema to schema.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Lowerer<'d> {
    pub(super) document: &'d Document,
    pub(super) options: &'d CompileOptions<'d>,
    pub(super) dialect: SchemaDialect,
    /// Schemas are read as draft 4 unless they say otherwise.
    pub(super) is_draft_4: bool,
    /// Schemas are read as a draft before 2020-12 unless they say otherwise.
    is_older: bool,
    pub(super) patterns: PatternCheck,
    pub(super) names: HashSet<Box<str>>,
    /// Schemas reachable, and what is known of each.
    scanned: HashMap<String, Scanned>,
    /// `$anchor`s and `$dynamicAnchor`s of the document itself.
    anchors: HashMap<String, String>,
    /// Some schema has an `$id`.
    has_ids: bool,
    /// Schemas with an `$id` or a `$dynamicAnchor`.
    named: Vec<String>,
    /// Some schema has an `$id`, a `$dynamicAnchor` or a `$dynamicRef`: what a reference means
    /// depends on the whole root, so each direction gets a root of its own.
    uses_dynamic_scope: bool,
    units: Vec<UnitKey>,
    index: HashMap<UnitKey, usize>,
    /// Pointers already named in a lint.
    linted: HashSet<String>,
    lints: Vec<Lint>,
    unknown_formats: BTreeMap<String, (String, usize)>,
    /// Lenient readings made use of: the first place of each, and how many.
    uses: BTreeMap<LenientReading, (String, usize)>,
    used_at: HashSet<(LenientReading, String)>,
    discriminators: HashMap<Box<str>, Discriminator>,
    closed_beside: HashSet<Box<str>>,
}

#[derive(Default)]
struct Scanned {
    /// Schemas it refers to.
    targets: Vec<String>,
    /// Whether it differs by direction.
    differs_by_direction: bool,
}

// === impl Lowerer ===

impl<'d> Lowerer<'d> {
    fn new(document: &'d Document, options: &'d CompileOptions<'d>) -> Self {
        let mut lowerer = Self {
            document,
            options,
            dialect: SchemaDialect::of(document.version()),
            is_draft_4: document
                .root()
                .get("jsonSchemaDialect")
                .and_then(Value::as_str)
                .is_some_and(|dialect| dialect.contains("json-schema.org/draft-04/")),
            is_older: document.root().get("jsonSchemaDialect").is_some_and(is_older_draft),
            patterns: PatternCheck::new(options.limits.regex_steps),
            names: HashSet::new(),
            scanned: HashMap::new(),
            anchors: HashMap::new(),
            has_ids: false,
            named: Vec::new(),
            uses_dynamic_scope: false,
            units: Vec::new(),
            index: HashMap::new(),
            linted: HashSet::new(),
            lints: Vec::new(),
            unknown_formats: BTreeMap::new(),
            uses: BTreeMap::new(),
            used_at: HashSet::new(),
            discriminators: HashMap::new(),
            closed_beside: HashSet::new(),
        };
        if lowerer.dialect == SchemaDialect::JsonSchema {
            lowerer.find_anchors(document.root(), &mut String::new(), false);
        }
        lowerer
    }

    /// Finds every anchor and `$id` in the document.
    fn find_anchors(&mut self, value: &Value, at: &mut String, embedded: bool) {
        match value {
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                let has_id = text("$id").is_some();
                self.has_ids |= has_id;
                let dynamic = text("$dynamicAnchor");
                if has_id || dynamic.is_some() || text("$dynamicRef").is_some() {
                    self.uses_dynamic_scope = true;
                    if !embedded {
                        self.named.push(at.clone());
                    }
                }
                let embedded = embedded || has_id;
                for anchor in [text("$anchor"), dynamic].into_iter().flatten() {
                    if !embedded {
                        self.anchors.insert(anchor.to_owned(), at.clone());
                    }
                }
                for (key, child) in members {
                    if matches!(key.as_str(), "example" | "examples" | "enum" | "const" | "default")
                        && !at.ends_with("properties")
                    {
                        continue;
                    }
                    let len = at.len();
                    pointer::push_token(at, key);
                    self.find_anchors(child, at, embedded);
                    at.truncate(len);
                }
            }
            Value::Array(items) => {
                for (index, child) in items.iter().enumerate() {
                    let len = at.len();
                    pointer::push_token(at, &index.to_string());
                    self.find_anchors(child, at, embedded);
                    at.truncate(len);
                }
            }
            _ => {}
        }
    }

    /// Named schemas that are not within the unit of another.
    fn named_schemas(&self) -> Vec<String> {
        let is_covered = |pointer: &str| {
            self.scanned.keys().any(|unit| {
                pointer.len() > unit.len()
                    && pointer.starts_with(unit.as_str())
                    && pointer.as_bytes().get(unit.len()) == Some(&b'/')
            })
        };
        self.named.iter().filter(|pointer| !is_covered(pointer)).cloned().collect()
    }

    /// Scans every schema reachable from the entries.
    fn scan(&mut self, entries: &[(String, Direction)]) {
        let mut todo: VecDeque<String> = entries.iter().map(|entry| entry.0.clone()).collect();
        if self.uses_dynamic_scope {
            todo.extend(self.named.iter().cloned());
        }
        while let Some(unit) = todo.pop_front() {
            if self.scanned.contains_key(&unit) {
                continue;
            }
            let Some(schema) = self.document.lookup(&unit) else { continue };
            let mut scanned = Scanned::default();
            self.scan_schema(schema, &mut scanned, false);
            todo.extend(scanned.targets.iter().cloned());
            self.scanned.insert(unit, scanned);
        }
    }

    fn scan_schema(&self, schema: &Value, scanned: &mut Scanned, embedded: bool) {
        let Value::Object(members) = schema else { return };
        let embedded = embedded || members.get("$id").is_some_and(Value::is_string);
        let marked = |keyword| members.get(keyword) == Some(&Value::Bool(true));
        scanned.differs_by_direction |= marked("readOnly") || marked("writeOnly");
        if let Some(Value::String(target)) = members.get("$ref") {
            let target = self.local_target(target, embedded);
            // What leads nowhere is reported, with its position, when it is lowered.
            scanned.targets.extend(target.filter(|target| self.document.lookup(target).is_some()));
            if self.dialect == SchemaDialect::OpenApi {
                return;
            }
        }
        if let Some(Value::String(target)) = members.get("$dynamicRef")
            && target.starts_with("#/")
        {
            let target = self.local_target(target, embedded);
            scanned.targets.extend(target.filter(|target| self.document.lookup(target).is_some()));
        }
        for (keyword, value) in members {
            match (applicator(self.dialect, keyword, value), value) {
                (Some(Applicator::One), value) => self.scan_schema(value, scanned, embedded),
                (Some(Applicator::List), Value::Array(items)) => {
                    for item in items {
                        self.scan_schema(item, scanned, embedded);
                    }
                }
                (Some(Applicator::Map), Value::Object(members)) => {
                    for member in members.values() {
                        self.scan_schema(member, scanned, embedded);
                    }
                }
                _ => {}
            }
        }
    }

    /// A schema that refers to one that differs by direction differs too.
    fn propagate_direction(&mut self) {
        let mut referrers: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut todo: Vec<&str> = Vec::new();
        for (unit, scanned) in &self.scanned {
            for target in &scanned.targets {
                referrers.entry(target).or_default().push(unit);
            }
            if scanned.differs_by_direction {
                todo.push(unit);
            }
        }
        let mut differs_by_direction: HashSet<String> = HashSet::new();
        while let Some(unit) = todo.pop() {
            if differs_by_direction.insert(unit.to_owned())
                && let Some(referrers) = referrers.get(unit)
            {
                todo.extend(referrers);
            }
        }
        for (unit, scanned) in &mut self.scanned {
            scanned.differs_by_direction = differs_by_direction.contains(unit);
        }
    }

    /// The pointer in the tree that a reference leads to; none when the `jsonschema` crate resolves
    /// it, inside a schema with an `$id`.
    pub(super) fn local_target(&self, target: &str, embedded: bool) -> Option<String> {
        if embedded {
            return None;
        }
        let fragment = target.strip_prefix('#')?;
        match pointer::of_fragment(fragment) {
            Some(pointer) => Some(pointer),
            None => self.anchors.get(fragment).cloned(),
        }
    }

    /// Whether the document has a schema of this `$anchor` or `$dynamicAnchor`.
    pub(super) fn has_anchor(&self, anchor: &str) -> bool {
        self.anchors.contains_key(anchor)
    }

    /// Whether a remote reference may name a schema by an `$id` of the document, or names a
    /// meta-schema built into the `jsonschema` crate.
    pub(super) fn may_know_id(&self, reference: &str) -> bool {
        (self.has_ids && !reference.starts_with('#')) || reference.contains("://json-schema.org/")
    }

    fn entry(&mut self, pointer: &str, direction: Direction) -> usize {
        self.unit(UnitKey {
            pointer: pointer.to_owned(),
            direction: Some(direction),
            exempt: Vec::new(),
            neutral: false,
            form: UnitForm::Whole,
        })
    }

    /// The number of a unit, new or known.
    pub(super) fn unit(&mut self, mut key: UnitKey) -> usize {
        if !self.scanned.get(&key.pointer).is_none_or(|scanned| scanned.differs_by_direction) {
            key.direction = None;
        }
        key.neutral &= self.refuses_in(key.direction);
        if let Some(index) = self.index.get(&key) {
            return *index;
        }
        let index = self.units.len();
        self.index.insert(key.clone(), index);
        self.units.push(key);
        index
    }

    /// Lowers the units requested since the last root, and all they refer to.
    fn finish_root(&mut self) -> Root {
        let dialect = self.document.root().get("jsonSchemaDialect").cloned();
        let dialect = match dialect {
            Some(dialect) if self.dialect == SchemaDialect::JsonSchema => {
                self.meta_schema(&dialect, "/jsonSchemaDialect")
            }
            _ => None,
        };
        let mut definitions = Map::new();
        let mut next = 0;
        while let Some(key) = self.units.get(next).cloned() {
            let lowered = self.lower_unit(&key, dialect.as_deref());
            definitions.insert(next.to_string(), lowered);
            next += 1;
        }
        let units = std::mem::take(&mut self.units);
        self.index.clear();
        let mut schema = json!({ "$defs": definitions });
        if let Some(dialect) = dialect {
            // The root is checked by the meta-schema of the document's own dialect.
            schema["$schema"] = json!(dialect);
        }
        Root { schema, units }
    }

    fn lower_unit(&mut self, key: &UnitKey, dialect: Option<&str>) -> Value {
        let Some(schema) = self.document.lookup(&key.pointer) else {
            self.lint(LintCode::InvalidSchema, &key.pointer, "there is no schema here");
            return disabled();
        };
        let context = SchemaContext {
            direction: key.direction,
            exempt: &key.exempt,
            embedded: false,
            older: self.is_older,
            neutral: key.neutral,
            form: key.form,
        };
        let mut lowered = self.schema(schema, &mut key.pointer.clone(), context);
        if let (Some(dialect), Value::Object(members)) = (dialect, &mut lowered) {
            members.entry("$schema").or_insert_with(|| json!(dialect));
        }
        lowered
    }

    /// Adds a lint once per pointer, however many units the pointer is part of.
    pub(super) fn lint(&mut self, code: LintCode, at: &str, message: &str) {
        if self.linted.insert(at.to_owned()) {
            self.lints.push(self.document.lint(code, at, message));
        }
    }

    pub(super) fn unknown_format(&mut self, format: &str, at: &str) {
        if self.linted.insert(at.to_owned()) {
            let seen = self.unknown_formats.entry(format.to_owned());
            seen.or_insert_with(|| (at.to_owned(), 0)).1 += 1;
        }
    }

    /// Counts a lenient reading once per place.
    pub(super) fn count_use(&mut self, reading: LenientReading, at: &str) {
        if self.used_at.insert((reading, at.to_owned())) {
            self.uses.entry(reading).or_insert_with(|| (at.to_owned(), 0)).1 += 1;
        }
    }

    /// Whether what a reference means depends on the whole root.
    pub(super) fn has_dynamic_scope(&self) -> bool {
        self.uses_dynamic_scope
    }

    /// Whether a branch, or a schema that it refers to, differs by direction.
    pub(super) fn branch_differs_by_direction(&self, branch: &Value) -> bool {
        let mut scanned = Scanned::default();
        self.scan_schema(branch, &mut scanned, false);
        let differs = |target: &String| {
            self.scanned.get(target).is_none_or(|target| target.differs_by_direction)
        };
        scanned.differs_by_direction || scanned.targets.iter().any(differs)
    }

    /// Remembers which branch each value of a discriminator names.
    pub(super) fn discriminator(&mut self, schema: &Map<String, Value>, at: &str) {
        if !self.discriminators.contains_key(at)
            && let Some(discriminator) = Discriminator::read(schema)
        {
            self.discriminators.insert(at.into(), discriminator);
        }
    }

    /// Remembers a closed schema whose author may think that it sees the properties of others.
    pub(super) fn closed(&mut self, schema: &Map<String, Value>, at: &str) {
        let others = ["allOf", "oneOf", "anyOf", "$ref"];
        if schema.get("additionalProperties") == Some(&Value::Bool(false))
            && others.iter().any(|keyword| schema.contains_key(*keyword))
            && !self.closed_beside.contains(at)
        {
            self.closed_beside.insert(at.into());
        }
    }

    /// Adds a lint for a keyword that has no meaning in this version, where an author may expect one.
    pub(super) fn lint_ignored_keyword(&mut self, keyword: &str, at: &str) {
        const LATER: [&str; 12] = [
            "const",
            "if",
            "then",
            "else",
            "contains",
            "propertyNames",
            "patternProperties",
            "prefixItems",
            "dependentRequired",
            "dependentSchemas",
            "unevaluatedProperties",
            "$defs",
        ];
        if self.dialect == SchemaDialect::JsonSchema && keyword == "nullable" {
            let message = "nullable has no meaning from OpenAPI 3.1 on; add \"null\" to the type";
            self.lint(LintCode::IgnoredPart, at, message);
        }
        if self.dialect == SchemaDialect::OpenApi && LATER.contains(&keyword) {
            let message = format!("{keyword} has no meaning in this version of OpenAPI");
            self.lint(LintCode::IgnoredKeyword, at, &message);
        }
    }
}
