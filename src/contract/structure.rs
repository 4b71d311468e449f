//! Whether a document is what the OpenAPI specification says it is.
//!
//! The official JSON Schemas of the specification (`metaschema/`) decide. A document that
//! breaks them is refused with pointer, line and column, but for slips that change nothing about
//! what is validated: those become lints, because real documents are full of them.
//!
//! The `openapiv3` crate, which could model the structure of 3.0 documents, is not used: it knows
//! no 3.1, turns every schema into a tree of its own beside the one needed anyway, and its errors
//! carry no pointer. The meta-schemas cover all versions, give pointers, and leave one tree.

use std::cmp::Reverse;
use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind as Kind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::Value;

use super::document::{OpenApiVersion, SourceMap};
use super::error::{ContractError, Diagnostic};
use super::lint::{Lint, LintCode};
use crate::json::pointer;

/// Slips named in lints, at most.
const MAX_LINTS: usize = 20;

static SWAGGER_2_0: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/2.0.json"), Draft::Draft4));
static OPENAPI_3_0: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/3.0.json"), Draft::Draft4));
static OPENAPI_3_1: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/3.1.json"), Draft::Draft202012));
static OPENAPI_3_2: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/3.2.json"), Draft::Draft202012));

/// Checks the document as registered, before any upgrade. What breaks the specification without
/// harm goes to `lints`.
pub(super) fn check(
    version: OpenApiVersion,
    root: &Value,
    source: &SourceMap,
    lints: &mut Vec<Lint>,
) -> Result<(), ContractError> {
    let validator = match version {
        OpenApiVersion::V2 => &SWAGGER_2_0,
        OpenApiVersion::V3_0 => &OPENAPI_3_0,
        OpenApiVersion::V3_1 => &OPENAPI_3_1,
        OpenApiVersion::V3_2 => &OPENAPI_3_2,
    };
    let Some(validator) = validator.as_ref() else {
        return Err(ContractError::Structure(Diagnostic::new("the meta-schema does not compile")));
    };
    if validator.is_valid(root) {
        return Ok(());
    }
    for error in validator.iter_errors(root) {
        let cause = cause(&error, root);
        let at = cause.instance_path().as_str();
        let message = sentence(cause);
        if !is_harmless(cause, at) {
            return Err(ContractError::Structure(source.diagnostic(at, message)));
        }
        if lints.len() < MAX_LINTS {
            lints.push(source.lint(LintCode::Lenient, at, message));
        }
    }
    Ok(())
}

/// Compiles a meta-schema. Schema objects are left open by those of 3.1 and later, so that other
/// dialects may be used there; what they must be is checked when they are compiled.
fn build(text: &str, draft: Draft) -> Option<Validator> {
    let schema: Value = serde_json::from_str(text).ok()?;
    jsonschema::options()
        .with_draft(draft)
        .should_validate_formats(false)
        .offline()
        .build(&schema)
        .ok()
}

/// The error at the bottom of an error: of the branches that were tried, the one that was meant.
fn cause<'e>(error: &'e ValidationError<'_>, root: &Value) -> &'e ValidationError<'e> {
    let mut error: &ValidationError<'_> = error;
    loop {
        let (Kind::OneOfNotValid { context: branches } | Kind::AnyOf { context: branches }) =
            error.kind()
        else {
            return error;
        };
        let Some(branch) = intended_branch(branches, error, root) else { return error };
        let Some(first) = branch.iter().max_by_key(|error| depth(error)) else { return error };
        error = first;
    }
}

/// The branch that a value was meant for: the reference's where there is a `$ref`, else the one
/// whose errors are deepest.
fn intended_branch<'e>(
    branches: &'e [Vec<ValidationError<'static>>],
    error: &ValidationError<'_>,
    root: &Value,
) -> Option<&'e Vec<ValidationError<'static>>> {
    let value = pointer::lookup(root, error.instance_path().as_str());
    let is_reference = value.is_some_and(|value| value.get("$ref").is_some());
    let asks_for_reference = |branch: &[ValidationError<'_>]| {
        branch.iter().any(|error| {
            matches!(error.kind(), Kind::Required { property } if property.as_str() == Some("$ref"))
        })
    };
    let candidates = branches.iter().filter(|branch| is_reference || !asks_for_reference(branch));
    candidates.max_by_key(|branch| {
        let deepest = branch.iter().map(depth).max().unwrap_or_default();
        (deepest, Reverse(branch.len()))
    })
}

fn depth(error: &ValidationError<'_>) -> usize {
    error.instance_path().as_str().matches('/').count()
}

/// What is wrong, in a sentence that shows no more of the document than names.
fn sentence(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Required { property } => format!("{property} is required here"),
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let names: Vec<String> =
                unexpected.iter().take(5).map(|name| format!("{name:?}")).collect();
            format!("{} is not allowed here", names.join(", "))
        }
        Kind::Type { kind } => match kind {
            jsonschema::error::TypeKind::Single(kind) => {
                format!("a value of the type {kind} is expected")
            }
            jsonschema::error::TypeKind::Multiple(_) => {
                "a value of another type is expected".into()
            }
        },
        Kind::Enum { options } => format!("one of {options} is expected"),
        Kind::Constant { expected_value } => format!("{expected_value} is expected"),
        Kind::Pattern { pattern } => format!("text that matches {pattern} is expected"),
        Kind::FalseSchema => "nothing is allowed here".to_owned(),
        Kind::UniqueItems => "two items are equal".to_owned(),
        kind => format!("the rule {} of the specification is broken", kind.keyword()),
    }
}

/// Whether a slip changes nothing about what is validated.
///
/// Real documents are full of slips that no tool ever refused (an OAuth flow without scopes, an
/// `example` beside `examples`, no `info`): of those only what cannot be read is refused.
fn is_harmless(error: &ValidationError<'_>, at: &str) -> bool {
    let is_prose = ["/info", "/tags", "/externalDocs"]
        .iter()
        .any(|part| at == *part || at.strip_prefix(part).is_some_and(|rest| rest.starts_with('/')));
    let tokens: Vec<_> = pointer::tokens(at).collect();
    let last = tokens.last().map_or("", |token| token.as_ref());
    if is_prose || PROSE.contains(&last) {
        return true;
    }
    let parent =
        tokens.len().checked_sub(2).and_then(|at| tokens.get(at)).map_or("", |t| t.as_ref());
    match error.kind() {
        Kind::Type { .. } => {
            !CONTAINERS.contains(&last) && !CONTAINERS_OF_CONTAINERS.contains(&parent)
        }
        Kind::Required { property } => {
            let needed = property.as_str().unwrap_or_default();
            !(at.is_empty() && REQUIRED_PARTS.contains(&needed)
                || parent == "parameters" && matches!(needed, "name" | "in"))
        }
        Kind::Enum { .. } => {
            !(last == "in" && tokens.contains(&"parameters".into())) || is_parameter_location(error)
        }
        _ => true,
    }
}

/// A parameter location that is right for another branch of the meta-schema than the one tried.
fn is_parameter_location(error: &ValidationError<'_>) -> bool {
    let location = error.instance().as_str().unwrap_or_default();
    ["query", "header", "path", "cookie", "body", "formData"].contains(&location)
}

/// Parts without which there is nothing in a document; from 3.1 on any of them will do.
const REQUIRED_PARTS: [&str; 3] = ["paths", "components", "webhooks"];

/// Parts that only people read.
const PROSE: [&str; 10] = [
    "description",
    "summary",
    "title",
    "example",
    "examples",
    "externalDocs",
    "tags",
    "operationId",
    "deprecated",
    "default",
];

/// Parts that must be of their type for anything to be read.
const CONTAINERS: [&str; 9] = [
    "paths",
    "components",
    "parameters",
    "responses",
    "requestBody",
    "content",
    "headers",
    "definitions",
    "schemas",
];

/// Parts whose members must be of their type for anything to be read.
const CONTAINERS_OF_CONTAINERS: [&str; 6] =
    ["paths", "responses", "parameters", "content", "headers", "requestBodies"];
