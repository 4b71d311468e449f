//! What a caller may choose about turning a document into a contract.

use std::collections::BTreeSet;
use std::fmt;

use thiserror::Error;

use crate::config::rules::RuleSettings;
use crate::model::rule::{Rule, Rules, Strictness};

/// The files a document may refer to. The only way from a contract to the world outside.
pub trait DocumentFiles: Send + Sync {
    /// Reads a file by its path relative to the document's directory. The path is normalised:
    /// it has no `.`, no scheme, and `..` in front alone. It may be absolute. Where remote
    /// references are allowed, an absolute URL may come instead. What may be read is decided here.
    fn read(&self, path: &str) -> Result<Vec<u8>, DocumentFileError>;
}

/// Why a file that a document refers to was not read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DocumentFileError {
    /// There is no such file.
    #[error("there is no such file")]
    NotFound,
    /// The caller that registered the document gave no access to files.
    #[error("other files are not available here; bundle the document into one file")]
    NotAllowed,
    /// It is outside of the directories that references may reach.
    #[error(
        "it is outside of the document's directory; `contract.file_roots` lists further directories \
         that references may reach"
    )]
    OutsideRoots,
    /// The file is there and cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(String),
}

/// No files at all: a document that refers to one is refused.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDocumentFiles;

/// Bounds on the documents accepted. Zero means none is accepted, not that there is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of one text, files referred to counted one by one.
    pub bytes: usize,
    /// Containers that a text may nest.
    pub depth: u32,
    /// Files that a document may refer to, directly or not.
    pub files: usize,
    /// Values that YAML aliases may add to those written out.
    pub alias_values: usize,
    /// Backtracking steps of one regular expression that needs backtracking, on one value.
    pub regex_steps: usize,
}

/// Everything a caller may choose.
#[derive(Clone)]
pub struct CompileOptions<'f> {
    /// Bounds on the document.
    pub limits: DocumentLimits,
    /// Where files that the document refers to come from.
    pub files: &'f dyn DocumentFiles,
    /// Whether `http` and `https` references may be read through [`CompileOptions::files`].
    pub remote_references: bool,
    /// Whether [`super::Contract::compile_to_store`] refuses a document with defects.
    pub refuse_defects: bool,
    /// Names of formats that are not asserted; `*` means all of them.
    pub formats_off: BTreeSet<String>,
    /// How strictly the document is read where two readings are defensible.
    pub rules: Rules,
    /// Whether component schemas that nothing uses are compiled too, so that what is wrong with
    /// them is an error. Nothing is validated against them.
    pub unused_components: bool,
    /// Replaces the base paths in `servers`; empty for none at all.
    pub base_path: Option<String>,
}

impl DocumentFiles for NoDocumentFiles {
    fn read(&self, _path: &str) -> Result<Vec<u8>, DocumentFileError> {
        Err(DocumentFileError::NotAllowed)
    }
}

// === impl DocumentLimits ===

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            depth: 256,
            files: 8_192,
            alias_values: 1_000_000,
            regex_steps: 100_000,
        }
    }
}

// === impl CompileOptions ===

impl Default for CompileOptions<'_> {
    fn default() -> Self {
        Self {
            limits: DocumentLimits::default(),
            files: &NoDocumentFiles,
            remote_references: false,
            refuse_defects: false,
            formats_off: BTreeSet::new(),
            rules: Rules::default(),
            unused_components: false,
            base_path: None,
        }
    }
}

impl CompileOptions<'static> {
    /// The options that an operator's settings ask for, without access to files.
    pub fn of(settings: &RuleSettings) -> Self {
        Self {
            formats_off: settings.formats_off.iter().cloned().collect(),
            rules: settings.rules,
            base_path: settings.base_path.clone(),
            ..Self::default()
        }
    }
}

impl CompileOptions<'_> {
    /// The same options with one rule set.
    #[must_use]
    pub fn with_rule(mut self, rule: Rule, strictness: Strictness) -> Self {
        self.rules = self.rules.with(rule, strictness);
        self
    }

    /// Whether `format` is asserted on values.
    pub fn asserts_format(&self, format: &str) -> bool {
        !self.formats_off.contains(format) && !self.formats_off.contains("*")
    }
}

impl fmt::Debug for CompileOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompileOptions")
            .field("limits", &self.limits)
            .field("remote_references", &self.remote_references)
            .field("refuse_defects", &self.refuse_defects)
            .field("formats_off", &self.formats_off)
            .field("rules", &self.rules)
            .field("unused_components", &self.unused_components)
            .field("base_path", &self.base_path)
            .finish_non_exhaustive()
    }
}
