//! What can go wrong with a question, one variant per thing the caller can do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::contract::ContractError;
use crate::model::random::RandomUnavailable;
use crate::storage::StoreError;

/// Why there is no answer. No message carries a payload value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// There is no such thing: ask for another.
    #[error("{}", .noun.not_found(.id))]
    NotFound {
        /// What was asked for.
        noun: Noun,
        /// Its id, as it was asked for.
        id: String,
    },
    /// The beginning of an id fits several: ask with more of it.
    #[error("{matches} {} begin with {prefix}", .noun.plural())]
    Ambiguous {
        /// What was asked for.
        noun: Noun,
        /// The beginning of an id.
        prefix: String,
        /// How many begin so.
        matches: usize,
    },
    /// The cursor is not one of this listing: start from the first page.
    #[error(transparent)]
    InvalidCursor(StoreError),
    /// The document cannot be compiled: correct it.
    #[error("{name}: {reason}")]
    InvalidDocument {
        /// The document's file, or the id of its schema.
        name: String,
        /// What is wrong with it, and where.
        reason: ContractError,
    },
    /// The file of a document cannot be read: name another, or make it readable.
    #[error("{}: the document cannot be read: {reason}", .path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        reason: io::Error,
    },
    /// There is no key to encrypt with: configure one.
    #[error(
        "there is no key to encrypt with; name one with encryption.key_file or \
         CVT_ENCRYPTION_KEY (`cvt-sidecar keys generate` makes one)"
    )]
    NoKey,
    /// Storage, or the operating system's random bytes, cannot be reached now: ask again later.
    #[error(transparent)]
    Unavailable(Temporary),
    /// Storage fails until an operator repairs it or changes the settings.
    #[error(transparent)]
    Storage(StoreError),
    /// A defect of ours: please report it.
    #[error("{0}; a defect of ours")]
    Defect(&'static str),
}

/// What passes by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Temporary {
    /// The database is unreachable, locked, too slow or full.
    #[error(transparent)]
    Storage(StoreError),
    /// No random bytes.
    #[error(transparent)]
    Random(#[from] RandomUnavailable),
}

/// What has an id and may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noun {
    /// A validation record.
    Record,
    /// A violation group.
    ViolationGroup,
    /// A consumer.
    Consumer,
    /// A schema, or one version of it (`id@version`).
    Schema,
}

// === impl ControlError ===

impl ControlError {
    /// There is no `noun` of this id.
    pub(super) fn not_found(noun: Noun, id: impl fmt::Display) -> Self {
        Self::NotFound { noun, id: id.to_string() }
    }
}

impl From<StoreError> for ControlError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::InvalidCursor => Self::InvalidCursor(error),
            error if error.is_transient() => Self::Unavailable(Temporary::Storage(error)),
            error => Self::Storage(error),
        }
    }
}

impl From<RandomUnavailable> for ControlError {
    fn from(error: RandomUnavailable) -> Self {
        Self::Unavailable(error.into())
    }
}

// === impl Noun ===

impl Noun {
    fn not_found(self, id: &str) -> String {
        match self {
            Self::Record => format!("no record has the id {id}"),
            Self::ViolationGroup => format!("no violation group has the id {id}"),
            Self::Consumer => format!("no consumer has the id {id}"),
            Self::Schema => format!("no schema is registered under {id:?}"),
        }
    }

    const fn plural(self) -> &'static str {
        match self {
            Self::Record => "records",
            Self::ViolationGroup => "groups",
            Self::Consumer => "consumers",
            Self::Schema => "schemas",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_error_becomes_what_the_caller_can_do_about_it() {
        let of = ControlError::from;
        assert!(matches!(of(StoreError::InvalidCursor), ControlError::InvalidCursor(_)));
        let later = of(StoreError::Unavailable("locked".into()));
        assert!(matches!(later, ControlError::Unavailable(_)), "{later:?}");
        let full = of(StoreError::Full("disk".into()));
        assert!(matches!(full, ControlError::Unavailable(_)), "{full:?}");
        let foreign = of(StoreError::Foreign("a table".into()));
        assert!(matches!(foreign, ControlError::Storage(_)), "{foreign:?}");
        assert_eq!(foreign.to_string(), StoreError::Foreign("a table".into()).to_string());
    }
}
