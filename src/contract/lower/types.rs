//! The `type` of a schema, and what an author meant by one that JSON Schema does not have.

use serde_json::{Value, json};

use super::SchemaDialect;

/// How a `type` can be used.
#[derive(Debug, PartialEq)]
pub(super) enum TypeArgument {
    /// As it is.
    Valid,
    /// As something else that it plainly means; null where it says nothing.
    Corrected(Value, String),
    /// Not at all, and its schema neither.
    Unknown(String),
}

const KNOWN: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// Types of programming languages, databases and other schemas, with what they are here.
const FOREIGN: [(&str, &str); 57] = [
    ("int", "integer"),
    ("int8", "integer"),
    ("int16", "integer"),
    ("int32", "integer with `format: int32`"),
    ("int64", "integer with `format: int64`"),
    ("uint", "integer with `minimum: 0`"),
    ("uint32", "integer with `minimum: 0`"),
    ("uint64", "integer with `minimum: 0`"),
    ("long", "integer with `format: int64`"),
    ("short", "integer"),
    ("bigint", "integer"),
    ("bigdecimal", "number"),
    ("float", "number with `format: float`"),
    ("float32", "number with `format: float`"),
    ("float64", "number with `format: double`"),
    ("double", "number with `format: double`"),
    ("decimal", "number"),
    ("numeric", "number"),
    ("num", "number"),
    ("currency", "number"),
    ("bool", "boolean"),
    ("str", "string"),
    ("text", "string"),
    ("char", "string with `maxLength: 1`"),
    ("varchar", "string"),
    ("date", "string with `format: date`"),
    ("datetime", "string with `format: date-time`"),
    ("date-time", "string with `format: date-time`"),
    ("timestamp", "string with `format: date-time`"),
    ("time", "string with `format: time`"),
    ("duration", "string with `format: duration`"),
    ("uuid", "string with `format: uuid`"),
    ("guid", "string with `format: uuid`"),
    ("email", "string with `format: email`"),
    ("url", "string with `format: uri`"),
    ("uri", "string with `format: uri`"),
    ("ipv4", "string with `format: ipv4`"),
    ("ipv6", "string with `format: ipv6`"),
    ("password", "string with `format: password`"),
    ("byte", "string with `format: byte`"),
    ("base64", "string with `format: byte`"),
    ("binary", "string with `format: binary`"),
    ("bytes", "string with `format: binary`"),
    ("file", "string with `format: binary`"),
    ("enum", "string with `enum`"),
    ("list", "array"),
    ("set", "array with `uniqueItems: true`"),
    ("collection", "array"),
    ("map", "object with `additionalProperties`"),
    ("dict", "object with `additionalProperties`"),
    ("dictionary", "object with `additionalProperties`"),
    ("hash", "object with `additionalProperties`"),
    ("struct", "object"),
    ("json", "object"),
    ("any", "no `type` at all, which accepts every value"),
    ("mixed", "no `type` at all, which accepts every value"),
    ("unknown", "no `type` at all, which accepts every value"),
];

/// Reads a `type`. `is_upgraded` documents are Swagger 2.0, which has `file`; `is_branch` says
/// that the schema is a branch of `oneOf` or `anyOf`.
pub(super) fn read(
    value: &Value,
    dialect: SchemaDialect,
    is_upgraded: bool,
    is_branch: bool,
) -> TypeArgument {
    match value {
        Value::String(name) if KNOWN.contains(&name.as_str()) => TypeArgument::Valid,
        Value::String(name) if name == "file" && is_upgraded => TypeArgument::Valid,
        Value::String(name) => TypeArgument::Unknown(unknown(name, dialect)),
        Value::Null if is_branch && dialect == SchemaDialect::JsonSchema => {
            let message = "this should be \"null\", in quotes; it is read as that";
            TypeArgument::Corrected(json!("null"), message.to_owned())
        }
        Value::Null => TypeArgument::Unknown(
            "type is null without quotes; the schema is not enforced. Leave type out, or write \
             \"null\" in quotes"
                .to_owned(),
        ),
        Value::Array(names) => list(names, dialect),
        _ => TypeArgument::Unknown(
            "type is the name of a type; the schema is not enforced".to_owned(),
        ),
    }
}

fn list(names: &[Value], dialect: SchemaDialect) -> TypeArgument {
    if names.is_empty() {
        let message = "it lists no type, and is read as left out";
        return TypeArgument::Corrected(Value::Null, message.to_owned());
    }
    let mut once: Vec<&str> = Vec::with_capacity(names.len().min(KNOWN.len()));
    let mut has_null = false;
    for name in names {
        let name = match name {
            Value::String(name) if KNOWN.contains(&name.as_str()) => name.as_str(),
            Value::String(name) => return TypeArgument::Unknown(unknown(name, dialect)),
            Value::Null => {
                has_null = true;
                "null"
            }
            _ => {
                let message = "type lists names of types; the schema is not enforced";
                return TypeArgument::Unknown(message.to_owned());
            }
        };
        if !once.contains(&name) {
            once.push(name);
        }
    }
    if has_null {
        let message = "null should be \"null\" here, in quotes; it is read as that";
        TypeArgument::Corrected(json!(once), message.to_owned())
    } else if once.len() < names.len() {
        let message = "a type stands twice; once is enough";
        TypeArgument::Corrected(json!(once), message.to_owned())
    } else {
        TypeArgument::Valid
    }
}

fn unknown(name: &str, dialect: SchemaDialect) -> String {
    let shown: String = name.chars().take(40).collect();
    let nearest = nearest(name, dialect);
    let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest}?"));
    format!("there is no type {shown:?}, and the schema is not enforced{hint}")
}

/// The nearest type there is.
fn nearest(name: &str, dialect: SchemaDialect) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    let plain = name.trim_end_matches("[]").trim_end_matches('?');
    if plain.len() < name.len() && name.ends_with("[]") {
        return Some("array with `items`".to_owned());
    }
    let alternatives: Vec<&str> = plain.split(['|', ',', '/']).map(str::trim).collect();
    let others: Vec<&str> = alternatives.iter().filter(|one| **one != "null").copied().collect();
    if let ([only], true) = (others.as_slice(), alternatives.len() > 1 || name.ends_with('?')) {
        let only = single(only).unwrap_or_else(|| (*only).to_owned());
        return Some(match dialect {
            SchemaDialect::OpenApi => format!("{only} with `nullable: true`"),
            SchemaDialect::JsonSchema => format!("the list [{only}, \"null\"]"),
        });
    }
    if others.len() > 1 && others.iter().all(|one| KNOWN.contains(one)) {
        return Some(match dialect {
            SchemaDialect::OpenApi => "`oneOf` with a schema for each type".to_owned(),
            SchemaDialect::JsonSchema => format!("the list [{}]", alternatives.join(", ")),
        });
    }
    single(plain)
}

fn single(name: &str) -> Option<String> {
    if KNOWN.contains(&name) {
        return Some(name.to_owned());
    }
    if let Some((_, meaning)) = FOREIGN.iter().find(|(foreign, _)| *foreign == name) {
        return Some((*meaning).to_owned());
    }
    if name.is_empty() || name == "none" || name == "void" || name == "undefined" {
        return Some("no `type` at all, which accepts every value".to_owned());
    }
    let plural = name.strip_suffix('s').filter(|one| KNOWN.contains(one));
    let nearest = || KNOWN.iter().find(|known| is_close(known, name)).copied();
    plural.or_else(nearest).map(str::to_owned)
}

/// Whether two names differ by no more than two letters added, left out, changed or swapped.
fn is_close(known: &str, name: &str) -> bool {
    let (known, name): (Vec<char>, Vec<char>) = (known.chars().collect(), name.chars().collect());
    if name.len() > 12 {
        return false;
    }
    let mut previous: Vec<usize> = (0..=name.len()).collect();
    for (row, left) in known.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, right) in name.iter().enumerate() {
            let change = previous[column] + usize::from(left != right);
            current.push(change.min(previous[column + 1] + 1).min(current[column] + 1));
        }
        previous = current;
    }
    previous.last().is_some_and(|distance| *distance <= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(value: &Value) -> String {
        match read(value, SchemaDialect::OpenApi, false, false) {
            TypeArgument::Unknown(message) => message,
            other => panic!("{value}: {other:?}"),
        }
    }

    #[test]
    fn the_nearest_type_is_offered() {
        for (name, nearest) in [
            ("int", "integer?"),
            ("String", "string?"),
            ("float", "number with `format: float`?"),
            ("date", "string with `format: date`?"),
            ("File", "string with `format: binary`?"),
            ("any", "no `type` at all"),
            ("", "no `type` at all"),
            ("list", "array?"),
            ("strings", "string?"),
            ("interger", "integer?"),
            ("boolen", "boolean?"),
            ("number|null", "number with `nullable: true`?"),
            ("string[]", "array with `items`?"),
            ("string, integer", "`oneOf` with a schema for each type?"),
        ] {
            let message = hint(&json!(name));
            assert!(message.contains(nearest), "{name}: {message}");
        }
        assert!(!hint(&json!("Wombat")).contains("did you mean"));
        assert!(hint(&json!(7)).contains("name of a type"));
    }

    #[test]
    fn null_without_quotes_is_read_where_its_meaning_is_plain() {
        let read = |value: &Value, is_branch| {
            super::read(value, SchemaDialect::JsonSchema, false, is_branch)
        };
        let corrected = |argument| match argument {
            TypeArgument::Corrected(value, _) => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(corrected(read(&json!(["string", null]), false)), json!(["string", "null"]));
        assert_eq!(corrected(read(&json!(["string", "string"]), false)), json!(["string"]));
        assert_eq!(corrected(read(&json!(null), true)), json!("null"));
        assert!(matches!(read(&json!(null), false), TypeArgument::Unknown(_)));
        assert_eq!(read(&json!(["string", "null"]), false), TypeArgument::Valid);
    }
}
