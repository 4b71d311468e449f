//! Notices to operators, counted.

use std::sync::Arc;

use prometheus::IntCounter;

use super::NoticeReason;
use crate::model::fault::Fault;
use crate::pipeline::record::violation_groups::ViolationGroups;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Instruments of violation groups. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NoticeMetrics {
    sent: [[IntCounter; Fault::ALL.len()]; NoticeReason::NAMES.len()],
}

// === impl NoticeMetrics ===

impl NoticeMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics, groups: &Arc<ViolationGroups>) -> Result<Self, MetricsError> {
        let sent = metrics.counters(
            "cvt_violation_notices_total",
            "Violation groups reported to operators, by reason and fault.",
            &["reason", "fault"],
        )?;
        let groups = Arc::downgrade(groups);
        metrics.callback_gauge(
            "cvt_violations_ungrouped",
            "Violations that belong to no group, because there are too many groups.",
            move || {
                let ungrouped = groups.upgrade().map_or(0, |groups| groups.ungrouped());
                usize::try_from(ungrouped).unwrap_or(usize::MAX)
            },
        )?;
        let counter = |reason, fault: Fault| sent.with_label_values(&[reason, fault.as_str()]);
        let by_fault = |reason| Fault::ALL.map(|fault| counter(reason, fault));
        Ok(Self { sent: NoticeReason::NAMES.map(by_fault) })
    }

    /// Counts one notice.
    pub fn count(&self, reason: NoticeReason, fault: Fault) {
        self.sent[reason.index()][fault as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Timestamp;
    use crate::model::violation::{Violation, ViolationCode};
    use crate::pipeline::record::violation_groups::ViolationEvent;

    #[test]
    fn violations_beyond_the_last_group_are_shown() {
        let (metrics, groups) = (Metrics::default(), Arc::new(ViolationGroups::default()));
        NoticeMetrics::new(&metrics, &groups).unwrap();
        for n in 0..10_003 {
            let violation = Violation {
                code: ViolationCode::REQUEST_BODY_SCHEMA,
                name: None,
                instance_pointer: format!("/p{n}"),
                schema_pointer: "/a".into(),
                keyword: "type".into(),
                found: String::new(),
                position: None,
                message: String::new(),
            };
            groups.record(&ViolationEvent {
                group: groups.identify(("s", "GET /"), &violation, Fault::Caller),
                status: None,
                violation: &violation,
                schema_id: "s",
                version: "1",
                operation: ("GET", "/"),
                operation_name: "GET /",
                consumer: "c",
                at: Timestamp::default(),
                trace: None,
                example: None,
                notify: false,
            });
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains("cvt_violations_ungrouped 3\n"), "{text}");
    }
}
