//! New documents and settings, taken into use while traffic goes on.
//!
//! Invariants: nothing is dropped (exchanges under way keep the route and the contract they
//! began with); whatever cannot be used leaves everything as it is, and says so once, with the
//! file, the place and what is wrong; documents are compiled and old contracts freed off the
//! traffic threads. A setting that changes without a restart is marked `per_route`; all others
//! are named when they change.

mod metrics;
mod reload_errors;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::block_in_place;

use super::contracts::{self, DocumentSources, RouteContracts};
use super::error::StartError;
use super::routing::Routing;
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::model::clock::Clock;
use crate::registry::source_files::SourceFiles;
use crate::registry::{ContractSlots, LoadedContract, Registry};
use crate::telemetry::metrics::{Metrics, MetricsError};
use metrics::ReloadMetrics;
use reload_errors::ReloadErrors;

pub(super) use settings::ConfigFile;
pub use settings::LoadConfig;

/// How long a file must be left alone before it is read: its writer may not be done.
const QUIET_PERIOD: Duration = Duration::from_millis(50);

/// Pauses that a file may go on changing for.
const MAX_QUIET_CHECKS: usize = 40;

/// Reloads routes and contracts when their files change.
pub(super) struct Reloader {
    active: ActiveConfig,
    routing: Routing,
    document_errors: ReloadErrors<ContractSettings>,
    config_errors: ReloadErrors<()>,
    /// Contracts that may still be in use.
    retired: Vec<Arc<LoadedContract>>,
    metrics: ReloadMetrics,
}

/// The configuration in force, and the files it comes from.
pub(super) struct ActiveConfig {
    pub(super) config: Config,
    pub(super) contracts: RouteContracts,
    pub(super) documents: DocumentSources,
    pub(super) registry: Registry,
    pub(super) slots: ContractSlots,
    pub(super) file: Option<ConfigFile>,
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(
        active: ActiveConfig,
        routing: Routing,
        metrics: &Metrics,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, MetricsError> {
        Ok(Self {
            active,
            routing,
            document_errors: ReloadErrors::default(),
            config_errors: ReloadErrors::default(),
            retired: Vec::new(),
            metrics: ReloadMetrics::new(metrics, clock)?,
        })
    }

    /// Checks the files at intervals, and at once on SIGHUP, until `stop` turns true.
    pub(super) async fn run(mut self, hangup: Option<Signal>, mut stop: watch::Receiver<bool>) {
        let checks = async {
            let Some(mut hangup) = hangup else { return };
            loop {
                let forced = tokio::select! {
                    _ = hangup.recv() => true,
                    () = pause(self.active.config.reload.interval) => false,
                };
                self.check_files(forced).await;
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = checks => {}
        }
    }

    async fn check_files(&mut self, forced: bool) {
        if forced {
            tracing::info!(event = "reload_requested", "SIGHUP: every file is read again");
            self.document_errors.reset();
            self.config_errors.reset();
        }
        self.check_settings(forced).await;
        let documents: Vec<_> = self.active.documents.keys().cloned().collect();
        for settings in documents {
            self.check_document(&settings, forced).await;
        }
        let ActiveConfig { documents, .. } = &self.active;
        self.document_errors.keep_only(|settings| documents.contains_key(settings));
        self.metrics.contracts.set_failing(self.document_errors.count());
        self.metrics.config.set_failing(self.config_errors.count());
        // Contracts are large: a traffic thread is never the last to drop one.
        block_in_place(|| self.retired.retain(|contract| Arc::strong_count(contract) > 1));
    }

    async fn check_document(&mut self, settings: &ContractSettings, forced: bool) {
        let Some(sources) = self.active.documents.get_mut(settings) else { return };
        if !needs_reload(sources, self.document_errors.is_retryable(settings), forced).await {
            return;
        }
        match self.reload_document(settings).await {
            Ok(()) => {
                self.metrics.contracts.record_success();
                self.document_errors.clear(settings);
                // What was wrong about the settings may have been what the document lacked.
                self.config_errors.mark_retryable();
            }
            Err(error) => {
                if self.document_errors.record_failure(settings, &error) {
                    self.metrics.contracts.record_failure();
                    tracing::error!(
                        event = "contract_not_reloaded",
                        %error,
                        "the document in force stays"
                    );
                }
            }
        }
    }

    async fn reload_document(&mut self, settings: &ContractSettings) -> Result<(), StartError> {
        let ActiveConfig { config, contracts, documents, registry, slots, .. } = &mut self.active;
        let (Some(path), Some(slot)) = (&settings.spec, contracts.slot(settings)) else {
            return Ok(());
        };
        let file = path.display().to_string();
        tracing::debug!(event = "contract_changed", file, "the document is read and compiled");
        let (sources, compiled) = contracts::compile(path, config).await;
        documents.insert(settings.clone(), sources);
        let compiled = compiled?;
        let hash = compiled.contract().hash();
        if slot.contract.load().as_ref().is_some_and(|loaded| loaded.contract.hash() == hash) {
            tracing::info!(event = "contract_unchanged", file, "it is the document in force");
            return Ok(());
        }
        contracts::check_operations(config, settings, compiled.contract())?;
        let loaded = contracts::register(config, registry, settings, compiled).await?;
        log_reloaded(settings, &loaded);
        self.retired.extend(slot.contract.swap(Some(loaded)));
        registry.publish_contracts(slots);
        Ok(())
    }
}

/// Says that a new document is in force.
fn log_reloaded(settings: &ContractSettings, loaded: &LoadedContract) {
    let file = settings.spec.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    tracing::info!(
        event = "contract_reloaded",
        file,
        schema_id = loaded.schema_id.as_str(),
        version = loaded.contract.version(),
        operations = loaded.contract.operations().len(),
        "a new document is in force"
    );
}

async fn pause(interval: Option<Duration>) {
    match interval {
        Some(interval) => tokio::time::sleep(interval).await,
        None => std::future::pending().await,
    }
}

/// Whether something is to be done about files: they are others than before and are left alone
/// now, or what failed before is to be tried `again`.
async fn needs_reload(sources: &mut SourceFiles, again: bool, thorough: bool) -> bool {
    if !again && !block_in_place(|| sources.changed(thorough)) {
        return false;
    }
    let mut before = block_in_place(|| sources.current_hashes());
    for _ in 0..MAX_QUIET_CHECKS {
        tokio::time::sleep(QUIET_PERIOD).await;
        let now = block_in_place(|| sources.current_hashes());
        if now == before {
            break;
        }
        before = now;
    }
    again || before != sources.recorded_hashes()
}
