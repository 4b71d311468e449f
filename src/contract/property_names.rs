//! The names that a document itself uses for properties.
//!
//! Usage reports may show these names and no others: a member that the
//! document does not name may be a value, as in a map from e-mail addresses.

use std::collections::HashSet;

use foldhash::fast::FixedState;
use serde_json::Value;

/// Every name under any `properties` of the document.
#[derive(Debug, Default)]
pub struct PropertyNames(HashSet<Box<str>, FixedState>);

// === impl PropertyNames ===

impl PropertyNames {
    /// The names of a whole document, in linear time.
    pub(super) fn of(root: &Value) -> Self {
        let mut names = HashSet::default();
        let mut stack = vec![root];
        while let Some(value) = stack.pop() {
            match value {
                Value::Array(items) => stack.extend(items),
                Value::Object(members) => {
                    let properties = members.get("properties").and_then(Value::as_object);
                    for name in properties.into_iter().flat_map(serde_json::Map::keys) {
                        if !names.contains(name.as_str()) {
                            names.insert(name.as_str().into());
                        }
                    }
                    stack.extend(members.values());
                }
                _ => {}
            }
        }
        Self(names)
    }

    /// Whether the document names a property so.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains(name)
    }

    /// Bytes held, about.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|name| name.len() + 24).sum()
    }
}
