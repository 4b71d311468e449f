//! What enforcement on every route shares.

use std::sync::Arc;

use super::error::StartError;
use super::pipeline::RunningPipeline;
use crate::config::Config;
use crate::config::route::RouteSettings;
use crate::contract::Contract;
use crate::exchange::memory_budget::Budget;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::proxy::enforce::metrics::EnforcementMetrics;
use crate::proxy::{Enforcement, EnforcementParts, InlineValidators, unknown_operations};
use crate::telemetry::metrics::{Metrics, MetricsError};

/// Makes the enforcement of routes.
pub(super) struct EnforcementFactory {
    validators: Arc<InlineValidators>,
    budget: Budget,
    metrics: EnforcementMetrics,
    clock: Arc<dyn Clock>,
}

// === impl EnforcementFactory ===

impl EnforcementFactory {
    pub(super) fn new(
        config: &Config,
        metrics: &Metrics,
        pipeline: &RunningPipeline,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, MetricsError> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (make_validator, usage) = (pipeline.make_validator.clone(), pipeline.usage.clone());
        let budget = Budget::new(config.enforcement_memory);
        let buffered = budget.clone();
        metrics.callback_gauge(
            "cvt_enforcement_buffered_bytes",
            "Bytes of heads and bodies buffered for enforcement.",
            move || buffered.used(),
        )?;
        Ok(Self {
            validators: Arc::new(InlineValidators::new(
                make_validator,
                cores,
                usage,
                clock.clone(),
            )),
            budget,
            metrics: EnforcementMetrics::new(metrics)?,
            clock: clock.clone(),
        })
    }

    /// The enforcement of one route, in the place of the `previous` one.
    pub(super) fn for_route(
        &self,
        route: &RouteSettings,
        previous: Option<&Enforcement>,
    ) -> Arc<Enforcement> {
        let enforcement = Enforcement::new(EnforcementParts {
            route: route.name.clone(),
            settings: route.enforcement.clone(),
            body_limit: route.body_limit,
            validators: self.validators.clone(),
            budget: self.budget.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            ids: Arc::new(SystemIds),
        });
        Arc::new(match previous {
            Some(previous) => enforcement.with_breaker_of(previous),
            None => enforcement,
        })
    }
}

/// Refuses settings that name operations which the route's contract does not list.
pub(super) fn check_operations(
    route: &RouteSettings,
    contract: &Contract,
) -> Result<(), StartError> {
    let unknown = unknown_operations(&route.enforcement, contract);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(StartError::Operations { route: route.name.clone(), problems: unknown.join("; ") })
}
