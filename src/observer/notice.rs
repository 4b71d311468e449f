//! What the operator is told about violation groups, and when.

pub mod metrics;

use std::sync::Arc;

use crate::config::group::GroupSettings;
use crate::model::clock::{Clock, Timestamp};
use crate::model::group::MergedGroup;
use crate::model::trace::TraceId;
use crate::model::violation::Violation;
use crate::observer::group::GroupId;
use crate::observer::kinds::Kinds;
use metrics::NoticeMetrics;

/// Why a group is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// No sidecar on this database had seen it.
    New,
    /// It was seen before, but not for the configured silence.
    Returned {
        /// When it had been seen last.
        seen_before: Timestamp,
    },
    /// It goes on; this process tells it for the first time, or again after a while.
    GoesOn {
        /// When it had been seen last.
        seen_before: Timestamp,
    },
    /// Storage is away, so nobody knows whether it is new.
    Unstored,
}

/// A word about one group.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Why.
    pub news: News,
    /// Which group.
    pub group: GroupId,
    /// The schema broken.
    pub schema_id: String,
    /// Method and path template, or what stands for an undocumented one.
    pub operation: String,
    /// The violation that this process saw first.
    pub violation: Violation,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
    /// How often this process saw it since it last said so.
    pub count: u64,
}

/// Shows violation groups to the operator.
pub trait Announce: Send + Sync {
    /// A group is new, has returned, or goes on.
    fn violation(&self, notice: &Notice);
}

/// Tells operators what there is to tell.
pub struct Teller {
    /// Kinds of violation.
    pub kinds: Arc<Kinds>,
    /// Shows notices.
    pub announce: Arc<dyn Announce>,
    /// Counts them.
    pub metrics: NoticeMetrics,
    /// When there is something to tell.
    pub settings: GroupSettings,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

// === impl Teller ===

impl Teller {
    /// Tells of groups that storage has taken.
    pub fn merged(&self, groups: &[MergedGroup]) {
        self.tell(self.kinds.settle(groups, self.clock.now(), &self.settings));
    }

    /// Tells of groups that storage has not taken for long.
    pub fn overdue(&self) {
        self.tell(self.kinds.overdue(self.clock.now()));
    }

    /// Tells of groups that were never told.
    pub fn finish(&self) {
        self.tell(self.kinds.untold(self.clock.now()));
    }

    fn tell(&self, notices: Vec<Notice>) {
        for notice in notices {
            self.metrics.told(notice.news);
            self.announce.violation(&notice);
        }
    }
}

// === impl News ===

impl News {
    /// Every kind of news.
    pub const NAMES: [&'static str; 4] = ["new", "returned", "ongoing", "unstored"];

    /// Its place in [`News::NAMES`].
    pub const fn index(self) -> usize {
        match self {
            Self::New => 0,
            Self::Returned { .. } => 1,
            Self::GoesOn { .. } => 2,
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
            Self::Returned { seen_before } | Self::GoesOn { seen_before } => Some(seen_before),
            Self::New | Self::Unstored => None,
        }
    }

    /// What there is to say of a group: `before` is when it had been seen last, `first` when it
    /// was seen now, `told` when this process told it last. Nothing within the reminder's time.
    pub(super) fn of(
        before: Option<Timestamp>,
        first: Timestamp,
        told: Option<Timestamp>,
        now: Timestamp,
        settings: &GroupSettings,
    ) -> Option<Self> {
        let Some(seen_before) = before else { return Some(Self::New) };
        if first.since(seen_before) >= settings.silence {
            return Some(Self::Returned { seen_before });
        }
        let due = told.is_none_or(|told| now.since(told) >= settings.reminder);
        due.then_some(Self::GoesOn { seen_before })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn new_returned_and_reminded_but_not_every_time() {
        let settings = GroupSettings {
            silence: Duration::from_secs(100),
            reminder: Duration::from_secs(10),
            interval: Duration::from_secs(1),
        };
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let news = |before: Option<i64>, first: i64, told: Option<i64>, now: i64| {
            News::of(before.map(at), at(first), told.map(at), at(now), &settings)
        };
        assert_eq!(news(None, 5, None, 6), Some(News::New));
        assert_eq!(news(Some(5), 105, Some(5), 106), Some(News::Returned { seen_before: at(5) }));
        assert_eq!(news(Some(5), 6, None, 7), Some(News::GoesOn { seen_before: at(5) }));
        assert_eq!(news(Some(5), 6, Some(5), 14), None);
        assert_eq!(news(Some(14), 15, Some(5), 15), Some(News::GoesOn { seen_before: at(14) }));
    }
}
