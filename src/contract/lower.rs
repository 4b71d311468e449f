//! OpenAPI schemas into JSON Schema 2020-12, one variant per direction.
//!
//! A *unit* is a schema that something refers to: the schema of a body or a parameter, or the
//! target of a `$ref`. Each is lowered once per direction that it differs in, and all of them
//! become the `$defs` of one root, so that a component used by ten thousand operations is
//! compiled once. Invariant: a lowered schema has its keywords at the same pointers,
//! relative to the unit, as the schema it came from; [`Unit::pointer`] then leads every error back.
//!
//! Only assertions are lowered: titles, examples and extensions are left behind. What cannot be
//! enforced becomes [`UNENFORCEABLE`], which is counted when a message reaches it, and a lint.

mod applicators;
mod arguments;
mod direction;
mod discriminator;
mod keywords;
mod lenient;
mod lenient_reading;
mod limits;
mod types;
mod units;

pub(super) use arguments::disabled;
pub(crate) use discriminator::Discriminator;
pub(super) use units::{Lowered, Root, lower};

use serde_json::Value;

use super::document::OpenApiVersion;

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
    /// Pointer to the schema in the document's tree.
    pub(super) pointer: String,
    /// The direction it was lowered for; none when it is the same in both.
    pub(super) direction: Option<Direction>,
    /// Properties that the referring schema declares as not required in this direction.
    pub(super) exempt: Vec<String>,
    /// Whether properties that do not travel this way are taken in it.
    pub(super) neutral: bool,
    /// How much of the schema it holds.
    pub(super) form: UnitForm,
}

/// How much of a schema a unit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum UnitForm {
    /// All of it.
    Whole,
    /// What it asks of values that are not `null`.
    WithoutNull,
    /// Its `oneOf` alone.
    OneOf,
}

/// Keyword of ours: a number format such as `int32`.
pub(super) const NUMBER_FORMAT: &str = "x-cvt-format";
/// Keyword of ours: a `const` that holds a number, compared exactly.
pub(super) const EXACT_CONST: &str = "x-cvt-const";
/// Keyword of ours: an `enum` that holds a number, compared exactly.
pub(super) const EXACT_ENUM: &str = "x-cvt-enum";
/// Keyword of ours: names the keyword it replaces because that cannot be enforced.
pub(super) const UNENFORCEABLE: &str = "x-cvt-unenforceable";
/// Keyword of ours: refuses every value, because it is `readOnly` and this is a request.
pub(super) const READ_ONLY: &str = "x-cvt-read-only";
/// Keyword of ours: refuses every value, because it is `writeOnly` and this is a response.
pub(super) const WRITE_ONLY: &str = "x-cvt-write-only";

/// Keyword of ours: the value's discriminator is one of these.
pub(super) const NAMED: &str = "x-cvt-named";

/// Keyword of ours: draft 4's `minimum` with `exclusiveMinimum: true`.
pub(super) const MORE_THAN: &str = "x-cvt-more-than";
/// Keyword of ours: draft 4's `maximum` with `exclusiveMaximum: true`.
pub(super) const LESS_THAN: &str = "x-cvt-less-than";

/// How schemas of a document are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SchemaDialect {
    /// The schema objects of OpenAPI 2.0 and 3.0.
    OpenApi,
    /// JSON Schema, with OpenAPI's additions.
    JsonSchema,
}

/// A keyword that holds schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Applicator {
    /// One schema.
    One,
    /// A list of schemas.
    List,
    /// Schemas by name.
    Map,
}

/// What the schemas around the one being lowered decide about it.
#[derive(Clone, Copy)]
struct SchemaContext<'p> {
    direction: Option<Direction>,
    /// Properties that need not be there, found in the schemas around this one.
    exempt: &'p [String],
    /// In a draft before 2020-12.
    older: bool,
    /// Inside a schema with an `$id`: its references and unknown keywords are left as they are.
    embedded: bool,
    /// Inside a schema that only decides which branch of another one holds: properties that do
    /// not travel this way are taken.
    neutral: bool,
    /// How much of the schema is asked for.
    form: UnitForm,
}

/// How a keyword holds schemas, if it does.
fn applicator(dialect: SchemaDialect, keyword: &str, value: &Value) -> Option<Applicator> {
    use Applicator::{List, Map, One};
    let found = match keyword {
        "properties" => Map,
        "allOf" | "anyOf" | "oneOf" => List,
        "items" if value.is_array() => List,
        "not" | "additionalProperties" | "items" => One,
        _ if dialect == SchemaDialect::OpenApi => return None,
        "patternProperties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies" => Map,
        "prefixItems" => List,
        "if"
        | "then"
        | "else"
        | "contains"
        | "propertyNames"
        | "unevaluatedProperties"
        | "unevaluatedItems"
        | "additionalItems"
        | "contentSchema" => One,
        _ => return None,
    };
    let fits = match found {
        One => value.is_object() || value.is_boolean(),
        List => value.is_array(),
        Map => value.is_object(),
    };
    fits.then_some(found)
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

// === impl SchemaDialect ===

impl SchemaDialect {
    pub(super) fn of(version: OpenApiVersion) -> Self {
        if version.has_json_schema() { Self::JsonSchema } else { Self::OpenApi }
    }
}
