//! What is counted about reloads.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use crate::model::clock::Clock;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Instruments of reloads.
pub(super) struct ReloadMetrics {
    /// Of the config file.
    pub(super) config: ReloadCounters,
    /// Of documents.
    pub(super) contracts: ReloadCounters,
}

/// Instruments of one kind of reload.
pub(super) struct ReloadCounters {
    succeeded: IntCounter,
    failed: IntCounter,
    last_success: IntGauge,
    failing: IntGauge,
    clock: Arc<dyn Clock>,
}

// === impl ReloadMetrics ===

impl ReloadMetrics {
    /// Registers them. What the process started with counts as the last that succeeded.
    pub(super) fn new(metrics: &Metrics, clock: &Arc<dyn Clock>) -> Result<Self, MetricsError> {
        let config = metrics.counters(
            "cvt_config_reloads_total",
            "Changes of the config file, by whether the new settings could be used.",
            &["result"],
        )?;
        let contracts = metrics.counters(
            "cvt_contract_reloads_total",
            "Changes of documents, by whether the new one could be used.",
            &["result"],
        )?;
        let config_success = metrics.gauge(
            "cvt_config_last_reload_success_timestamp_seconds",
            "When the settings in use were read, in seconds since the epoch.",
        )?;
        let contract_success = metrics.gauge(
            "cvt_contract_last_reload_success_timestamp_seconds",
            "When a document was last taken into use, in seconds since the epoch.",
        )?;
        let config_failing = metrics.gauge(
            "cvt_config_reload_failing",
            "1 while what the config file holds could not be taken into use.",
        )?;
        let contracts_failing = metrics.gauge(
            "cvt_contract_reload_failing",
            "Documents whose newest content could not be taken into use.",
        )?;
        let counters_of = |counters: &IntCounterVec, last_success: IntGauge, failing: IntGauge| {
            let counters = ReloadCounters {
                succeeded: counters.with_label_values(&["success"]),
                failed: counters.with_label_values(&["failure"]),
                last_success,
                failing,
                clock: clock.clone(),
            };
            counters.set_last_success();
            counters
        };
        Ok(Self {
            config: counters_of(&config, config_success, config_failing),
            contracts: counters_of(&contracts, contract_success, contracts_failing),
        })
    }
}

// === impl ReloadCounters ===

impl ReloadCounters {
    /// Counts one that succeeded.
    pub(super) fn record_success(&self) {
        self.succeeded.inc();
        self.set_last_success();
    }

    /// Counts one that failed.
    pub(super) fn record_failure(&self) {
        self.failed.inc();
    }

    /// Shows of how many the newest content could not be taken into use.
    pub(super) fn set_failing(&self, count: usize) {
        self.failing.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    fn set_last_success(&self) {
        self.last_success.set(self.clock.now().as_seconds());
    }
}
