//! What usage could not count.

use prometheus::IntCounter;

use crate::telemetry::metrics::{Metrics, MetricsError};

/// Instruments of usage. Cheap to clone.
#[derive(Debug, Clone)]
pub struct UsageMetrics {
    uncounted: IntCounter,
}

// === impl UsageMetrics ===

impl UsageMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            uncounted: metrics.counter(
                "cvt_usage_incomplete_total",
                "Exchanges validated of whose usage a part was not counted, because it was too much.",
            )?,
        })
    }

    /// Counts an exchange of whose usage a part is missing.
    pub(super) fn uncounted(&self) {
        self.uncounted.inc();
    }
}
