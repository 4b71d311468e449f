//! From the settings of routes to a table that carries traffic.
//!
//! Documents are read and compiled first, before anything is opened or changed; then they are
//! registered, or looked up where a route names a schema; then upstreams are built. Routes that
//! say the same share a contract, and an upstream with its connections.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;

use super::StartError;
use super::enforcing::{self, Enforcing};
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::config::upstream::UpstreamSettings;
use crate::model::clock::Clock;
use crate::model::schema::Ownership;
use crate::proxy::{self, HealthService, ProxyMetrics, Route, RouteTable, Upstream};
use crate::registry::files::Directory;
use crate::registry::{Compiled, Details, LoadedContract, Registry, Slot, compile_options};
use crate::storage::OnConflict;

/// The documents that routes name, compiled.
pub(super) struct Drafts(HashMap<ContractSettings, Compiled>);

/// A slot for each contract that routes name.
pub(super) struct Contracts(HashMap<ContractSettings, Slot>);

/// Routes, ready to carry traffic.
pub(super) struct Routing {
    pub(super) table: RouteTable,
    /// What keeps addresses and health current.
    pub(super) services: Vec<HealthService>,
}

// === impl Drafts ===

impl Drafts {
    /// Reads and compiles every document that a route names, each once.
    pub(super) async fn compile(config: &Config) -> Result<Self, StartError> {
        let mut drafts = HashMap::new();
        for route in &config.routes {
            let settings = &route.contract;
            let Some(path) = &settings.spec else { continue };
            if drafts.contains_key(settings) {
                continue;
            }
            let content = tokio::fs::read(path)
                .await
                .map_err(|reason| StartError::Unreadable { path: path.clone(), reason })?;
            let files = Arc::new(Directory::of(path));
            let options = compile_options(&config.rules, config.document_limit);
            let compiled = Compiled::new(content, files, options)
                .await
                .map_err(|reason| StartError::Document { path: path.clone(), reason })?;
            drafts.insert(settings.clone(), compiled);
        }
        Ok(Self(drafts))
    }

    /// Registers what was compiled, and looks up what routes name by id.
    pub(super) async fn register(
        mut self,
        config: &Config,
        registry: &Registry,
    ) -> Result<Contracts, StartError> {
        let mut contracts = HashMap::new();
        for route in &config.routes {
            let settings = &route.contract;
            if contracts.contains_key(settings) {
                continue;
            }
            let loaded = match self.0.remove(settings) {
                Some(compiled) => register(config, registry, settings, compiled).await?,
                None => lookup(registry, settings).await?,
            };
            let slot = Slot {
                contract: Arc::new(ArcSwapOption::from(Some(loaded))),
                follows: settings.spec.is_none() && settings.version.is_none(),
            };
            contracts.insert(settings.clone(), slot);
        }
        let contracts = Contracts(contracts);
        contracts.check_operations(config)?;
        Ok(contracts)
    }
}

async fn register(
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

// === impl Contracts ===

impl Contracts {
    /// Refuses routes whose settings name operations that their contract does not list.
    fn check_operations(&self, config: &Config) -> Result<(), StartError> {
        for route in &config.routes {
            let slot = self.0.get(&route.contract);
            let loaded = slot.and_then(|slot| slot.contract.load_full());
            loaded.map_or(Ok(()), |loaded| enforcing::check(route, &loaded.contract))?;
        }
        Ok(())
    }

    /// Every slot.
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.0.values().cloned().collect()
    }
}

// === impl Routing ===

impl Routing {
    /// Builds every route, called from `threads` traffic threads.
    pub(super) fn build(
        config: &Config,
        contracts: &Contracts,
        threads: usize,
        metrics: &ProxyMetrics,
        enforcing: &Enforcing,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let mut upstreams: HashMap<&UpstreamSettings, Arc<Upstream>> = HashMap::new();
        let mut services = Vec::new();
        let mut routes = Vec::new();
        for settings in &config.routes {
            let upstream = upstreams.entry(&settings.upstream).or_insert_with(|| {
                let service = proxy::health_service(&settings.upstream.address);
                let calling = settings.upstream.clone();
                let upstream = Upstream::new(&service, calling, threads, metrics.clone(), clock);
                services.push(service);
                Arc::new(upstream)
            });
            let slot = contracts.0.get(&settings.contract);
            let route = Route {
                name: settings.name.clone(),
                stripped: if settings.strip_path { settings.path.clone() } else { String::new() },
                upstream: upstream.clone(),
                enforcement: enforcing.on(settings),
                body_limit: settings.body_limit,
                contract: slot.map(|slot| slot.contract.clone()).unwrap_or_default(),
            };
            routes.push((settings.host.clone(), settings.path.clone(), Arc::new(route)));
        }
        Self { table: RouteTable::new(routes), services }
    }
}
