//! What compiling a contract works with: the document, its schemas and shapes, and the lints found.
//!
//! Each kind of plan has its own file with an `impl Planner`; this file imports none of them.

use serde_json::Value;

use super::document::{Document, OpenApiVersion};
use super::error::{ContractError, Diagnostic};
use super::lint::{Lint, LintCode};
use super::schema::SchemaCompiler;
use super::shape::{ShapeId, Types};
use crate::model::rule::Rules;

/// Turns the parts of a document into plans.
pub(super) struct Planner<'d> {
    pub(super) document: &'d Document,
    pub(super) schemas: SchemaCompiler<'d>,
    /// The `openapi` field as written.
    pub(super) openapi: String,
    pub(super) rules: Rules,
    lints: Vec<Lint>,
}

// === impl Planner ===

impl<'d> Planner<'d> {
    pub(super) fn new(document: &'d Document, schemas: SchemaCompiler<'d>, rules: Rules) -> Self {
        let openapi = document.root().get("openapi").and_then(Value::as_str);
        Self {
            document,
            schemas,
            openapi: openapi.unwrap_or_default().to_owned(),
            rules,
            lints: Vec::new(),
        }
    }

    /// Whether the document was written in Swagger 2.0.
    pub(super) fn is_upgraded(&self) -> bool {
        self.document.version() == OpenApiVersion::V2
    }

    /// The shape of the schema at `at`.
    pub(super) fn shape(&mut self, at: &str) -> ShapeId {
        self.schemas.shape(at)
    }

    /// The types that a shape allows.
    pub(super) fn types(&self, shape: ShapeId) -> Types {
        self.schemas.shapes().get(shape).types()
    }

    /// Adds a lint for what will not be enforced.
    pub(super) fn lint(&mut self, code: LintCode, at: &str, message: &str) {
        let lint = self.document.lint(code, at, message);
        if !self.lints.contains(&lint) {
            self.lints.push(lint);
        }
    }

    /// Adds the defect that an error describes: the part that has it is left out.
    pub(super) fn defect(&mut self, error: &ContractError) {
        let code = match error {
            ContractError::Reference(_) => LintCode::BrokenReference,
            ContractError::Schema(_) => LintCode::InvalidSchema,
            _ => LintCode::InvalidPart,
        };
        let Diagnostic { pointer, position, message } = error.diagnostic().clone();
        let lint = Lint { code, pointer, position, message };
        if !self.lints.contains(&lint) {
            self.lints.push(lint);
        }
    }

    /// Whether the value at `at` is of the wrong type for a part of a document, where it is there
    /// at all: `null` and an empty list stand for an empty one. Adds a lint where it is.
    pub(super) fn is_misformed(&mut self, at: &str, list: bool, what: &str) -> bool {
        let is_right = self.document.lookup(at).is_none_or(|value| match value {
            Value::Null => true,
            Value::Array(items) => list || items.is_empty(),
            Value::Object(members) => !list || members.is_empty(),
            _ => false,
        });
        if !is_right {
            let kind = if list { "a list" } else { "an object" };
            let message = format!("{what} is {kind}; it is not enforced");
            self.lint(LintCode::InvalidPart, at, &message);
        }
        !is_right
    }

    /// The requested schemas and the lints found, when everything is planned.
    pub(super) fn into_parts(self) -> (SchemaCompiler<'d>, Vec<Lint>) {
        (self.schemas, self.lints)
    }
}
