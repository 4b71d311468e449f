//! New documents and settings, taken into use while traffic goes on.
//!
//! What must hold: nothing is dropped (exchanges under way keep the route and the contract they
//! began with); whatever cannot be used leaves everything as it is, and says so once, with the
//! file, the place and what is wrong; documents are compiled and old contracts freed off the
//! traffic threads. A setting that changes without a restart is marked `per_route`; all others
//! are named when they change.

mod metrics;
mod settings;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::task::block_in_place;

use super::StartError;
use super::contracts::{self, Contracts, Documents};
use super::routing::Routing;
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::model::clock::Clock;
use crate::registry::sources::Sources;
use crate::registry::{LoadedContract, Registry, Slots};
use crate::telemetry::metrics::{Metrics, MetricsError};
use metrics::ReloadMetrics;
use trouble::Troubles;

pub(super) use settings::ConfigFile;

/// How long a file must be left alone before it is read: whoever writes it may not be done.
const SETTLING: Duration = Duration::from_millis(50);

/// Pauses that a file may go on changing for.
const MOST_PAUSES: usize = 40;

/// Keeps routes and contracts in step with their files.
pub(super) struct Reloader {
    in_force: InForce,
    routing: Routing,
    troubles: Troubles<ContractSettings>,
    config_trouble: Troubles<()>,
    /// Contracts that may still be in use.
    retired: Vec<Arc<LoadedContract>>,
    metrics: ReloadMetrics,
}

/// What is in force, and the files that say so.
pub(super) struct InForce {
    pub(super) config: Config,
    pub(super) contracts: Contracts,
    pub(super) documents: Documents,
    pub(super) registry: Registry,
    pub(super) slots: Slots,
    pub(super) file: Option<ConfigFile>,
}

// === impl Reloader ===

impl Reloader {
    pub(super) fn new(
        in_force: InForce,
        routing: Routing,
        metrics: &Metrics,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, MetricsError> {
        Ok(Self {
            in_force,
            routing,
            troubles: Troubles::default(),
            config_trouble: Troubles::default(),
            retired: Vec::new(),
            metrics: ReloadMetrics::new(metrics, clock)?,
        })
    }

    /// Looks at the files again and again, and at once on SIGHUP, until `stop` turns true.
    pub(super) async fn run(mut self, hangup: Option<Signal>, mut stop: watch::Receiver<bool>) {
        let looking = async {
            let Some(mut hangup) = hangup else { return };
            loop {
                let asked = tokio::select! {
                    _ = hangup.recv() => true,
                    () = pause(self.in_force.config.reload.interval) => false,
                };
                self.look(asked).await;
            }
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = looking => {}
        }
    }

    async fn look(&mut self, asked: bool) {
        if asked {
            tracing::info!(event = "reload_requested", "SIGHUP: every file is read again");
            self.troubles.repeat();
            self.config_trouble.repeat();
        }
        self.look_at_settings(asked).await;
        let documents: Vec<_> = self.in_force.documents.keys().cloned().collect();
        for settings in documents {
            self.look_at_document(&settings, asked).await;
        }
        let InForce { documents, .. } = &self.in_force;
        self.troubles.keep_only(|settings| documents.contains_key(settings));
        self.metrics.contracts.failing(self.troubles.count());
        self.metrics.config.failing(self.config_trouble.count());
        // Contracts are large: the last one to let go of one is never a traffic thread.
        block_in_place(|| self.retired.retain(|contract| Arc::strong_count(contract) > 1));
    }

    async fn look_at_document(&mut self, settings: &ContractSettings, asked: bool) {
        let Some(sources) = self.in_force.documents.get_mut(settings) else { return };
        if !is_due(sources, self.troubles.may_pass(settings), asked).await {
            return;
        }
        match self.reload_document(settings).await {
            Ok(()) => {
                self.metrics.contracts.success();
                self.troubles.end(settings);
                // What was wrong about the settings may have been what the document lacked.
                self.config_trouble.retry();
            }
            Err(error) => {
                if self.troubles.is_news(settings, &error) {
                    self.metrics.contracts.failure();
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
        let InForce { config, contracts, documents, registry, slots, .. } = &mut self.in_force;
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
        said(settings, &loaded);
        self.retired.extend(slot.contract.swap(Some(loaded)));
        registry.show(slots);
        Ok(())
    }
}

/// Says that a new document is in force.
fn said(settings: &ContractSettings, loaded: &LoadedContract) {
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
async fn is_due(sources: &mut Sources, again: bool, thorough: bool) -> bool {
    if !again && !block_in_place(|| sources.changed(thorough)) {
        return false;
    }
    let mut before = block_in_place(|| sources.contents());
    for _ in 0..MOST_PAUSES {
        tokio::time::sleep(SETTLING).await;
        let now = block_in_place(|| sources.contents());
        if now == before {
            break;
        }
        before = now;
    }
    again || before != sources.remembered()
}
