//! What a document promises of one operation, in the words that usage has.

use std::collections::BTreeSet;

use crate::contract::encoding::MediaPlan;
use crate::contract::media_type::MediaTable;
use crate::contract::parameter::ParameterPlan;
use crate::contract::{CompiledOperation, Contract, Shape};

/// Levels of fields told apart, as usage tells them.
const MAX_DEPTH: usize = 12;
/// Fields told of one body.
const MAX_FIELDS: usize = 2_000;

/// What is documented.
pub(super) struct DocumentedParts {
    pub(super) parameters: BTreeSet<String>,
    pub(super) statuses: BTreeSet<String>,
    pub(super) request_fields: BTreeSet<String>,
    pub(super) response_fields: BTreeSet<String>,
}

// === impl DocumentedParts ===

impl DocumentedParts {
    /// Everything documented of `operation`.
    pub(super) fn of(contract: &Contract, operation: &CompiledOperation) -> Self {
        let mut parameters = BTreeSet::new();
        let mut add = |location: &str, plan: &ParameterPlan| {
            parameters.insert(format!("{location}:{}", plan.name));
        };
        operation.path.iter().flatten().for_each(|plan| add("path", plan));
        operation.query.plans().iter().for_each(|plan| add("query", plan));
        operation.query_string.iter().for_each(|plan| add("querystring", plan));
        operation.headers.iter().for_each(|plan| add("header", plan));
        operation.cookies.plans().iter().for_each(|plan| add("cookie", plan));
        let mut documented = Self {
            parameters,
            statuses: BTreeSet::new(),
            request_fields: BTreeSet::new(),
            response_fields: BTreeSet::new(),
        };
        if let Some(body) = &operation.body {
            fields_of(contract, &body.content, &mut documented.request_fields);
        }
        for (status, plan) in operation.responses.iter() {
            documented.statuses.insert(status);
            fields_of(contract, &plan.content, &mut documented.response_fields);
        }
        documented
    }

    /// The documented status that a status seen belongs to: itself, its range, or the default.
    pub(super) fn status(&self, seen: &str) -> Option<&str> {
        let range = seen.get(..1).map(|digit| format!("{digit}XX")).unwrap_or_default();
        let all = [seen, range.as_str(), "default"];
        all.iter().find_map(|status| self.statuses.get(*status).map(String::as_str))
    }
}

fn fields_of(contract: &Contract, content: &MediaTable<MediaPlan>, fields: &mut BTreeSet<String>) {
    for (_, media) in content.iter() {
        add_fields(contract.shapes().get(media.shape), "", 0, fields);
    }
}

/// Recursive schemas have recursive shapes: depth and number end the walk.
fn add_fields(shape: Shape<'_>, path: &str, depth: usize, fields: &mut BTreeSet<String>) {
    if depth >= MAX_DEPTH || fields.len() >= MAX_FIELDS {
        return;
    }
    if let Some(items) = shape.item(0) {
        add_fields(items, path, depth + 1, fields);
    }
    for (name, property) in shape.properties() {
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if fields.len() < MAX_FIELDS && fields.insert(path.clone()) {
            add_fields(property, &path, depth + 1, fields);
        }
    }
}
