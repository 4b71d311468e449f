//! What operators were told, counted.

use std::sync::Arc;

use prometheus::IntCounter;

use super::News;
use crate::observer::kinds::Kinds;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Instruments of violation groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NoticeMetrics {
    told: [IntCounter; News::NAMES.len()],
}

// === impl NoticeMetrics ===

impl NoticeMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics, kinds: &Arc<Kinds>) -> Result<Self, MetricsError> {
        let told = metrics.counters(
            "cvt_violation_notices_total",
            "Violation groups told to operators, by news.",
            &["news"],
        )?;
        let kinds = Arc::downgrade(kinds);
        metrics.observed(
            "cvt_violations_ungrouped",
            "Violations that belong to no group, because there are too many groups.",
            move || {
                let beyond = kinds.upgrade().map_or(0, |kinds| kinds.beyond());
                usize::try_from(beyond).unwrap_or(usize::MAX)
            },
        )?;
        Ok(Self { told: News::NAMES.map(|news| told.with_label_values(&[news])) })
    }

    /// Counts one notice.
    pub(super) fn told(&self, news: News) {
        self.told[news.index()].inc();
    }
}
