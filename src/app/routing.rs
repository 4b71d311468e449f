//! From the settings of routes to a table that carries traffic.
//!
//! What must hold: a table is built whole before it takes the place of the one in force; what a
//! route says as before stays as it is, with its connections, its breaker and its rates;
//! exchanges under way end on the route on which they began.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;

use super::StartError;
use super::contracts::Contracts;
use super::enforcing::Enforcing;
use crate::config::Config;
use crate::config::route::RouteSettings;
use crate::config::upstream::UpstreamSettings;
use crate::model::clock::Clock;
use crate::proxy::{Enforcement, Limits, ProxyMetrics, Route, RouteTable, Upstream};

/// How long a table may wait for the first word from upstreams that are new.
const ACQUAINTANCE: Duration = Duration::from_secs(2);

/// The table in force, and what routes are made of.
pub(super) struct Routing {
    pub(super) table: Arc<ArcSwap<RouteTable>>,
    built: Built,
    pub(super) calling: Calling,
    enforcing: Enforcing,
}

/// Routes and what each was made from, in the order of the settings.
#[derive(Default)]
pub(super) struct Built(Vec<(RouteSettings, Arc<Route>)>);

/// What upstreams are built with.
pub(super) struct Calling {
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
    pub(super) fn new(calling: Calling, enforcing: Enforcing) -> Self {
        Self { table: Arc::default(), built: Built::default(), calling, enforcing }
    }

    /// Builds every route; nothing changes yet.
    pub(super) fn build(
        &self,
        config: &Config,
        contracts: &Contracts,
    ) -> Result<Built, StartError> {
        let mut upstreams: HashMap<UpstreamSettings, Arc<Upstream>> = self
            .built
            .routes()
            .map(|route| (route.upstream.settings().clone(), route.upstream.clone()))
            .collect();
        let mut built = Vec::new();
        for settings in &config.routes {
            let known = upstreams.get(&settings.upstream).cloned();
            let start = || self.calling.start(settings).map(Arc::new);
            let upstream = known.map_or_else(start, Ok)?;
            upstreams.insert(settings.upstream.clone(), upstream.clone());
            built.push((settings.clone(), self.route(settings, upstream, contracts)));
        }
        Ok(Built(built))
    }

    /// Puts what was built into force.
    pub(super) fn install(&mut self, built: Built) {
        self.table.store(Arc::new(built.table()));
        let before = std::mem::replace(&mut self.built, built);
        let shares = |one: &Arc<Route>, others: &Built| {
            others.routes().any(|other| one.enforcement.shares_breaker(&other.enforcement))
        };
        for gone in before.routes().filter(|route| !shares(route, &self.built)) {
            gone.enforcement.retire_breaker();
        }
        for new in self.built.routes().filter(|route| !shares(route, &before)) {
            new.enforcement.show_breaker();
        }
    }

    /// Waits until the upstreams of `built` that are new were found reachable, but not long: a
    /// table that takes over at once would not be ready until their first check.
    pub(super) async fn acquaint(&self, built: &Built) {
        const STEP: Duration = Duration::from_millis(10);
        let known = |route: &Arc<Route>| {
            let same = |before: &Arc<Route>| Arc::ptr_eq(&before.upstream, &route.upstream);
            route.upstream.reachable() || self.built.routes().any(same)
        };
        let all_known = async {
            while !built.routes().all(known) {
                tokio::time::sleep(STEP).await;
            }
        };
        let _ = tokio::time::timeout(ACQUAINTANCE, all_known).await;
    }

    fn route(
        &self,
        settings: &RouteSettings,
        upstream: Arc<Upstream>,
        contracts: &Contracts,
    ) -> Arc<Route> {
        let slot = contracts.slot(&settings.contract);
        let contract = slot.map(|slot| slot.contract.clone()).unwrap_or_default();
        let before = self.built.0.iter().find(|(before, _)| before.name == settings.name);
        if let Some((before, route)) = before
            && before == settings
            && Arc::ptr_eq(&route.contract, &contract)
        {
            return route.clone();
        }
        Arc::new(Route {
            name: settings.name.clone(),
            stripped: if settings.strip_path { settings.path.clone() } else { String::new() },
            upstream,
            forwarded: settings.forwarded.clone(),
            enforcement: self.enforcement(settings, before),
            body_limit: settings.body_limit,
            bodies: settings.bodies,
            limits: self.limits(settings, before),
            contract,
        })
    }

    fn enforcement(
        &self,
        settings: &RouteSettings,
        before: Option<&(RouteSettings, Arc<Route>)>,
    ) -> Arc<Enforcement> {
        let same = |before: &RouteSettings| {
            before.enforcement == settings.enforcement && before.body_limit == settings.body_limit
        };
        match before {
            Some((before, route)) if same(before) => route.enforcement.clone(),
            _ => self.enforcing.on(settings, before.map(|(_, route)| &*route.enforcement)),
        }
    }

    fn limits(
        &self,
        settings: &RouteSettings,
        before: Option<&(RouteSettings, Arc<Route>)>,
    ) -> Option<Arc<Limits>> {
        match before {
            Some((before, route)) if before.limits == settings.limits => route.limits.clone(),
            _ => self.calling.limits(settings),
        }
    }
}

// === impl Built ===

impl Built {
    fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter().map(|(_, route)| route)
    }

    fn table(&self) -> RouteTable {
        let place = |(settings, route): &(RouteSettings, Arc<Route>)| {
            (settings.host.clone(), settings.path.clone(), route.clone())
        };
        RouteTable::new(self.0.iter().map(place).collect())
    }
}

// === impl Calling ===

impl Calling {
    fn limits(&self, settings: &RouteSettings) -> Option<Arc<Limits>> {
        let limits = || Arc::new(Limits::new(settings.limits, &self.metrics, self.clock.clone()));
        (!settings.limits.is_unlimited()).then(limits)
    }

    fn start(&self, settings: &RouteSettings) -> Result<Upstream, StartError> {
        let calling = settings.upstream.clone();
        let (metrics, clock) = (self.metrics.clone(), self.clock.clone());
        Upstream::start(calling, self.threads, metrics, clock, &self.runtime)
            .map_err(|reason| StartError::Upstream { route: settings.name.clone(), reason })
    }
}
