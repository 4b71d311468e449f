//! Readiness as metrics, so that an alert can name what is missing.

use prometheus::{IntGauge, IntGaugeVec};

use crate::control::health::HealthSummary;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// One gauge per check. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ReadyMetrics {
    ready: IntGaugeVec,
    degraded: IntGauge,
}

// === impl ReadyMetrics ===

impl ReadyMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let help = "1 where the check of /readyz is well, 0 where it is not.";
        let ready = metrics.gauges("cvt_ready", help, &["check"])?;
        let help = "1 while something is not well that traffic does without, such as storage.";
        Ok(Self { ready, degraded: metrics.gauge("cvt_degraded", help)? })
    }

    /// Sets each gauge from its check.
    pub fn record(&self, health: &HealthSummary) {
        self.degraded.set(i64::from(health.degraded));
        for check in &health.checks {
            self.ready.with_label_values(&[check.name]).set(i64::from(check.ok));
        }
    }
}
