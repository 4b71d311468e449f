//! From the settings of routes to a table that carries traffic.
//!
//! Invariants: a table is built whole before it takes the place of the one in force; what a
//! route says as before stays as it is, with its connections, its breaker and its rates;
//! exchanges under way end on the route on which they began.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::contracts::RouteContracts;
use super::enforcement::EnforcementFactory;
use super::error::StartError;
use crate::config::Config;
use crate::config::route::RouteSettings;
use crate::config::upstream::UpstreamSettings;
use crate::model::clock::Clock;
use crate::proxy::{Enforcement, ExchangeLimiter, ProxyMetrics, Route, RoutingTable, Upstream};

/// How long a table may wait until new upstreams are reachable.
const REACHABILITY_TIMEOUT: Duration = Duration::from_secs(2);

/// The table in force, and what routes are made of.
pub(super) struct Routing {
    pub(super) table: Arc<ArcSwap<RoutingTable>>,
    built: BuiltRoutes,
    pub(super) upstream_factory: UpstreamFactory,
    enforcement_factory: EnforcementFactory,
}

/// Routes and what each was made from, in the order of the settings.
#[derive(Default)]
pub(super) struct BuiltRoutes(Vec<(RouteSettings, Arc<Route>)>);

/// What upstreams are built with.
pub(super) struct UpstreamFactory {
    /// Traffic threads.
    pub(super) threads: usize,
    pub(super) metrics: ProxyMetrics,
    pub(super) clock: Arc<dyn Clock>,
    /// Where their background tasks run.
    pub(super) runtime: Handle,
}

// === impl Routing ===

impl Routing {
    /// A table without routes.
    pub(super) fn new(
        upstream_factory: UpstreamFactory,
        enforcement_factory: EnforcementFactory,
    ) -> Self {
        Self {
            table: Arc::default(),
            built: BuiltRoutes::default(),
            upstream_factory,
            enforcement_factory,
        }
    }

    /// Builds every route; nothing changes yet.
    pub(super) fn build(
        &self,
        config: &Config,
        contracts: &RouteContracts,
    ) -> Result<BuiltRoutes, StartError> {
        let mut upstreams: HashMap<UpstreamSettings, Arc<Upstream>> = self
            .built
            .routes()
            .map(|route| (route.upstream.settings().clone(), route.upstream.clone()))
            .collect();
        let mut built = Vec::new();
        for settings in &config.routes {
            let known = upstreams.get(&settings.upstream).cloned();
            let start = || self.upstream_factory.start(settings).map(Arc::new);
            let upstream = known.map_or_else(start, Ok)?;
            upstreams.insert(settings.upstream.clone(), upstream.clone());
            built.push((settings.clone(), self.route(settings, upstream, contracts)));
        }
        Ok(BuiltRoutes(built))
    }

    /// Puts what was built into force.
    pub(super) fn install(&mut self, built: BuiltRoutes) {
        self.table.store(Arc::new(built.table()));
        let previous = std::mem::replace(&mut self.built, built);
        let shares = |one: &Arc<Route>, others: &BuiltRoutes| {
            others.routes().any(|other| one.enforcement.shares_breaker(&other.enforcement))
        };
        for retired in previous.routes().filter(|route| !shares(route, &self.built)) {
            retired.enforcement.retire_breaker();
        }
        for new in self.built.routes().filter(|route| !shares(route, &previous)) {
            new.enforcement.register_breaker();
        }
    }

    /// Waits until the upstreams of `built` that are new were found reachable, but not for long: a
    /// table that takes over at once would not be ready until their first check.
    pub(super) async fn wait_until_reachable(&self, built: &BuiltRoutes) {
        const STEP: Duration = Duration::from_millis(10);
        let is_reachable = |route: &Arc<Route>| {
            let same = |previous: &Arc<Route>| Arc::ptr_eq(&previous.upstream, &route.upstream);
            route.upstream.reachable() || self.built.routes().any(same)
        };
        let all_reachable = async {
            while !built.routes().all(is_reachable) {
                tokio::time::sleep(STEP).await;
            }
        };
        let _ = tokio::time::timeout(REACHABILITY_TIMEOUT, all_reachable).await;
    }

    fn route(
        &self,
        settings: &RouteSettings,
        upstream: Arc<Upstream>,
        contracts: &RouteContracts,
    ) -> Arc<Route> {
        let slot = contracts.slot(&settings.contract);
        let contract = slot.map(|slot| slot.contract.clone()).unwrap_or_default();
        let previous = self.built.0.iter().find(|(previous, _)| previous.name == settings.name);
        if let Some((previous, route)) = previous
            && previous == settings
            && Arc::ptr_eq(&route.contract, &contract)
        {
            return route.clone();
        }
        Arc::new(Route {
            name: settings.name.clone(),
            stripped: if settings.strip_path { settings.path.clone() } else { String::new() },
            upstream,
            forwarded: settings.forwarded.clone(),
            enforcement: self.enforcement(settings, previous),
            body_limit: settings.body_limit,
            bodies: settings.bodies,
            limits: self.limits(settings, previous),
            contract,
        })
    }

    fn enforcement(
        &self,
        settings: &RouteSettings,
        previous: Option<&(RouteSettings, Arc<Route>)>,
    ) -> Arc<Enforcement> {
        let same = |previous: &RouteSettings| {
            previous.enforcement == settings.enforcement
                && previous.body_limit == settings.body_limit
        };
        match previous {
            Some((previous, route)) if same(previous) => route.enforcement.clone(),
            _ => self
                .enforcement_factory
                .for_route(settings, previous.map(|(_, route)| &*route.enforcement)),
        }
    }

    fn limits(
        &self,
        settings: &RouteSettings,
        previous: Option<&(RouteSettings, Arc<Route>)>,
    ) -> Option<Arc<ExchangeLimiter>> {
        match previous {
            Some((previous, route)) if previous.limits == settings.limits => route.limits.clone(),
            _ => self.upstream_factory.limits(settings),
        }
    }
}

// === impl BuiltRoutes ===

impl BuiltRoutes {
    fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter().map(|(_, route)| route)
    }

    fn table(&self) -> RoutingTable {
        let entry = |(settings, route): &(RouteSettings, Arc<Route>)| {
            (settings.host.clone(), settings.path.clone(), route.clone())
        };
        RoutingTable::new(self.0.iter().map(entry).collect())
    }
}

// === impl UpstreamFactory ===

impl UpstreamFactory {
    fn limits(&self, settings: &RouteSettings) -> Option<Arc<ExchangeLimiter>> {
        let limits =
            || Arc::new(ExchangeLimiter::new(settings.limits, &self.metrics, self.clock.clone()));
        (!settings.limits.is_unlimited()).then(limits)
    }

    fn start(&self, settings: &RouteSettings) -> Result<Upstream, StartError> {
        let upstream_settings = settings.upstream.clone();
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        Upstream::start(upstream_settings, self.threads, metrics, clock, &self.runtime)
            .map_err(|reason| StartError::Upstream { route: settings.name.clone(), reason })
    }
}
