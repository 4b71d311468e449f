//! Discriminators: which branch of a `oneOf` or `anyOf` a value names.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::json::pointer;

/// A discriminator: which branch each of its values names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Discriminator {
    /// The property whose value names a branch.
    pub(crate) property: String,
    branches: HashMap<Box<str>, usize>,
}

// === impl Discriminator ===

impl Discriminator {
    /// The branch that a value names.
    pub(crate) fn branch(&self, value: &str) -> Option<usize> {
        self.branches.get(value).copied()
    }

    /// The values that name a branch.
    pub(super) fn names_of(&self, index: usize) -> Vec<&str> {
        let named = self.branches.iter().filter(|(_, branch)| **branch == index);
        let mut names: Vec<&str> = named.map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
    }

    /// The discriminator of a schema that has branches. A branch is named by its mapping (a
    /// pointer, a file or a schema's bare name) and, without one, by the name of its schema.
    pub(super) fn read(schema: &Map<String, Value>) -> Option<Self> {
        let discriminator = schema.get("discriminator")?;
        let property = discriminator.get("propertyName")?.as_str()?.to_owned();
        let list =
            ["oneOf", "anyOf"].iter().find_map(|keyword| schema.get(*keyword)?.as_array())?;
        let targets: Vec<Option<String>> = list
            .iter()
            .map(|branch| branch.get("$ref")?.as_str()?.strip_prefix('#').map(str::to_owned))
            .collect();
        let mut branches = HashMap::new();
        for (index, target) in targets.iter().enumerate() {
            if let Some((_, name)) = target.as_deref().and_then(pointer::split_last) {
                branches.insert(pointer::unescape(name).into(), index);
            }
        }
        let mapping = discriminator.get("mapping").and_then(Value::as_object);
        for (value, target) in mapping.into_iter().flatten() {
            let Some(target) = target.as_str() else { continue };
            let found = targets.iter().position(|branch| {
                let Some(branch) = branch else { return false };
                target.strip_prefix('#') == Some(branch)
                    || pointer::split_last(branch).is_some_and(|(_, name)| name == target)
            });
            if let Some(index) = found {
                branches.insert(value.as_str().into(), index);
            }
        }
        Some(Self { property, branches })
    }
}
