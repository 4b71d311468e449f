//! Whether a document is what the OpenAPI specification says it is.
//!
//! The official JSON Schemas of the specification (`metaschema/`) decide. What breaks them becomes
//! a lint with pointer, line and column, because real documents are full of it; which part cannot be
//! enforced because of it is for the planner to say. Only a document that has none of
//! the parts that hold anything to validate is refused.
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
const MAX_LINTS: usize = 200;

static SWAGGER_2_0: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/2.0.json"), Draft::Draft4));
static OPENAPI_3_0: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/3.0.json"), Draft::Draft4));
static OPENAPI_3_1: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/3.1.json"), Draft::Draft202012));
static OPENAPI_3_2: LazyLock<Option<Validator>> =
    LazyLock::new(|| build(include_str!("metaschema/3.2.json"), Draft::Draft202012));

/// Refuses a document that has none of the parts that hold anything to validate.
pub(super) fn check_parts(
    version: OpenApiVersion,
    root: &Value,
    source: &SourceMap,
) -> Result<(), ContractError> {
    let parts: &[&str] = match version {
        OpenApiVersion::V2 => &["paths", "definitions", "parameters", "responses"],
        _ => &["paths", "components", "webhooks"],
    };
    if let Some(paths) = root.get("paths").filter(|paths| !paths.is_object() && !is_empty(paths)) {
        let kind = if paths.is_array() { "list" } else { "single value" };
        let message = format!("paths is a map from paths to what they offer, and here a {kind}");
        return Err(ContractError::Structure(source.diagnostic("/paths", message)));
    }
    if parts.iter().any(|part| root.get(*part).is_some()) {
        return Ok(());
    }
    let (last, others) = parts.split_last().unwrap_or((&"paths", &[]));
    let message = format!(
        "the document has none of {} and {last}: there is nothing to validate",
        others.join(", ")
    );
    Err(ContractError::Structure(Diagnostic::new(message)))
}

/// Checks the document as registered, before any upgrade. What breaks the specification goes to
/// `lints`.
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
    for error in validator.iter_errors(root).take(MAX_LINTS) {
        let cause = cause(&error, root);
        let at = cause.instance_path().as_str();
        let expects_another = matches!(cause.kind(), Kind::Type { .. });
        lints.push(if is_empty(cause.instance()) && expects_another {
            source.lint(LintCode::EmptyPart, at, EMPTY)
        } else {
            source.lint(LintCode::Lenient, at, sentence(cause))
        });
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

/// What is said of `null` and `[]` where a map or a list may be empty.
const EMPTY: &str = "this is empty, and is read as left out";

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
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
