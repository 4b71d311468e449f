//! The config file, read again: new routes in the place of the old ones.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::block_in_place;

use super::{InForce, Reloader, is_due, said};
use crate::app::contracts::{Contracts, Documents, Drafts};
use crate::app::observing::worker_count;
use crate::app::routing::Built;
use crate::app::{Load, StartError};
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::registry::sources::Sources;

/// The file that settings come from.
pub(in crate::app) struct ConfigFile {
    path: PathBuf,
    /// The file itself; after a failure also the documents that it named.
    sources: Sources,
    load: Load,
}

// === impl ConfigFile ===

impl ConfigFile {
    /// The file as it is now; `load` makes settings of it.
    pub(in crate::app) fn new(path: PathBuf, load: Load) -> Self {
        Self { sources: Sources::of(&path), path, load }
    }

    /// Reads it. What changes meanwhile is a change the next time.
    fn load(&mut self) -> Result<Config, StartError> {
        self.sources = Sources::of(&self.path);
        if self.path.exists() {
            return (self.load)().map_err(StartError::Settings);
        }
        // The settings may be complete without it, but nobody removes them while they are used.
        Err(StartError::Settings(format!("{}: the config file is gone", self.path.display())))
    }
}

// === impl Reloader ===

impl Reloader {
    pub(super) async fn look_at_settings(&mut self, asked: bool) {
        let Some(file) = &mut self.in_force.file else { return };
        if !is_due(&mut file.sources, self.config_trouble.may_pass(&()), asked).await {
            return;
        }
        let shown = file.path.display().to_string();
        match self.reload_settings().await {
            Ok(()) => {
                self.metrics.config.success();
                self.config_trouble.end(&());
                // What was wrong about a document may have been what the settings said of it.
                self.troubles.retry();
                let routes = self.in_force.config.routes.len();
                tracing::info!(event = "config_reloaded", file = shown, routes, "in force now");
            }
            Err(error) => {
                if self.config_trouble.is_news(&(), &error) {
                    self.metrics.config.failure();
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
        let Some(file) = &mut self.in_force.file else { return Ok(()) };
        let loaded = block_in_place(|| file.load())?;
        let judges = loaded.routes.iter().any(|route| !route.enforcement.is_off());
        if judges && worker_count(&self.in_force.config) == 0 {
            return Err(StartError::NoJudges);
        }
        let fixed = self.in_force.config.fixed.differences(&loaded.fixed);
        let notices = loaded.notices.iter().filter(|it| !self.in_force.config.notices.contains(it));
        for notice in notices {
            tracing::warn!(event = "setting_without_effect", "{notice}");
        }
        // Compared with what the process started with, so that they are named until a restart.
        let config = Config {
            routes: loaded.routes,
            notices: loaded.notices,
            ..self.in_force.config.clone()
        };
        let changed = self.changed_documents();
        let held = &self.in_force.contracts;
        let first = if changed.is_empty() { held.clone() } else { held.without(&changed) };
        let adopted = self.adopt(&config, &first).await;
        if adopted.is_err() && !changed.is_empty() {
            // A document that cannot be used must not keep the settings from being used.
            let held = self.in_force.contracts.clone();
            self.adopt(&config, &held).await?;
        } else {
            adopted?;
            self.count_documents(&changed);
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
        let documents = self.in_force.documents.iter_mut();
        block_in_place(|| {
            let changed = documents
                .filter_map(|(settings, sources)| sources.changed(true).then(|| settings.clone()));
            changed.collect()
        })
    }

    /// Builds everything that `config` asks for, and only then puts it into force. Contracts that
    /// are `held` are taken as they are.
    async fn adopt(&mut self, config: &Config, held: &Contracts) -> Result<(), StartError> {
        let mut documents = Documents::default();
        let built = self.prepare(config, held, &mut documents).await;
        let InForce { contracts, file, .. } = &mut self.in_force;
        let (contracts_now, built) = match built {
            Ok(built) => built,
            Err(error) => {
                if let Some(file) = file {
                    for sources in documents.into_values() {
                        file.sources.join(sources);
                    }
                }
                return Err(error);
            }
        };
        if let Some(file) = file {
            file.sources.keep_only(&file.path);
        }
        self.routing.acquaint(&built).await;
        self.routing.install(built);
        self.retired.extend(contracts.missing_in(&contracts_now));
        *contracts = contracts_now;
        self.in_force.config = config.clone();
        let contracts = &self.in_force.contracts;
        self.in_force.documents.retain(|settings, _| contracts.slot(settings).is_some());
        self.in_force.documents.extend(documents);
        self.in_force.slots.store(Arc::new(contracts.slots()));
        // A version registered since the look-up would have reached the old slots alone.
        self.in_force.registry.catch_up(&self.in_force.slots).await;
        Ok(())
    }

    async fn prepare(
        &self,
        config: &Config,
        held: &Contracts,
        documents: &mut Documents,
    ) -> Result<(Contracts, Built), StartError> {
        let drafts = Drafts::compile(config, held, documents).await?;
        let contracts = drafts.register(config, &self.in_force.registry, held).await?;
        let built = self.routing.build(config, &contracts)?;
        Ok((contracts, built))
    }

    fn count_documents(&mut self, changed: &[ContractSettings]) {
        for settings in changed {
            let slot = self.in_force.contracts.slot(settings);
            let Some(loaded) = slot.and_then(|slot| slot.contract.load_full()) else { continue };
            said(settings, &loaded);
            self.metrics.contracts.success();
            self.troubles.end(settings);
        }
    }
}
