//! What enforcement on every route shares.

use std::sync::Arc;

use super::StartError;
use super::observing::Observing;
use crate::config::Config;
use crate::config::route::RouteSettings;
use crate::contract::Contract;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::observer::budget::Budget;
use crate::proxy::enforce::metrics::EnforcementMetrics;
use crate::proxy::{Enforcement, EnforcementParts, Inline, unknown_operations};
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Makes the enforcement of routes.
pub(super) struct Enforcing {
    judges: Arc<Inline>,
    budget: Budget,
    metrics: EnforcementMetrics,
    clock: Arc<dyn Clock>,
}

// === impl Enforcing ===

impl Enforcing {
    pub(super) fn new(
        config: &Config,
        metrics: &Metrics,
        observing: &Observing,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, MetricsError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (make_judge, usage) = (observing.make_judge.clone(), observing.usage.clone());
        let budget = Budget::new(config.enforcement_memory);
        let held = budget.clone();
        metrics.observed(
            "cvt_enforcement_buffered_bytes",
            "Bytes of heads and bodies buffered for enforcement.",
            move || held.used(),
        )?;
        Ok(Self {
            judges: Arc::new(Inline::new(make_judge, cores, usage, clock.clone())),
            budget,
            metrics: EnforcementMetrics::new(metrics)?,
            clock: clock.clone(),
        })
    }

    /// The enforcement of one route, in the place of the one `before`.
    pub(super) fn on(
        &self,
        route: &RouteSettings,
        before: Option<&Enforcement>,
    ) -> Arc<Enforcement> {
        let enforcement = Enforcement::new(EnforcementParts {
            route: route.name.clone(),
            settings: route.enforcement.clone(),
            body_limit: route.body_limit,
            judges: self.judges.clone(),
            budget: self.budget.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            ids: Arc::new(SystemIds),
        });
        Arc::new(match before {
            Some(before) => enforcement.after(before),
            None => enforcement,
        })
    }
}

/// Refuses settings that name operations which the route's contract does not list.
pub(super) fn check(route: &RouteSettings, contract: &Contract) -> Result<(), StartError> {
    let unknown = unknown_operations(&route.enforcement, contract);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(StartError::Operations { route: route.name.clone(), problems: unknown.join("; ") })
}
