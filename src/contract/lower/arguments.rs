//! What the argument of a keyword is, where it is not what JSON Schema asks for.
//!
//! Real documents write numbers as text, leave arguments empty and put lists where there is one
//! schema. What can only mean one thing is read as that, and is a slip; an empty argument is left
//! out, and is a slip; any other disables its keyword alone, and is a defect. A further keyword is
//! a further line of [`expected`].

use std::borrow::Cow;

use serde_json::{Map, Number, Value, json};

use super::{SchemaDialect, UNENFORCEABLE};

/// How the argument of a keyword can be used.
pub(super) enum Argument<'v> {
    /// As it is.
    Valid,
    /// As something else that it plainly means.
    Corrected(Cow<'v, Value>, String),
    /// Not at all: it says nothing.
    Empty(&'static str),
    /// Not at all: it cannot be used.
    Unusable(String),
}

/// What the argument of a keyword has to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Text,
    Number,
    Count,
    Flag,
    Names,
    Values,
    Schema,
    SchemaList,
    SchemaMap,
    NameLists,
}

/// How the schemas around an argument are read.
#[derive(Clone, Copy)]
pub(super) struct ArgumentContext {
    pub(super) dialect: SchemaDialect,
    /// A list of schemas is allowed for `items`: drafts before 2020-12.
    pub(super) tuples: bool,
    /// `exclusiveMinimum` and `exclusiveMaximum` may be flags: draft 4.
    pub(super) flags: bool,
}

fn expected(keyword: &str, context: ArgumentContext) -> Option<Expected> {
    use Expected::{
        Count, Flag, NameLists, Names, Number, Schema, SchemaList, SchemaMap, Text, Values,
    };
    let common = match keyword {
        "pattern" => Text,
        "exclusiveMinimum" | "exclusiveMaximum" if context.flags => return None,
        "minimum" | "maximum" | "multipleOf" | "exclusiveMinimum" | "exclusiveMaximum" => Number,
        "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
            Count
        }
        "uniqueItems" | "nullable" | "x-nullable" => Flag,
        "required" => Names,
        "enum" => Values,
        "properties" => SchemaMap,
        "allOf" | "anyOf" | "oneOf" => SchemaList,
        "not" | "additionalProperties" | "items" => Schema,
        _ if context.dialect == SchemaDialect::OpenApi => return None,
        "contentEncoding" | "contentMediaType" | "$anchor" | "$dynamicAnchor" | "$dynamicRef"
        | "$recursiveRef" | "$ref" | "$id" => Text,
        "minContains" | "maxContains" => Count,
        "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => SchemaMap,
        "dependentRequired" => NameLists,
        "prefixItems" => SchemaList,
        "if"
        | "then"
        | "else"
        | "contains"
        | "propertyNames"
        | "unevaluatedProperties"
        | "unevaluatedItems"
        | "additionalItems"
        | "contentSchema" => Schema,
        _ => return None,
    };
    Some(common)
}

/// Reads the argument of a keyword.
pub(super) fn read<'v>(keyword: &str, value: &'v Value, context: ArgumentContext) -> Argument<'v> {
    let Some(expected) = expected(keyword, context) else { return Argument::Valid };
    if value.is_null() {
        return Argument::Empty("it is null, and is read as left out");
    }
    let wrong = |what: &str| Argument::Unusable(format!("{keyword} is {what}; it is not enforced"));
    match expected {
        Expected::Text if value.is_string() => Argument::Valid,
        Expected::Text => wrong("a text"),
        Expected::Number => match value {
            Value::Number(_) => Argument::Valid,
            // Draft 4 wrote flags here, which are read with the limit beside them.
            Value::Bool(_) if keyword.starts_with("exclusive") => Argument::Valid,
            Value::String(text) => match number_in(text) {
                Some(number) => corrected(Value::Number(number), "a number, not a text"),
                None => wrong("a number"),
            },
            _ => wrong("a number"),
        },
        Expected::Count => count(keyword, value),
        Expected::Flag => match value {
            Value::Bool(_) => Argument::Valid,
            Value::String(text) => match flag_in(text) {
                Some(flag) => corrected(flag, "true or false, not a text"),
                None => wrong("true or false"),
            },
            _ => wrong("true or false"),
        },
        Expected::Names => names(keyword, value),
        Expected::Values => match value {
            // JSON Schema lets an empty list refuse every value; 2.0 and 3.0 have no such list.
            Value::Array(values)
                if values.is_empty() && context.dialect == SchemaDialect::OpenApi =>
            {
                Argument::Empty("it lists no value, and is read as left out")
            }
            Value::Array(_) => Argument::Valid,
            _ => wrong("a list of values"),
        },
        Expected::Schema => schema(keyword, value, context),
        Expected::SchemaList => match value {
            Value::Array(items) if items.is_empty() && keyword != "prefixItems" => {
                Argument::Empty("it lists no schema, and is read as left out")
            }
            Value::Array(_) => Argument::Valid,
            _ => wrong("a list of schemas"),
        },
        Expected::SchemaMap => match value {
            Value::Object(_) => Argument::Valid,
            Value::Array(items) if items.is_empty() => Argument::Empty(EMPTY_LIST),
            _ => wrong("a map from names to schemas"),
        },
        Expected::NameLists => match value {
            Value::Object(members) if members.values().all(is_names) => Argument::Valid,
            Value::Array(items) if items.is_empty() => Argument::Empty(EMPTY_LIST),
            _ => wrong("a map from names to lists of names"),
        },
    }
}

const EMPTY_LIST: &str = "an empty list stands for an empty map, and is read as one";

fn schema<'v>(keyword: &str, value: &'v Value, context: ArgumentContext) -> Argument<'v> {
    match value {
        Value::Object(_) | Value::Bool(_) => Argument::Valid,
        Value::Array(items) if items.is_empty() => Argument::Empty(EMPTY_LIST),
        Value::Array(_) if keyword == "items" && context.tuples => Argument::Valid,
        Value::Array(_) if keyword == "items" => Argument::Unusable(
            "items is one schema here, not a list; items are not enforced (OpenAPI 3.1 has \
             prefixItems for the first ones)"
                .to_owned(),
        ),
        Value::String(text) if keyword == "additionalProperties" => match flag_in(text) {
            Some(flag) => corrected(flag, "true or false, not a text"),
            None => Argument::Unusable(format!("{keyword} is a schema; it is not enforced")),
        },
        _ => Argument::Unusable(format!("{keyword} is a schema; it is not enforced")),
    }
}

fn count<'v>(keyword: &str, value: &'v Value) -> Argument<'v> {
    let wrong =
        || Argument::Unusable(format!("{keyword} is a whole number from 0 on; it is not enforced"));
    let (number, is_text) = match value {
        Value::Number(number) => (number.clone(), false),
        Value::String(text) => match number_in(text) {
            Some(number) => (number, true),
            None => return wrong(),
        },
        _ => return wrong(),
    };
    let is_lower = keyword.starts_with("min");
    match number.as_f64() {
        Some(amount) if amount < 0.0 && is_lower => {
            Argument::Empty("a lower bound below zero excludes nothing")
        }
        Some(amount) if amount < 0.0 || amount.fract() != 0.0 => wrong(),
        Some(amount) if amount > MAX_COUNT && !is_lower => {
            Argument::Empty("no value is as large as this, so it excludes nothing")
        }
        Some(amount) if amount > MAX_COUNT => wrong(),
        Some(_) if is_text => corrected(Value::Number(number), "a number, not a text"),
        _ => Argument::Valid,
    }
}

/// More than any message can hold, and what a `u64` holds exactly.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

fn names<'v>(keyword: &str, value: &'v Value) -> Argument<'v> {
    match value {
        // Draft 3 had a flag here; what it says of a parameter is read there.
        Value::Bool(_) => Argument::Valid,
        Value::Object(members) if members.is_empty() => {
            Argument::Empty("an empty map stands for an empty list, and is read as one")
        }
        Value::Array(names) if names.iter().all(Value::is_string) => {
            let mut once: Vec<&Value> = Vec::with_capacity(names.len());
            // Lists of names are short, but for hostile ones.
            let mut seen = std::collections::HashSet::new();
            for name in names {
                if seen.insert(name.as_str().unwrap_or_default()) {
                    once.push(name);
                }
            }
            if once.len() == names.len() {
                return Argument::Valid;
            }
            let message = "a name stands twice; once is enough".to_owned();
            Argument::Corrected(Cow::Owned(json!(once)), message)
        }
        _ => Argument::Unusable(format!("{keyword} is a list of names; it is not enforced")),
    }
}

fn is_names(value: &Value) -> bool {
    value.as_array().is_some_and(|names| names.iter().all(Value::is_string))
}

fn corrected(value: Value, should_be: &str) -> Argument<'static> {
    let message = format!("this should be {should_be}; it is read as {value}");
    Argument::Corrected(Cow::Owned(value), message)
}

/// The number that a text holds and nothing else.
pub(super) fn number_in(text: &str) -> Option<Number> {
    match serde_json::from_str(text.trim()).ok()? {
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn flag_in(text: &str) -> Option<Value> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(Value::Bool(true)),
        "false" => Some(Value::Bool(false)),
        _ => None,
    }
}

/// Whether a dialect is an earlier draft than the one of OpenAPI 3.1, which changed `items`.
pub(super) fn is_older_draft(dialect: &Value) -> bool {
    let older = ["draft-04", "draft-06", "draft-07", "draft/2019-09"];
    dialect.as_str().is_some_and(|name| {
        name.contains("json-schema.org/") && older.iter().any(|older| name.contains(older))
    })
}

/// Records in a lowered schema that its keyword `what` cannot be enforced.
pub(super) fn mark_unenforceable(lowered: &mut Map<String, Value>, what: &str) {
    match lowered.get(UNENFORCEABLE).and_then(Value::as_str) {
        Some(other) if other != what => lowered.insert(UNENFORCEABLE.to_owned(), json!("schema")),
        _ => lowered.insert(UNENFORCEABLE.to_owned(), json!(what)),
    };
}

/// A schema of which nothing is enforced.
pub(in crate::contract) fn disabled() -> Value {
    json!({ UNENFORCEABLE: "schema" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(keyword: &str, value: &Value) -> &'static str {
        let context =
            ArgumentContext { dialect: SchemaDialect::JsonSchema, tuples: false, flags: false };
        match read(keyword, value, context) {
            Argument::Valid => "valid",
            Argument::Corrected(..) => "corrected",
            Argument::Empty(_) => "empty",
            Argument::Unusable(_) => "unusable",
        }
    }

    #[test]
    fn arguments_are_corrected_where_they_have_one_meaning() {
        for (keyword, value, expected) in [
            ("minLength", json!("1"), "corrected"),
            ("minLength", json!(-1), "empty"),
            ("maxLength", json!(-1), "unusable"),
            ("maxLength", json!(true), "unusable"),
            ("maxLength", json!(1e300), "empty"),
            ("minLength", json!(1.0), "valid"),
            ("maximum", json!("100"), "corrected"),
            ("maximum", json!("2020-01-01"), "unusable"),
            ("maximum", json!(null), "empty"),
            ("uniqueItems", json!("true"), "corrected"),
            ("uniqueItems", json!(1), "unusable"),
            ("required", json!(["a", "b", "a"]), "corrected"),
            ("required", json!({}), "empty"),
            ("required", json!(["a", 1]), "unusable"),
            ("required", json!("a"), "unusable"),
            ("enum", json!("a"), "unusable"),
            ("enum", json!([]), "valid"),
            ("items", json!([{}, {}]), "unusable"),
            ("items", json!([]), "empty"),
            ("items", json!("string"), "unusable"),
            ("oneOf", json!([]), "empty"),
            ("oneOf", json!({}), "unusable"),
            ("properties", json!([]), "empty"),
            ("properties", json!(["a"]), "unusable"),
            ("additionalProperties", json!("false"), "corrected"),
            ("additionalProperties", json!(null), "empty"),
            ("dependentRequired", json!({"a": ["b"]}), "valid"),
            ("dependentRequired", json!({"a": "b"}), "unusable"),
            ("title", json!(7), "valid"),
        ] {
            assert_eq!(outcome(keyword, &value), expected, "{keyword}: {value}");
        }
    }
}
