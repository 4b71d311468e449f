//! The contract: a document compiled once, ready to validate any number of exchanges.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::sync::Arc;

use http::Method;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::document::{Document, Origin, SourceMap};
use super::error::{ContractError, Diagnostic};
use super::lint::Lint;
use super::lint::LintCode;
use super::operation::CompiledOperation;
use super::options::CompileOptions;
use super::planner::Planner;
use super::property_names::PropertyNames;
use super::route::OperationIndex;
use super::route::{BasePath, OperationRouter, RouteMatch};
use super::schema::{SchemaCompiler, SchemaSet};
use super::shape::Shapes;
use crate::json::pointer;
use crate::model::rule::{Rule, Rules};

/// A document compiled. Immutable, shared freely between threads.
#[derive(Debug)]
pub struct Contract {
    version: Arc<str>,
    title: Arc<str>,
    openapi_version: Arc<str>,
    hash: Arc<str>,
    operations: Vec<CompiledOperation>,
    routes: OperationRouter,
    schemas: SchemaSet,
    lints: Vec<Lint>,
    source: Arc<SourceMap>,
    property_names: PropertyNames,
    weight: usize,
    rules: Rules,
}

// === impl Contract ===

impl Contract {
    /// Compiles a document.
    ///
    /// Everything that costs time happens here: references, schemas in both directions, regular
    /// expressions, the route table. What cannot be enforced becomes a lint; what cannot be
    /// understood is an error that names its position.
    pub fn compile(bytes: &[u8], options: &CompileOptions<'_>) -> Result<Self, ContractError> {
        let document = Document::read(bytes, options)?;
        let hash = hash_of(document.bundle().map_or(bytes, str::as_bytes));
        Self::plan(document, hash, options)
    }

    /// Compiles a document and hands out the text to keep with it: the document itself or, where
    /// it refers to other files, one text that holds them and compiles alone to the same contract.
    pub fn compile_to_store(
        text: String,
        options: &CompileOptions<'_>,
    ) -> Result<(String, Self), ContractError> {
        let document = Document::read(text.as_bytes(), options)?;
        let Some(bundle) = document.bundle().map(str::to_owned) else {
            let hash = hash_of(text.as_bytes());
            let contract = Self::plan(document, hash, options)?;
            contract.check_defects(options)?;
            return Ok((text, contract));
        };
        let (size, limit) = (bundle.len(), options.limits.bytes);
        if size > limit {
            let message = format!("{size} bytes with all its files, {limit} are allowed");
            return Err(ContractError::OverLimit(Diagnostic::new(message)));
        }
        let contract = Self::plan(document, hash_of(bundle.as_bytes()), options)?;
        contract.check_defects(options)?;
        Ok((bundle, contract))
    }

    /// Refuses a document with defects where `options` ask for that.
    fn check_defects(&self, options: &CompileOptions<'_>) -> Result<(), ContractError> {
        let mut defects = self.defects();
        let Some(first) = defects.next().filter(|_| options.refuse_defects) else { return Ok(()) };
        let message = match defects.count() {
            0 => first.message.clone(),
            more => format!("{} (and {more} more)", first.message),
        };
        let (pointer, position) = (first.pointer.clone(), first.position);
        Err(ContractError::Defects(Diagnostic { pointer, position, message }))
    }

    fn plan(
        document: Document,
        hash: String,
        options: &CompileOptions<'_>,
    ) -> Result<Self, ContractError> {
        let mut schemas = SchemaCompiler::new(&document, options);
        if options.unused_components {
            schemas.compile_components()?;
        }
        let mut planner = Planner::new(&document, schemas, options.rules);
        let mut routes = OperationRouter::new(options.rules.strictness(Rule::TrailingSlash));
        let override_base = match &options.base_path {
            Some(path) => Some(BasePath::parse(path).ok_or_else(|| {
                document.broken("", format!("{path:?} cannot be read as a base path"))
            })?),
            None => None,
        };
        let operations = planner.operations(&mut routes, override_base.as_ref());
        if operations.is_empty() {
            planner.lint(LintCode::NoOperations, "/paths", "the document lists no operation");
        }
        planner.lint_document_rules();
        let titled = document.root().get("info").and_then(|info| text_of(info.get("title")?));
        if titled.is_none_or(|title| title.trim().is_empty()) {
            let message = "the title is empty; the schema id is made from the file's name, unless \
                           schema_id names one";
            planner.lint(LintCode::LenientReading, "/info/title", message);
        }
        let (schemas, found) = planner.into_parts();
        let lowered = schemas.lower();
        let info = |key: &str| document.root().get("info").and_then(|info| text_of(info.get(key)?));
        let (version, title) = (info("version"), info("title"));
        let openapi_version = declared_version(&document);
        let property_names = PropertyNames::of(document.root());
        let source = Arc::clone(document.source());
        let document_lints = document.into_lints();
        let (schemas, schema_lints) = lowered.compile(options)?;
        let lints = merged(document_lints, schema_lints.into_iter().chain(found).collect());
        let held = routes.weight() + source.weight() + property_names.weight();
        let weight = held + schemas.len() * 2_048 + operations.len() * 2_048;
        Ok(Self {
            version: version.unwrap_or_default().into(),
            title: title.unwrap_or_default().into(),
            openapi_version: openapi_version.into(),
            hash: hash.into(),
            operations,
            routes,
            schemas,
            lints,
            source,
            property_names,
            weight,
            rules: options.rules,
        })
    }

    /// `info.version`; empty where the document has none.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// `info.title`; empty where the document has none.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The version of OpenAPI the document is written in, as it says itself.
    pub fn openapi_version(&self) -> &str {
        &self.openapi_version
    }

    /// Hex SHA-256 of the document's text, white space around it left out (CVT's `schema_hash`).
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The names that the document uses for properties.
    pub fn property_names(&self) -> &PropertyNames {
        &self.property_names
    }

    /// Every operation, in the document's order.
    pub fn operations(&self) -> &[CompiledOperation] {
        &self.operations
    }

    /// The operation at an index of this very contract.
    ///
    /// # Panics
    ///
    /// When the index comes from a contract with more operations.
    pub fn operation(&self, index: OperationIndex) -> &CompiledOperation {
        &self.operations[index.as_usize()]
    }

    /// The operation for a method, an undecoded path and its query. Its cost does not depend on the number
    /// of operations.
    pub fn find(&self, method: &Method, path: &str, query: Option<&str>) -> RouteMatch {
        self.routes.find(method, path, query)
    }

    /// The routes, to find what is near an undocumented path.
    pub fn routes(&self) -> &OperationRouter {
        &self.routes
    }

    /// What the contract will not, or not fully, enforce.
    pub fn lints(&self) -> &[Lint] {
        &self.lints
    }

    /// The lints that disable a part of the contract.
    pub fn defects(&self) -> impl Iterator<Item = &Lint> {
        self.lints.iter().filter(|lint| lint.is_defect())
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// The compiled schemas.
    pub fn schemas(&self) -> &SchemaSet {
        &self.schemas
    }

    /// The shapes that guide reading.
    pub fn shapes(&self) -> &Shapes {
        self.schemas.shapes()
    }

    /// Whether a rule is strict.
    pub fn is_strict(&self, rule: Rule) -> bool {
        self.rules.is_strict(rule)
    }

    /// The origin of a pointer of the contract's tree in the text as registered.
    pub fn origin(&self, pointer: &str) -> Origin {
        self.source.origin(pointer)
    }
}

/// All lints, defects first, without those of the document as a whole that one of a part says better:
/// what breaks the meta-schema there, and a reference that is needed after all.
fn merged(whole: Vec<Lint>, parts: Vec<Lint>) -> Vec<Lint> {
    let specific: HashSet<String> = parts.iter().map(|lint| lint.pointer.clone()).collect();
    let is_said = |lint: &Lint| {
        let mut pointer = lint.pointer.as_str();
        while !pointer.is_empty() {
            if specific.contains(pointer) {
                return true;
            }
            pointer = pointer::split_last(pointer).map_or("", |(parent, _)| parent);
        }
        false
    };
    let whole: Vec<Lint> = whole.into_iter().filter(|lint| !is_said(lint)).collect();
    let mut seen = HashSet::new();
    let mut lints: Vec<Lint> = whole
        .into_iter()
        .chain(parts)
        .filter(|lint| seen.insert((lint.code, lint.pointer.clone(), lint.position)))
        .collect();
    lints.sort_by_key(|lint| std::cmp::Reverse(lint.grade()));
    lints
}

/// Hex SHA-256 of a text, white space around it left out.
pub fn hash_of(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(bytes.trim_ascii()) {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn declared_version(document: &Document) -> String {
    let own = document.root().get("openapi").and_then(text_of);
    match document.version() {
        super::document::OpenApiVersion::V2 => "2.0".to_owned(),
        other => own.unwrap_or_else(|| other.to_string()),
    }
}

/// YAML authors write versions without quotes.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
