//! Rules of the specification about a whole document, which its meta-schema cannot express.
//!
//! Nothing here changes what is validated: a document that breaks these rules is loaded with a lint,
//! and only [`super::Lint::breaks_specification`] reports that the document itself is wrong. A further
//! rule is a further method of [`Planner`] here.

use std::collections::HashMap;

use serde_json::Value;

use super::document::Document;
use super::lint::LintCode;
use super::operation::METHODS;
use super::planner::Planner;
use crate::json::pointer;

// === impl Planner ===

impl Planner<'_> {
    /// Adds a lint for every rule that the document breaks as a whole.
    pub(super) fn lint_document_rules(&mut self) {
        self.lint_repeated_operation_ids();
        self.lint_identical_paths();
    }

    /// `operationId` "MUST be unique among all operations described in the API".
    fn lint_repeated_operation_ids(&mut self) {
        let mut seen = HashMap::new();
        let mut repeated = Vec::new();
        for (path, item) in path_items(self.document) {
            for method in METHODS {
                let Some(id) = item.get(method).and_then(|one| one.get("operationId")) else {
                    continue;
                };
                let Some(id) = id.as_str() else { continue };
                if seen.insert(id, path).is_some() {
                    let at = pointer::join(&pointer::join("/paths", path), method);
                    repeated.push(pointer::join(&at, "operationId"));
                }
            }
        }
        for at in repeated {
            self.lint(LintCode::Lenient, &at, "another operation has the same operationId");
        }
    }

    /// "Templated paths with the same hierarchy but different templated names MUST NOT exist as
    /// they are identical."
    fn lint_identical_paths(&mut self) {
        let mut seen = HashMap::new();
        let mut repeated = Vec::new();
        for (path, _) in path_items(self.document) {
            if let Some(first) = seen.insert(without_names(path), path) {
                repeated.push((pointer::join("/paths", path), first));
            }
        }
        for (at, first) in repeated {
            let message = format!("{first} is the same path with other names");
            self.lint(LintCode::Lenient, &at, &message);
        }
    }
}

fn path_items(document: &Document) -> impl Iterator<Item = (&str, &Value)> {
    let paths = document.root().get("paths").and_then(Value::as_object);
    paths.into_iter().flatten().map(|(path, item)| (path.as_str(), item))
}

/// A template without the names of its parameters.
fn without_names(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut inside = false;
    for one in template.chars() {
        inside &= one != '}';
        if !inside {
            text.push(one);
        }
        inside |= one == '{';
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::contract::{CompileOptions, Contract};

    /// Where the document breaks the specification; it is loaded all the same.
    fn broken(paths: &Value) -> Vec<String> {
        let document = json!({
            "openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths
        });
        let text = document.to_string();
        let contract = Contract::compile(text.as_bytes(), &CompileOptions::default()).unwrap();
        let lints = contract.lints().iter().filter(|lint| lint.breaks_specification());
        lints.map(|lint| lint.pointer.clone()).collect()
    }

    #[test]
    fn a_repeated_operation_id_is_one_lint() {
        let one = json!({"operationId": "a"});
        let paths = json!({"/a": {"get": one, "put": {"operationId": "b"}}, "/b": {"get": one}});
        assert_eq!(broken(&paths), ["/paths/~1b/get/operationId"]);
    }

    #[test]
    fn identical_paths_are_one_lint() {
        let item = |name: &str| {
            let parameter = json!({"name": name, "in": "path", "required": true, "schema": {}});
            json!({"parameters": [parameter]})
        };
        let paths = json!({"/a/{x}/c": item("x"), "/a/{y}/c": item("y"), "/a/{y}": item("y")});
        assert_eq!(broken(&paths), ["/paths/~1a~1{y}~1c"]);
    }

    #[test]
    fn a_conforming_document_has_no_lint() {
        let paths = json!({"/a": {"get": {"operationId": "a"}}, "/b": {"get": {}}});
        assert_eq!(broken(&paths), Vec::<String>::new());
    }
}
