//! What compiling a contract works with: the document, its schemas and shapes, and the lints found.
//!
//! Each kind of plan has its own file with an `impl Planner`; this file imports none of them.

use super::document::{Document, OpenApiVersion};
use super::lint::{Lint, LintCode};
use super::schema::SchemaCompiler;
use super::shape::{ShapeId, Types};

/// Turns the parts of a document into plans.
pub(super) struct Planner<'d> {
    pub(super) document: &'d Document,
    pub(super) schemas: SchemaCompiler<'d>,
    /// The `openapi` field as written.
    pub(super) openapi: String,
    pub(super) strict_fields: bool,
    lints: Vec<Lint>,
}

// === impl Planner ===

impl<'d> Planner<'d> {
    pub(super) fn new(
        document: &'d Document,
        schemas: SchemaCompiler<'d>,
        strict_fields: bool,
    ) -> Self {
        let openapi = document.root().get("openapi").and_then(serde_json::Value::as_str);
        Self {
            document,
            schemas,
            openapi: openapi.unwrap_or_default().to_owned(),
            strict_fields,
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

    /// The requested schemas and the lints found, when everything is planned.
    pub(super) fn into_parts(self) -> (SchemaCompiler<'d>, Vec<Lint>) {
        (self.schemas, self.lints)
    }
}
