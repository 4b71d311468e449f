//! An OpenAPI document turned into something that judges messages.
//!
//! A [`Document`] is read once and a [`Contract`] compiled from it: routes, parameter plans,
//! schemas, media types. What must hold: nothing is compiled, sorted or locked while a message
//! is judged, and whatever cannot be enforced is a [`Lint`]. A new kind of rule gets a file of
//! its own and a field in [`CompiledOperation`].

mod compile;
pub mod document;
pub mod encoding;
pub mod error;
mod format;
pub mod instance;
pub mod lint;
mod lower;
pub mod media_type;
mod names;
pub mod number;
pub mod operation;
pub mod options;
pub mod parameter;
mod pattern;
mod planner;
pub mod response;
pub mod route;
mod rules;
pub mod schema;
pub mod security;
pub mod sensitive;
pub mod serialization;
pub mod shape;
mod structure;
mod upgrade;

pub use compile::{Contract, hash_of};
pub use document::{Document, Resolved, Source, Version};
pub use error::{ContractError, Problem};
pub use lint::{Lint, LintCode};
pub use lower::Direction;
pub use names::PropertyNames;
pub use operation::{CompiledOperation, OperationIndex};
pub use options::{CompileOptions, FileError, Files, Limits, NoFiles};
pub use route::{RouteMatch, TrailingSlash};
pub use schema::{Judged, SchemaCompiler, SchemaId, SchemaSet};
pub use shape::{Shape, ShapeId, Shapes, Types};

fn schema_error_text(error: &jsonschema::ValidationError<'_>) -> String {
    error.to_string()
}
