//! What can go wrong in storage, one variant per thing the caller can do about it.

use uuid::Uuid;

use crate::encryption::DecryptError;
use crate::model::page::InvalidCursor;

/// Why an operation on the store failed. No message carries a stored value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is locked or too slow: trying again later may help.
    /// Nothing of the operation is stored, unless the connection broke while committing;
    /// every write may therefore be repeated safely.
    #[error("the database is not available ({0}); trying again may help")]
    Unavailable(String),
    /// The disk or the database's quota is full: free space, then try again.
    #[error("the database is full ({0}); free some space, then try again")]
    Full(String),
    /// The same version is registered with other content: register a new version, or replace.
    #[error(
        "schema {schema_id} version {version} is registered with other content (SHA-256 \
         {stored_hash}); raise info.version, or register with replace"
    )]
    Conflict {
        /// The schema.
        schema_id: String,
        /// The version that both claim.
        version: String,
        /// The hash of the content that is stored.
        stored_hash: String,
    },
    /// A stored value cannot be read: repair or delete the row.
    #[error(
        "table {table}, column {column}, row {row}: the stored value cannot be read ({reason}); \
         repair or delete the row"
    )]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// The row's id, as far as it can be read.
        row: String,
        /// What was expected.
        reason: &'static str,
    },
    /// A newer version brought the database to a form that this version cannot use: start that
    /// version.
    #[error(
        "the database is at migration {found}, which a version needs migration {oldest_reader} \
         to use, and this version knows up to {known}; start the version that migrated it, or a \
         newer one"
    )]
    NewerDatabase {
        /// The migration found.
        found: i64,
        /// The newest migration this version has.
        known: i64,
        /// The newest migration a version must have.
        oldest_reader: i64,
    },
    /// The database holds something else under our tables' names: choose another database.
    #[error("the database does not fit ({0}); choose another database")]
    Foreign(String),
    /// The database lacks migrations and was opened without leave to run them.
    #[error(
        "the database is at migration {found}, this version needs {needed}; run `cvt-sidecar \
         migrate`, or start the sidecar once"
    )]
    NotMigrated {
        /// The migration found, 0 for an empty database.
        found: i64,
        /// The migration needed.
        needed: i64,
    },
    /// The payload is encrypted and cannot be decrypted: add the key that it names.
    #[error(
        "the headers and bodies of record {record} cannot be read: {reason}; add the key to \
         encryption.key_file, on a line behind the key in use"
    )]
    Undecryptable {
        /// The record.
        record: Uuid,
        /// Why it cannot be decrypted.
        reason: DecryptError,
    },
    /// The cursor is not one of this listing: start from the first page.
    #[error("the cursor does not belong to this listing; start from the first page")]
    InvalidCursor,
    /// The database refuses us for good (credentials, missing rights, missing file, read-only):
    /// change the settings.
    #[error("the database refuses: {0}")]
    Refused(String),
    /// The database understood us differently than we meant: a defect of ours, please report.
    #[error("unexpected answer of the database: {0}")]
    Unexpected(String),
}

/// Another process expired a row that a record being stored refers to.
pub(crate) const DELETED_CONCURRENTLY: &str =
    "another process just deleted a row that the record refers to";

// === impl StoreError ===

impl StoreError {
    /// Whether another process deleted a row that the operation refers to. Retry at once.
    pub(crate) fn is_concurrent_delete(&self) -> bool {
        matches!(self, Self::Unavailable(text) if text == DELETED_CONCURRENTLY)
    }

    /// Whether the same call may succeed later without anyone changing a setting.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }

    /// The variant in one word, for metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Full(_) => "full",
            Self::Conflict { .. } => "conflict",
            Self::Corrupt { .. } => "corrupt",
            Self::NewerDatabase { .. } => "newer_database",
            Self::Foreign(_) => "foreign",
            Self::NotMigrated { .. } => "not_migrated",
            Self::Undecryptable { .. } => "undecryptable",
            Self::InvalidCursor => "invalid_cursor",
            Self::Refused(_) => "rejected",
            Self::Unexpected(_) => "unexpected",
        }
    }
}

impl From<InvalidCursor> for StoreError {
    fn from(_: InvalidCursor) -> Self {
        Self::InvalidCursor
    }
}
