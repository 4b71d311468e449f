//! `readOnly` and `writeOnly`: which properties need not travel in a direction.
//!
//! The mark may be on the property, on the schema it refers to or in an `allOf` of it; the
//! `required` that it softens may be in another branch than the property. So marks are
//! collected over the whole of a composed schema and handed down to each of its branches.

use std::collections::HashSet;

use serde_json::Value;

use super::Direction;
use super::SchemaContext;
use super::units::Lowerer;
use crate::contract::document::Document;
use crate::json::pointer;

/// The rules of one direction.
pub(super) struct DirectionRules<'d> {
    document: &'d Document,
    keyword: &'static str,
}

/// Schemas that a composed schema is looked through for, at most.
const MAX_PARTS: usize = 2_000;

// === impl DirectionRules ===

impl<'d> DirectionRules<'d> {
    pub(super) fn new(document: &'d Document, direction: Direction) -> Self {
        Self { document, keyword: direction.absent_keyword() }
    }

    /// Properties of a composed schema that do not travel this way.
    pub(super) fn absent_names(&self, schema: &Value, at: &str) -> Vec<String> {
        let mut names = Vec::new();
        self.parts(schema, at, &mut |part| {
            let Some(Value::Object(properties)) = part.get("properties") else { return };
            for (name, property) in properties {
                if self.is_absent(property) {
                    names.push(name.clone());
                }
            }
        });
        names
    }

    /// Properties that a composed schema requires somewhere.
    pub(super) fn required_names(&self, schema: &Value, at: &str) -> Vec<String> {
        let mut names = Vec::new();
        self.parts(schema, at, &mut |part| {
            if let Some(Value::Array(required)) = part.get("required") {
                names.extend(required.iter().filter_map(Value::as_str).map(str::to_owned));
            }
        });
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether a property is marked as not travelling this way.
    pub(super) fn is_absent(&self, property: &Value) -> bool {
        self.is_marked(property, 0)
    }

    fn is_marked(&self, property: &Value, depth: usize) -> bool {
        if depth > 16 {
            return false;
        }
        if property.get(self.keyword) == Some(&Value::Bool(true)) {
            return true;
        }
        if let Some((_, target)) = self.target(property)
            && self.is_marked(target, depth + 1)
        {
            return true;
        }
        let all = property.get("allOf").and_then(Value::as_array);
        all.is_some_and(|all| all.iter().any(|part| self.is_marked(part, depth + 1)))
    }

    /// Calls `f` with a schema and all that apply to the same value because of it.
    fn parts(&self, schema: &Value, at: &str, f: &mut impl FnMut(&Value)) {
        let mut seen = HashSet::from([at.to_owned()]);
        let mut todo = vec![schema];
        let mut left = MAX_PARTS;
        while let Some(part) = todo.pop() {
            left -= 1;
            if left == 0 {
                return;
            }
            f(part);
            if let Some((pointer, target)) = self.target(part)
                && seen.insert(pointer)
            {
                todo.push(target);
            }
            for keyword in ["allOf", "anyOf", "oneOf"] {
                if let Some(Value::Array(branches)) = part.get(keyword) {
                    todo.extend(branches);
                }
            }
            for keyword in ["if", "then", "else"] {
                todo.extend(part.get(keyword));
            }
        }
    }

    fn target(&self, schema: &Value) -> Option<(String, &'d Value)> {
        let target = schema.get("$ref")?.as_str()?.strip_prefix('#')?;
        let pointer = pointer::of_fragment(target)?;
        let value = pointer::lookup(self.document.root(), &pointer)?;
        Some((pointer, value))
    }
}

impl Lowerer<'_> {
    /// Properties that need not be there for `schema`, its own and those found around it.
    pub(super) fn exempt_in(
        &mut self,
        schema: &Value,
        at: &str,
        context: SchemaContext<'_>,
    ) -> Vec<String> {
        let Some(direction) = context.direction else { return context.exempt.to_vec() };
        let mut names = DirectionRules::new(self.document, direction).absent_names(schema, at);
        names.extend(context.exempt.iter().cloned());
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Of the properties that need not be there, those that a schema referred to requires.
    pub(super) fn exempt_for(
        &mut self,
        schema: &Value,
        at: &str,
        context: SchemaContext<'_>,
    ) -> Vec<String> {
        let Some(direction) = context.direction else { return Vec::new() };
        if context.exempt.is_empty() {
            return Vec::new();
        }
        let rules = DirectionRules::new(self.document, direction);
        let mut required = rules.required_names(schema, at);
        required.retain(|name| context.exempt.contains(name));
        required
    }

    /// Whether a property must not be there in this direction.
    pub(super) fn refuses(&self, property: &Value, direction: Option<Direction>) -> bool {
        self.refuses_in(direction)
            && direction.is_some_and(|direction| {
                DirectionRules::new(self.document, direction).is_absent(property)
            })
    }
}
