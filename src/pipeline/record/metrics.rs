//! Counters by operation.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounter};

use crate::contract::OperationIndex;
use crate::exchange::Exchange;
use crate::exchange::metrics::{ExchangeMetrics, OutcomeCounters};
use crate::model::fault::Fault;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::Side;
use crate::pipeline::validate::ExchangeValidation;
use crate::registry::LoadedContract;

/// Counters by operation, resolved once per contract and operation. One per worker.
#[derive(Debug, Clone)]
pub struct OperationMetrics {
    metrics: ExchangeMetrics,
    contract: Option<Arc<LoadedContract>>,
    operations: Vec<Option<Counters>>,
    undocumented: Option<Counters>,
}

#[derive(Debug, Clone)]
struct Counters {
    results: [IntCounter; 2],
    outcomes: OutcomeCounters,
    rejected: IntCounter,
    duration: Histogram,
}

// === impl OperationMetrics ===

impl OperationMetrics {
    /// Counters that are resolved as operations are seen.
    pub fn new(metrics: ExchangeMetrics) -> Self {
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

    /// Counts one validated exchange under its operation.
    pub fn count(
        &mut self,
        exchange: &Exchange,
        validation: &ExchangeValidation,
        (fault, took): (Option<Fault>, Duration),
    ) {
        let Some(contract) = &exchange.contract else { return };
        if !self.contract.as_ref().is_some_and(|known| Arc::ptr_eq(known, contract)) {
            self.contract = Some(contract.clone());
            self.operations = vec![None; contract.contract.operations().len()];
        }
        let metrics = &self.metrics;
        let known = validation.operation.map(|index| contract.contract.operation(index));
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
        counters.results[usize::from(!validation.valid())].inc();
        counters.outcomes.count(validation.outcome(), fault);
        if exchange.rejected == Some(Side::Request) {
            counters.rejected.inc();
        }
        counters.duration.observe(took.as_secs_f64());
    }
}

impl Counters {
    fn new(metrics: &ExchangeMetrics, schema_id: &str, method: &str, operation: &str) -> Self {
        let result = |result| metrics.validations.with_label_values(&[schema_id, method, result]);
        let outcome = |outcome: Outcome, fault: &str| {
            metrics.operations.with_label_values(&[schema_id, operation, outcome.as_str(), fault])
        };
        Self {
            results: ["valid", "invalid"].map(result),
            outcomes: OutcomeCounters::new(outcome),
            rejected: metrics.rejected.with_label_values(&[schema_id, operation]),
            duration: metrics.validation_duration.with_label_values(&[schema_id, method]),
        }
    }
}
