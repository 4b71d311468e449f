//! Consumers in metrics: a bounded number of them by name.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::{IntCounter, IntCounterVec};

use super::table::OTHERS;
use crate::exchange::metrics::OutcomeCounters;
use crate::model::fault::Fault;
use crate::model::verdict::Outcome;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Instruments of consumers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ConsumerMetrics {
    exchanges: IntCounterVec,
    rejected: IntCounterVec,
    over_limit: IntCounter,
    /// OperationNames that may still become labels.
    labels: Arc<AtomicUsize>,
}

/// The counters of one consumer.
#[derive(Debug, Clone)]
pub struct ConsumerCounters {
    outcomes: OutcomeCounters,
    rejected: IntCounter,
}

// === impl ConsumerMetrics ===

impl ConsumerMetrics {
    /// Registers them; at most `labels` consumers are named.
    pub fn new(metrics: &Metrics, labels: usize) -> Result<Self, MetricsError> {
        Ok(Self {
            exchanges: metrics.counters(
                "cvt_consumer_exchanges_total",
                "Exchanges validated, by consumer, outcome and fault; consumers beyond a limit are \
                 `others`.",
                &["consumer", "outcome", "fault"],
            )?,
            rejected: metrics.counters(
                "cvt_consumer_rejected_total",
                "Requests to documented operations that were rejected, by consumer.",
                &["consumer"],
            )?,
            over_limit: metrics.counter(
                "cvt_consumers_over_limit_total",
                "Exchanges validated whose consumer has no counters, because there are too many.",
            )?,
            labels: Arc::new(AtomicUsize::new(labels)),
        })
    }

    /// The counters of a consumer that was not met before.
    pub(super) fn counters_for(&self, id: &str) -> ConsumerCounters {
        let take = |left: usize| left.checked_sub(1);
        let named = self.labels.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok();
        self.counters(if named { id } else { OTHERS })
    }

    /// The counters of all consumers without a name of their own.
    pub(in crate::pipeline) fn others_counters(&self) -> ConsumerCounters {
        self.counters(OTHERS)
    }

    /// Counts an exchange of a consumer that is not kept apart.
    pub(super) fn count_over_limit(&self) {
        self.over_limit.inc();
    }

    fn counters(&self, id: &str) -> ConsumerCounters {
        let outcomes = OutcomeCounters::new(|outcome, fault| {
            self.exchanges.with_label_values(&[id, outcome.as_str(), fault])
        });
        ConsumerCounters { outcomes, rejected: self.rejected.with_label_values(&[id]) }
    }
}

// === impl ConsumerCounters ===

impl ConsumerCounters {
    /// Counts one exchange; `rejected` is whether its request to a documented operation was.
    pub fn count(&self, outcome: Outcome, fault: Option<Fault>, rejected: bool) {
        self.outcomes.count(outcome, fault);
        self.rejected.inc_by(rejected.into());
    }
}
