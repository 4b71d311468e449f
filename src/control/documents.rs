//! Documents compiled, and what is in them.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ControlError;
use crate::contract::{CompileOptions, CompiledOperation, Contract, Grade, Lint};
use crate::model::violation::Position;
use crate::registry::files::Directory;

/// Places that base paths come from, at most.
const MAX_BASE_PATHS: usize = 20;

/// What a document holds, and what of it cannot be enforced.
#[derive(Debug, Serialize)]
pub(crate) struct DocumentSummary {
    /// `info.title`.
    pub(crate) title: String,
    /// `info.version`.
    pub(crate) version: String,
    /// `openapi` or `swagger`.
    pub(crate) openapi_version: String,
    /// Hex SHA-256 of the trimmed text.
    pub(crate) hash: String,
    /// Where it says that operations are served.
    pub(crate) base_paths: Vec<BasePathSummary>,
    /// Its operations, in the order of the document.
    pub(crate) operations: Vec<OperationSummary>,
    /// What cannot be enforced, and why.
    pub(crate) lints: Vec<LintSummary>,
}

/// Base paths of some operations.
#[derive(Debug, Serialize)]
pub(crate) struct BasePathSummary {
    /// Each without its last slash; empty for the root.
    pub(crate) paths: Vec<String>,
    /// Pointer to the `servers` that say so, the name of the setting that does, or nothing.
    pub(crate) source: String,
    #[serde(flatten)]
    pub(crate) position: Option<Position>,
}

/// One operation of a document.
#[derive(Debug, Serialize)]
pub(crate) struct OperationSummary {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Its path under the first of its base paths.
    pub(crate) full_path: String,
    pub(crate) operation_id: Option<String>,
    pub(crate) deprecated: bool,
}

/// One lint of a document.
#[derive(Debug, Serialize)]
pub(crate) struct LintSummary {
    pub(crate) code: &'static str,
    pub(crate) grade: Grade,
    pub(crate) pointer: String,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
    pub(crate) message: String,
}

/// Compiles a document from its file; references may also reach into `roots`. Reads files: not
/// for async threads.
pub(crate) fn compile_file(
    path: &Path,
    roots: &[PathBuf],
    options: &CompileOptions<'_>,
) -> Result<Contract, ControlError> {
    let bytes = std::fs::read(path)
        .map_err(|reason| ControlError::Unreadable { path: path.to_owned(), reason })?;
    let files = Directory::of(path).with_roots(roots);
    let options = CompileOptions { files: &files, ..options.clone() };
    let name = || path.display().to_string();
    Contract::compile(&bytes, &options)
        .map_err(|reason| ControlError::InvalidDocument { name: name(), reason })
}

/// Compiles a stored document off the async threads; `name` is for errors.
pub(super) async fn compile_stored(
    name: &str,
    content: String,
    options: CompileOptions<'static>,
) -> Result<Contract, ControlError> {
    let compile = move || Contract::compile(content.as_bytes(), &options);
    off_async_threads(compile)
        .await?
        .map_err(|reason| ControlError::InvalidDocument { name: name.to_owned(), reason })
}

/// Does `work` on a thread that may block.
pub(super) async fn off_async_threads<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ControlError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| ControlError::Defect("reading the document was cut off"))
}

// === impl DocumentSummary ===

impl DocumentSummary {
    /// What is in `contract`.
    pub(crate) fn of(contract: &Contract) -> Self {
        Self {
            title: contract.title().to_owned(),
            version: contract.version().to_owned(),
            openapi_version: contract.openapi_version().to_owned(),
            hash: contract.hash().to_owned(),
            base_paths: BasePathSummary::all(contract),
            operations: contract.operations().iter().map(OperationSummary::of).collect(),
            lints: contract.lints().iter().map(LintSummary::of).collect(),
        }
    }
}

impl BasePathSummary {
    /// One for each place of the document that names some.
    fn all(contract: &Contract) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for operation in contract.operations() {
            let source = &*operation.base_source;
            if seen.contains(&source) || seen.len() == MAX_BASE_PATHS {
                continue;
            }
            seen.push(source);
            let is_pointer = source.starts_with('/');
            let origin = is_pointer.then(|| contract.origin(source));
            all.push(Self {
                paths: operation.bases.clone(),
                source: origin.as_ref().map_or(source, |origin| &origin.pointer).to_owned(),
                position: origin.and_then(|origin| origin.position),
            });
        }
        all
    }
}

impl OperationSummary {
    fn of(operation: &CompiledOperation) -> Self {
        Self {
            method: operation.method.to_string(),
            path: operation.template.to_string(),
            full_path: operation.full_path(),
            operation_id: operation.operation_id.as_deref().map(str::to_owned),
            deprecated: operation.deprecated,
        }
    }
}

impl LintSummary {
    fn of(lint: &Lint) -> Self {
        Self {
            code: lint.code.as_str(),
            grade: lint.grade(),
            pointer: lint.pointer.clone(),
            line: lint.position.map(|position| position.line),
            column: lint.position.map(|position| position.column),
            message: lint.message.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures::DOCUMENT;

    #[test]
    fn a_summary_names_operations_in_the_order_of_the_document() {
        let contract = Contract::compile(DOCUMENT.as_bytes(), &CompileOptions::default()).unwrap();
        let summary = serde_json::to_value(DocumentSummary::of(&contract)).unwrap();
        let keys: Vec<_> = summary.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["title", "version", "openapi_version", "hash", "base_paths", "operations", "lints"]
        );
        let expected = serde_json::json!([
            {"method": "GET", "path": "/books/{id}", "full_path": "/books/{id}", "operation_id": "getBook", "deprecated": false},
            {"method": "DELETE", "path": "/books/{id}", "full_path": "/books/{id}", "operation_id": null, "deprecated": true},
        ]);
        assert_eq!(summary["operations"], expected);
    }

    #[tokio::test]
    async fn a_document_that_cannot_be_had_says_whether_it_is_missing_or_wrong() {
        let missing = compile_file(Path::new("/nowhere/x.yaml"), &[], &CompileOptions::default());
        let missing = missing.unwrap_err();
        assert!(matches!(missing, ControlError::Unreadable { .. }));
        assert!(missing.to_string().starts_with("/nowhere/x.yaml: the document cannot be read: "));
        let wrong = compile_stored("books", "openapi: 4.0.0".into(), CompileOptions::default());
        let wrong = wrong.await.unwrap_err();
        assert!(matches!(&wrong, ControlError::InvalidDocument { name, .. } if name == "books"));
    }
}
