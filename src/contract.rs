//! An OpenAPI document turned into something that judges messages.

pub mod document;
pub mod error;
mod format;
pub mod instance;
pub mod lint;
mod lower;
pub mod number;
pub mod options;
mod pattern;
pub mod schema;
pub mod shape;
mod structure;
mod upgrade;

pub use document::{Document, Resolved, Source, Version};
pub use error::{ContractError, Problem};
pub use lint::{Lint, LintCode};
pub use lower::Direction;
pub use options::{CompileOptions, FileError, Files, Limits, NoFiles};
pub use schema::{Judged, SchemaCompiler, SchemaId, SchemaSet};
pub use shape::{Shape, ShapeId, Shapes, Types};

fn schema_error_text(error: &jsonschema::ValidationError<'_>) -> String {
    error.to_string()
}
