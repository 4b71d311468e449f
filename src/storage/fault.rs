//! What can happen to a database file that is open.

use crate::storage::error::StoreError;

/// What can happen to a database that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StorageFault {
    /// A file of the database was deleted.
    Deleted,
    /// Another file lies at its path.
    Replaced,
    /// It can no more be written.
    ReadOnly,
    /// It holds something that is no database.
    Corrupt,
    /// Its disk is full.
    Full,
}

// === impl StorageFault ===

impl StorageFault {
    /// Every fault.
    pub(crate) const ALL: [Self; 5] =
        [Self::Deleted, Self::Replaced, Self::ReadOnly, Self::Corrupt, Self::Full];

    /// The fault that an error of an operation shows; `None` for errors that are no fault of the
    /// file, such as a lock.
    pub(crate) const fn of(error: &StoreError) -> Option<Self> {
        match error {
            StoreError::Foreign(_) => Some(Self::Corrupt),
            StoreError::Refused(_) => Some(Self::ReadOnly),
            StoreError::Full(_) => Some(Self::Full),
            _ => None,
        }
    }

    /// The fault's name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            Self::Replaced => "replaced",
            Self::ReadOnly => "read_only",
            Self::Corrupt => "corrupt",
            Self::Full => "full",
        }
    }

    /// What an operator reads.
    pub(crate) const fn sentence(self) -> &'static str {
        match self {
            Self::Deleted => {
                "a file of the database was deleted while it was open; what it held is gone, and \
                 a new database is created"
            }
            Self::Replaced => {
                "a file of the database was replaced while it was open; the new one is opened"
            }
            Self::ReadOnly => "the database can be read only; records wait until it can be written",
            Self::Corrupt => {
                "the database is damaged; records wait until it is repaired, replaced or deleted"
            }
            Self::Full => "the disk is full; records wait until there is room",
        }
    }

    /// Whether the database must be opened anew.
    pub(crate) const fn needs_reopening(self) -> bool {
        matches!(self, Self::Deleted | Self::Replaced | Self::Corrupt)
    }
}
