//! Schemas that the `jsonschema` crate does not compile, disabled one by one.
//!
//! Lowering drops what it knows to be wrong. What it cannot know is found here: references
//! inside a schema with an `$id`, and keywords of other dialects. A unit that does not compile
//! accepts every value, and is counted.

use jsonschema::ValidationError;
use serde_json::Value;

use crate::contract::lower::disabled;

/// Schemas disabled one at a time; beyond this many, all that could be wrong are at once.
const ONE_BY_ONE: usize = 20;

/// Where the units of a root are.
pub(super) const DEFINITIONS: &str = "/$defs/";

/// Disables the units of a root that an error is about. Returns their pointers in the document's
/// tree, with what is wrong; nothing where there is nothing left to disable.
pub(super) fn disable(
    root: &mut Value,
    units: &[Box<str>],
    error: &ValidationError<'_>,
    attempts: usize,
    locate: impl Fn(&str) -> Option<(String, String)>,
) -> Vec<(String, String)> {
    let message = format!("the schema is not valid, and is not enforced: {error}");
    let paths = [error.instance_path().as_str(), error.schema_path().as_str()];
    let named = paths.iter().find_map(|path| {
        let unit = unit_of(path)?;
        let (pointer, _) = locate(path)?;
        is_enabled(root, unit).then_some((unit, pointer))
    });
    let Some(definitions) = root.get_mut("$defs").and_then(Value::as_object_mut) else {
        return Vec::new();
    };
    if let (Some((unit, pointer)), true) = (named, attempts <= ONE_BY_ONE) {
        definitions.insert(unit.to_string(), disabled());
        return vec![(pointer, message)];
    }
    // The error names no schema: all that refer to something by its name are in question, and
    // then all there are.
    let by_name: Vec<usize> = (0..units.len())
        .filter(|unit| definitions.get(&unit.to_string()).is_some_and(refers_by_name))
        .collect();
    let every: Vec<usize> = (0..units.len())
        .filter(|unit| definitions.get(&unit.to_string()).is_some_and(|one| *one != disabled()))
        .collect();
    let chosen = if by_name.is_empty() || attempts > ONE_BY_ONE { every } else { by_name };
    let mut broken = Vec::new();
    for unit in chosen {
        definitions.insert(unit.to_string(), disabled());
        if let Some(pointer) = units.get(unit) {
            broken.push((pointer.to_string(), message.clone()));
        }
    }
    broken
}

fn unit_of(path: &str) -> Option<usize> {
    path.strip_prefix(DEFINITIONS)?.split('/').next()?.parse().ok()
}

fn is_enabled(root: &Value, unit: usize) -> bool {
    let definition = root.get("$defs").and_then(|all| all.get(unit.to_string()));
    definition.is_some_and(|definition| *definition != disabled())
}

/// Whether a lowered schema refers to anything but another unit.
fn refers_by_name(schema: &Value) -> bool {
    match schema {
        Value::Object(members) => members.iter().any(|(keyword, value)| match value {
            Value::String(target) if keyword.starts_with('$') && keyword.ends_with("ef") => {
                !target.starts_with("#/$defs/")
            }
            value => refers_by_name(value),
        }),
        Value::Array(items) => items.iter().any(refers_by_name),
        _ => false,
    }
}
