//! From the documents and schemas that routes name to contracts in force.
//!
//! Documents are read and compiled first, before anything is opened or changed; then they are
//! registered, or looked up where a route names a schema. Routes that say the same share a
//! contract.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::StartError;
use super::enforcing;
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::contract::Contract;
use crate::model::schema::Ownership;
use crate::registry::sources::{Remembering, Sources};
use crate::registry::{
    Compiled, Details, LoadedContract, RegisterError, Registry, Slot, compile_options,
};
use crate::storage::OnConflict;

/// The documents that routes name, compiled.
pub(super) struct Drafts(HashMap<ContractSettings, Compiled>);

/// The files of each document that was read, whatever came of it.
pub(super) type Documents = HashMap<ContractSettings, Sources>;

/// A slot for each contract that routes name.
#[derive(Clone, Default)]
pub(super) struct Contracts(HashMap<ContractSettings, Slot>);

// === impl Drafts ===

impl Drafts {
    /// Reads and compiles every document that a route names, each once, but for those of
    /// contracts that are `held` already.
    pub(super) async fn compile(
        config: &Config,
        held: &Contracts,
        documents: &mut Documents,
    ) -> Result<Self, StartError> {
        let mut drafts = HashMap::new();
        for route in &config.routes {
            let settings = &route.contract;
            let Some(path) = &settings.spec else { continue };
            if drafts.contains_key(settings) || held.0.contains_key(settings) {
                continue;
            }
            let (sources, compiled) = compile(path, config).await;
            documents.insert(settings.clone(), sources);
            drafts.insert(settings.clone(), compiled?);
        }
        Ok(Self(drafts))
    }

    /// Registers what was compiled, and looks up what routes name by id; what is `held` stays.
    pub(super) async fn register(
        mut self,
        config: &Config,
        registry: &Registry,
        held: &Contracts,
    ) -> Result<Contracts, StartError> {
        let mut contracts = HashMap::new();
        for route in &config.routes {
            let settings = &route.contract;
            if contracts.contains_key(settings) {
                continue;
            }
            let slot = match (held.0.get(settings), self.0.remove(settings)) {
                (Some(slot), _) => slot.clone(),
                (None, Some(compiled)) => {
                    let registered = register(config, registry, settings, compiled).await?;
                    slot(settings, registered)
                }
                (None, None) => slot(settings, lookup(registry, settings).await?),
            };
            contracts.insert(settings.clone(), slot);
        }
        let contracts = Contracts(contracts);
        contracts.check_operations(config)?;
        Ok(contracts)
    }
}

fn slot(settings: &ContractSettings, loaded: Arc<LoadedContract>) -> Slot {
    Slot {
        contract: Arc::new(ArcSwapOption::from(Some(loaded))),
        follows: settings.spec.is_none() && settings.version.is_none(),
    }
}

/// Reads and compiles one document; also says which files decided the outcome.
pub(super) async fn compile(
    path: &Path,
    config: &Config,
) -> (Sources, Result<Compiled, StartError>) {
    let mut sources = Sources::default();
    let size = tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len());
    let (size, limit) = (usize::try_from(size).unwrap_or(usize::MAX), config.document_limit);
    if size > limit {
        sources.note_as_is(path.to_owned());
        let reason = RegisterError::TooLarge { size, limit };
        return (sources, Err(StartError::Document { path: path.to_owned(), reason }));
    }
    let content = match tokio::fs::read(path).await {
        Ok(content) => content,
        Err(reason) => {
            sources.note(path.to_owned(), None);
            return (sources, Err(StartError::Unreadable { path: path.to_owned(), reason }));
        }
    };
    sources.note(path.to_owned(), Some(&content));
    let files = Arc::new(Remembering::of(path));
    let options = compile_options(&config.rules, limit);
    let compiled = Compiled::new(content, files.clone(), options).await;
    sources.join(files.take());
    let document = |reason| StartError::Document { path: path.to_owned(), reason };
    (sources, compiled.map_err(document))
}

/// Registers a document that was compiled.
pub(super) async fn register(
    config: &Config,
    registry: &Registry,
    settings: &ContractSettings,
    compiled: Compiled,
) -> Result<Arc<LoadedContract>, StartError> {
    let details = Details {
        schema_id: settings.schema_id.clone(),
        ownership: Ownership::default(),
        environment: config.record.environment.clone(),
        // Whoever starts a sidecar with a document means that document.
        on_conflict: OnConflict::Replace,
    };
    let path = settings.spec.clone().unwrap_or_default();
    let registered = registry.register_compiled(compiled, details).await;
    registered.map_err(|reason| StartError::Document { path, reason })
}

async fn lookup(
    registry: &Registry,
    settings: &ContractSettings,
) -> Result<Arc<LoadedContract>, StartError> {
    let missing = || StartError::UnknownSchema {
        id: settings.schema_id.clone(),
        version: settings.version.clone(),
    };
    let id = settings.schema_id.as_ref().ok_or_else(missing)?;
    let found = registry.lookup(id, settings.version.as_deref()).await;
    found.map_err(StartError::Lookup)?.ok_or_else(missing)
}

/// Refuses a contract that does not list operations which routes judged by it name.
pub(super) fn check_operations(
    config: &Config,
    settings: &ContractSettings,
    contract: &Contract,
) -> Result<(), StartError> {
    let mut judged = config.routes.iter().filter(|route| route.contract == *settings);
    judged.try_for_each(|route| enforcing::check(route, contract))
}

// === impl Contracts ===

impl Contracts {
    fn check_operations(&self, config: &Config) -> Result<(), StartError> {
        for route in &config.routes {
            let slot = self.0.get(&route.contract);
            let loaded = slot.and_then(|slot| slot.contract.load_full());
            loaded.map_or(Ok(()), |loaded| enforcing::check(route, &loaded.contract))?;
        }
        Ok(())
    }

    /// All of them but those of `some`.
    pub(super) fn without(&self, some: &[ContractSettings]) -> Self {
        let others = self.0.iter().filter(|(settings, _)| !some.contains(settings));
        Self(others.map(|(settings, slot)| (settings.clone(), slot.clone())).collect())
    }

    /// The contract in force of each slot that `others` does not have.
    pub(super) fn missing_in(&self, others: &Self) -> Vec<Arc<LoadedContract>> {
        let kept = |slot: &Slot| {
            others.0.values().any(|other| Arc::ptr_eq(&other.contract, &slot.contract))
        };
        let gone = self.0.values().filter(|slot| !kept(slot));
        gone.filter_map(|slot| slot.contract.load_full()).collect()
    }

    /// The slot of a contract.
    pub(super) fn slot(&self, settings: &ContractSettings) -> Option<&Slot> {
        self.0.get(settings)
    }

    /// Every slot.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.0.values().cloned().collect()
    }
}
