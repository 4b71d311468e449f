//! Tells operators about violation groups, when there is something to say.

use std::sync::Arc;

use crate::config::group::GroupSettings;
use crate::model::clock::Clock;
use crate::model::group::MergedGroup;
use crate::pipeline::record::notice::metrics::NoticeMetrics;
use crate::pipeline::record::notice::{Notice, NoticeSink};
use crate::pipeline::record::violation_groups::ViolationGroups;

/// Tells operators what there is to tell.
pub struct Notifier {
    /// ViolationGroups of violation.
    pub groups: Arc<ViolationGroups>,
    /// Shows notices.
    pub sink: Arc<dyn NoticeSink>,
    /// Counts them.
    pub metrics: NoticeMetrics,
    /// When there is something to tell.
    pub settings: GroupSettings,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

// === impl Notifier ===

impl Notifier {
    /// Tells of groups that storage has taken.
    pub fn notify_merged(&self, groups: &[MergedGroup]) {
        self.notify(self.groups.acknowledge(groups, self.clock.now(), &self.settings));
    }

    /// Tells of groups that storage has not taken for long.
    pub fn notify_overdue(&self) {
        self.notify(self.groups.overdue(self.clock.now()));
    }

    /// Tells of groups that were never told.
    pub fn notify_unstored(&self) {
        self.notify(self.groups.unnotified_groups(self.clock.now()));
    }

    fn notify(&self, notices: Vec<Notice>) {
        for notice in notices {
            self.metrics.count(notice.reason, notice.fault);
            self.sink.violation(&notice);
        }
    }
}
