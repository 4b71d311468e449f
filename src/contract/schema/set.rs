//! The compiled schemas of one contract.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use jsonschema::{Draft, PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value, json};

use super::{LoweredSchemas, keywords};
use crate::contract::document::{Source, pointer};
use crate::contract::error::{ContractError, Problem};
use crate::contract::instance::{Arena, Instance, Node};
use crate::contract::lower::{
    Dialect, Discriminator, EXACT_CONST, EXACT_ENUM, LESS_THAN, MORE_THAN, NUMBER_FORMAT,
    READ_ONLY, Root, UNENFORCEABLE, WRITE_ONLY,
};
use crate::contract::options::CompileOptions;
use crate::contract::shape::Shapes;
use crate::model::verdict::SkipReason;

/// A schema of a [`SchemaSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SchemaId(u32);

/// Every schema of one contract, compiled.
pub struct SchemaSet {
    roots: Vec<CompiledRoot>,
    entries: Vec<Entry>,
    /// Every property name that the document knows.
    names: HashSet<Box<str>>,
    source: Arc<Source>,
    shapes: Shapes,
    discriminators: HashMap<Box<str>, Discriminator>,
}

/// What came of judging one value by one schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// The value conforms.
    Valid,
    /// The value conforms as far as its schema can be enforced.
    ValidButUnenforceable,
    /// The value breaks the schema.
    Invalid,
    /// It could not be told within the budget.
    Undecided(SkipReason),
}

/// One rule that a value breaks.
pub(crate) struct SchemaError<'a> {
    root: usize,
    error: ValidationError<'a>,
}

struct CompiledRoot {
    validator: Validator<Instance>,
    /// Where each unit stands in the document's tree.
    units: Vec<Box<str>>,
}

#[derive(Clone)]
struct Entry {
    root: u32,
    /// Name of the member of the root's made-up object that leads to the schema.
    lead: Box<str>,
}

const DEFINITIONS: &str = "/$defs/";

// === impl SchemaId ===

impl SchemaId {
    pub(super) fn new(index: usize) -> Self {
        Self(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

// === impl SchemaSet ===

impl SchemaSet {
    pub(super) fn compile(
        parts: LoweredSchemas,
        options: &CompileOptions<'_>,
    ) -> Result<Self, ContractError> {
        let LoweredSchemas { lowered, shapes, source, dialect } = parts;
        let entries: Vec<Entry> = lowered
            .entries
            .iter()
            .map(|(root, unit)| Entry {
                root: u32::try_from(*root).unwrap_or_default(),
                lead: unit.to_string().into(),
            })
            .collect();
        let mut roots = Vec::with_capacity(lowered.roots.len());
        for (index, root) in lowered.roots.into_iter().enumerate() {
            let leads = entries.iter().filter(|entry| entry.root as usize == index);
            roots.push(CompiledRoot::compile(&source, dialect, options, root, leads)?);
        }
        let (names, discriminators) = (lowered.names, lowered.discriminators);
        Ok(Self { roots, entries, names, source, shapes, discriminators })
    }

    /// Judges a value by a schema. Allocates nothing where the value is valid.
    pub fn judge(&self, id: SchemaId, node: Node<'_>) -> Judged {
        let (Some(arena), Some((_, root, lead))) = (node.arena(), self.find(id)) else {
            return Judged::Undecided(SkipReason::Unenforceable);
        };
        arena.begin_judging();
        let valid = root.validator.is_valid(node.led_by(lead));
        if arena.out_of_steps() {
            return Judged::Undecided(SkipReason::WorkBudget);
        }
        match valid {
            true if arena.met_unenforceable() => Judged::ValidButUnenforceable,
            true => Judged::Valid,
            false => Judged::Invalid,
        }
    }

    /// Whether a value conforms; a value that could not be decided does not.
    pub fn is_valid(&self, id: SchemaId, node: Node<'_>) -> bool {
        matches!(self.judge(id, node), Judged::Valid | Judged::ValidButUnenforceable)
    }

    /// Every rule of a schema that a value breaks, in no particular order; bounded, and slow
    /// beside [`SchemaSet::judge`], which has to be asked first.
    pub(crate) fn errors<'a>(&'a self, id: SchemaId, node: Node<'a>) -> Vec<SchemaError<'a>> {
        let (Some(arena), Some((index, root, lead))) = (node.arena(), self.find(id)) else {
            return Vec::new();
        };
        arena.begin_judging();
        arena.begin_explaining();
        let errors = root.validator.iter_errors(node.led_by(lead));
        errors.map(|error| SchemaError { root: index, error }).collect()
    }

    /// The shapes that were asked for.
    pub fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// Where things stand in the document.
    pub fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Whether the document knows a property of this name.
    pub(crate) fn knows_name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// The discriminator of the schema at a place of the document's tree.
    pub(crate) fn discriminator(&self, pointer: &str) -> Option<&Discriminator> {
        self.discriminators.get(pointer)
    }

    /// Schemas that were asked for.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no schema was asked for.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Where a keyword of the lowered schemas stands in the document's tree, and its name there.
    pub(crate) fn locate(&self, root: usize, schema_path: &str) -> (String, String) {
        let units = self.roots.get(root).map_or(&[][..], |root| &root.units);
        locate(units, schema_path).unwrap_or_default()
    }

    fn find(&self, id: SchemaId) -> Option<(usize, &CompiledRoot, &str)> {
        let entry = self.entries.get(id.0 as usize)?;
        let index = entry.root as usize;
        Some((index, self.roots.get(index)?, &entry.lead))
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
        source: &Source,
        dialect: Dialect,
        options: &CompileOptions<'_>,
        root: Root,
        leads: impl Iterator<Item = &'e Entry>,
    ) -> Result<Self, ContractError> {
        let units: Vec<Box<str>> =
            root.units.into_iter().map(|unit| unit.pointer.into_boxed_str()).collect();
        let mut schema = root.schema;
        let leads: Map<String, Value> = leads
            .map(|entry| {
                let lead = entry.lead.to_string();
                let reference = json!({ "$ref": format!("#{DEFINITIONS}{lead}") });
                (lead, reference)
            })
            .collect();
        schema["properties"] = Value::Object(leads);
        let patterns = PatternOptions::fancy_regex().backtrack_limit(options.limits.regex_steps);
        let draft = draft_of(&schema);
        let judge = keywords::register(jsonschema::options_for::<Instance>(), dialect, draft)
            .with_draft(draft)
            .should_validate_formats(true)
            .with_pattern_options(patterns)
            .offline();
        let validator = judge.build(&schema).map_err(|error| broken(source, &units, &error))?;
        Ok(Self { validator, units })
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

/// The error of a schema that does not compile.
fn broken(source: &Source, units: &[Box<str>], error: &ValidationError<'_>) -> ContractError {
    let paths = [error.instance_path().as_str(), error.schema_path().as_str()];
    let place = paths.iter().find_map(|path| locate(units, path));
    let message = crate::contract::schema_error_text(error);
    ContractError::Schema(match place {
        Some((pointer, _)) => source.problem(&pointer, message),
        None => Problem::new(message),
    })
}

/// The place in the document's tree of `/$defs/<unit>/…`, and the keyword there.
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

    /// The judge's own error.
    pub(crate) fn inner(&self) -> &ValidationError<'a> {
        &self.error
    }
}

/// Whether explaining `node` was cut short.
pub(crate) fn cut_short(node: Node<'_>) -> bool {
    node.arena().is_some_and(Arena::out_of_errors)
}
