//! The message of a violation: one sentence for each kind of schema error. It says what the rule
//! asks for, which part of the message breaks it, and the type and length of what stood there.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use super::format_hint;
use super::found::{count, describe};
use super::subject::InspectedValue;
use crate::json::pointer;
use crate::validation::names::{PROPERTY, document_text, quoted, undeclared};

/// Values of a documented list that a sentence shows.
const SHOWN_VALUES: usize = 8;

/// The sentence for an error. `is_closed_beside` says that the schema does not see the properties
/// of schemas beside it.
pub(super) fn of(
    value: &InspectedValue<'_>,
    error: &ValidationError<'_>,
    is_closed_beside: bool,
) -> String {
    let path = error.instance_path().as_str();
    let label = value.label(path);
    match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().map(|name| format!(" {}", quoted(name)));
            let name = name.unwrap_or_default();
            format!("the required property{name} is missing in {label}{}", found(value, path))
        }
        Kind::AdditionalProperties { unexpected } => {
            let mut text = refused(value, path, unexpected, "not declared", "additionalProperties");
            if is_closed_beside {
                text.push_str(BESIDE);
            }
            text
        }
        Kind::UnevaluatedProperties { unexpected } => {
            let what = "allowed by no part of the schema";
            refused(value, path, unexpected, what, "unevaluatedProperties")
        }
        Kind::UnevaluatedItems { unexpected } => {
            let items = count(unexpected.len(), "item");
            let verb = if unexpected.len() == 1 { "is" } else { "are" };
            format!(
                "{items} of {label} {verb} allowed by no part of the schema{}",
                found(value, path)
            )
        }
        Kind::PropertyNames { error } => {
            let name = error.instance().as_str().filter(|name| value.may_show(name)).map(quoted);
            let name = name.map_or("the name of a property".to_owned(), |name| {
                format!("the property name {name}")
            });
            format!("{name} of {label} is not allowed: it {}", phrase(error))
        }
        Kind::Format { format } => {
            let text = value.part(path).and_then(|part| part.as_str());
            let hint = text.and_then(|text| format_hint::hint(format, text));
            let hint = hint.map(|hint| format!(", which {hint}")).unwrap_or_default();
            format!("{label} {}{}{hint}", phrase(error), found(value, path))
        }
        _ => format!("{label} {}{}", phrase(error), found(value, path)),
    }
}

/// Why a closed schema refuses what a schema beside it declares.
const BESIDE: &str = "; additionalProperties: false sees only the properties declared beside it, \
                      not those of other schemas in allOf, oneOf, anyOf or $ref";

/// The type and length of what stood there.
pub(super) fn found(value: &InspectedValue<'_>, path: &str) -> String {
    value.part(path).map(|part| format!("; found {}", describe(part))).unwrap_or_default()
}

/// What is wrong with properties that a closed schema refuses.
fn refused(
    value: &InspectedValue<'_>,
    path: &str,
    unexpected: &[String],
    what: &str,
    keyword: &str,
) -> String {
    let of = format!(" of {}", value.label(path));
    let names = unexpected.iter().map(String::as_str);
    let declares = |name: &str| value.schemas.declares_name(name);
    let (text, is_plural) = undeclared(&value.subject.redactor, PROPERTY, names, declares, &of);
    let verb = if is_plural { "are" } else { "is" };
    let found = match unexpected {
        [one] => found(value, &pointer::join(path, one)),
        _ => found(value, path),
    };
    format!("{text} {verb} {what}, and {keyword} is false{found}")
}

/// What a rule asks for, without a subject. It has words of the document only.
fn phrase(error: &ValidationError<'_>) -> String {
    match error.kind() {
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Enum { options } => one_of(options),
        Kind::Constant { expected_value } => format!("must be {}", documented(expected_value)),
        Kind::Pattern { pattern } => format!("must match the pattern {}", document_text(pattern)),
        Kind::Format { format } => {
            let form = format_hint::form(format).map(|form| format!(" ({form})"));
            format!("must be of the format {}{}", quoted(format), form.unwrap_or_default())
        }
        Kind::Custom { message, .. } => message.clone(),
        kind => limits(kind),
    }
}

/// Sentences of rules that are a number, and of those that are nothing but a name.
fn limits(kind: &Kind) -> String {
    match kind {
        Kind::AdditionalItems { limit } => format!("must have at most {}", count(*limit, "item")),
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

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => type_name(*one).to_owned(),
        TypeKind::Multiple(several) => {
            let mut words: Vec<&str> = several.iter().map(type_name).collect();
            words.sort_by_key(|word| *word == "null");
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

/// A documented list of values, cut where it is long.
fn one_of(options: &Value) -> String {
    let Some(options) = options.as_array().filter(|options| !options.is_empty()) else {
        return "must be one of the documented values".to_owned();
    };
    let shown: Vec<String> = options.iter().take(SHOWN_VALUES).map(documented).collect();
    match options.len() - shown.len() {
        0 if shown.len() == 1 => format!("must be {}", shown.join("")),
        0 => format!("must be one of {}", shown.join(", ")),
        _ => format!("must be one of {} documented values: {}, …", options.len(), shown.join(", ")),
    }
}

/// A documented value as JSON, cut where it is long.
fn documented(value: &Value) -> String {
    document_text(&value.to_string())
}

fn count_u64(number: u64, what: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), what)
}
