//! Batches: what storage takes as a whole.
//!
//! Invariants: a batch may be stored any number of times and counts once. Records are
//! identified by their ids, usage and groups by the id of their batch, which is made when they are packed
//! and stays with them, also through the spool. A new kind is a variant here.

use serde::Serialize;
use uuid::Uuid;

use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::record::ValidationRecord;
use crate::model::usage::OperationUsage;
use crate::redaction::Redacted;
use crate::storage::{Store, StoreResult};

/// Something that storage takes as a whole, or not at all.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteBatch {
    /// Records.
    Records(Vec<Redacted<ValidationRecord>>),
    /// Usage to add, under the id of its batch.
    Usage(Uuid, Vec<OperationUsage>),
    /// Violation groups to add, under the id of their batch.
    Groups(Uuid, Vec<ViolationGroup>),
}

/// The kinds of batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchKind {
    /// Records.
    Records,
    /// Usage.
    Usage,
    /// Violation groups.
    Groups,
}

// === impl WriteBatch ===

impl WriteBatch {
    /// Its kind.
    pub fn kind(&self) -> BatchKind {
        match self {
            Self::Records(_) => BatchKind::Records,
            Self::Usage(..) => BatchKind::Usage,
            Self::Groups(..) => BatchKind::Groups,
        }
    }

    /// What tells it from other batches, also when it comes back from the spool.
    pub fn id(&self) -> Option<Uuid> {
        match self {
            Self::Records(records) => records.first().map(|record| record.get().id),
            Self::Usage(batch, _) | Self::Groups(batch, _) => Some(*batch),
        }
    }

    /// How many things it holds.
    pub fn len(&self) -> usize {
        match self {
            Self::Records(records) => records.len(),
            Self::Usage(_, usage) => usage.len(),
            Self::Groups(_, groups) => groups.len(),
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes it takes in memory.
    pub fn memory_size(&self) -> usize {
        match self {
            Self::Records(records) => records.iter().map(|record| memory_size(record.get())).sum(),
            Self::Usage(_, usage) => usage.iter().map(|usage| 512 + usage.facts.len() * 96).sum(),
            Self::Groups(_, groups) => groups
                .iter()
                .map(|group| 1024 + (group.consumers.len() + group.versions.len()) * 48)
                .sum(),
        }
    }

    /// Stores it; says of groups what had been seen of them before.
    pub async fn store(&self, store: &dyn Store) -> StoreResult<Vec<MergedGroup>> {
        match self {
            Self::Records(records) => store.record_validations(records).await.map(|_| Vec::new()),
            Self::Usage(batch, usage) => {
                store.merge_usage(*batch, usage).await.map(|()| Vec::new())
            }
            Self::Groups(batch, groups) => store.merge_groups(*batch, groups).await,
        }
    }

    /// Two split of it, where it can be halved: records alone stand for themselves.
    pub fn split(&self) -> Option<(Self, Self)> {
        match self {
            Self::Records(records) if records.len() > 1 => {
                let (left, right) = records.split_at(records.len() / 2);
                Some((Self::Records(left.to_vec()), Self::Records(right.to_vec())))
            }
            _ => None,
        }
    }
}

/// About how many bytes a record takes in memory.
pub fn memory_size(record: &ValidationRecord) -> usize {
    const FIXED: usize = 1024;
    let headers = record.request_headers.iter().chain(&record.response_headers);
    FIXED
        + record.request_body.as_ref().map_or(0, String::len)
        + record.response_body.as_ref().map_or(0, String::len)
        + headers.map(|(name, value)| name.len() + value.len() + 48).sum::<usize>()
        + record.violations.len() * 512
}

// === impl BatchKind ===

impl BatchKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Records, Self::Usage, Self::Groups];

    /// The kind's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Usage => "usage",
            Self::Groups => "groups",
        }
    }
}
