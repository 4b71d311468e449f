//! Counters of exchanges and of their validations.

use std::collections::BTreeMap;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntCounter, IntCounterVec, Opts};

use crate::model::fault::Fault;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::Side;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Counters of the queue and of what was validated. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ExchangeMetrics {
    /// Exchanges that ended.
    pub seen: IntCounter,
    /// Exchanges that a worker validated.
    pub validated: IntCounter,
    /// Exchanges of which nothing was validated, by reason.
    skipped: [IntCounter; SkipReason::ALL.len()],
    /// Parts of validated exchanges that were left unvalidated, by side and reason.
    unvalidated_parts: IntCounterVec,
    /// Violations found, by code and fault.
    pub violations: IntCounterVec,
    /// Exchanges validated, by schema, method and result (CVT's).
    pub validations: IntCounterVec,
    /// Time to validate one exchange (CVT's).
    pub validation_duration: prometheus::HistogramVec,
    /// Invalid exchanges by category (CVT's).
    pub validation_errors: IntCounterVec,
    /// Exchanges validated, by operation, outcome and fault.
    pub operations: IntCounterVec,
    /// Requests that were rejected, by operation.
    pub rejected: IntCounterVec,
    /// Exchanges left out before they were validated, by operation and reason.
    pub left_out: IntCounterVec,
    /// Violation groups that this process saw for the first time, by schema, operation and fault.
    pub new_groups: IntCounterVec,
}

// === impl ExchangeMetrics ===

impl ExchangeMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let skipped = metrics.counters(
            "cvt_exchanges_skipped_total",
            "Exchanges of which nothing was validated, by reason.",
            &["reason"],
        )?;
        let operations = metrics.counters(
            "cvt_operation_exchanges_total",
            "Exchanges validated, by operation of the contract, outcome and fault.",
            &["schema_id", "operation", "outcome", "fault"],
        )?;
        let left_out = metrics.counters(
            "cvt_operation_skipped_total",
            "Exchanges that were not validated, by operation and reason.",
            &["schema_id", "operation", "reason"],
        )?;
        ValidatedShare::register(metrics, &operations, &left_out)?;
        Ok(Self {
            seen: metrics.counter("cvt_exchanges_total", "Exchanges that ended.")?,
            validated: metrics
                .counter("cvt_exchanges_validated_total", "Exchanges that were validated.")?,
            skipped: SkipReason::ALL.map(|reason| skipped.with_label_values(&[reason.as_str()])),
            unvalidated_parts: metrics.counters(
                "cvt_validation_skipped_total",
                "Parts of validated exchanges that were not validated, by side and reason.",
                &["side", "reason"],
            )?,
            violations: metrics.counters(
                "cvt_violations_total",
                "Violations found, by code and fault.",
                &["code", "fault"],
            )?,
            validations: metrics.counters(
                "cvt_validations_total",
                "Exchanges validated, by schema, method and result.",
                &["schema_id", "method", "result"],
            )?,
            validation_duration: metrics.histograms(
                "cvt_validation_duration_seconds",
                "Time to validate one exchange.",
                &["schema_id", "method"],
                crate::telemetry::metrics::CVT_BUCKETS,
            )?,
            validation_errors: metrics.counters(
                "cvt_validation_errors_total",
                "Invalid exchanges, by category.",
                &["error_category"],
            )?,
            operations,
            rejected: rejected_counters(metrics)?,
            left_out,
            new_groups: metrics.counters(
                "cvt_violation_groups_total",
                "Violation groups that this process saw for the first time.",
                &["schema_id", "operation", "fault"],
            )?,
        })
    }

    /// Counts an exchange of which nothing was validated.
    pub fn skip(&self, reason: SkipReason) {
        self.skipped[reason as usize].inc();
    }

    /// Counts a part of a validated exchange that was left unvalidated.
    pub fn count_unvalidated(&self, side: Side, reason: SkipReason) {
        self.unvalidated_parts.with_label_values(&[side.as_str(), reason.as_str()]).inc();
    }

    /// Exchanges of which nothing was validated, for `reason`.
    pub fn skipped(&self, reason: SkipReason) -> u64 {
        self.skipped[reason as usize].get()
    }
}

fn rejected_counters(metrics: &Metrics) -> Result<IntCounterVec, MetricsError> {
    metrics.counters(
        "cvt_operation_rejected_total",
        "Requests that were rejected instead of forwarded, by operation.",
        &["schema_id", "operation"],
    )
}

/// Counters of exchanges by outcome, those that violate by fault.
#[derive(Debug, Clone)]
pub struct OutcomeCounters {
    conforms: IntCounter,
    skipped: IntCounter,
    violates: [IntCounter; Fault::ALL.len()],
}

// === impl OutcomeCounters ===

impl OutcomeCounters {
    /// The counters that `counter` makes for an outcome and a fault. All of them at once: the first
    /// increment of a counter that was not there before is lost to Prometheus.
    pub fn new(counter: impl Fn(Outcome, &str) -> IntCounter) -> Self {
        let none = Fault::label(None);
        Self {
            conforms: counter(Outcome::Conforms, none),
            skipped: counter(Outcome::Skipped, none),
            violates: Fault::ALL.map(|fault| counter(Outcome::Violates, fault.as_str())),
        }
    }

    /// Counts one exchange; one that violates has a fault.
    pub fn count(&self, outcome: Outcome, fault: Option<Fault>) {
        let counter = match (fault, outcome) {
            (Some(fault), _) => &self.violates[fault as usize],
            (None, Outcome::Conforms) => &self.conforms,
            (None, _) => &self.skipped,
        };
        counter.inc();
    }
}

/// The share of each operation's exchanges that was validated, worked out when it is asked for.
struct ValidatedShare {
    validated: IntCounterVec,
    left_out: IntCounterVec,
    gauge: GaugeVec,
}

// === impl ValidatedShare ===

impl ValidatedShare {
    fn register(
        metrics: &Metrics,
        validated: &IntCounterVec,
        left_out: &IntCounterVec,
    ) -> Result<(), MetricsError> {
        let what = "Share of an operation's exchanges that was validated, from 0 to 1.";
        let gauge =
            GaugeVec::new(Opts::new("cvt_validated_ratio", what), &["schema_id", "operation"])?;
        let share = Self { validated: validated.clone(), left_out: left_out.clone(), gauge };
        metrics.registry().register(Box::new(share))?;
        Ok(())
    }
}

impl Collector for ValidatedShare {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut counts: BTreeMap<(String, String), [f64; 2]> = BTreeMap::new();
        for (index, counters) in [&self.validated, &self.left_out].into_iter().enumerate() {
            for family in counters.collect() {
                for metric in family.get_metric() {
                    let label = |name: &str| {
                        let pair = metric.get_label().iter().find(|pair| pair.name() == name);
                        pair.map_or_else(String::new, |pair| pair.value().to_owned())
                    };
                    let key = (label("schema_id"), label("operation"));
                    counts.entry(key).or_default()[index] += metric.get_counter().get_value();
                }
            }
        }
        for ((schema, operation), [validated, left_out]) in counts {
            let share = validated / (validated + left_out).max(1.0);
            self.gauge.with_label_values(&[&schema, &operation]).set(share);
        }
        self.gauge.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_counter_of_its_own() {
        let metrics = ExchangeMetrics::new(&Metrics::default()).unwrap();
        for (index, reason) in SkipReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            metrics.skip(reason);
            assert_eq!(metrics.skipped(reason), 1);
        }
    }
}
