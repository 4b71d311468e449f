//! What the specification says of a whole document and its meta-schema cannot.
//!
//! Nothing here changes what is judged: a document that breaks these rules is loaded with a lint,
//! and only who asks whether the document itself is right ([`super::Lint::breaks_specification`])
//! hears no. A further rule is a further method of [`Planner`] here.

use std::collections::HashMap;

use serde_json::Value;

use super::document::{Document, pointer};
use super::lint::LintCode;
use super::operation::METHODS;
use super::planner::Planner;

// === impl Planner ===

impl Planner<'_> {
    /// Notes every rule that the document breaks as a whole.
    pub(super) fn note_broken_rules(&mut self) {
        self.note_repeated_ids();
        self.note_identical_paths();
    }

    /// `operationId` "MUST be unique among all operations described in the API".
    fn note_repeated_ids(&mut self) {
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
    fn note_identical_paths(&mut self) {
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
    fn an_operation_id_is_told_once() {
        let one = json!({"operationId": "a"});
        let paths = json!({"/a": {"get": one, "put": {"operationId": "b"}}, "/b": {"get": one}});
        assert_eq!(broken(&paths), ["/paths/~1b/get/operationId"]);
    }

    #[test]
    fn a_path_is_told_once_whatever_its_parameters_are_called() {
        let item = |name: &str| {
            let parameter = json!({"name": name, "in": "path", "required": true, "schema": {}});
            json!({"parameters": [parameter]})
        };
        let paths = json!({"/a/{x}/c": item("x"), "/a/{y}/c": item("y"), "/a/{y}": item("y")});
        assert_eq!(broken(&paths), ["/paths/~1a~1{y}~1c"]);
    }

    #[test]
    fn a_document_that_keeps_the_rules_is_none_of_their_business() {
        let paths = json!({"/a": {"get": {"operationId": "a"}}, "/b": {"get": {}}});
        assert_eq!(broken(&paths), Vec::<String>::new());
    }
}
