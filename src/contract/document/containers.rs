//! Maps and lists that are themselves a reference, replaced by what they refer to.
//!
//! The specification has no reference in the place of `paths`, of a part of `components` or of a
//! `content`, yet bundlers write them, and without this they would silently be empty. Everything
//! after this sees the map itself. Invariants: the number of values copied is bounded, and a
//! position in the copy leads to where it was copied from.

use std::collections::HashMap;

use serde_json::Value;

use crate::json::pointer;

/// Keys whose values are maps or lists, which the specification gives no reference.
const CONTAINERS: [&str; 22] = [
    "paths",
    "webhooks",
    "components",
    "schemas",
    "definitions",
    "properties",
    "responses",
    "parameters",
    "headers",
    "requestBodies",
    "securitySchemes",
    "securityDefinitions",
    "callbacks",
    "links",
    "pathItems",
    "content",
    "encoding",
    "info",
    "servers",
    "security",
    "required",
    "enum",
];

/// Maps whose keys are names of the author's choice: `default` is a response or a property there.
const NAME_MAPS: [&str; 17] = [
    "/properties",
    "/patternProperties",
    "/dependentSchemas",
    "/schemas",
    "/definitions",
    "/$defs",
    "/responses",
    "/parameters",
    "/headers",
    "/requestBodies",
    "/securitySchemes",
    "/securityDefinitions",
    "/callbacks",
    "/links",
    "/pathItems",
    "/content",
    "/encoding",
];

/// References that may follow one another.
const MAX_CHAIN: usize = 16;

/// Whether the keys of the map at a pointer are names of the author's choice.
pub(super) fn holds_names(pointer: &str) -> bool {
    NAME_MAPS.iter().any(|map| pointer.ends_with(map))
}

/// Whether a reference at this pointer stands for a map or a list.
pub(super) fn is_container(at: &str) -> bool {
    pointer::split_last(at)
        .is_some_and(|(parent, key)| CONTAINERS.contains(&key) && !holds_names(parent))
}

/// Replaces the references at `found`, and those that come in with what they refer to. Adds where
/// each copy came from to `copied`. No more than `budget` values are copied.
pub(super) fn inline(
    root: &mut Value,
    found: Vec<String>,
    copied: &mut HashMap<String, String>,
    mut budget: usize,
) {
    let mut todo = found;
    while let Some(at) = todo.pop() {
        let Some((from, mut value)) = target(root, &at) else { continue };
        let size = count(&value);
        if size > budget {
            continue;
        }
        budget -= size;
        let Some(place) = root.pointer_mut(&at) else { continue };
        if let (Value::Object(target), Value::Object(own)) = (&mut value, &*place) {
            for (key, member) in own.iter().filter(|(key, _)| *key != "$ref") {
                target.insert(key.clone(), member.clone());
            }
        }
        find(&value, &mut at.clone(), &mut todo);
        *place = value;
        copied.insert(at, from);
    }
}

/// What the reference at a pointer leads to in the end, with its pointer.
fn target(root: &Value, at: &str) -> Option<(String, Value)> {
    let mut value = pointer::lookup(root, at)?;
    let mut from = at.to_owned();
    for _ in 0..MAX_CHAIN {
        let Some(Value::String(target)) = value.get("$ref") else {
            let is_itself = format!("{at}/").starts_with(&format!("{from}/"));
            return (!is_itself).then(|| (from, value.clone()));
        };
        from = pointer::of_fragment(target.strip_prefix('#')?)?;
        value = pointer::lookup(root, &from)?;
    }
    None
}

fn find(value: &Value, at: &mut String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            if members.get("$ref").is_some_and(Value::is_string) && is_container(at) {
                found.push(at.clone());
            }
            for (key, child) in members {
                let len = at.len();
                pointer::push_token(at, key);
                find(child, at, found);
                at.truncate(len);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let len = at.len();
                pointer::push_token(at, &index.to_string());
                find(item, at, found);
                at.truncate(len);
            }
        }
        _ => {}
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(count).sum(),
        Value::Array(items) => items.iter().map(count).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inlined(mut root: Value, at: &str) -> (Value, HashMap<String, String>) {
        let mut copied = HashMap::new();
        inline(&mut root, vec![at.to_owned()], &mut copied, 1_000);
        (root, copied)
    }

    #[test]
    fn a_map_that_is_a_reference_is_the_map_it_refers_to() {
        let root = json!({
            "paths": {"$ref": "#/x/p"},
            "x": {"p": {"/a": {"parameters": {"$ref": "#/x/q"}}}, "q": [1]}
        });
        let (root, copied) = inlined(root, "/paths");
        assert_eq!(root["paths"], json!({"/a": {"parameters": [1]}}));
        assert_eq!(copied["/paths"], "/x/p");
        assert_eq!(copied["/paths/~1a/parameters"], "/x/q");
    }

    #[test]
    fn circles_and_growth_end() {
        let circle = json!({"paths": {"$ref": "#/paths"}});
        assert_eq!(inlined(circle.clone(), "/paths").0, circle);
        let inner = json!({"paths": {"$ref": "#/x"}, "x": {"content": {"$ref": "#/x"}}});
        assert!(count(&inlined(inner, "/paths").0) < 3_000);
    }
}
