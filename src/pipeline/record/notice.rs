//! A notice to operators about one violation group, and why it is sent.

pub mod metrics;

use crate::config::group::GroupSettings;
use crate::model::clock::Timestamp;
use crate::model::fault::Fault;
use crate::model::trace::TraceId;
use crate::model::violation::Violation;
use crate::pipeline::record::group_id::GroupId;

/// Why a group is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeReason {
    /// No sidecar on this database had seen it.
    New,
    /// It was seen before, but not for the configured silence.
    Returned {
        /// When it had been seen last.
        seen_before: Timestamp,
    },
    /// It goes on; this process tells it for the first time, or again after a while.
    Ongoing {
        /// When it had been seen last.
        seen_before: Timestamp,
    },
    /// Storage is unavailable, so it is unknown whether the group is new.
    Unstored,
}

/// A word about one group.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Why.
    pub reason: NoticeReason,
    /// Which group.
    pub group: GroupId,
    /// Whose fault.
    pub fault: Fault,
    /// The schema broken.
    pub schema_id: String,
    /// Method and path template, or what stands for an undocumented one.
    pub operation: String,
    /// The violation that this process saw first.
    pub violation: Violation,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// In how many exchanges this process saw it since it last said so.
    pub count: u64,
}

/// Shows violation groups to the operator.
pub trait NoticeSink: Send + Sync {
    /// A group is new, has returned, or goes on.
    fn violation(&self, notice: &Notice);
}

// === impl NoticeReason ===

impl NoticeReason {
    /// Every kind of news.
    pub const NAMES: [&'static str; 4] = ["new", "returned", "ongoing", "unstored"];

    /// Its place in [`NoticeReason::NAMES`].
    pub const fn index(self) -> usize {
        match self {
            Self::New => 0,
            Self::Returned { .. } => 1,
            Self::Ongoing { .. } => 2,
            Self::Unstored => 3,
        }
    }

    /// Its name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// When the group had been seen last before, where that is known.
    pub const fn seen_before(self) -> Option<Timestamp> {
        match self {
            Self::Returned { seen_before } | Self::Ongoing { seen_before } => Some(seen_before),
            Self::New | Self::Unstored => None,
        }
    }

    /// What there is to say of a group: `before` is when it had been seen last, `first` when it
    /// was seen now, `told` when this process told it last. Nothing within the reminder's time.
    pub(super) fn of(
        before: Option<Timestamp>,
        first: Timestamp,
        notified_at: Option<Timestamp>,
        now: Timestamp,
        settings: &GroupSettings,
    ) -> Option<Self> {
        let Some(seen_before) = before else { return Some(Self::New) };
        if first.since(seen_before) >= settings.silence {
            return Some(Self::Returned { seen_before });
        }
        let due = notified_at.is_none_or(|at| now.since(at) >= settings.reminder);
        due.then_some(Self::Ongoing { seen_before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn new_returned_and_ongoing_groups_are_notified_at_most_once_per_reminder() {
        let settings = GroupSettings {
            silence: Duration::from_secs(100),
            reminder: Duration::from_secs(10),
            interval: Duration::from_secs(1),
        };
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let reason = |before: Option<i64>, first: i64, notified_at: Option<i64>, now: i64| {
            NoticeReason::of(before.map(at), at(first), notified_at.map(at), at(now), &settings)
        };
        assert_eq!(reason(None, 5, None, 6), Some(NoticeReason::New));
        assert_eq!(
            reason(Some(5), 105, Some(5), 106),
            Some(NoticeReason::Returned { seen_before: at(5) })
        );
        assert_eq!(reason(Some(5), 6, None, 7), Some(NoticeReason::Ongoing { seen_before: at(5) }));
        assert_eq!(reason(Some(5), 6, Some(5), 14), None);
        assert_eq!(
            reason(Some(14), 15, Some(5), 15),
            Some(NoticeReason::Ongoing { seen_before: at(14) })
        );
    }
}
