//! What retention counts.

use prometheus::IntCounterVec;

use super::Expired;
use crate::storage::ExpireKind;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Counters of rounds and of what they removed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RetentionMetrics {
    rounds: IntCounterVec,
    expired: IntCounterVec,
}

// === impl RetentionMetrics ===

impl RetentionMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            rounds: metrics.counters(
                "cvt_retention_runs_total",
                "Rounds of expiring records, by result.",
                &["result"],
            )?,
            expired: metrics.counters(
                "cvt_retention_expired_total",
                "Rows that expired, by kind.",
                &["kind"],
            )?,
        })
    }

    /// Counts a round and what it removed; `None` for one that failed.
    pub fn round(&self, expired: Option<&[Expired]>) {
        let result = if expired.is_some() { "success" } else { "failure" };
        self.rounds.with_label_values(&[result]).inc();
        for expired in expired.unwrap_or_default() {
            let kind = match expired.kind {
                ExpireKind::Valid => "valid",
                ExpireKind::Invalid => "invalid",
                ExpireKind::All => "all",
                ExpireKind::Bodies => "bodies",
            };
            self.expired.with_label_values(&[kind]).inc_by(expired.rows);
        }
    }
}
