//! Files that a document refers to, brought into its tree.
//!
//! Every `$ref` becomes a pointer into one tree, so that nothing after this knows of files. Only
//! files in the document's own directory and below are read: no `..` out of it, no absolute path,
//! no scheme, unless remote references were allowed.

use std::collections::{BTreeMap, HashSet, VecDeque};

use serde_json::{Map, Value};

use super::source_map::FILES_KEY;
use super::source_map::{File, SourceMap};
use super::{OpenApiVersion, is_remote, read_text};
use crate::contract::error::{ContractError, Diagnostic};
use crate::contract::lint::{Lint, LintCode};
use crate::contract::options::CompileOptions;
use crate::json::pointer;

/// Keys whose values are data or names rather than parts of the document.
const DATA_KEYS: [&str; 5] = ["example", "examples", "default", "enum", "const"];

/// Maps whose keys are names of the author's choice: `default` is a response or a property there.
const NAME_MAPS: [&str; 9] = [
    "/properties",
    "/patternProperties",
    "/schemas",
    "/definitions",
    "/$defs",
    "/responses",
    "/parameters",
    "/headers",
    "/requestBodies",
];

fn holds_names(pointer: &str) -> bool {
    NAME_MAPS.iter().any(|map| pointer.ends_with(map))
}

/// Reads every file that `root` refers to and makes all references local.
pub(super) fn gather(
    mut root: Value,
    file: File,
    version: OpenApiVersion,
    options: &CompileOptions<'_>,
    lints: &mut Vec<Lint>,
) -> Result<(Value, SourceMap), ContractError> {
    let mut rewriter = ReferenceRewriter {
        options,
        ids: HashSet::new(),
        unread: Vec::new(),
        wanted: VecDeque::new(),
        known: BTreeMap::new(),
    };
    if version.has_json_schema() {
        collect_ids(&root, &mut rewriter.ids);
    }
    let mut files = vec![file];
    rewriter.localise(&mut root, "", &mut String::new()).map_err(|diagnostic| {
        let source = SourceMap::new(std::mem::take(&mut files));
        with_position(&source, diagnostic)
    })?;
    let mut trees = Map::new();
    while let Some(name) = rewriter.wanted.pop_front() {
        let bytes = options.files.read(&name).map_err(|error| {
            ContractError::Reference(Diagnostic {
                pointer: rewriter.known.get(&name).cloned().unwrap_or_default(),
                position: None,
                message: format!("{name}: {error}"),
            })
        })?;
        let (mut tree, file) =
            read_text(name.clone(), &bytes, options).map_err(|error| in_file(error, &name))?;
        files.push(file);
        let at = format!("{name}#");
        rewriter.localise(&mut tree, &name, &mut at.clone()).map_err(ContractError::Reference)?;
        trees.insert(name, tree);
    }
    if !trees.is_empty()
        && let Some(members) = root.as_object_mut()
    {
        members.insert(FILES_KEY.to_owned(), Value::Object(trees));
    }
    let source = SourceMap::new(files);
    // Values in other files have no pointer into the tree; those of the document itself suffice.
    for at in rewriter.unread.iter().filter(|at| at.starts_with('/')) {
        let message = "remote references are not allowed here; what is there is not known";
        lints.push(source.lint(LintCode::UnreadReference, at, message));
    }
    Ok((root, source))
}

struct ReferenceRewriter<'o, 'f> {
    options: &'o CompileOptions<'f>,
    /// `$id`s of schemas inside the document: references to those need no file.
    ids: HashSet<String>,
    wanted: VecDeque<String>,
    /// Remote references that were left as they are: an error only for what needs them.
    unread: Vec<String>,
    /// Files seen, and where each was first referred to.
    known: BTreeMap<String, String>,
}

// === impl ReferenceRewriter ===

impl ReferenceRewriter<'_, '_> {
    /// Rewrites the references below `value`, which is at `at` in the file `base`.
    fn localise(
        &mut self,
        value: &mut Value,
        base: &str,
        at: &mut String,
    ) -> Result<(), Diagnostic> {
        match value {
            Value::Object(members) => {
                // Inside a schema with an `$id` of its own, references are relative to that.
                if members.get("$id").is_some_and(Value::is_string) {
                    return Ok(());
                }
                for (key, child) in members.iter_mut() {
                    if DATA_KEYS.contains(&key.as_str()) && !holds_names(at) {
                        continue;
                    }
                    let len = at.len();
                    pointer::push_token(at, key);
                    if let ("$ref", Value::String(target)) = (key.as_str(), &mut *child) {
                        if let Some(local) = self.local(target, base, at)? {
                            *target = local;
                        }
                    } else if key == "mapping" && at.ends_with("/discriminator/mapping") {
                        self.localise_mapping(child, base, at)?;
                    } else {
                        self.localise(child, base, at)?;
                    }
                    at.truncate(len);
                }
                Ok(())
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let len = at.len();
                    pointer::push_token(at, &index.to_string());
                    self.localise(item, base, at)?;
                    at.truncate(len);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Mapping values are references when they look like one, else names of schemas.
    fn localise_mapping(
        &mut self,
        value: &mut Value,
        base: &str,
        at: &str,
    ) -> Result<(), Diagnostic> {
        let Value::Object(mapping) = value else { return Ok(()) };
        for target in mapping.values_mut() {
            let Value::String(target) = target else { continue };
            let file = target.split('#').next().unwrap_or_default();
            let looks_like_file = file.contains('/') || file.contains('.');
            if (target.starts_with('#') || looks_like_file)
                && let Some(local) = self.local(target, base, at)?
            {
                *target = local;
            }
        }
        Ok(())
    }

    /// The local form of a reference from the file `base`; none when it is local already.
    fn local(&mut self, target: &str, base: &str, at: &str) -> Result<Option<String>, Diagnostic> {
        let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
        if file.is_empty() {
            return Ok((!base.is_empty()).then(|| tree_reference(base, fragment)));
        }
        if self.ids.contains(file) {
            return Ok(None);
        }
        let diagnostic =
            |message: String| Diagnostic { pointer: at.to_owned(), position: None, message };
        let name = if is_remote(file) || (is_remote(base) && !has_scheme(file)) {
            if !self.options.remote_references {
                self.unread.push(at.to_owned());
                return Ok(None);
            }
            if is_remote(file) { file.to_owned() } else { remote_join(base, file) }
        } else {
            inside_directory(base, file).ok_or_else(|| {
                diagnostic("the reference leads out of the document's directory".into())
            })?
        };
        if name.is_empty() {
            return Ok(Some(format!("#{fragment}")));
        }
        if !self.known.contains_key(&name) {
            if self.known.len() >= self.options.limits.files {
                return Err(diagnostic(
                    "the document refers to more files than the limit allows".into(),
                ));
            }
            self.known.insert(name.clone(), at.to_owned());
            self.wanted.push_back(name.clone());
        }
        Ok(Some(tree_reference(&name, fragment)))
    }
}

/// A reference to a file's part of the tree.
fn tree_reference(file: &str, fragment: &str) -> String {
    let mut target = format!("#/{FILES_KEY}");
    pointer::push_token(&mut target, file);
    // The name becomes part of a URI fragment.
    let target = target.replace('%', "%25").replace(' ', "%20");
    format!("{target}{fragment}")
}

fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte))
    })
}

/// The path of `file` as seen from the file `base`, relative to the document's directory; `None`
/// when it leads out of it.
fn inside_directory(base: &str, file: &str) -> Option<String> {
    let decoded = percent_encoding::percent_decode_str(file).decode_utf8().ok()?;
    if decoded.starts_with(['/', '\\'])
        || has_scheme(&decoded)
        || decoded.contains(['\0', '\\', '?'])
    {
        return None;
    }
    let mut path: Vec<&str> = base.split('/').collect();
    path.pop();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop()?;
            }
            part => path.push(part),
        }
    }
    Some(path.join("/"))
}

fn remote_join(base: &str, file: &str) -> String {
    let after_host = base.find("://").map_or(0, |at| at + 3);
    let host_end = base[after_host..].find('/').map_or(base.len(), |at| at + after_host);
    if file.starts_with('/') {
        return format!("{}{file}", &base[..host_end]);
    }
    let directory = base.rfind('/').filter(|at| *at >= host_end).unwrap_or(host_end);
    format!("{}/{file}", &base[..directory])
}

fn collect_ids(value: &Value, ids: &mut HashSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(id)) = members.get("$id") {
                ids.insert(id.trim_end_matches('#').to_owned());
            }
            members.values().for_each(|child| collect_ids(child, ids));
        }
        Value::Array(items) => items.iter().for_each(|child| collect_ids(child, ids)),
        _ => {}
    }
}

fn with_position(source: &SourceMap, diagnostic: Diagnostic) -> ContractError {
    ContractError::Reference(source.diagnostic(&diagnostic.pointer, diagnostic.message))
}

fn in_file(error: ContractError, name: &str) -> ContractError {
    let named = |diagnostic: Diagnostic| Diagnostic {
        pointer: format!("{name}#{}", diagnostic.pointer),
        ..diagnostic
    };
    match error {
        ContractError::OverLimit(diagnostic) => ContractError::OverLimit(named(diagnostic)),
        error => ContractError::Syntax(named(error.diagnostic().clone())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde_json::json;

    use super::*;
    use crate::contract::document::Document;
    use crate::contract::options::{DocumentFileError, DocumentFiles};

    struct InMemory(HashMap<&'static str, &'static str>);

    impl DocumentFiles for InMemory {
        fn read(&self, path: &str) -> Result<Vec<u8>, DocumentFileError> {
            self.0.get(path).map(|text| text.as_bytes().to_vec()).ok_or(DocumentFileError::NotFound)
        }
    }

    fn read(text: &str, files: &[(&'static str, &'static str)]) -> Result<Document, ContractError> {
        let files = InMemory(files.iter().copied().collect());
        Document::read(
            text.as_bytes(),
            &CompileOptions { files: &files, ..CompileOptions::default() },
        )
    }

    fn with_reference(target: &str) -> String {
        json!({
            "openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {},
            "components": {"schemas": {"A": {"$ref": target}}}
        })
        .to_string()
    }

    #[test]
    fn files_refer_to_each_other_and_back() {
        let files = [
            (
                "schemas/a.yaml",
                "A:\n  properties:\n    b: {$ref: 'b.yaml#/B'}\n    c: {$ref: '../root.yaml'}\n",
            ),
            ("schemas/b.yaml", "B:\n  type: string\nC:\n  $ref: '#/B'\n"),
            ("root.yaml", "type: integer\n"),
        ];
        let document = read(&with_reference("schemas/a.yaml#/A"), &files).unwrap();
        let b = document.resolve("/components/schemas/A/properties/b").unwrap();
        assert_eq!(b.value, &json!({"type": "string"}));
        let c = document.resolve("/components/schemas/A/properties/c").unwrap();
        assert_eq!(c.value, &json!({"type": "integer"}));
        let origin = document.origin(&format!("{}/type", b.pointer));
        assert_eq!(&*origin.pointer, "schemas/b.yaml#/B/type");
        assert_eq!(origin.position.map(|at| at.line), Some(2));
    }

    #[test]
    fn nothing_outside_the_directory_is_read() {
        for target in
            ["../x.yaml", "/etc/passwd", "a/../../x.yaml", "file:///x", "%2e%2e/x", "..%5cx"]
        {
            let error = read(&with_reference(target), &[]).unwrap_err();
            assert!(matches!(error, ContractError::Reference(_)), "{target}: {error}");
            assert!(error.diagnostic().position.is_some(), "{target}: {error}");
        }
    }

    #[test]
    fn a_remote_reference_is_an_error_where_it_is_needed() {
        let document = read(&with_reference("https://h/x.json#/a"), &[]).unwrap();
        assert_eq!(document.lints()[0].code, LintCode::UnreadReference);
        let error = document.resolve("/components/schemas/A").unwrap_err();
        assert!(error.to_string().contains("remote"), "{error}");
    }

    #[test]
    fn without_files_a_reference_to_one_is_refused() {
        let error = Document::read(with_reference("a.yaml").as_bytes(), &CompileOptions::default());
        assert!(error.unwrap_err().to_string().contains("bundle"));
    }

    #[test]
    fn circular_references_end() {
        let text = json!({
            "openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {},
            "components": {"schemas": {"A": {"$ref": "#/components/schemas/B"}, "B": {"$ref": "#/components/schemas/A"}}}
        });
        let document = read(&text.to_string(), &[]).unwrap();
        assert!(document.resolve("/components/schemas/A").is_err());
    }
}
