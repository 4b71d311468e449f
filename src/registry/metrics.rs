//! What the registry counts.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::error::RegisterError;
use super::loaded_contract::LoadedContract;
use crate::contract::ContractError;
use crate::storage::StoreError;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Counters of registrations and of the cache. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RegistryMetrics {
    registrations: IntCounterVec,
    errors: IntCounterVec,
    lints: IntGaugeVec,
    operations: IntGaugeVec,
    info: IntGaugeVec,
    /// Look-ups that the cache answered (CVT's).
    pub hits: IntCounter,
    /// Look-ups that went to storage (CVT's).
    pub misses: IntCounter,
    /// Entries (CVT's).
    pub items: IntGauge,
    /// Bytes of compiled contracts (CVT's).
    pub bytes: IntGauge,
}

// === impl RegistryMetrics ===

impl RegistryMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let registrations = metrics.counters(
            "cvt_schemas_registered_total",
            "Registrations of schemas, by status.",
            &["status"],
        )?;
        for status in ["success", "failure"] {
            // Shown from the start: a sidecar that follows storage registers nothing.
            registrations.with_label_values(&[status]);
        }
        Ok(Self {
            registrations,
            errors: metrics.counters(
                "cvt_schema_registration_errors_total",
                "Registrations that failed, by type of error.",
                &["error_type"],
            )?,
            lints: metrics.gauges(
                "cvt_contract_lints",
                "Lints of a contract in force, by code and grade.",
                &["schema_id", "lint", "grade"],
            )?,
            operations: metrics.gauges(
                "cvt_contract_operations",
                "Operations of a contract in force.",
                &["schema_id"],
            )?,
            info: metrics.gauges(
                "cvt_contract_info",
                "1 for each contract in force, with its version and hash.",
                &["schema_id", "version", "hash"],
            )?,
            hits: metrics.counter("cvt_cache_hits_total", "Look-ups that the cache answered.")?,
            misses: metrics.counter("cvt_cache_misses_total", "Look-ups that went to storage.")?,
            items: metrics.gauge("cvt_cache_items_total", "Contracts in the cache.")?,
            bytes: metrics.gauge("cvt_cache_size_bytes", "Bytes of contracts in the cache.")?,
        })
    }

    /// Counts a registration and how it ended.
    pub fn record_registration(&self, error: Option<&RegisterError>) {
        let status = if error.is_none() { "success" } else { "failure" };
        self.registrations.with_label_values(&[status]).inc();
        if let Some(error) = error {
            self.errors.with_label_values(&[error_type(error)]).inc();
        }
    }

    /// Sets the size of the cache.
    pub fn set_cache_size(&self, items: u64, bytes: u64) {
        self.items.set(i64::try_from(items).unwrap_or(i64::MAX));
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Replaces the metrics of active contracts.
    pub fn set_active_contracts(&self, contracts: &[Arc<LoadedContract>]) {
        for gauges in [&self.info, &self.operations, &self.lints] {
            gauges.reset();
        }
        for loaded in contracts {
            let (id, contract) = (loaded.schema_id.as_str(), &loaded.contract);
            let short = &contract.hash()[..contract.hash().len().min(12)];
            let info = self.info.with_label_values(&[id, contract.version(), short]);
            if info.get() == 1 {
                continue; // two routes, one contract
            }
            info.set(1);
            let operations = i64::try_from(contract.operations().len()).unwrap_or(i64::MAX);
            self.operations.with_label_values(&[id]).set(operations);
            for lint in contract.lints() {
                self.lints
                    .with_label_values(&[id, lint.code.as_str(), lint.grade().as_str()])
                    .inc();
            }
        }
    }
}

/// CVT's names where they fit.
fn error_type(error: &RegisterError) -> &'static str {
    match error {
        RegisterError::TooLarge { .. } => "too_large",
        RegisterError::NotText(_) | RegisterError::Contract(ContractError::Syntax(_)) => {
            "parse_error"
        }
        RegisterError::Contract(error) if error.diagnostic().pointer == "/info" => {
            "missing_version"
        }
        RegisterError::Contract(_) | RegisterError::Interrupted => "validation_error",
        RegisterError::Id(_) => "invalid_id",
        RegisterError::Store(StoreError::Conflict { .. }) => "conflict",
        RegisterError::Store(_) => "storage_error",
    }
}
