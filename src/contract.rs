//! An OpenAPI document compiled into a [`Contract`] that messages are validated against.
//!
//! A [`Document`] is read once and a [`Contract`] compiled from it: routes, parameter plans,
//! schemas, media types. Invariants: nothing is compiled, sorted or locked while a message
//! is validated, and whatever cannot be enforced is a [`Lint`]. A new kind of rule gets a file of
//! its own and a field in [`CompiledOperation`].

mod compile;
pub mod document;
mod document_rules;
pub mod encoding;
pub mod error;
mod format;
pub mod lint;
mod lower;
pub mod media_type;
pub mod operation;
pub mod options;
pub mod parameter;
mod pattern;
mod planner;
mod property_names;
pub mod response;
pub mod route;
pub mod schema;
pub mod security;
pub mod sensitive;
pub mod serialization;
pub mod shape;
mod structure;
mod upgrade;

pub use compile::{Contract, hash_of};
pub use document::{Document, OpenApiVersion, Resolved, SourceMap};
pub use error::{ContractError, Diagnostic};
pub use lint::{Grade, Lint, LintCode};
pub use lower::Direction;
pub use operation::CompiledOperation;
pub use options::{
    CompileOptions, DocumentFileError, DocumentFiles, DocumentLimits, NoDocumentFiles,
};
pub use property_names::PropertyNames;
pub use route::{OperationIndex, RouteMatch};
pub use schema::{SchemaCompiler, SchemaIndex, SchemaOutcome, SchemaSet};
pub use shape::{Shape, ShapeId, Shapes, Types};

fn schema_error_text(error: &jsonschema::ValidationError<'_>) -> String {
    error.to_string()
}
