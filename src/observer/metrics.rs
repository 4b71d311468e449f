//! What the observer counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Histogram, IntCounter, IntCounterVec, Opts};

use super::exchange::Exchange;
use super::parcel::{Parcel, ParcelKind};
use super::worker::Judged;
use super::writer::Loss;
use crate::contract::OperationIndex;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::Side;
use crate::registry::LoadedContract;
use crate::sampling::Kept;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Counters of the queue and of what was judged. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ObserverMetrics {
    /// Exchanges that ended.
    pub seen: IntCounter,
    /// Exchanges that a worker judged.
    pub judged: IntCounter,
    /// Exchanges of which nothing was judged, by reason.
    skipped: [IntCounter; SkipReason::ALL.len()],
    /// Parts of judged exchanges that were left unjudged, by side and reason.
    unjudged_parts: IntCounterVec,
    /// Violations found, by code.
    pub violations: IntCounterVec,
    /// Exchanges judged, by schema, method and result (CVT's).
    pub validations: IntCounterVec,
    /// Time to judge one exchange (CVT's).
    pub validation_duration: prometheus::HistogramVec,
    /// Invalid exchanges by category (CVT's).
    pub validation_errors: IntCounterVec,
    /// Exchanges judged, by operation and outcome.
    pub operations: IntCounterVec,
    /// Exchanges left out before they were judged, by operation and reason.
    pub left_out: IntCounterVec,
    /// Violation groups that this process saw for the first time, by schema and operation.
    pub new_groups: IntCounterVec,
}

/// Counters of records on their way to storage. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordMetrics {
    written: IntCounter,
    kept: [IntCounter; Kept::ALL.len()],
    left_out: IntCounter,
    lost: [IntCounter; Loss::ALL.len()],
    parcels: IntCounterVec,
    write_failures: IntCounter,
    write_duration: Histogram,
}

/// Counters by operation, resolved once per contract and operation. One per worker.
#[derive(Debug, Clone)]
pub struct OperationMetrics {
    metrics: ObserverMetrics,
    contract: Option<Arc<LoadedContract>>,
    operations: Vec<Option<Counters>>,
    undocumented: Option<Counters>,
}

#[derive(Debug, Clone)]
struct Counters {
    results: [IntCounter; 2],
    outcomes: [IntCounter; 3],
    duration: Histogram,
}

// === impl ObserverMetrics ===

impl ObserverMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let skipped = metrics.counters(
            "cvt_exchanges_skipped_total",
            "Exchanges of which nothing was validated, by reason.",
            &["reason"],
        )?;
        let operations = metrics.counters(
            "cvt_operation_exchanges_total",
            "Exchanges validated, by operation of the contract and outcome.",
            &["schema_id", "operation", "outcome"],
        )?;
        let left_out = metrics.counters(
            "cvt_operation_skipped_total",
            "Exchanges that were not validated, by operation and reason.",
            &["schema_id", "operation", "reason"],
        )?;
        Share::register(metrics, &operations, &left_out)?;
        Ok(Self {
            seen: metrics.counter("cvt_exchanges_total", "Exchanges that ended.")?,
            judged: metrics
                .counter("cvt_exchanges_validated_total", "Exchanges that were validated.")?,
            skipped: SkipReason::ALL.map(|reason| skipped.with_label_values(&[reason.as_str()])),
            unjudged_parts: metrics.counters(
                "cvt_validation_skipped_total",
                "Parts of validated exchanges that were not validated, by side and reason.",
                &["side", "reason"],
            )?,
            violations: metrics.counters(
                "cvt_violations_total",
                "Violations found, by code.",
                &["code"],
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
            left_out,
            new_groups: metrics.counters(
                "cvt_violation_groups_total",
                "Violation groups that this process saw for the first time.",
                &["schema_id", "operation"],
            )?,
        })
    }

    /// Counts an exchange of which nothing was judged.
    pub fn skip(&self, reason: SkipReason) {
        self.skipped[reason as usize].inc();
    }

    /// Counts a part of a judged exchange that was left unjudged.
    pub fn unjudged(&self, side: Side, reason: SkipReason) {
        self.unjudged_parts.with_label_values(&[side.as_str(), reason.as_str()]).inc();
    }

    /// Exchanges of which nothing was judged, for `reason`.
    pub fn skipped(&self, reason: SkipReason) -> u64 {
        self.skipped[reason as usize].get()
    }
}

// === impl RecordMetrics ===

impl RecordMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let kept = metrics.counters(
            "cvt_records_created_total",
            "Exchanges that became records, by reason.",
            &["reason"],
        )?;
        let lost = metrics.counters(
            "cvt_records_dropped_total",
            "Records that were not stored, by reason.",
            &["reason"],
        )?;
        Ok(Self {
            written: metrics.counter("cvt_records_written_total", "Records stored.")?,
            kept: Kept::ALL.map(|why| kept.with_label_values(&[why.as_str()])),
            left_out: metrics.counter(
                "cvt_records_skipped_total",
                "Validated exchanges that the record policy did not record.",
            )?,
            lost: Loss::ALL.map(|loss| lost.with_label_values(&[loss.as_str()])),
            parcels: metrics.counters(
                "cvt_batches_dropped_total",
                "Batches of usage and of violation groups that were not stored, by kind and reason.",
                &["kind", "reason"],
            )?,
            write_failures: metrics.counter(
                "cvt_record_write_failures_total",
                "Batches that storage did not take.",
            )?,
            write_duration: metrics.histogram(
                "cvt_record_write_seconds",
                "Time to store one batch.",
                crate::telemetry::metrics::LATENCY_BUCKETS,
            )?,
        })
    }

    /// Counts an exchange that becomes a record.
    pub fn kept(&self, why: Kept) {
        self.kept[why as usize].inc();
    }

    /// Counts an exchange that the policy did not keep.
    pub fn left_out(&self) {
        self.left_out.inc();
    }

    /// Counts a parcel that was stored, and the time that took.
    pub fn stored(&self, parcel: &Parcel, took: Duration) {
        if parcel.kind() == ParcelKind::Records {
            self.written.inc_by(parcel.len() as u64);
        }
        self.write_duration.observe(took.as_secs_f64());
    }

    /// Counts a batch that storage did not take.
    pub fn failed(&self) {
        self.write_failures.inc();
    }

    /// Counts records that were not stored.
    pub fn lost(&self, loss: Loss, records: usize) {
        self.lost[loss as usize].inc_by(records as u64);
    }

    /// Counts a parcel that was not stored.
    pub fn lost_parcel(&self, parcel: &Parcel, loss: Loss) {
        match parcel.kind() {
            ParcelKind::Records => self.lost(loss, parcel.len()),
            kind => self.parcels.with_label_values(&[kind.as_str(), loss.as_str()]).inc(),
        }
    }

    /// Records stored so far.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// Records lost so far, whatever the reason.
    pub fn all_lost(&self) -> u64 {
        self.lost.iter().map(IntCounter::get).sum()
    }
}

// === impl OperationMetrics ===

impl OperationMetrics {
    /// Counters that are resolved as operations are seen.
    pub fn new(metrics: ObserverMetrics) -> Self {
        Self { metrics, contract: None, operations: Vec::new(), undocumented: None }
    }

    /// Counts an exchange of `operation` that was left out.
    pub fn left_out(
        &self,
        contract: &LoadedContract,
        operation: Option<OperationIndex>,
        reason: SkipReason,
    ) {
        let known = operation.map(|index| contract.contract.operation(index));
        let name = known.map_or_else(
            || "undocumented".to_owned(),
            |operation| format!("{} {}", operation.method, operation.template),
        );
        let labels = [contract.schema_id.as_str(), &name, reason.as_str()];
        self.metrics.left_out.with_label_values(&labels).inc();
    }

    /// Counts one judged exchange under its operation.
    pub fn count(&mut self, exchange: &Exchange, judged: &Judged, took: Duration) {
        let Some(contract) = &exchange.contract else { return };
        if !self.contract.as_ref().is_some_and(|known| Arc::ptr_eq(known, contract)) {
            self.contract = Some(contract.clone());
            self.operations = vec![None; contract.contract.operations().len()];
        }
        let metrics = &self.metrics;
        let known = judged.operation.map(|index| contract.contract.operation(index));
        let counters = match known {
            Some(operation) => {
                self.operations[operation.index.as_usize()].get_or_insert_with(|| {
                    let name = format!("{} {}", operation.method, operation.template);
                    let method = operation.method.as_str();
                    Counters::new(metrics, contract.schema_id.as_str(), method, &name)
                })
            }
            None => self.undocumented.get_or_insert_with(|| {
                Counters::new(metrics, contract.schema_id.as_str(), "other", "undocumented")
            }),
        };
        counters.results[usize::from(!judged.valid())].inc();
        counters.outcomes[judged.outcome() as usize].inc();
        counters.duration.observe(took.as_secs_f64());
    }
}

impl Counters {
    fn new(metrics: &ObserverMetrics, schema_id: &str, method: &str, operation: &str) -> Self {
        let result = |result| metrics.validations.with_label_values(&[schema_id, method, result]);
        let outcome = |outcome: Outcome| {
            metrics.operations.with_label_values(&[schema_id, operation, outcome.as_str()])
        };
        Self {
            results: ["valid", "invalid"].map(result),
            outcomes: [Outcome::Conforms, Outcome::Violates, Outcome::Skipped].map(outcome),
            duration: metrics.validation_duration.with_label_values(&[schema_id, method]),
        }
    }
}

/// The share of each operation's exchanges that was judged, worked out when it is asked for.
struct Share {
    judged: IntCounterVec,
    left_out: IntCounterVec,
    gauge: GaugeVec,
}

// === impl Share ===

impl Share {
    fn register(
        metrics: &Metrics,
        judged: &IntCounterVec,
        left_out: &IntCounterVec,
    ) -> Result<(), MetricsError> {
        let what = "Share of an operation's exchanges that was validated, from 0 to 1.";
        let gauge =
            GaugeVec::new(Opts::new("cvt_validated_ratio", what), &["schema_id", "operation"])?;
        let share = Self { judged: judged.clone(), left_out: left_out.clone(), gauge };
        metrics.registry().register(Box::new(share))?;
        Ok(())
    }
}

impl Collector for Share {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut counts: BTreeMap<(String, String), [f64; 2]> = BTreeMap::new();
        for (index, counters) in [&self.judged, &self.left_out].into_iter().enumerate() {
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
        for ((schema, operation), [judged, left_out]) in counts {
            let share = judged / (judged + left_out).max(1.0);
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
        let metrics = ObserverMetrics::new(&Metrics::default()).unwrap();
        for (index, reason) in SkipReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, index);
            metrics.skip(reason);
            assert_eq!(metrics.skipped(reason), 1);
        }
    }
}
