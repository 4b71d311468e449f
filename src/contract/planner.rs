//! What planning a contract works with: the document, its schemas and shapes, and the lints met.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;

use super::document::{Document, Version};
use super::lint::{Lint, LintCode};
use super::response::ResponsePlan;
use super::schema::SchemaCompiler;
use super::sensitive::Secrets;
use super::shape::{ShapeId, Types};

/// Turns the places of a document into plans. Each kind of place has its own file.
pub(super) struct Planner<'d> {
    pub(super) document: &'d Document,
    pub(super) schemas: SchemaCompiler<'d>,
    /// The `openapi` field as written.
    pub(super) openapi: String,
    pub(super) strict_fields: bool,
    pub(super) known_responses: HashMap<String, Arc<ResponsePlan>, FixedState>,
    pub(super) secrets: Secrets<'d>,
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
            known_responses: HashMap::default(),
            secrets: Secrets::of(document),
            lints: Vec::new(),
        }
    }

    /// Whether the document was written in Swagger 2.0.
    pub(super) fn is_upgraded(&self) -> bool {
        self.document.version() == Version::V2
    }

    /// The shape of the schema at `at`.
    pub(super) fn shape(&mut self, at: &str) -> ShapeId {
        self.schemas.shape(at)
    }

    /// The types that a shape allows.
    pub(super) fn types(&self, shape: ShapeId) -> Types {
        self.schemas.shapes().get(shape).types()
    }

    /// Notes what will not be enforced.
    pub(super) fn lint(&mut self, code: LintCode, at: &str, message: &str) {
        let lint = self.document.lint(code, at, message);
        if !self.lints.contains(&lint) {
            self.lints.push(lint);
        }
    }

    /// The schemas asked for and the lints met, when all is planned.
    pub(super) fn into_parts(self) -> (SchemaCompiler<'d>, Vec<Lint>) {
        (self.schemas, self.lints)
    }
}
