//! Why something was not stored.

/// Why something was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Too much waited.
    Backlog,
    /// Storage refused it for good.
    Refused,
    /// The process stopped before storage took it.
    Stopping,
    /// The spool was full.
    SpoolFull,
    /// The spool's files were damaged.
    Damaged,
    /// The spool's files hold it in a form that cannot be read; they are kept aside.
    Unreadable,
}

// === impl DropReason ===

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Backlog,
        Self::Refused,
        Self::Stopping,
        Self::SpoolFull,
        Self::Damaged,
        Self::Unreadable,
    ];

    /// The reason's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backlog => "queue_full",
            Self::Refused => "rejected",
            Self::Stopping => "stopping",
            Self::SpoolFull => "spool_full",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
        }
    }
}
