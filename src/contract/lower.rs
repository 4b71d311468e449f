//! OpenAPI schemas into JSON Schema 2020-12, one variant per direction.
//!
//! A *unit* is a schema that something refers to: the schema of a body or a parameter, or the
//! target of a `$ref`. Each is lowered once per direction that it differs in, and all of them
//! become the `$defs` of one root, so that a component used by ten thousand operations is
//! compiled once. What must hold: a lowered schema has its keywords at the same pointers,
//! relative to the unit, as the schema it came from; [`Unit::pointer`] then leads every error back.
//!
//! Only what judges is lowered: titles, examples and extensions are left behind. What cannot be
//! enforced becomes [`UNENFORCEABLE`], which counts when a message meets it, and a lint.

mod direction;
mod keywords;
mod limits;
mod plan;

pub(crate) use plan::Discriminator;
pub(super) use plan::{Lowered, Root, lower};

use super::document::Version;

/// Which way a value travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// To the service: `readOnly` properties need not be there.
    Request,
    /// From the service: `writeOnly` properties need not be there.
    Response,
}

/// A lowered schema that others refer to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct UnitKey {
    /// Where the schema stands in the document's tree.
    pub(super) pointer: String,
    /// The direction it was lowered for; none when it is the same in both.
    pub(super) direction: Option<Direction>,
    /// Properties that whoever refers to it declares as not required in this direction.
    pub(super) exempt: Vec<String>,
}

/// Keyword of ours: a number format such as `int32`.
pub(super) const NUMBER_FORMAT: &str = "x-cvt-format";
/// Keyword of ours: a `const` that holds a number, compared exactly.
pub(super) const EXACT_CONST: &str = "x-cvt-const";
/// Keyword of ours: an `enum` that holds a number, compared exactly.
pub(super) const EXACT_ENUM: &str = "x-cvt-enum";
/// Keyword of ours: names the keyword in whose place it stands because that cannot be enforced.
pub(super) const UNENFORCEABLE: &str = "x-cvt-unenforceable";
/// Keyword of ours: refuses every value, because it is `readOnly` and this is a request.
pub(super) const READ_ONLY: &str = "x-cvt-read-only";
/// Keyword of ours: refuses every value, because it is `writeOnly` and this is a response.
pub(super) const WRITE_ONLY: &str = "x-cvt-write-only";

/// Keyword of ours: draft 4's `minimum` with `exclusiveMinimum: true`.
pub(super) const MORE_THAN: &str = "x-cvt-more-than";
/// Keyword of ours: draft 4's `maximum` with `exclusiveMaximum: true`.
pub(super) const LESS_THAN: &str = "x-cvt-less-than";

/// How schemas of a document are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The schema objects of OpenAPI 2.0 and 3.0.
    OpenApi,
    /// JSON Schema, with OpenAPI's additions.
    JsonSchema,
}

// === impl Direction ===

impl Direction {
    /// The keyword that marks properties which do not travel this way.
    pub(super) fn absent_keyword(self) -> &'static str {
        match self {
            Self::Request => "readOnly",
            Self::Response => "writeOnly",
        }
    }
}

// === impl Dialect ===

impl Dialect {
    pub(super) fn of(version: Version) -> Self {
        if version.has_json_schema() { Self::JsonSchema } else { Self::OpenApi }
    }
}
