//! Files that a document refers to, brought into its tree.
//!
//! Every `$ref` becomes a pointer into one tree, so that nothing after this knows of files. Which
//! files may be read is decided by [`crate::contract::DocumentFiles`]; other hosts are asked only
//! where remote references were allowed. A reference that cannot be followed stays as it is, and
//! [`Unread`] remembers why: it costs the part that needs it. What stands in extensions, examples,
//! values and texts for people is no reference.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde_json::{Map, Value};

use super::containers::{self, holds_names};
use super::names::{REMOTE, leads_to_host, path_of, remote_join, tree_pointer, tree_reference};
use super::source_map::FILES_KEY;
use super::source_map::{File, SourceMap};
use super::{OpenApiVersion, read_text};
use crate::contract::error::ContractError;
use crate::contract::lint::{Lint, LintCode};
use crate::contract::options::CompileOptions;
use crate::json::pointer;

/// Keys whose values are data or texts rather than parts of the document.
const DATA_KEYS: [&str; 8] =
    ["example", "examples", "default", "enum", "const", "description", "summary", "title"];

/// References left unread that are named in lints, at most.
const MAX_LINTS: usize = 200;

/// A document and its files in one tree.
pub(super) struct GatheredFiles {
    pub(super) root: Value,
    pub(super) source: SourceMap,
    pub(super) unread: Unread,
    /// Maps and lists that are themselves a reference.
    pub(super) containers: Vec<String>,
}

/// References that were left unread, and why.
#[derive(Debug, Default)]
pub(super) struct Unread {
    /// By the reference as it is written.
    references: HashMap<String, String>,
    /// By the name of the file.
    files: HashMap<String, String>,
}

/// Reads every file that `root` refers to and makes all references local.
pub(super) fn gather(
    root: Value,
    file: File,
    version: OpenApiVersion,
    options: &CompileOptions<'_>,
    lints: &mut Vec<Lint>,
) -> GatheredFiles {
    let mut rewriter = ReferenceRewriter::new(&root, version, options);
    let mut root = root;
    let mut files = vec![file];
    rewriter.localise(&mut root, "", &mut String::new());
    let mut bytes_left = options.limits.bytes.saturating_mul(FILES_TOTAL);
    loop {
        if let Some(name) = rewriter.wanted.pop_front() {
            match read_file(&name, options, &mut bytes_left) {
                Ok((mut tree, file)) => {
                    files.push(file);
                    rewriter.localise(&mut tree, &name, &mut tree_pointer(&name));
                    insert_file(&mut root, name, tree);
                }
                Err(reason) => rewriter.leave_file(name, &reason),
            }
        } else if let Some((base, at)) = rewriter.extensions.pop() {
            // The part of an extension that something refers to is a part of the document.
            let Some(place) = root.pointer_mut(&at) else { continue };
            let mut part = std::mem::take(place);
            rewriter.localise(&mut part, &base, &mut at.clone());
            if let Some(place) = root.pointer_mut(&at) {
                *place = part;
            }
        } else {
            break;
        }
    }
    let source = SourceMap::new(files);
    for (code, at, message) in rewriter.noticed.into_iter().take(MAX_LINTS) {
        lints.push(source.lint(code, &at, message));
    }
    GatheredFiles { root, source, unread: rewriter.left, containers: rewriter.containers }
}

/// All files together may hold so many times what one may.
const FILES_TOTAL: usize = 4;

fn insert_file(root: &mut Value, name: String, tree: Value) {
    let Some(members) = root.as_object_mut() else { return };
    let files = members.entry(FILES_KEY).or_insert_with(|| Value::Object(Map::new()));
    if let Some(files) = files.as_object_mut() {
        files.insert(name, tree);
    }
}

/// Reads one file; the error says why it cannot be used.
fn read_file(
    name: &str,
    options: &CompileOptions<'_>,
    bytes_left: &mut usize,
) -> Result<(Value, File), String> {
    let shown = |reason: &dyn std::fmt::Display| format!("{name:?} cannot be used: {reason}");
    let bytes = options.files.read(name).map_err(|error| shown(&error))?;
    if bytes.len() > *bytes_left {
        return Err(shown(&"the document's files are too large together"));
    }
    *bytes_left -= bytes.len();
    read_text(name.to_owned(), &bytes, options).map_err(|error: ContractError| shown(&error))
}

struct ReferenceRewriter<'o, 'f> {
    options: &'o CompileOptions<'f>,
    /// `$id`s of schemas inside the document: references to those need no file.
    ids: HashSet<String>,
    /// Names under `components.schemas` of a document without `definitions`, and the way there.
    schemas: HashSet<String>,
    wanted: VecDeque<String>,
    /// Files seen, and where each was first referred to.
    known: BTreeMap<String, String>,
    left: Unread,
    /// Lints: code, pointer in the tree, message.
    noticed: Vec<(LintCode, String, String)>,
    containers: Vec<String>,
    /// Parts of extensions that are referred to: the file they are in, and their pointers.
    extensions: Vec<(String, String)>,
    seen_extensions: HashSet<String>,
}

// === impl Unread ===

impl Unread {
    /// Why what a reference leads to is not there, where it was left unread.
    pub(super) fn reason(&self, target: &str) -> Option<&str> {
        if let Some(reason) = self.references.get(target) {
            return Some(reason);
        }
        let pointer = pointer::of_fragment(target.strip_prefix('#')?)?;
        let mut tokens = pointer::tokens(&pointer);
        (tokens.next()? == FILES_KEY).then_some(())?;
        self.files.get(&*tokens.next()?).map(String::as_str)
    }
}

// === impl ReferenceRewriter ===

impl<'o, 'f> ReferenceRewriter<'o, 'f> {
    fn new(root: &Value, version: OpenApiVersion, options: &'o CompileOptions<'f>) -> Self {
        let mut ids = HashSet::new();
        if version.has_json_schema() {
            collect_ids(root, &mut ids);
        }
        let schemas = match (version, root.get("definitions")) {
            (OpenApiVersion::V2, _) | (_, Some(_)) => None,
            _ => root.get("components").and_then(|components| components.get("schemas")),
        };
        let schemas = schemas.and_then(Value::as_object).into_iter().flat_map(Map::keys);
        Self {
            options,
            ids,
            schemas: schemas.cloned().collect(),
            wanted: VecDeque::new(),
            known: BTreeMap::new(),
            left: Unread::default(),
            noticed: Vec::new(),
            containers: Vec::new(),
            extensions: Vec::new(),
            seen_extensions: HashSet::new(),
        }
    }

    /// Rewrites the references below `value`, which is at `at` in the tree and in the file `base`.
    fn localise(&mut self, value: &mut Value, base: &str, at: &mut String) {
        match value {
            Value::Object(members) => {
                // Inside a schema with an `$id` of its own, references are relative to that.
                if members.get("$id").is_some_and(Value::is_string) {
                    return;
                }
                let has_names = holds_names(at);
                let is_file = !base.is_empty() && at.matches('/').count() == 2;
                for (key, child) in members.iter_mut() {
                    let is_data = DATA_KEYS.contains(&key.as_str())
                        // A file may be a map of responses, in which `default` is one.
                        && !(is_file && key == "default");
                    if !has_names && (is_data || key.starts_with("x-")) {
                        continue;
                    }
                    if let ("$ref", Value::String(target)) = (key.as_str(), &mut *child) {
                        if containers::is_container(at) {
                            self.containers.push(at.clone());
                        }
                        if let Some(local) = self.local(target, base, at) {
                            *target = local;
                        }
                        continue;
                    }
                    let len = at.len();
                    pointer::push_token(at, key);
                    if key == "mapping" && at.ends_with("/discriminator/mapping") {
                        self.localise_mapping(child, base, at);
                    } else {
                        self.localise(child, base, at);
                    }
                    at.truncate(len);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    let len = at.len();
                    pointer::push_token(at, &index.to_string());
                    self.localise(item, base, at);
                    at.truncate(len);
                }
            }
            _ => {}
        }
    }

    /// Mapping values are references when they look like one, else names of schemas.
    fn localise_mapping(&mut self, value: &mut Value, base: &str, at: &str) {
        let Value::Object(mapping) = value else { return };
        for target in mapping.values_mut() {
            let Value::String(target) = target else { continue };
            let file = target.split('#').next().unwrap_or_default();
            let looks_like_file = file.contains('/') || file.contains('.');
            if (target.starts_with('#') || looks_like_file)
                && let Some(local) = self.local(target, base, at)
            {
                *target = local;
            }
        }
    }

    /// The local form of a reference from the file `base`; none when it is local already or cannot
    /// be followed.
    fn local(&mut self, target: &str, base: &str, at: &str) -> Option<String> {
        let (file, written) = target.split_once('#').unwrap_or((target, ""));
        if file.is_empty() && written.strip_prefix('/').is_some_and(|at| at.starts_with(FILES_KEY))
        {
            return None;
        }
        let fragment = self.fragment(written, base, file, at);
        if file.is_empty() {
            self.want_extension(base, &fragment);
            if !base.is_empty() {
                return Some(tree_reference(base, &fragment));
            }
            return (fragment != written).then(|| format!("#{fragment}"));
        }
        if self.ids.contains(file) {
            return None;
        }
        let name = if leads_to_host(base, file) {
            if !self.options.remote_references {
                return self.leave(target, at, REMOTE);
            }
            remote_join(base, file)
        } else {
            match path_of(base, file) {
                Some(name) => name,
                None => return self.leave(target, at, "the reference is no path of a file"),
            }
        };
        if name.is_empty() {
            return Some(format!("#{fragment}"));
        }
        if !self.known.contains_key(&name) {
            if self.known.len() >= self.options.limits.files {
                let reason = "the document refers to more files than the limit allows";
                return self.leave(target, at, reason);
            }
            self.known.insert(name.clone(), at.to_owned());
            self.wanted.push_back(name.clone());
        }
        self.want_extension(&name, &fragment);
        Some(tree_reference(&name, &fragment))
    }

    /// A fragment as it should be written, where it can only mean one thing.
    fn fragment(&mut self, written: &str, base: &str, file: &str, at: &str) -> String {
        let mut fragment = written.to_owned();
        if !written.starts_with('/') && written.contains('/') {
            fragment = format!("/{written}");
            let message = format!("a slash belongs after #; the reference is read as #{fragment}");
            self.noticed.push((LintCode::Misspelt, pointer::join(at, "$ref"), message));
        }
        if base.is_empty()
            && file.is_empty()
            && let Some(name) = fragment.strip_prefix("/definitions/")
            && self.schemas.contains(&*pointer::unescape(name))
        {
            fragment = format!("/components/schemas/{name}");
            let message = format!(
                "schemas are under #/components/schemas in OpenAPI 3; the reference is read as \
                 #{fragment}"
            );
            self.noticed.push((LintCode::Misspelt, pointer::join(at, "$ref"), message));
        }
        fragment
    }

    /// Remembers a part of an extension that is referred to.
    fn want_extension(&mut self, file: &str, fragment: &str) {
        if !fragment.contains("/x-") {
            return;
        }
        let Some(pointer) = pointer::of_fragment(fragment) else { return };
        let at = match file {
            "" => pointer,
            file => format!("{}{pointer}", tree_pointer(file)),
        };
        if self.seen_extensions.insert(at.clone()) {
            self.extensions.push((file.to_owned(), at));
        }
    }

    fn leave(&mut self, target: &str, at: &str, reason: &str) -> Option<String> {
        self.left.references.insert(target.to_owned(), reason.to_owned());
        let at = pointer::join(at, "$ref");
        let message = format!("{reason}; nothing needs what is there");
        self.noticed.push((LintCode::UnreadReference, at, message));
        None
    }

    fn leave_file(&mut self, name: String, reason: &str) {
        let hint = if self.schemas.contains(&name) {
            format!("; did you mean #/components/schemas/{name}?")
        } else {
            String::new()
        };
        if let Some(at) = self.known.get(&name) {
            let message = format!("{reason}{hint}; nothing needs what is there");
            self.noticed.push((LintCode::UnreadReference, pointer::join(at, "$ref"), message));
        }
        self.left.files.insert(name, format!("{reason}{hint}"));
    }
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
            let document = read(&with_reference(target), &[]).unwrap();
            let error = document.resolve("/components/schemas/A").unwrap_err();
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
    fn without_files_a_reference_to_one_says_how_to_do_without() {
        let text = with_reference("a.yaml");
        let document = Document::read(text.as_bytes(), &CompileOptions::default()).unwrap();
        let error = document.resolve("/components/schemas/A").unwrap_err();
        assert!(error.to_string().contains("bundle"), "{error}");
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
