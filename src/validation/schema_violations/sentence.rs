//! The message of a violation: one sentence for each kind of schema error.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use crate::contract::schema::SchemaSet;

/// Values of a documented list that a sentence shows, and characters of them.
const SHOWN_VALUES: usize = 8;
const SHOWN_CHARS: usize = 120;

/// The sentence for an error. It contains words of the document, never of the message.
pub(super) fn of(schemas: &SchemaSet, error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Required { property } => match property.as_str() {
            Some(name) => format!("the required property {name:?} is missing"),
            None => "a required property is missing".to_owned(),
        },
        Kind::AdditionalProperties { unexpected } => {
            undocumented(schemas, unexpected, "is not among the documented ones")
        }
        Kind::UnevaluatedProperties { unexpected } => {
            undocumented(schemas, unexpected, "is allowed by no part of the schema")
        }
        Kind::UnevaluatedItems { unexpected } => {
            format!("{} is allowed by no part of the schema", count(unexpected.len(), "item"))
        }
        Kind::AdditionalItems { limit } => {
            format!("must have at most {}", count(*limit, "item"))
        }
        Kind::Enum { options } => match shown(options) {
            Some(list) => format!("must be one of {list}"),
            None => "must be one of the documented values".to_owned(),
        },
        Kind::Constant { expected_value } => match shown(expected_value) {
            Some(value) => format!("must be {value}"),
            None => "must be the documented value".to_owned(),
        },
        Kind::Pattern { .. } => "must match the documented pattern".to_owned(),
        Kind::Format { format } => format!("must be of the format {format:?}"),
        Kind::Custom { message, .. } => message.clone(),
        Kind::PropertyNames { error } => {
            format!("a property's name is not allowed: it {}", of(schemas, error))
        }
        kind => limits(kind),
    }
}

/// Sentences of rules that are a number, and of those that are nothing but a name.
fn limits(kind: &Kind) -> String {
    match kind {
        Kind::MaxItems { limit } => format!("must have at most {}", count_u64(*limit, "item")),
        Kind::MinItems { limit } => format!("must have at least {}", count_u64(*limit, "item")),
        Kind::MaxLength { limit } => {
            format!("must have at most {}", count_u64(*limit, "character"))
        }
        Kind::MinLength { limit } => {
            format!("must have at least {}", count_u64(*limit, "character"))
        }
        Kind::MaxProperties { limit } => {
            format!("must have at most {}", count_u64(*limit, "property"))
        }
        Kind::MinProperties { limit } => {
            format!("must have at least {}", count_u64(*limit, "property"))
        }
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::UniqueItems => "must have no two equal items".to_owned(),
        Kind::Contains => "must have the items that contains asks for".to_owned(),
        Kind::ContentEncoding { content_encoding } => {
            format!("must be text in the encoding {content_encoding:?}")
        }
        Kind::ContentMediaType { content_media_type } => {
            format!("must be text of the media type {content_media_type:?}")
        }
        Kind::FromUtf8 { .. } => "must be text once decoded".to_owned(),
        Kind::FalseSchema => "must not be there".to_owned(),
        Kind::Not { .. } => "must not conform to the schema under not".to_owned(),
        Kind::AnyOf { .. } => "must conform to at least one branch of anyOf".to_owned(),
        Kind::OneOfNotValid { .. } => "must conform to one branch of oneOf".to_owned(),
        Kind::OneOfMultipleValid { context } => match matching_branches(context) {
            Some(several) => {
                format!("must conform to exactly one branch of oneOf, and conforms to {several}")
            }
            None => "must conform to exactly one branch of oneOf, not to several".to_owned(),
        },
        kind => format!("breaks the rule {}", kind.keyword()),
    }
}

/// The branches that a value conforms to, where it conforms to more than one.
fn matching_branches(branches: &[Vec<ValidationError<'static>>]) -> Option<String> {
    let matching: Vec<String> = branches
        .iter()
        .enumerate()
        .filter(|(_, errors)| errors.is_empty())
        .map(|(index, _)| index.to_string())
        .collect();
    (matching.len() > 1).then(|| matching.join(" and "))
}

/// Names that the document does not know are counted, not shown.
fn undocumented(schemas: &SchemaSet, unexpected: &[String], what: &str) -> String {
    let known: Vec<String> = unexpected
        .iter()
        .filter(|name| schemas.declares_name(name))
        .take(SHOWN_VALUES)
        .map(|name| format!("{name:?}"))
        .collect();
    if known.len() == unexpected.len() && !known.is_empty() {
        return format!("the property {} {what}", known.join(", "));
    }
    match unexpected.len() {
        0 | 1 => format!("a property {what}"),
        n => format!("each of {n} properties {what}"),
    }
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => type_name(*one).to_owned(),
        TypeKind::Multiple(several) => {
            let words: Vec<&str> = several.iter().map(type_name).collect();
            words.join(" or ")
        }
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "a boolean",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}

/// A documented value, or list of values, when it is short.
fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Array(values) if values.len() <= SHOWN_VALUES => {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            values.join(", ")
        }
        Value::Array(_) | Value::Object(_) => return None,
        value => value.to_string(),
    };
    (text.chars().count() <= SHOWN_CHARS).then_some(text)
}

fn count_u64(count: u64, what: &str) -> String {
    self::count(usize::try_from(count).unwrap_or(usize::MAX), what)
}

fn count(count: usize, what: &str) -> String {
    match (count, what) {
        (1, what) => format!("1 {what}"),
        (n, "property") => format!("{n} properties"),
        (n, what) => format!("{n} {what}s"),
    }
}
