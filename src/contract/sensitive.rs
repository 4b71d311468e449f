//! What a document marks as secret: `format: password`, `writeOnly` and `x-sensitive`.
//!
//! Invariants: nothing marked is ever missed, at any depth and through any
//! reference; names are taken rather than exact pointers, so that a field marked anywhere in a
//! message is masked everywhere in it. Reading a document of any size costs linear time: once a
//! budget of schemas is spent, each operation gets the names of the whole document.

use std::collections::{BTreeSet, HashMap, HashSet};

use foldhash::fast::FixedState;
use serde_json::{Map, Value};

use super::document::Document;
use super::parameter::ParameterPlan;
use super::planner::Planner;
use super::route::PathTemplate;
use super::serialization::ParameterLocation;
use crate::json::pointer;

/// What of an operation's messages is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SensitiveParts {
    /// Locations in the request body: RFC 6901 pointers with `**` for any number of segments.
    pub request_body: Vec<String>,
    /// Locations in the bodies of its responses.
    pub response_body: Vec<String>,
    /// Request header fields, lower case.
    pub request_headers: Vec<String>,
    /// Response header fields, lower case.
    pub response_headers: Vec<String>,
    /// Query parameters.
    pub query: Vec<String>,
    /// Segments of the path, counted from zero, base path included.
    pub path_segments: Vec<usize>,
}

/// Finds the names of secret properties below a schema.
pub(super) struct SecretFinder<'d> {
    document: &'d Document,
    /// Every name marked anywhere.
    all: Vec<String>,
    /// Names below the schemas requested so far.
    known: HashMap<String, Vec<String>, FixedState>,
    /// Schemas that may still be read.
    budget: usize,
}

/// Schemas read for one document.
const BUDGET: usize = 1_000_000;

// === impl SecretFinder ===

impl<'d> SecretFinder<'d> {
    pub(super) fn of(document: &'d Document) -> Self {
        let mut all = BTreeSet::new();
        marked_names(document.root(), &mut all);
        let all = all.into_iter().map(|name| pointer_pattern(&name)).collect();
        Self { document, all, known: HashMap::default(), budget: BUDGET }
    }

    /// The locations of secret properties in values of the schema at `at`.
    fn below(&mut self, at: &str) -> Vec<String> {
        if self.all.is_empty() {
            return Vec::new();
        }
        if let Some(known) = self.known.get(at) {
            return known.clone();
        }
        let pointers = self.walk(at).unwrap_or_else(|| self.all.clone());
        self.known.insert(at.to_owned(), pointers.clone());
        pointers
    }

    fn walk(&mut self, at: &str) -> Option<Vec<String>> {
        let mut names = BTreeSet::new();
        let mut seen = HashSet::new();
        let mut stack = vec![self.document.lookup(at)?];
        while let Some(value) = stack.pop() {
            self.budget = self.budget.checked_sub(1)?;
            match value {
                Value::Array(items) => stack.extend(items),
                Value::Object(members) => {
                    if !seen.insert(std::ptr::from_ref(value) as usize) {
                        continue;
                    }
                    marked_properties(members, |name| _ = names.insert(name.to_owned()));
                    stack.extend(members.values().filter(|child| !child.is_string()));
                    stack.extend(self.target(members));
                }
                _ => {}
            }
        }
        Some(names.into_iter().map(|name| pointer_pattern(&name)).collect())
    }

    fn target(&self, members: &Map<String, Value>) -> Option<&'d Value> {
        let text = members.get("$ref")?.as_str()?;
        self.document.lookup(&pointer::of_fragment(text.strip_prefix('#')?)?)
    }
}

/// A property of this name at any depth.
fn pointer_pattern(name: &str) -> String {
    pointer::join("/**", name)
}

fn marked_names(value: &Value, names: &mut BTreeSet<String>) {
    let mut stack = vec![value];
    while let Some(value) = stack.pop() {
        match value {
            Value::Array(items) => stack.extend(items),
            Value::Object(members) => {
                marked_properties(members, |name| _ = names.insert(name.to_owned()));
                stack.extend(members.values());
            }
            _ => {}
        }
    }
}

fn marked_properties(schema: &Map<String, Value>, mut found: impl FnMut(&str)) {
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        if is_marked(property) {
            found(name);
        }
    }
}

fn is_marked(schema: &Value) -> bool {
    schema.get("format").and_then(Value::as_str) == Some("password")
        || schema.get("writeOnly") == Some(&Value::Bool(true))
        || schema.get("x-sensitive") == Some(&Value::Bool(true))
}

// === impl Planner ===

impl Planner<'_> {
    /// What of the messages of the operation at `at` is secret. `path` is the number of segments
    /// of its base path, and its template.
    pub(super) fn sensitive(
        &mut self,
        secrets: &mut SecretFinder<'_>,
        at: &str,
        parameters: &[ParameterPlan],
        path: (usize, &PathTemplate),
    ) -> SensitiveParts {
        let body = pointer::join(at, "requestBody");
        let responses = pointer::join(at, "responses");
        let mut sensitive = SensitiveParts {
            request_body: secrets.below(&body),
            response_body: secrets.below(&responses),
            response_headers: self.secret_headers(&responses),
            ..SensitiveParts::default()
        };
        let (base, template) = path;
        let segments = template.parameter_segments();
        for plan in parameters.iter().filter(|plan| self.is_secret(&plan.pointer)) {
            match plan.location {
                ParameterLocation::Query => sensitive.query.push(plan.name.to_string()),
                ParameterLocation::Header => {
                    sensitive.request_headers.push(plan.name.to_ascii_lowercase());
                }
                ParameterLocation::Path => {
                    let names = template.parameters().iter().zip(&segments);
                    let matching = names.filter(|(name, _)| ***name == *plan.name);
                    sensitive.path_segments.extend(matching.map(|(_, segment)| base + segment));
                }
                ParameterLocation::Cookie | ParameterLocation::QueryString => {}
            }
        }
        sensitive
    }

    fn secret_headers(&self, responses: &str) -> Vec<String> {
        let mut names = BTreeSet::new();
        let statuses = self.document.lookup(responses).and_then(Value::as_object);
        for status in statuses.into_iter().flat_map(Map::keys) {
            let Ok(response) = self.document.resolve(&pointer::join(responses, status)) else {
                continue;
            };
            let headers = response.value.get("headers").and_then(Value::as_object);
            let at = pointer::join(&response.pointer, "headers");
            for name in headers.into_iter().flat_map(Map::keys) {
                if self.is_secret(&pointer::join(&at, name)) {
                    names.insert(name.to_ascii_lowercase());
                }
            }
        }
        names.into_iter().collect()
    }

    /// Whether a parameter or header, or its schema, is marked.
    fn is_secret(&self, at: &str) -> bool {
        let schema = self.document.resolve(&pointer::join(at, "schema"));
        let own = self.document.resolve(at);
        let marked = own.is_ok_and(|own| is_marked(own.value));
        marked || schema.is_ok_and(|schema| is_marked(schema.value))
    }
}
