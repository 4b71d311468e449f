//! What stood there: the JSON type of a value and its length, never the value.

use crate::json::Node;

/// The type and length of a value: `a string of 3 characters`.
pub(super) fn describe(node: Node<'_>) -> String {
    if node.is_null() {
        return "null".to_owned();
    }
    if node.as_bool().is_some() {
        return "a boolean".to_owned();
    }
    if let Some(text) = node.as_str() {
        return match text.chars().count() {
            0 => "an empty string".to_owned(),
            n => format!("a string of {}", count(n, "character")),
        };
    }
    if let Some(number) = node.as_number() {
        let kind = if number.is_integer() { "an integer" } else { "a number" };
        return kind.to_owned();
    }
    let (kind, noun, len) = if node.is_array() {
        ("array", "item", node.items().count())
    } else {
        ("object", "property", node.members().count())
    };
    match len {
        0 => format!("an empty {kind}"),
        n => format!("an {kind} of {}", count(n, noun)),
    }
}

/// `1 item`, `2 items`, `3 properties`.
pub(super) fn count(count: usize, what: &str) -> String {
    match (count, what) {
        (1, what) => format!("1 {what}"),
        (n, "property") => format!("{n} properties"),
        (n, what) => format!("{n} {what}s"),
    }
}
