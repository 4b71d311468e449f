//! What the proxy counts.

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use crate::telemetry::metrics::{LATENCY_BUCKETS, Metrics, MetricsError, OVERHEAD_BUCKETS};

/// Why the upstream gave no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpstreamFailure {
    /// No connection could be made.
    Connect,
    /// Making a connection took too long.
    ConnectTimeout,
    /// TLS was not agreed on: the certificate is not vouched for, or TLS is not spoken.
    Tls,
    /// The response's head took too long.
    Timeout,
    /// The connection broke, or what came was not HTTP.
    Broken,
}

/// Counters of the traffic side. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ProxyMetrics {
    classes: [IntCounter; 6],
    failures: IntCounterVec,
    retries: IntCounterVec,
    endpoints: IntGaugeVec,
    refused: IntCounterVec,
    /// From forwarding a head to the response's head.
    pub upstream: Histogram,
    /// What the proxy itself adds before the response's head.
    pub overhead: Histogram,
    /// Exchanges under way.
    pub in_flight: IntGauge,
    /// Downstream connections.
    pub connections: IntGauge,
    /// Requests that wait for their turn.
    pub queued: IntGauge,
    /// Connections opened to the upstream.
    pub upstream_connections: IntCounter,
    /// Requests that no route takes.
    pub unrouted: IntCounter,
    /// Look-ups of names that failed.
    pub resolve_failures: IntCounter,
    /// Addresses that traffic found unreachable.
    pub ejected_endpoints: IntCounter,
}

/// Raises a gauge by one while it lives.
#[derive(Debug)]
pub struct GaugeGuard(IntGauge);

// === impl UpstreamFailure ===

impl UpstreamFailure {
    /// The failure's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
        }
    }
}

// === impl GaugeGuard ===

impl GaugeGuard {
    /// Raises `gauge`.
    pub fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

// === impl ProxyMetrics ===

impl ProxyMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let requests = metrics.counters(
            "cvt_proxy_requests_total",
            "Exchanges answered downstream, by class of the status.",
            &["status"],
        )?;
        let class = |name: &str| requests.with_label_values(&[name]);
        Ok(Self {
            classes: ["other", "1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            failures: metrics.counters(
                "cvt_proxy_upstream_failures_total",
                "Exchanges to which the upstream gave no response, by kind of failure.",
                &["kind"],
            )?,
            retries: metrics.counters(
                "cvt_proxy_upstream_retries_total",
                "Requests that went to another address or out again, by why the attempt before failed.",
                &["kind"],
            )?,
            endpoints: metrics.gauges(
                "cvt_proxy_upstream_endpoints",
                "Addresses of each upstream, by whether they were found good when last tried.",
                &["upstream", "state"],
            )?,
            resolve_failures: metrics.counter(
                "cvt_proxy_upstream_resolve_failures_total",
                "Look-ups of an upstream's name that failed; the addresses known before stay.",
            )?,
            ejected_endpoints: metrics.counter(
                "cvt_proxy_upstream_ejections_total",
                "Addresses that traffic found unreachable before a health check did.",
            )?,
            refused: metrics.counters(
                "cvt_proxy_rejected_total",
                "Connections and requests that a limit or the protocol's rules refused, by reason.",
                &["reason"],
            )?,
            upstream: metrics.histogram(
                "cvt_proxy_upstream_seconds",
                "From forwarding the head of a request to the head of its response.",
                LATENCY_BUCKETS,
            )?,
            overhead: metrics.histogram(
                "cvt_proxy_overhead_seconds",
                "What the proxy itself adds before the head of a response.",
                OVERHEAD_BUCKETS,
            )?,
            in_flight: metrics.gauge("cvt_proxy_in_flight", "Exchanges under way.")?,
            connections: metrics.gauge("cvt_proxy_connections", "Downstream connections open.")?,
            queued: metrics.gauge("cvt_proxy_queued", "Requests that wait for their turn.")?,
            upstream_connections: metrics.counter(
                "cvt_proxy_upstream_connections_total",
                "Connections opened to the upstream.",
            )?,
            unrouted: metrics.counter(
                "cvt_proxy_unrouted_total",
                "Requests answered with 404 because no route takes their host and path.",
            )?,
        })
    }

    /// Counts an answer by its status.
    pub fn record_response(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        self.classes.get(class).unwrap_or(&self.classes[0]).inc();
    }

    /// Counts a request that goes out again.
    pub fn record_retry(&self, after: UpstreamFailure) {
        self.retries.with_label_values(&[after.as_str()]).inc();
    }

    /// Sets how many addresses of an upstream are up, and how many are down.
    pub fn set_endpoints(&self, upstream: &str, up: usize, down: usize) {
        for (state, count) in [("up", up), ("down", down)] {
            let gauge = self.endpoints.with_label_values(&[upstream, state]);
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Removes the series of an upstream that is no longer called.
    pub fn remove_endpoints(&self, upstream: &str) {
        for state in ["up", "down"] {
            // It may never have been shown.
            let _ = self.endpoints.remove_label_values(&[upstream, state]);
        }
    }

    /// Counts an exchange to which the upstream gave no response.
    pub fn record_upstream_failure(&self, kind: UpstreamFailure) {
        self.failures.with_label_values(&[kind.as_str()]).inc();
    }
    /// Counts what was refused or cut, by one of a fixed set of reasons.
    pub fn record_refused(&self, reason: &'static str) {
        self.refused.with_label_values(&[reason]).inc();
    }
}
