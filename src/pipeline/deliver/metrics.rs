//! Counters of records and batches on their way to storage.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec};

use crate::pipeline::deliver::batch::{BatchKind, WriteBatch};
use crate::pipeline::deliver::drop_reason::DropReason;
use crate::sampling::KeepReason;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Counters of records on their way to storage. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordMetrics {
    written: IntCounter,
    kept: [IntCounter; KeepReason::ALL.len()],
    left_out: IntCounter,
    dropped: [IntCounter; DropReason::ALL.len()],
    batches: IntCounterVec,
    write_failures: IntCounter,
    write_duration: Histogram,
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
        let dropped = metrics.counters(
            "cvt_records_dropped_total",
            "Records that were not stored, by reason.",
            &["reason"],
        )?;
        Ok(Self {
            written: metrics.counter("cvt_records_written_total", "Records stored.")?,
            kept: KeepReason::ALL.map(|why| kept.with_label_values(&[why.as_str()])),
            left_out: metrics.counter(
                "cvt_records_skipped_total",
                "Validated exchanges that the record policy did not record.",
            )?,
            dropped: DropReason::ALL.map(|reason| dropped.with_label_values(&[reason.as_str()])),
            batches: metrics.counters(
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
    pub fn kept(&self, why: KeepReason) {
        self.kept[why as usize].inc();
    }

    /// Counts an exchange that the policy did not keep.
    pub fn left_out(&self) {
        self.left_out.inc();
    }

    /// Counts a batch that was stored, and the time that took.
    pub fn stored(&self, batch: &WriteBatch, took: Duration) {
        if batch.kind() == BatchKind::Records {
            self.written.inc_by(batch.len() as u64);
        }
        self.write_duration.observe(took.as_secs_f64());
    }

    /// Counts a batch that storage did not take.
    pub fn failed(&self) {
        self.write_failures.inc();
    }

    /// Counts records that were not stored.
    pub fn count_dropped(&self, reason: DropReason, records: usize) {
        self.dropped[reason as usize].inc_by(records as u64);
    }

    /// Counts a batch that was not stored.
    pub fn count_dropped_batch(&self, batch: &WriteBatch, reason: DropReason) {
        match batch.kind() {
            BatchKind::Records => self.count_dropped(reason, batch.len()),
            kind => self.batches.with_label_values(&[kind.as_str(), reason.as_str()]).inc(),
        }
    }

    /// Records stored so far.
    pub fn written(&self) -> u64 {
        self.written.get()
    }

    /// Records lost so far, whatever the reason.
    pub fn all_dropped(&self) -> u64 {
        self.dropped.iter().map(IntCounter::get).sum()
    }
}
