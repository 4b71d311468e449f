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
    held: [Histogram; 2],
    waived: [IntCounter; 2],
    breaker_open: IntGaugeVec,
    breaker_openings: IntCounterVec,
}

/// Shows whether one breaker is open.
#[derive(Debug)]
pub struct BreakerSign(IntGauge);

/// Why an exchange is not enforced although its operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waived {
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
        let held: HistogramVec = metrics.histograms(
            "cvt_enforcement_buffer_seconds",
            "From the start of buffering a body to the decision about it, by side.",
            &["side"],
            LATENCY_BUCKETS,
        )?;
        let waived = metrics.counters(
            "cvt_enforcement_skipped_total",
            "Exchanges treated as in warn although their operation is enforced, by reason.",
            &["reason"],
        )?;
        Ok(Self {
            waived: ["share", "breaker"].map(|reason| waived.with_label_values(&[reason])),
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
            held: SIDES.map(|side| held.with_label_values(&[side.as_str()])),
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

    /// Counts a half that was judged in time, and how long it was held.
    pub fn enforced(&self, side: Side) {
        self.enforced[side as usize].inc();
    }

    /// Notes how long one half was held.
    pub fn held(&self, side: Side, seconds: f64) {
        self.held[side as usize].observe(seconds);
    }

    /// Counts a half that was answered by us.
    pub fn rejected(&self, side: Side, cause: &str) {
        self.rejected.with_label_values(&[side.as_str(), cause]).inc();
    }

    /// Counts a half that could not be enforced.
    pub fn unenforceable(&self, side: Side, reason: SkipReason, action: OnUnenforceable) {
        let action = match action {
            OnUnenforceable::Forward => "forward",
            OnUnenforceable::Reject => "reject",
        };
        self.unenforceable.with_label_values(&[side.as_str(), reason.as_str(), action]).inc();
    }

    /// Counts an exchange that is only observed although its operation is enforced.
    pub fn waived(&self, why: Waived) {
        self.waived[why as usize].inc();
    }

    /// A sign for a breaker that comes into force. Signs of earlier ones show nothing any more.
    pub fn breaker_sign(&self, route: &str) -> BreakerSign {
        // Fails where nothing was shown.
        let _ = self.breaker_open.remove_label_values(&[route]);
        BreakerSign(self.breaker_open.with_label_values(&[route]))
    }

    /// Shows no breaker of a route that has none any more.
    pub fn forget_breaker(&self, route: &str) {
        // Fails where nothing was shown.
        let _ = self.breaker_open.remove_label_values(&[route]);
        let _ = self.breaker_openings.remove_label_values(&[route]);
    }

    /// Counts a breaker that opened.
    pub fn breaker_opened(&self, route: &str) {
        self.breaker_openings.with_label_values(&[route]).inc();
    }
}

// === impl BreakerSign ===

impl BreakerSign {
    /// Shows whether the breaker is open.
    pub fn show(&self, open: bool) {
        self.0.set(i64::from(open));
    }
}
