//! From the settings of routes to a table that carries traffic.
//!
//! Documents are read and compiled first, before anything is opened or changed; then they are
//! registered, or looked up where a route names a schema; then upstreams are built. Routes that
//! say the same share a contract, and an upstream with its connections.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;

use super::StartError;
use super::enforcing::{self, Enforcing};
use crate::config::Config;
use crate::config::contract::ContractSettings;
use crate::config::route::RouteSettings;
use crate::config::upstream::UpstreamSettings;
use crate::model::clock::Clock;
use crate::model::schema::Ownership;
use crate::proxy::{Limits, ProxyMetrics, Route, RouteTable, Upstream};
use crate::registry::files::Directory;
use crate::registry::{Compiled, Details, LoadedContract, Registry, Slot, compile_options};
use crate::storage::OnConflict;

/// The documents that routes name, compiled.
pub(super) struct Drafts(HashMap<ContractSettings, Compiled>);

/// A slot for each contract that routes name.
pub(super) struct Contracts(HashMap<ContractSettings, Slot>);

/// What upstreams are built with.
pub(super) struct Calling<'a> {
    /// Traffic threads.
    pub(super) threads: usize,
    pub(super) metrics: &'a ProxyMetrics,
    pub(super) clock: &'a Arc<dyn Clock>,
    /// Where their background tasks run.
    pub(super) runtime: &'a Handle,
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

/// Builds every route. Upstreams of `before` that are called the same way now stay, with their
/// connections.
pub(super) fn build(
    config: &Config,
    contracts: &Contracts,
    calling: &Calling<'_>,
    enforcing: &Enforcing,
    before: &RouteTable,
) -> Result<RouteTable, StartError> {
    let mut upstreams: HashMap<UpstreamSettings, Arc<Upstream>> = before
        .routes()
        .iter()
        .map(|route| (route.upstream.settings().clone(), route.upstream.clone()))
        .collect();
    let mut routes = Vec::new();
    for settings in &config.routes {
        let known = upstreams.get(&settings.upstream).cloned();
        let upstream = known.map_or_else(|| calling.start(settings).map(Arc::new), Ok)?;
        upstreams.insert(settings.upstream.clone(), upstream.clone());
        let slot = contracts.0.get(&settings.contract);
        let route = Route {
            name: settings.name.clone(),
            stripped: if settings.strip_path { settings.path.clone() } else { String::new() },
            upstream,
            forwarded: settings.forwarded.clone(),
            enforcement: enforcing.on(settings),
            body_limit: settings.body_limit,
            bodies: settings.bodies,
            limits: calling.limits(settings),
            contract: slot.map(|slot| slot.contract.clone()).unwrap_or_default(),
        };
        routes.push((settings.host.clone(), settings.path.clone(), Arc::new(route)));
    }
    Ok(RouteTable::new(routes))
}

// === impl Calling ===

impl Calling<'_> {
    fn limits(&self, settings: &RouteSettings) -> Option<Limits> {
        let limits = || Limits::new(settings.limits, self.metrics, self.clock.clone());
        (!settings.limits.is_unlimited()).then(limits)
    }

    fn start(&self, settings: &RouteSettings) -> Result<Upstream, StartError> {
        let calling = settings.upstream.clone();
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        Upstream::start(calling, self.threads, metrics, clock, self.runtime)
            .map_err(|reason| StartError::Upstream { route: settings.name.clone(), reason })
    }
}
