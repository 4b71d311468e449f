//! Readiness as metrics, so that an alert can name what is missing.

use prometheus::IntGaugeVec;

use super::Check;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// One gauge per check. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadyMetrics {
    ready: IntGaugeVec,
}

// === impl ReadyMetrics ===

impl ReadyMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let help = "1 where the check of /readyz is well, 0 where it is not.";
        Ok(Self { ready: metrics.gauges("cvt_ready", help, &["check"])? })
    }

    /// Sets each gauge from its check.
    pub fn record(&self, checks: &[Check]) {
        for check in checks {
            self.ready.with_label_values(&[check.name]).set(i64::from(check.ok));
        }
    }
}
