//! Swagger 2.0 into the shape of OpenAPI 3.0, without loss.
//!
//! Only what OpenAPI 3 places elsewhere is moved: operations, their parameters, bodies, responses,
//! headers, `basePath` and security definitions. Schemas stay under `/definitions`, where their
//! references point. Shared parameters and responses replace the references to
//! them. Each move is recorded, so that a violation shows the position in the document as
//! registered. `collectionFormat` is kept as `x-cvt-collection-format` beside the nearest `style`,
//! since `tsv`, and `ssv` or `pipes` outside a query, have no equal in OpenAPI 3.

mod operation;
mod parameter;
mod security;

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::json::pointer;

/// An upgraded document.
pub(super) struct Upgraded {
    pub(super) root: Value,
    /// Pointers of the upgraded tree to those they had before.
    pub(super) moved: HashMap<String, String>,
}

/// What is the same for all operations.
struct Upgrade {
    /// The document as it was.
    old: Value,
    moved: HashMap<String, String>,
    consumes: Vec<String>,
    produces: Vec<String>,
}

/// References that may follow one another.
const MAX_CHAIN: usize = 32;

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];

/// Upgrades a document that names version 2.0. What has no meaning in 2.0 is left as it is.
pub(super) fn to_v3(mut root: Value) -> Upgraded {
    let paths = root.as_object_mut().and_then(|members| members.remove("paths"));
    // Paths are taken along whole, the rest is small beside the definitions.
    let mut upgrade = Upgrade {
        consumes: media_types(root.get("consumes")),
        produces: media_types(root.get("produces")),
        old: root,
        moved: HashMap::new(),
    };
    let paths = upgrade.paths(paths.unwrap_or_else(|| json!({})));
    let security = upgrade.security_schemes();
    let Upgrade { old, moved, .. } = upgrade;
    let mut root = Map::new();
    let Value::Object(old) = old else { return Upgraded { root: Value::Object(root), moved } };
    root.insert("openapi".to_owned(), json!("3.0.3"));
    root.insert("servers".to_owned(), servers(&old));
    root.insert("paths".to_owned(), paths);
    root.insert("components".to_owned(), json!({ "securitySchemes": security }));
    for (key, value) in old {
        root.entry(key).or_insert(value);
    }
    Upgraded { root: Value::Object(root), moved }
}

/// `schemes`, `host` and `basePath` as servers. Requests are matched by path, so a document
/// without a host gets a relative URL.
fn servers(old: &Map<String, Value>) -> Value {
    let text = |name: &str| old.get(name).and_then(Value::as_str);
    let base = match text("basePath") {
        Some(base) if base.starts_with('/') => base.to_owned(),
        Some(base) if !base.is_empty() => format!("/{base}"),
        _ => "/".to_owned(),
    };
    let Some(host) = text("host").filter(|host| !host.is_empty()) else {
        return json!([{ "url": base }]);
    };
    let schemes = media_types(old.get("schemes"));
    let schemes = if schemes.is_empty() { vec!["https".to_owned()] } else { schemes };
    schemes.iter().map(|scheme| json!({ "url": format!("{scheme}://{host}{base}") })).collect()
}

/// A list of strings, such as `consumes`.
fn media_types(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

// === impl Upgrade ===

impl Upgrade {
    fn paths(&mut self, paths: Value) -> Value {
        let Value::Object(paths) = paths else { return paths };
        let mut upgraded = Map::with_capacity(paths.len());
        for (path, item) in paths {
            let at = pointer::join("/paths", &path);
            let item = if path.starts_with("x-") { item } else { self.path_item(item, &at) };
            upgraded.insert(path, item);
        }
        Value::Object(upgraded)
    }

    fn path_item(&mut self, item: Value, at: &str) -> Value {
        let (mut item, from) = self.follow_references(item, at);
        self.record_move(at, &from);
        let Some(members) = item.as_object_mut() else { return item };
        let shared = members.remove("parameters").unwrap_or_else(|| json!([]));
        let shared = self.parameters(shared, &pointer::join(&from, "parameters"));
        for method in METHODS {
            if let Some(operation) = members.remove(method) {
                let to = pointer::join(at, method);
                let from = pointer::join(&from, method);
                let operation = self.operation(operation, &shared, &to, &from);
                members.insert(method.to_owned(), operation);
            }
        }
        item
    }

    /// The target of a reference and its pointer; any other value unchanged.
    fn follow_references(&self, mut value: Value, at: &str) -> (Value, String) {
        let mut from = at.to_owned();
        for _ in 0..MAX_CHAIN {
            let target = value
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|reference| reference.strip_prefix('#').and_then(pointer::of_fragment));
            let Some(target) = target else { break };
            let Some(next) = pointer::lookup(&self.old, &target) else { break };
            value = next.clone();
            from = target;
        }
        (value, from)
    }

    /// Records that the value at `to` was at `from`.
    fn record_move(&mut self, to: &str, from: &str) {
        if to != from {
            self.moved.insert(to.to_owned(), from.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
