//! What the spool counts.

use std::sync::Arc;

use prometheus::IntCounter;

use super::SpoolState;
use crate::model::clock::Clock;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Counters of what goes through the spool. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SpoolMetrics {
    /// Records written to it.
    pub written: IntCounter,
    /// Records taken out of it again.
    pub replayed: IntCounter,
    /// Times the disk did not do what was asked.
    pub failures: IntCounter,
    /// Bytes that a crash left half-written.
    pub torn: IntCounter,
    /// Bytes that were changed on disk.
    pub damaged: IntCounter,
}

// === impl SpoolMetrics ===

impl SpoolMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let bad = metrics.counters(
            "cvt_spool_bad_bytes_total",
            "Bytes of the spool that could not be read, by kind: torn by a crash, or damaged.",
            &["kind"],
        )?;
        Ok(Self {
            written: metrics.counter(
                "cvt_spool_written_total",
                "Records written to the spool because storage was away or slow.",
            )?,
            replayed: metrics.counter(
                "cvt_spool_replayed_total",
                "Records taken out of the spool when storage was back.",
            )?,
            failures: metrics.counter(
                "cvt_spool_failures_total",
                "Times the spool could not be written or read.",
            )?,
            torn: bad.with_label_values(&["torn"]),
            damaged: bad.with_label_values(&["damaged"]),
        })
    }

    /// Shows how much waits, whenever the metrics are read.
    pub fn register_gauges(
        metrics: &Metrics,
        state: &Arc<SpoolState>,
        clock: Arc<dyn Clock>,
    ) -> Result<(), MetricsError> {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let waiting = state.clone();
        metrics.callback_gauge(
            "cvt_spool_records",
            "Records that wait in the spool.",
            move || size(waiting.records()),
        )?;
        let waiting = state.clone();
        metrics.callback_gauge("cvt_spool_bytes", "Bytes of the spool's files.", move || {
            size(waiting.bytes())
        })?;
        let waiting = state.clone();
        metrics.callback_gauge(
            "cvt_spool_oldest_seconds",
            "Age of what waits longest in the spool; 0 when nothing does.",
            move || waiting.oldest().map_or(0, |at| size(clock.now().since(at).as_secs())),
        )
    }
}
