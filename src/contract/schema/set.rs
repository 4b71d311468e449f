//! The compiled schemas of one contract.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::defects::{self, DEFINITIONS};
use super::instance::Instance;
use super::{LoweredSchemas, keywords};
use crate::contract::document::SourceMap;
use crate::contract::error::{ContractError, Diagnostic};
use crate::contract::lint::{Lint, LintCode};
use crate::contract::lower::{
    Discriminator, EXACT_CONST, EXACT_ENUM, LESS_THAN, Lowered, MORE_THAN, NUMBER_FORMAT,
    READ_ONLY, Root, SchemaDialect, UNENFORCEABLE, WRITE_ONLY,
};
use crate::contract::options::CompileOptions;
use crate::contract::shape::Shapes;
use crate::json::pointer;
use crate::json::{Arena, Node};
use crate::model::verdict::SkipReason;

/// A schema of a [`SchemaSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SchemaIndex(u32);

/// Every schema of one contract, compiled.
pub struct SchemaSet {
    roots: Vec<CompiledRoot>,
    entries: Vec<EntryPoint>,
    /// Every property name that the document declares.
    names: HashSet<Box<str>>,
    source: Arc<SourceMap>,
    shapes: Shapes,
    discriminators: HashMap<Box<str>, Discriminator>,
    closed_beside: HashSet<Box<str>>,
}

/// The outcome of validating one value against one schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOutcome {
    /// The value conforms.
    Valid,
    /// The value conforms as far as its schema can be enforced.
    ValidButUnenforceable,
    /// The value breaks the schema.
    Invalid,
    /// Validation could not decide within its budget.
    Undecided(SkipReason),
}

/// One rule that a value breaks.
pub(crate) struct SchemaError<'a> {
    root: usize,
    error: ValidationError<'a>,
}

struct CompiledRoot {
    validator: Validator<Instance>,
    /// The pointer of each unit in the document's tree.
    units: Vec<Box<str>>,
}

#[derive(Clone)]
struct EntryPoint {
    root: u32,
    /// Name of the member of the root's synthetic object that selects the schema.
    key: Box<str>,
}

// === impl SchemaIndex ===

impl SchemaIndex {
    pub(super) fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

// === impl SchemaSet ===

impl SchemaSet {
    pub(super) fn compile(
        parts: LoweredSchemas,
        options: &CompileOptions<'_>,
        lints: &mut Vec<Lint>,
    ) -> Result<Self, ContractError> {
        let LoweredSchemas { lowered, shapes, source, dialect } = parts;
        let entries: Vec<EntryPoint> = lowered
            .entries
            .iter()
            .map(|(root, unit)| EntryPoint {
                root: u32::try_from(*root).unwrap_or_default(),
                key: unit.to_string().into(),
            })
            .collect();
        let mut roots = Vec::with_capacity(lowered.roots.len());
        for (index, root) in lowered.roots.into_iter().enumerate() {
            let entry_points = entries.iter().filter(|entry| entry.root as usize == index);
            let context = RootContext { source: &source, dialect, options };
            roots.push(CompiledRoot::compile(&context, root, entry_points, lints)?);
        }
        let Lowered { names, discriminators, closed_beside, .. } = lowered;
        Ok(Self { roots, entries, names, source, shapes, discriminators, closed_beside })
    }

    /// Validates a value against a schema. Allocates nothing where the value is valid.
    pub fn validate(&self, id: SchemaIndex, node: Node<'_>) -> SchemaOutcome {
        let (Some(arena), Some((_, root, key))) = (node.arena(), self.find(id)) else {
            return SchemaOutcome::Undecided(SkipReason::Unenforceable);
        };
        arena.begin_validation();
        let valid = root.validator.is_valid(node.wrapped_under(key));
        if arena.out_of_steps() {
            return SchemaOutcome::Undecided(SkipReason::WorkBudget);
        }
        match valid {
            true if arena.found_unenforceable() => SchemaOutcome::ValidButUnenforceable,
            true => SchemaOutcome::Valid,
            false => SchemaOutcome::Invalid,
        }
    }

    /// Whether a value conforms; a value that could not be decided does not.
    pub fn is_valid(&self, id: SchemaIndex, node: Node<'_>) -> bool {
        matches!(
            self.validate(id, node),
            SchemaOutcome::Valid | SchemaOutcome::ValidButUnenforceable
        )
    }

    /// Every rule of a schema that a value breaks, in no particular order; bounded, and slow
    /// compared with [`SchemaSet::validate`], which the caller calls first.
    pub(crate) fn errors<'a>(&'a self, id: SchemaIndex, node: Node<'a>) -> Vec<SchemaError<'a>> {
        let (Some(arena), Some((index, root, key))) = (node.arena(), self.find(id)) else {
            return Vec::new();
        };
        arena.begin_validation();
        arena.begin_error_collection();
        let errors = root.validator.iter_errors(node.wrapped_under(key));
        errors.map(|error| SchemaError { root: index, error }).collect()
    }

    /// The shapes that the contract uses.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The texts of the document, to find positions in.
    pub fn source(&self) -> &Arc<SourceMap> {
        &self.source
    }

    /// Whether the document declares a property of this name.
    pub(crate) fn declares_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The discriminator of the schema at a pointer of the document's tree.
    pub(crate) fn discriminator(&self, pointer: &str) -> Option<&Discriminator> {
        self.discriminators.get(pointer)
    }

    /// Whether the schema at a pointer allows no other properties and stands beside others (or is
    /// a part of others) whose properties it does not see.
    pub(crate) fn is_closed_beside(&self, pointer: &str) -> bool {
        self.closed_beside.contains(pointer)
            || pointer::split_last(pointer).is_some_and(|(parent, _)| parent.ends_with("/allOf"))
    }

    /// Schemas that the contract uses.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The pointer of a keyword of the lowered schemas in the document's tree, and its name there.
    pub(crate) fn locate(&self, root: usize, schema_path: &str) -> (String, String) {
        let units = self.roots.get(root).map_or(&[][..], |root| &root.units);
        locate(units, schema_path).unwrap_or_default()
    }

    fn find(&self, id: SchemaIndex) -> Option<(usize, &CompiledRoot, &str)> {
        let entry = self.entries.get(id.0 as usize)?;
        let index = entry.root as usize;
        Some((index, self.roots.get(index)?, &entry.key))
    }
}

impl fmt::Debug for SchemaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SchemaSet")
            .field("schemas", &self.entries.len())
            .field("units", &self.roots.iter().map(|root| root.units.len()).sum::<usize>())
            .finish_non_exhaustive()
    }
}

// === impl CompiledRoot ===

impl CompiledRoot {
    fn compile<'e>(
        context: &RootContext<'_>,
        root: Root,
        entry_points: impl Iterator<Item = &'e EntryPoint>,
        lints: &mut Vec<Lint>,
    ) -> Result<Self, ContractError> {
        let units: Vec<Box<str>> =
            root.units.into_iter().map(|unit| unit.pointer.into_boxed_str()).collect();
        let mut schema = root.schema;
        let entry_points: Map<String, Value> = entry_points
            .map(|entry| {
                let key = entry.key.to_string();
                let reference = json!({ "$ref": format!("#{DEFINITIONS}{key}") });
                (key, reference)
            })
            .collect();
        schema["properties"] = Value::Object(entry_points);
        let mut attempts = 0;
        loop {
            let error = match context.build(&schema) {
                Ok(validator) => return Ok(Self { validator, units }),
                Err(error) => error,
            };
            attempts += 1;
            let broken = defects::disable(&mut schema, &units, &error, attempts, |path| {
                locate(&units, path)
            });
            if broken.is_empty() {
                return Err(unusable(context.source, &units, &error));
            }
            lints.extend(
                broken.into_iter().map(|(at, message)| {
                    context.source.lint(LintCode::InvalidSchema, &at, message)
                }),
            );
        }
    }
}

/// What compiling a root depends on.
struct RootContext<'c> {
    source: &'c SourceMap,
    dialect: SchemaDialect,
    options: &'c CompileOptions<'c>,
}

// === impl RootContext ===

impl RootContext<'_> {
    fn build(&self, schema: &Value) -> Result<Validator<Instance>, ValidationError<'static>> {
        let steps = self.options.limits.regex_steps;
        let patterns = PatternOptions::fancy_regex().backtrack_limit(steps);
        let draft = draft_of(schema);
        keywords::register(
            jsonschema::options_for::<Instance>(),
            self.dialect,
            draft,
            self.options.rules,
        )
        .with_draft(draft)
        .should_validate_formats(true)
        .with_pattern_options(patterns)
        .offline()
        .build(schema)
    }
}

/// The draft that a root is written in.
fn draft_of(root: &Value) -> Draft {
    let dialect = root.get("$schema").and_then(Value::as_str).unwrap_or_default();
    let older = [
        ("draft-04", Draft::Draft4),
        ("draft-06", Draft::Draft6),
        ("draft-07", Draft::Draft7),
        ("2019-09", Draft::Draft201909),
    ];
    let found = older.into_iter().find(|(name, _)| dialect.contains(name));
    found.map_or(Draft::Draft202012, |(_, draft)| draft)
}

/// The error of schemas that do not compile whatever is disabled.
fn unusable(source: &SourceMap, units: &[Box<str>], error: &ValidationError<'_>) -> ContractError {
    let paths = [error.instance_path().as_str(), error.schema_path().as_str()];
    let location = paths.iter().find_map(|path| locate(units, path));
    let message = crate::contract::schema_error_text(error);
    ContractError::Schema(match location {
        Some((pointer, _)) => source.diagnostic(&pointer, message),
        None => Diagnostic::new(message),
    })
}

/// The pointer in the document's tree of `/$defs/<unit>/…`, and the keyword there.
fn locate(units: &[Box<str>], path: &str) -> Option<(String, String)> {
    let rest = path.strip_prefix(DEFINITIONS)?;
    let (unit, inner) = rest.split_once('/').unwrap_or((rest, ""));
    let unit = units.get(unit.parse::<usize>().ok()?)?;
    let mut pointer = unit.to_string();
    if inner.is_empty() {
        return Some((pointer, String::new()));
    }
    let (parents, keyword) = match inner.rsplit_once('/') {
        Some((parents, keyword)) => (Some(parents), keyword),
        None => (None, inner),
    };
    let keyword = pointer::unescape(match keyword {
        NUMBER_FORMAT => "format",
        EXACT_CONST => "const",
        EXACT_ENUM => "enum",
        MORE_THAN => "exclusiveMinimum",
        LESS_THAN => "exclusiveMaximum",
        READ_ONLY => "readOnly",
        WRITE_ONLY => "writeOnly",
        UNENFORCEABLE => "pattern",
        keyword => keyword,
    });
    if let Some(parents) = parents {
        pointer.push('/');
        pointer.push_str(parents);
    }
    pointer::push_token(&mut pointer, &keyword);
    Some((pointer, keyword.into_owned()))
}

// === impl SchemaError ===

impl<'a> SchemaError<'a> {
    /// The root it came from, for [`SchemaSet::locate`].
    pub(crate) fn root(&self) -> usize {
        self.root
    }

    /// The error of the `jsonschema` crate.
    pub(crate) fn inner(&self) -> &ValidationError<'a> {
        &self.error
    }
}

/// Whether the errors of `node` are incomplete because the error budget ran out.
pub(crate) fn errors_truncated(node: Node<'_>) -> bool {
    node.arena().is_some_and(Arena::out_of_errors)
}
