//! Bytes of a document into one tree that the rest of the engine reads.
//!
//! A [`Document`] is a tree in the shape of OpenAPI 3: a 2.0 document has been upgraded, files it
//! refers to are inside the tree, and every `$ref` is a pointer into the tree. Invariants:
//! every pointer of the tree can be traced back to line and column of the text as registered
//! ([`Document::origin`]), and no text takes more memory or time than its limits allow.

mod bundle;
mod containers;
mod files;
mod names;
mod source_map;
mod text;
mod version;
mod yaml;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

pub use source_map::{Origin, SourceMap};
pub use version::OpenApiVersion;

use self::files::{GatheredFiles, Unread};
use self::names::{REMOTE, is_remote};
use super::error::{ContractError, Diagnostic};
use super::lint::Lint;
use super::options::CompileOptions;
use super::options::DocumentLimits;
use super::{structure, upgrade};
use crate::json::{Arena, JsonErrorKind, pointer, positions};

/// A document read, upgraded and in one piece.
#[derive(Debug)]
pub struct Document {
    version: OpenApiVersion,
    root: Value,
    source: Arc<SourceMap>,
    lints: Vec<Lint>,
    /// References that were left unread.
    unread: Unread,
    /// The one text of a document of several files.
    bundle: Option<String>,
}

/// What a reference leads to in the end.
#[derive(Debug, Clone)]
pub struct Resolved<'d> {
    /// Pointer to it in the tree.
    pub pointer: String,
    /// The thing itself, which is no reference.
    pub value: &'d Value,
}

/// Repeated keys of one text that are named, at most.
const MAX_SLIPS: usize = 100;

/// References that may follow one another before we call it a circle.
const MAX_CHAIN: usize = 64;

// === impl Document ===

impl Document {
    /// Reads a document and everything it refers to.
    pub fn read(bytes: &[u8], options: &CompileOptions<'_>) -> Result<Self, ContractError> {
        let (root, file) = read_text(String::new(), bytes, options)?;
        let Some(bundle) = bundle::open(&root) else { return Self::assemble(root, file, options) };
        drop((root, file));
        let options =
            CompileOptions { files: &bundle, remote_references: bundle.remote, ..options.clone() };
        let (root, file) = read_text(String::new(), bundle.main.as_bytes(), &options)?;
        Self::assemble(root, file, &options)
    }

    fn assemble(
        root: Value,
        file: source_map::File,
        options: &CompileOptions<'_>,
    ) -> Result<Self, ContractError> {
        let version = OpenApiVersion::of(&root)?;
        let mut lints = Vec::new();
        let GatheredFiles { mut root, mut source, unread, containers } =
            files::gather(root, file, version, options, &mut lints);
        structure::check_parts(version, &root, &source)?;
        let bundle = match source.files.len() {
            0 | 1 => None,
            _ => Some(bundle::close(&root, &source, options.remote_references)),
        };
        let budget = options.limits.alias_values;
        containers::inline(&mut root, containers, &mut source.copied, budget);
        source.take_lints(&mut lints);
        structure::check(version, &root, &source, &mut lints)?;
        let root = if version == OpenApiVersion::V2 {
            let upgraded = upgrade::to_v3(root);
            source.moved = upgraded.moved;
            upgraded.root
        } else {
            root
        };
        version.lint(&root, &source, &mut lints);
        Ok(Self { version, root, source: Arc::new(source), lints, unread, bundle })
    }

    /// The version the document was written in.
    pub fn version(&self) -> OpenApiVersion {
        self.version
    }

    /// The tree, in the shape of OpenAPI 3.
    pub fn root(&self) -> &Value {
        &self.root
    }

    /// The texts, to be kept as long as the contract is.
    pub fn source(&self) -> &Arc<SourceMap> {
        &self.source
    }

    /// The document and the files it refers to as one text that can be read alone; none where it
    /// is one file.
    pub fn bundle(&self) -> Option<&str> {
        self.bundle.as_deref()
    }

    /// What was noticed while reading.
    pub fn lints(&self) -> &[Lint] {
        &self.lints
    }

    /// Gives the tree up, and keeps what was noticed while reading.
    pub(super) fn into_lints(self) -> Vec<Lint> {
        self.lints
    }

    /// The value at `pointer`, reference or not.
    pub fn lookup(&self, pointer: &str) -> Option<&Value> {
        pointer::lookup(&self.root, pointer)
    }

    /// The value at `pointer` after every reference has been followed, those on the way too.
    pub fn resolve(&self, pointer: &str) -> Result<Resolved<'_>, ContractError> {
        let mut at = String::new();
        let mut value = &self.root;
        let mut hops = 0;
        // The reference followed last, and its pointer.
        let mut reference: Option<(String, &str)> = None;
        let reversed = |pointer: &str| {
            let mut tokens: Vec<_> = pointer::tokens(pointer).map(Cow::into_owned).collect();
            tokens.reverse();
            tokens
        };
        let mut rest = reversed(pointer);
        loop {
            if let Some(target) = value.get("$ref").and_then(Value::as_str) {
                hops += 1;
                reference = Some((pointer::join(&at, "$ref"), target));
                let pointer = target.strip_prefix('#').and_then(pointer::of_fragment);
                let (Some(target), true) = (pointer, hops <= MAX_CHAIN) else {
                    return Err(self.broken_reference(reference.as_ref(), &at));
                };
                at.clear();
                value = &self.root;
                rest.extend(reversed(&target));
                continue;
            }
            let Some(token) = rest.pop() else { return Ok(Resolved { pointer: at, value }) };
            let next = match value {
                Value::Object(members) => members.get(&token),
                Value::Array(items) => token.parse::<usize>().ok().and_then(|at| items.get(at)),
                _ => None,
            };
            let Some(next) = next else {
                return Err(self.broken_reference(reference.as_ref(), &at));
            };
            pointer::push_token(&mut at, &token);
            value = next;
        }
    }

    /// Why a reference that leads nowhere does so, in a sentence that names the way out.
    pub(super) fn why_broken(&self, target: &str) -> String {
        if let Some(reason) = self.unread.reason(target) {
            return reason.to_owned();
        }
        if is_remote(target) {
            return REMOTE.to_owned();
        }
        let prefix = format!("#/{}/", source_map::FILES_KEY);
        let shown = match target.strip_prefix(&prefix) {
            Some(rest) => {
                let (file, fragment) = rest.split_once('/').unwrap_or((rest, ""));
                format!("{}#/{fragment}", pointer::unescape(file))
            }
            None => target.to_owned(),
        };
        let shown: String = shown.chars().take(120).collect();
        format!("the reference {shown:?} leads nowhere")
    }

    /// The error of a reference that leads nowhere; `at` is where following it ended.
    fn broken_reference(&self, reference: Option<&(String, &str)>, at: &str) -> ContractError {
        let Some((from, target)) = reference else {
            return self.dangling(at, "there is nothing here to refer to");
        };
        self.dangling(from, format!("{}; this part is not enforced", self.why_broken(target)))
    }

    /// The origin of a pointer of the tree in the text as registered.
    pub fn origin(&self, pointer: &str) -> Origin {
        self.source.origin(pointer)
    }

    /// A lint at a pointer of the tree.
    pub fn lint(&self, code: super::LintCode, pointer: &str, message: impl Into<String>) -> Lint {
        self.source.lint(code, pointer, message)
    }

    /// The error of a document that breaks the specification at a pointer of the tree.
    pub fn broken(&self, pointer: &str, message: impl Into<String>) -> ContractError {
        ContractError::Structure(self.source.diagnostic(pointer, message))
    }

    fn dangling(&self, pointer: &str, message: impl Into<String>) -> ContractError {
        ContractError::Reference(self.source.diagnostic(pointer, message))
    }
}

/// One text into a tree: JSON when it looks like it, else YAML.
fn read_text(
    name: String,
    bytes: &[u8],
    options: &CompileOptions<'_>,
) -> Result<(Value, source_map::File), ContractError> {
    let limits = &options.limits;
    if bytes.len() > limits.bytes {
        let message = format!("{} bytes, {} are allowed", bytes.len(), limits.bytes);
        return Err(ContractError::OverLimit(Diagnostic::new(message)));
    }
    let text = text::decode(bytes)?;
    let plain = text.trim_start_matches('\u{feff}');
    let looks_like_json = plain.trim_start().starts_with('{');
    let (value, slips) = match looks_like_json.then(|| read_json(&text, limits)) {
        Some(Ok((value, slips))) => {
            let mut file = source_map::File::new(name, text.into(), true);
            file.slips = slips;
            return Ok((value, file));
        }
        // YAML has a flow form that begins with a brace too.
        Some(Err(error @ ContractError::Syntax(_))) => {
            yaml::read(plain, limits).map_err(|_| error)?.into_parts()
        }
        Some(Err(error)) => return Err(error),
        None => yaml::read(plain, limits)?.into_parts(),
    };
    let mut file = source_map::File::new(name, plain.into(), false);
    file.slips = slips;
    Ok((value, file))
}

/// Reads the first document of a YAML text, with the meaning that documents have.
pub fn read_yaml(text: &str, limits: &DocumentLimits) -> Result<Value, ContractError> {
    Ok(yaml::read(text, limits)?.value)
}

/// Reads a JSON text into a tree, numbers exact, and says which keys are repeated: the last one of
/// each counts.
fn read_json(
    text: &str,
    limits: &DocumentLimits,
) -> Result<(Value, Vec<Diagnostic>), ContractError> {
    let mut arena = Arena::with_max_depth(limits.depth);
    let id = arena.parse(text.as_bytes()).map_err(|error| {
        let position = positions::position(text, error.offset);
        let diagnostic = Diagnostic::at(position, error.kind.to_string());
        match error.kind {
            JsonErrorKind::TooDeep | JsonErrorKind::TooLong => ContractError::OverLimit(diagnostic),
            _ => ContractError::Syntax(diagnostic),
        }
    })?;
    let repeated = arena.repeated_keys().take(MAX_SLIPS).map(|offset| {
        let position = positions::position(text, offset.saturating_sub(1));
        Diagnostic::at(position, "this key stands twice in one object; the last one counts")
    });
    let slips = repeated.collect();
    Ok((arena.node(id).to_value(), slips))
}

/// Why a text in YAML has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum YamlFailure {
    /// It nests too deep, or its aliases stand for too much.
    OverLimit,
    /// It is no YAML; the position is part of the sentence.
    Syntax(String),
}

/// The value of a message in YAML, read as documents are, with less room for aliases; and whether
/// a mapping has a key twice.
pub fn yaml_value(text: &str, depth: u32) -> Result<(Value, bool), YamlFailure> {
    let limits = DocumentLimits { depth, alias_values: 10_000, ..DocumentLimits::default() };
    let read = yaml::read(text, &limits);
    let read = read.map(|tree| (tree.value, !tree.repeated_keys.is_empty()));
    read.map_err(|error| match error {
        ContractError::OverLimit(_) => YamlFailure::OverLimit,
        other => {
            let position = other.diagnostic().position;
            YamlFailure::Syntax(position.map_or_else(
                || "it cannot be read".to_owned(),
                |at| format!("it cannot be read at line {}, column {}", at.line, at.column),
            ))
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Result<Document, ContractError> {
        Document::read(bytes, &CompileOptions::default())
    }

    #[test]
    fn references_inside_a_pointer_are_followed() {
        let text = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n  /a: {$ref: '#/x-items/a'}\n\
                    x-items:\n  a:\n    get:\n      responses: {'200': {description: ok}}\n";
        let document = read(text.as_bytes()).unwrap();
        let found = document.resolve("/paths/~1a/get/responses/200/description").unwrap();
        assert_eq!(found.pointer, "/x-items/a/get/responses/200/description");
        assert_eq!(found.value, "ok");
        let origin = document.origin(&found.pointer);
        assert_eq!(origin.position.map(|at| (at.line, at.column)), Some((8, 27)));
        assert!(document.resolve("/paths/~1b").is_err());
    }

    #[test]
    fn documents_over_a_limit_are_refused() {
        let mut options = CompileOptions::default();
        options.limits.bytes = 10;
        let error = Document::read(b"openapi: 3.0.3\n", &options).unwrap_err();
        assert!(matches!(error, ContractError::OverLimit(_)), "{error}");
        let deep = format!(
            "{{\"openapi\":\"3.0.3\",\"x-a\":{}{}}}",
            "[".repeat(10_000),
            "]".repeat(10_000)
        );
        let error = read(deep.as_bytes()).unwrap_err();
        assert!(matches!(error, ContractError::OverLimit(_)), "{error}");
    }

    #[test]
    fn json_errors_have_positions() {
        let limits = DocumentLimits::default();
        let position = |text: &str| {
            let error = read_json(text, &limits).unwrap_err();
            error.diagnostic().position.map(|at| (at.line, at.column))
        };
        assert_eq!(position("{\n \"a\" 1}"), Some((2, 6)));
    }

    #[test]
    fn of_a_repeated_key_the_last_one_counts() {
        let text = "{\"a\":1,\n\"b\":{\"c\":1,\"c\":2}}";
        let (value, slips) = read_json(text, &DocumentLimits::default()).unwrap();
        assert_eq!(value["b"]["c"], 2);
        let positions: Vec<_> = slips.iter().filter_map(|slip| slip.position).collect();
        assert_eq!(positions.iter().map(|at| (at.line, at.column)).collect::<Vec<_>>(), [(2, 6)]);
    }

    #[test]
    fn structure_errors_have_positions() {
        let text = "openapi: 3.1.0\ninfo:\n  title: t\n  version: '1'\npaths:\n  /a:\n    get:\n      parameters:\n        - name: x\n          in: nowhere\n          schema: {}\n";
        let document = read(text.as_bytes()).unwrap();
        let lines = document.lints().iter().map(|lint| lint.position.map(|at| at.line));
        assert!(lines.clone().any(|line| line == Some(10)), "{:?}", document.lints());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"(openapi: 3.1.0
|swagger: "2.0"
)?[-?:,&*!|>'"%@`{}\[\]#<~ \na-z0-9.$/]{0,80}"#) {
            let _ = read(text.as_bytes());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = read(&bytes);
        }
    }
}
