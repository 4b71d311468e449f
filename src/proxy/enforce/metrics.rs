//! What enforcement counts.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::config::enforcement::OnUnenforceable;
use crate::model::verdict::SkipReason;
use crate::model::violation::Side;
use crate::telemetry::metrics::{LATENCY_BUCKETS, Metrics, MetricsError};

/// Counters of enforcement. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EnforcementMetrics {
    enforced: [IntCounter; 2],
    rejected: IntCounterVec,
    unenforceable: IntCounterVec,
    buffered: [Histogram; 2],
    skipped: [IntCounter; 2],
    breaker_open: IntGaugeVec,
    breaker_openings: IntCounterVec,
}

/// The gauge of one breaker.
#[derive(Debug)]
pub struct BreakerGauge(IntGauge);

/// Why an exchange is not enforced although its operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnforcementSkip {
    /// It is not part of the share of traffic that is.
    Share,
    /// Too much was rejected.
    Breaker,
}

/// The two sides, as arrays index them.
const SIDES: [Side; 2] = [Side::Request, Side::Response];

// === impl EnforcementMetrics ===

impl EnforcementMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let enforced = metrics.counters(
            "cvt_enforced_total",
            "Requests and responses that were buffered and validated before they were passed on or \
             rejected, by side.",
            &["side"],
        )?;
        let buffered: HistogramVec = metrics.histograms(
            "cvt_enforcement_buffer_seconds",
            "From the start of buffering a body to the decision about it, by side.",
            &["side"],
            LATENCY_BUCKETS,
        )?;
        let skipped = metrics.counters(
            "cvt_enforcement_skipped_total",
            "Exchanges treated as in warn although their operation is enforced, by reason.",
            &["reason"],
        )?;
        Ok(Self {
            skipped: ["share", "breaker"].map(|reason| skipped.with_label_values(&[reason])),
            enforced: SIDES.map(|side| enforced.with_label_values(&[side.as_str()])),
            rejected: metrics.counters(
                "cvt_enforcement_rejected_total",
                "Requests and responses answered by the sidecar instead of passed on, by side \
                 and cause.",
                &["side", "cause"],
            )?,
            unenforceable: metrics.counters(
                "cvt_unenforceable_total",
                "Requests and responses that could not be enforced, by side, reason and what \
                 was done with them.",
                &["side", "reason", "action"],
            )?,
            buffered: SIDES.map(|side| buffered.with_label_values(&[side.as_str()])),
            breaker_open: metrics.gauges(
                "cvt_enforcement_breaker_open",
                "1 while enforcement has fallen back to warn because too much was rejected.",
                &["route"],
            )?,
            breaker_openings: metrics.counters(
                "cvt_enforcement_breaker_openings_total",
                "How often enforcement fell back to warn.",
                &["route"],
            )?,
        })
    }

    /// Counts a side that was validated in time.
    pub fn record_enforced(&self, side: Side) {
        self.enforced[side as usize].inc();
    }

    /// Records how long one side was buffered.
    pub fn record_buffered(&self, side: Side, seconds: f64) {
        self.buffered[side as usize].observe(seconds);
    }

    /// Counts a side that was rejected.
    pub fn record_rejected(&self, side: Side, cause: &str) {
        self.rejected.with_label_values(&[side.as_str(), cause]).inc();
    }

    /// Counts a side that could not be enforced.
    pub fn record_unenforceable(&self, side: Side, reason: SkipReason, action: OnUnenforceable) {
        let action = match action {
            OnUnenforceable::Forward => "forward",
            OnUnenforceable::Reject => "reject",
        };
        self.unenforceable.with_label_values(&[side.as_str(), reason.as_str(), action]).inc();
    }

    /// Counts an exchange that is only observed although its operation is enforced.
    pub fn record_skipped(&self, why: EnforcementSkip) {
        self.skipped[why as usize].inc();
    }

    /// The gauge of a breaker that comes into force. Gauges of earlier ones have no effect any more.
    pub fn breaker_gauge(&self, route: &str) -> BreakerGauge {
        // Fails where nothing was shown.
        let _ = self.breaker_open.remove_label_values(&[route]);
        BreakerGauge(self.breaker_open.with_label_values(&[route]))
    }

    /// Removes the series of a route that has no breaker any more.
    pub fn remove_breaker(&self, route: &str) {
        // Fails where nothing was shown.
        let _ = self.breaker_open.remove_label_values(&[route]);
        let _ = self.breaker_openings.remove_label_values(&[route]);
    }

    /// Counts a breaker that opened.
    pub fn record_breaker_opened(&self, route: &str) {
        self.breaker_openings.with_label_values(&[route]).inc();
    }
}

// === impl BreakerGauge ===

impl BreakerGauge {
    /// Sets whether the breaker is open.
    pub fn set_open(&self, open: bool) {
        self.0.set(i64::from(open));
    }
}
