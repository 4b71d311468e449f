//! What is counted about certificates and handshakes, per listener.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::telemetry::metrics::{Metrics, MetricsError};

/// Instruments of all listeners; [`TlsInstruments::for_listener`] gives those of one.
#[derive(Debug, Clone)]
pub struct TlsInstruments {
    expiry: IntGaugeVec,
    reloads: IntCounterVec,
    failing: IntGaugeVec,
    handshakes: IntCounterVec,
}

/// Instruments of one listener. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TlsMetrics {
    expiry: IntGauge,
    reloaded: IntCounter,
    not_reloaded: IntCounter,
    failing: IntGauge,
    done: IntCounter,
    failed: IntCounter,
    timed_out: IntCounter,
}

/// How a reload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// The new identity is in use.
    Success,
    /// The last good one stays.
    Failure,
}

// === impl TlsInstruments ===

impl TlsInstruments {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            expiry: metrics.gauges(
                "cvt_tls_certificate_expiry_timestamp_seconds",
                "When the certificate in use ends, in seconds since the epoch.",
                &["listener"],
            )?,
            reloads: metrics.counters(
                "cvt_tls_certificate_reloads_total",
                "Changes of a certificate's files, by whether the new one could be used.",
                &["listener", "result"],
            )?,
            failing: metrics.gauges(
                "cvt_tls_certificate_reload_failing",
                "1 while what a certificate's files hold could not be taken into use.",
                &["listener"],
            )?,
            handshakes: metrics.counters(
                "cvt_tls_handshakes_total",
                "TLS handshakes by result.",
                &["listener", "result"],
            )?,
        })
    }

    /// Those of the listener called `listener`.
    pub fn for_listener(&self, listener: &str) -> TlsMetrics {
        let reloads = |result| self.reloads.with_label_values(&[listener, result]);
        let handshakes = |result| self.handshakes.with_label_values(&[listener, result]);
        TlsMetrics {
            expiry: self.expiry.with_label_values(&[listener]),
            reloaded: reloads("success"),
            not_reloaded: reloads("failure"),
            failing: self.failing.with_label_values(&[listener]),
            done: handshakes("success"),
            failed: handshakes("failure"),
            timed_out: handshakes("timeout"),
        }
    }
}

// === impl TlsMetrics ===

impl TlsMetrics {
    /// Records when the certificate in use ends.
    pub fn set_expiry(&self, not_after: i64) {
        self.expiry.set(not_after);
    }

    /// Counts a change of the files, and shows that it failed until another one succeeds.
    pub fn record_reload(&self, result: ReloadResult) {
        match result {
            ReloadResult::Success => self.reloaded.inc(),
            ReloadResult::Failure => self.not_reloaded.inc(),
        }
        self.failing.set(i64::from(result == ReloadResult::Failure));
    }

    /// Counts a handshake that succeeded.
    pub fn record_handshake(&self) {
        self.done.inc();
    }

    /// Counts a handshake that failed.
    pub fn record_failed_handshake(&self) {
        self.failed.inc();
    }

    /// Counts a handshake that took too long.
    pub fn record_timed_out_handshake(&self) {
        self.timed_out.inc();
    }
}
