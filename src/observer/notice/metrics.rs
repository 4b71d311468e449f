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
            "Violation groups reported to operators, by reason.",
            &["reason"],
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Timestamp;
    use crate::model::violation::{Violation, ViolationCode};
    use crate::observer::group::GroupId;
    use crate::observer::kinds::Sighting;

    #[test]
    fn violations_beyond_the_last_group_are_shown() {
        let (metrics, kinds) = (Metrics::default(), Arc::new(Kinds::default()));
        NoticeMetrics::new(&metrics, &kinds).unwrap();
        for n in 0..10_003 {
            let violation = Violation {
                code: ViolationCode::REQUEST_BODY_SCHEMA,
                name: None,
                instance_pointer: format!("/p{n}"),
                schema_pointer: "/a".into(),
                keyword: "type".into(),
                position: None,
                message: String::new(),
            };
            kinds.saw(&Sighting {
                group: GroupId::of("s", "GET /", &violation),
                violation: &violation,
                schema_id: "s",
                version: "1",
                operation: ("GET", "/"),
                operation_name: "GET /",
                consumer: "c",
                at: Timestamp::default(),
                trace: None,
                example: None,
                tell: false,
            });
        }
        let text = metrics.encode().unwrap();
        assert!(text.contains("cvt_violations_ungrouped 3\n"), "{text}");
    }
}
