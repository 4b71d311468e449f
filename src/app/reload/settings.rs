//! The config file, read again: new routes replace the old ones.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::block_in_place;

use super::{ActiveConfig, Reloader, log_reloaded, needs_reload};
use crate::app::contracts::{CompiledDocuments, DocumentSources, RouteContracts};
use crate::app::error::StartError;
use crate::app::pipeline::validator_threads;
use crate::app::routing::BuiltRoutes;
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::registry::source_files::SourceFiles;

/// Reads settings.
pub type LoadConfig = Box<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// The file that settings come from.
pub(in crate::app) struct ConfigFile {
    path: PathBuf,
    /// The file itself; after a failure also the documents that it named.
    sources: SourceFiles,
    load: LoadConfig,
}

// === impl ConfigFile ===

impl ConfigFile {
    /// The file as it is now; `load` makes settings of it.
    pub(in crate::app) fn new(path: PathBuf, load: LoadConfig) -> Self {
        Self { sources: SourceFiles::of(&path), path, load }
    }

    /// Reads it. What changes meanwhile is a change the next time.
    fn load(&mut self) -> Result<Config, StartError> {
        self.sources = SourceFiles::of(&self.path);
        if self.path.exists() {
            return (self.load)().map_err(StartError::Settings);
        }
        // The settings may be complete without it, but removing it while it is used is a mistake.
        Err(StartError::Settings(format!("{}: the config file is gone", self.path.display())))
    }
}

// === impl Reloader ===

impl Reloader {
    pub(super) async fn check_settings(&mut self, forced: bool) {
        let Some(file) = &mut self.active.file else { return };
        if !needs_reload(&mut file.sources, self.config_errors.is_retryable(&()), forced).await {
            return;
        }
        let shown = file.path.display().to_string();
        match self.reload_settings().await {
            Ok(()) => {
                self.metrics.config.record_success();
                self.config_errors.clear(&());
                // What was wrong about a document may have been what the settings said of it.
                self.document_errors.mark_retryable();
                let routes = self.active.config.routes.len();
                tracing::info!(event = "config_reloaded", file = shown, routes, "in force now");
            }
            Err(error) => {
                if self.config_errors.record_failure(&(), &error) {
                    self.metrics.config.record_failure();
                    let error = error.to_string().replace('\n', "; ");
                    tracing::error!(
                        event = "config_not_reloaded",
                        file = shown,
                        error,
                        "the settings in force stay"
                    );
                }
            }
        }
    }

    async fn reload_settings(&mut self) -> Result<(), StartError> {
        let Some(file) = &mut self.active.file else { return Ok(()) };
        let loaded = block_in_place(|| file.load())?;
        let validates = loaded.routes.iter().any(|route| !route.enforcement.is_off());
        if validates && validator_threads(&self.active.config) == 0 {
            return Err(StartError::ValidationNotStarted);
        }
        let fixed = self.active.config.restart.differences(&loaded.restart);
        let notices = loaded.notices.iter().filter(|it| !self.active.config.notices.contains(it));
        for notice in notices {
            tracing::warn!(event = "setting_without_effect", "{notice}");
        }
        // Compared with what the process started with, so that they are named until a restart.
        let config =
            Config { routes: loaded.routes, notices: loaded.notices, ..self.active.config.clone() };
        let changed = self.changed_documents();
        let existing = &self.active.contracts;
        let first =
            if changed.is_empty() { existing.clone() } else { existing.excluding(&changed) };
        let applied = self.apply(&config, &first).await;
        if applied.is_err() && !changed.is_empty() {
            // A document that cannot be used must not keep the settings from being used.
            let existing = self.active.contracts.clone();
            self.apply(&config, &existing).await?;
        } else {
            applied?;
            self.record_document_reloads(&changed);
        }
        if !fixed.is_empty() {
            let settings = fixed.join(", ");
            tracing::warn!(
                event = "restart_required",
                settings,
                "these settings changed and hold from the next start on"
            );
        }
        Ok(())
    }

    /// Documents that changed together with the settings: the two may need each other.
    fn changed_documents(&mut self) -> Vec<ContractSettings> {
        let documents = self.active.documents.iter_mut();
        block_in_place(|| {
            let changed = documents
                .filter_map(|(settings, sources)| sources.changed(true).then(|| settings.clone()));
            changed.collect()
        })
    }

    /// Builds everything that `config` asks for, and only then puts it into force. Contracts that
    /// are `existing` are taken as they are.
    async fn apply(
        &mut self,
        config: &Config,
        existing: &RouteContracts,
    ) -> Result<(), StartError> {
        let mut documents = DocumentSources::default();
        let built = self.prepare(config, existing, &mut documents).await;
        let ActiveConfig { contracts, file, .. } = &mut self.active;
        let (contracts_now, built) = match built {
            Ok(built) => built,
            Err(error) => {
                if let Some(file) = file {
                    for sources in documents.into_values() {
                        file.sources.merge(sources);
                    }
                }
                return Err(error);
            }
        };
        if let Some(file) = file {
            file.sources.retain_only(&file.path);
        }
        self.routing.wait_until_reachable(&built).await;
        self.routing.install(built);
        self.retired.extend(contracts.absent_from(&contracts_now));
        *contracts = contracts_now;
        self.active.config = config.clone();
        let contracts = &self.active.contracts;
        self.active.documents.retain(|settings, _| contracts.slot(settings).is_some());
        self.active.documents.extend(documents);
        self.active.slots.store(Arc::new(contracts.slots()));
        // A version registered since the look-up would have reached the old slots alone.
        self.active.registry.refresh_slots(&self.active.slots).await;
        Ok(())
    }

    async fn prepare(
        &self,
        config: &Config,
        existing: &RouteContracts,
        documents: &mut DocumentSources,
    ) -> Result<(RouteContracts, BuiltRoutes), StartError> {
        let compiled_documents = CompiledDocuments::compile(config, existing, documents).await?;
        let contracts =
            compiled_documents.register(config, &self.active.registry, existing).await?;
        let built = self.routing.build(config, &contracts)?;
        Ok((contracts, built))
    }

    fn record_document_reloads(&mut self, changed: &[ContractSettings]) {
        for settings in changed {
            let slot = self.active.contracts.slot(settings);
            let Some(loaded) = slot.and_then(|slot| slot.contract.load_full()) else { continue };
            log_reloaded(settings, &loaded);
            self.metrics.contracts.record_success();
            self.document_errors.clear(settings);
        }
    }
}
