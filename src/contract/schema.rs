//! Schemas, compiled once and shared by all operations.
//!
//! A [`SchemaCompiler`] collects every schema a contract needs and then compiles all of them into
//! one [`SchemaSet`], in which each component exists once, whatever the number of operations that
//! use it. Invariants: nothing is compiled, allocated or locked while a valid value is validated,
//! validation costs the same however many schemas the set holds, and what cannot be decided within
//! its budget is [`SchemaOutcome::Undecided`], neither valid nor not.

mod defects;
mod instance;
mod keywords;
mod set;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

pub(crate) use super::lower::Discriminator;
pub(crate) use set::{SchemaError, errors_truncated};
pub use set::{SchemaIndex, SchemaOutcome, SchemaSet};

use super::document::{Document, SourceMap};
use super::error::ContractError;
use super::lint::Lint;
use super::lower::{self, Direction, Lowered, SchemaDialect};
use super::options::CompileOptions;
use super::shape::{ShapeBuilder, ShapeId, Shapes};
use crate::json::pointer;

/// The schemas of one contract in the form that they are compiled from.
pub(super) struct LoweredSchemas {
    lowered: Lowered,
    shapes: Shapes,
    source: Arc<SourceMap>,
    dialect: SchemaDialect,
}

/// Collects the schemas of one contract.
pub struct SchemaCompiler<'d> {
    document: &'d Document,
    options: &'d CompileOptions<'d>,
    entries: Vec<(String, Direction)>,
    known: HashMap<(String, Direction), SchemaIndex>,
    shapes: ShapeBuilder<'d>,
}

// === impl SchemaCompiler ===

impl<'d> SchemaCompiler<'d> {
    /// A compiler for the schemas of one document.
    pub fn new(document: &'d Document, options: &'d CompileOptions<'d>) -> Self {
        Self {
            document,
            options,
            entries: Vec::new(),
            known: HashMap::new(),
            shapes: ShapeBuilder::new(document),
        }
    }

    /// Asks for the schema at a pointer into the document's tree; asking again is free. What is
    /// wrong with a schema itself comes out of [`SchemaCompiler::finish`].
    pub fn compile(
        &mut self,
        schema_pointer: &str,
        direction: Direction,
    ) -> Result<SchemaIndex, ContractError> {
        let key = (schema_pointer.to_owned(), direction);
        if let Some(id) = self.known.get(&key) {
            return Ok(*id);
        }
        if self.document.lookup(schema_pointer).is_none() {
            let diagnostic =
                self.document.source().diagnostic(schema_pointer, "there is no schema here");
            return Err(ContractError::Reference(diagnostic));
        }
        let id = SchemaIndex::new(self.entries.len());
        self.entries.push(key.clone());
        self.known.insert(key, id);
        Ok(id)
    }

    /// Asks for every component schema too, used or not, so that none of them goes unchecked.
    pub fn compile_components(&mut self) -> Result<(), ContractError> {
        for parent in ["/components/schemas", "/definitions"] {
            let Some(Value::Object(schemas)) = self.document.lookup(parent) else { continue };
            for name in schemas.keys() {
                self.compile(&pointer::join(parent, name), Direction::Request)?;
            }
        }
        Ok(())
    }

    /// What is known beforehand of the values of the schema at a pointer. Read it from
    /// [`SchemaCompiler::shapes`] while compiling, from [`SchemaSet::shapes`] afterwards.
    pub fn shape(&mut self, schema_pointer: &str) -> ShapeId {
        self.shapes.shape(schema_pointer)
    }

    /// The shapes requested so far.
    pub fn shapes(&self) -> &Shapes {
        self.shapes.shapes()
    }

    /// Compiles all requested schemas.
    pub fn finish(self) -> Result<(SchemaSet, Vec<Lint>), ContractError> {
        let options = self.options;
        self.lower().compile(options)
    }

    /// Takes everything that compiling needs out of the document, whose tree is not needed any
    /// more then: of a large document it is most of what compiling holds.
    pub(super) fn lower(self) -> LoweredSchemas {
        LoweredSchemas {
            lowered: lower::lower(self.document, self.options, &self.entries),
            shapes: self.shapes.into_shapes(),
            source: Arc::clone(self.document.source()),
            dialect: SchemaDialect::of(self.document.version()),
        }
    }
}

// === impl LoweredSchemas ===

impl LoweredSchemas {
    /// Compiles the schemas.
    pub(super) fn compile(
        mut self,
        options: &CompileOptions<'_>,
    ) -> Result<(SchemaSet, Vec<Lint>), ContractError> {
        let mut lints = std::mem::take(&mut self.lowered.lints);
        let schemas = SchemaSet::compile(self, options, &mut lints)?;
        Ok((schemas, lints))
    }
}
