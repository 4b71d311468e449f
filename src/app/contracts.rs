//! From the documents and schemas that routes name to contracts in force.
//!
//! Documents are read and compiled first, before anything is opened or changed; then they are
//! registered, or looked up where a route names a schema. Routes that say the same share a
//! contract.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::enforcement;
use super::error::StartError;
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::contract::Contract;
use crate::model::schema::Ownership;
use crate::registry::source_files::{SourceFiles, TrackedDirectory};
use crate::registry::{
    CompiledDocument, ContractSlot, LoadedContract, RegisterError, RegistrationDetails, Registry,
    compile_options, id_of_file,
};
use crate::storage::OnConflict;

/// The documents that routes name, compiled.
pub(super) struct CompiledDocuments(HashMap<ContractSettings, CompiledDocument>);

/// The files of each document that was read, whatever came of it.
pub(super) type DocumentSources = HashMap<ContractSettings, SourceFiles>;

/// A slot for each contract that routes name.
#[derive(Clone, Default)]
pub(super) struct RouteContracts(HashMap<ContractSettings, ContractSlot>);

// === impl CompiledDocuments ===

impl CompiledDocuments {
    /// Reads and compiles every document that a route names, each once, but for those of
    /// contracts that are `existing`.
    pub(super) async fn compile(
        config: &Config,
        existing: &RouteContracts,
        documents: &mut DocumentSources,
    ) -> Result<Self, StartError> {
        let mut compiled_documents = HashMap::new();
        for route in &config.routes {
            let settings = &route.contract;
            let Some(path) = &settings.spec else { continue };
            if compiled_documents.contains_key(settings) || existing.0.contains_key(settings) {
                continue;
            }
            let (sources, compiled) = compile(path, config).await;
            documents.insert(settings.clone(), sources);
            compiled_documents.insert(settings.clone(), compiled?);
        }
        Ok(Self(compiled_documents))
    }

    /// Registers what was compiled, and looks up what routes name by id; `existing` contracts stay.
    pub(super) async fn register(
        mut self,
        config: &Config,
        registry: &Registry,
        existing: &RouteContracts,
    ) -> Result<RouteContracts, StartError> {
        let mut contracts = HashMap::new();
        for route in &config.routes {
            let settings = &route.contract;
            if contracts.contains_key(settings) {
                continue;
            }
            let slot = match (existing.0.get(settings), self.0.remove(settings)) {
                (Some(slot), _) => slot.clone(),
                (None, Some(compiled)) => {
                    let registered = register(config, registry, settings, compiled).await?;
                    slot(settings, registered)
                }
                (None, None) => slot(settings, lookup(registry, settings).await?),
            };
            contracts.insert(settings.clone(), slot);
        }
        let contracts = RouteContracts(contracts);
        contracts.check_operations(config)?;
        Ok(contracts)
    }
}

fn slot(settings: &ContractSettings, loaded: Arc<LoadedContract>) -> ContractSlot {
    ContractSlot {
        contract: Arc::new(ArcSwapOption::from(Some(loaded))),
        follows_latest: settings.spec.is_none() && settings.version.is_none(),
    }
}

/// Reads and compiles one document; also says which files decided the outcome.
pub(super) async fn compile(
    path: &Path,
    config: &Config,
) -> (SourceFiles, Result<CompiledDocument, StartError>) {
    let mut sources = SourceFiles::default();
    let size = tokio::fs::metadata(path).await.map_or(0, |metadata| metadata.len());
    let (size, limit) = (usize::try_from(size).unwrap_or(usize::MAX), config.documents.limit);
    if size > limit {
        sources.record_current(path.to_owned());
        let reason = RegisterError::TooLarge { size, limit };
        return (sources, Err(StartError::Document { path: path.to_owned(), reason }));
    }
    let content = match tokio::fs::read(path).await {
        Ok(content) => content,
        Err(reason) => {
            sources.record_read(path.to_owned(), None);
            return (sources, Err(StartError::Unreadable { path: path.to_owned(), reason }));
        }
    };
    sources.record_read(path.to_owned(), Some(&content));
    let files = Arc::new(TrackedDirectory::of(path).with_roots(&config.documents.file_roots));
    let options = compile_options(&config.rules, &config.documents);
    let compiled = CompiledDocument::new(content, files.clone(), options).await;
    sources.merge(files.take_sources());
    let document = |reason| StartError::Document { path: path.to_owned(), reason };
    (sources, compiled.map_err(document))
}

/// Registers a document that was compiled.
pub(super) async fn register(
    config: &Config,
    registry: &Registry,
    settings: &ContractSettings,
    compiled: CompiledDocument,
) -> Result<Arc<LoadedContract>, StartError> {
    let path = settings.spec.clone().unwrap_or_default();
    let schema_id = settings.schema_id.clone();
    let details = RegistrationDetails {
        schema_id: schema_id.or_else(|| id_of_file(compiled.contract(), &path)),
        ownership: Ownership::default(),
        environment: config.record.environment.clone(),
        // A caller that starts a sidecar with a document means that document.
        on_conflict: OnConflict::Replace,
    };
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

/// Refuses a contract that does not list operations which routes validated against it name.
pub(super) fn check_operations(
    config: &Config,
    settings: &ContractSettings,
    contract: &Contract,
) -> Result<(), StartError> {
    let mut validated = config.routes.iter().filter(|route| route.contract == *settings);
    validated.try_for_each(|route| enforcement::check_operations(route, contract))
}

// === impl RouteContracts ===

impl RouteContracts {
    fn check_operations(&self, config: &Config) -> Result<(), StartError> {
        for route in &config.routes {
            let slot = self.0.get(&route.contract);
            let loaded = slot.and_then(|slot| slot.contract.load_full());
            loaded
                .map_or(Ok(()), |loaded| enforcement::check_operations(route, &loaded.contract))?;
        }
        Ok(())
    }

    /// All of them except those of `excluded`.
    pub(super) fn excluding(&self, excluded: &[ContractSettings]) -> Self {
        let others = self.0.iter().filter(|(settings, _)| !excluded.contains(settings));
        Self(others.map(|(settings, slot)| (settings.clone(), slot.clone())).collect())
    }

    /// The contract in force of each slot that `others` does not have.
    pub(super) fn absent_from(&self, others: &Self) -> Vec<Arc<LoadedContract>> {
        let kept = |slot: &ContractSlot| {
            others.0.values().any(|other| Arc::ptr_eq(&other.contract, &slot.contract))
        };
        let gone = self.0.values().filter(|slot| !kept(slot));
        gone.filter_map(|slot| slot.contract.load_full()).collect()
    }

    /// The slot of a contract.
    pub(super) fn slot(&self, settings: &ContractSettings) -> Option<&ContractSlot> {
        self.0.get(settings)
    }

    /// Every slot.
    pub(super) fn slots(&self) -> Vec<ContractSlot> {
        self.0.values().cloned().collect()
    }
}
