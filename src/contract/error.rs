//! Why a document cannot become a contract.

use std::fmt;

use thiserror::Error;

use crate::model::violation::Position;

/// A document that cannot become a contract; one variant per thing its owner can do about it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContractError {
    /// Larger or deeper than the limits allow: raise the limit or split the document.
    #[error("the document is over a limit: {0}")]
    OverLimit(Diagnostic),
    /// Neither JSON nor YAML: mend the syntax.
    #[error("the document cannot be read: {0}")]
    Syntax(Diagnostic),
    /// Not a version of OpenAPI that is understood.
    #[error("unsupported document: {0}")]
    Version(Diagnostic),
    /// Readable, but not what the OpenAPI specification allows.
    #[error("the document breaks the OpenAPI specification: {0}")]
    Structure(Diagnostic),
    /// A `$ref` leads nowhere, or where it may not lead.
    #[error("a reference cannot be followed: {0}")]
    Reference(Diagnostic),
    /// A schema that no value can be validated against.
    #[error("a schema is not valid: {0}")]
    Schema(Diagnostic),
    /// Usable, but with parts that cannot be enforced, and the settings refuse such documents.
    #[error("the document has defects, and `contract.on_defect` is `refuse`: {0}")]
    Defects(Diagnostic),
}

/// What is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostic {
    /// RFC 6901 pointer into the document as registered, or `file#pointer` into a file that it
    /// refers to; empty for its root.
    pub pointer: String,
    /// Its position in the text.
    pub position: Option<Position>,
    /// What is wrong, in a sentence.
    pub message: String,
}

// === impl ContractError ===

impl ContractError {
    /// What is wrong, and where.
    pub fn diagnostic(&self) -> &Diagnostic {
        match self {
            Self::OverLimit(diagnostic)
            | Self::Syntax(diagnostic)
            | Self::Version(diagnostic)
            | Self::Structure(diagnostic)
            | Self::Reference(diagnostic)
            | Self::Schema(diagnostic)
            | Self::Defects(diagnostic) => diagnostic,
        }
    }
}

// === impl Diagnostic ===

impl Diagnostic {
    /// A diagnostic of the document as a whole.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// A diagnostic at a position of a text that could not be read.
    pub fn at(position: Position, message: impl Into<String>) -> Self {
        Self { position: Some(position), message: message.into(), ..Self::default() }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.pointer.is_empty() {
            write!(f, " at {}", self.pointer)?;
        }
        if let Some(position) = self.position {
            write!(f, " (line {}, column {})", position.line, position.column)?;
        }
        Ok(())
    }
}
