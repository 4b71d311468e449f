//! The metrics registry, and short ways to make instruments in it.
//!
//! Instruments live beside the code they measure, in files named `metrics.rs`; each is
//! registered once when its part is built and handed around as a field. The text form is
//! Prometheus' exposition format 0.0.4.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, TextEncoder,
};

/// CVT's buckets, in seconds, for whatever CVT measures.
pub const CVT_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0];

/// Buckets for what the proxy itself costs, in seconds.
pub const OVERHEAD_BUCKETS: &[f64] =
    &[0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5];

/// Buckets for what an upstream takes, in seconds.
pub const LATENCY_BUCKETS: &[f64] =
    &[0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// Every instrument of this process. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    registry: prometheus::Registry,
}

/// An instrument that cannot be made: its name is taken or malformed. A defect of ours, found
/// at start.
#[derive(Debug, thiserror::Error)]
#[error("metric cannot be registered: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

/// A gauge that is set when it is collected.
struct CallbackGauge {
    gauge: IntGauge,
    value: Box<dyn Fn() -> usize + Send + Sync>,
}

// === impl Metrics ===

impl Metrics {
    /// The registry itself, for parts that bring collectors of their own.
    pub fn registry(&self) -> &prometheus::Registry {
        &self.registry
    }

    /// A counter.
    pub fn counter(&self, name: &str, help: &str) -> Result<IntCounter, MetricsError> {
        self.register(IntCounter::new(name, help)?)
    }

    /// Counters by labels.
    pub fn counters(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntCounterVec, MetricsError> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Result<IntGauge, MetricsError> {
        self.register(IntGauge::new(name, help)?)
    }

    /// Gauges by labels.
    pub fn gauges(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
    ) -> Result<IntGaugeVec, MetricsError> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    /// A histogram of seconds.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
    ) -> Result<Histogram, MetricsError> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(Histogram::with_opts(opts)?)
    }

    /// Histograms of seconds by labels.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<HistogramVec, MetricsError> {
        let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
        self.register(HistogramVec::new(opts, labels)?)
    }

    /// A gauge whose value is asked for whenever the metrics are read.
    pub fn callback_gauge(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> usize + Send + Sync + 'static,
    ) -> Result<(), MetricsError> {
        let gauge = IntGauge::new(name, help)?;
        self.registry.register(Box::new(CallbackGauge { gauge, value: Box::new(value) }))?;
        Ok(())
    }

    /// The text that Prometheus scrapes.
    pub fn encode(&self) -> Result<String, MetricsError> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C) -> Result<C, MetricsError> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }
}

// === impl CallbackGauge ===

impl Collector for CallbackGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set(i64::try_from((self.value)()).unwrap_or(i64::MAX));
        self.gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_encoded_in_the_text_format() {
        let metrics = Metrics::default();
        let counters = metrics.counters("a_total", "A.", &["kind"]).unwrap();
        counters.with_label_values(&["x"]).inc_by(3);
        assert!(metrics.encode().unwrap().contains("a_total{kind=\"x\"} 3"));
        assert!(metrics.counter("a_total", "again").is_err());
    }
}
