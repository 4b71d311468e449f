//! Falling back to `warn` when too much is rejected, and coming back.
//!
//! Invariants: a breaker sets its gauge only while it is in force; a reload keeps it where its
//! own settings are unchanged, so that an edit elsewhere does not end a pause.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::Enforcement;
use super::breaker::{Breaker, BreakerTrip};
use super::metrics::BreakerGauge;
use crate::config::enforcement::BreakerSettings;

/// A breaker and its gauge.
pub(super) struct BreakerState {
    breaker: Breaker,
    /// Empty until it is in force.
    gauge: OnceLock<BreakerGauge>,
}

// === impl BreakerState ===

impl BreakerState {
    /// A closed breaker without a gauge.
    pub(super) fn new(settings: BreakerSettings, origin: Instant) -> Self {
        Self { breaker: Breaker::new(settings, origin), gauge: OnceLock::new() }
    }

    fn set_open(&self, open: bool) {
        if let Some(gauge) = self.gauge.get() {
            gauge.set_open(open);
        }
    }
}

// === impl Enforcement ===

impl Enforcement {
    /// Takes over the breaker of the one `before` where its settings are the same.
    #[must_use]
    pub fn with_breaker_of(mut self, before: &Self) -> Self {
        if let (Some(new), Some(old)) = (&self.breaker, &before.breaker)
            && new.breaker.settings() == old.breaker.settings()
        {
            self.breaker = Some(old.clone());
        }
        self
    }

    /// Whether both have the same breaker.
    pub fn shares_breaker(&self, other: &Self) -> bool {
        let both = self.breaker.as_ref().zip(other.breaker.as_ref());
        both.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Puts its breaker into force.
    pub fn register_breaker(&self) {
        if let Some(state) = &self.breaker {
            let gauge = self.parts.metrics.breaker_gauge(&self.parts.route);
            gauge.set_open(false);
            let _ = state.gauge.set(gauge);
        }
    }

    /// Retires its breaker; exchanges under way no longer change it.
    pub fn retire_breaker(&self) {
        let Some(state) = &self.breaker else { return };
        if state.breaker.retire() {
            self.log_resumed();
        }
        self.parts.metrics.remove_breaker(&self.parts.route);
    }

    /// Whether enforcement pauses; ends the pause when its time is over.
    pub(super) fn breaker_is_open(&self) -> bool {
        let Some(state) = &self.breaker else { return false };
        let now = self.parts.clock.instant();
        self.resume_if_due(now);
        state.breaker.open(now).is_some()
    }

    /// Records whether an enforced exchange was rejected.
    pub(super) fn record_outcome(self: &Arc<Self>, rejected: bool) {
        let Some(state) = &self.breaker else { return };
        let breaker = &state.breaker;
        let Some(trip) = breaker.record(rejected, self.parts.clock.instant()) else { return };
        let BreakerTrip { rejected, seen } = trip;
        let route = self.parts.route.as_str();
        self.parts.metrics.record_breaker_opened(route);
        state.set_open(true);
        tracing::error!(
            event = "enforcement_suspended",
            route,
            rejected,
            seen,
            seconds = breaker.cooldown().as_secs(),
            "too much is rejected: enforcement falls back to warn"
        );
        // Enforcement resumes in time even if there is no traffic.
        let (enforcement, cooldown) = (self.clone(), breaker.cooldown());
        tokio::spawn(async move {
            tokio::time::sleep(cooldown).await;
            enforcement.resume_if_due(enforcement.parts.clock.instant());
        });
    }

    /// Resumes enforcement if its pause is over.
    fn resume_if_due(&self, now: Instant) {
        if let Some(state) = &self.breaker
            && state.breaker.close_if_due(now)
        {
            state.set_open(false);
            self.log_resumed();
        }
    }

    fn log_resumed(&self) {
        let route = self.parts.route.as_str();
        tracing::warn!(event = "enforcement_resumed", route, "enforcement is on again");
    }

    /// A sentence for the operator; `None` where nothing is enforced.
    pub fn state(&self) -> Option<String> {
        let settings = &self.parts.settings;
        if !settings.enforces() {
            return None;
        }
        let now = self.parts.clock.instant();
        let state = self.breaker.as_ref();
        if let Some((trip, left)) = state.and_then(|it| it.breaker.open(now)) {
            return Some(format!(
                "fell back to warn: {} of {} exchanges were rejected; enforces again in {} s",
                trip.rejected,
                trip.seen,
                left.as_secs() + 1
            ));
        }
        Some(format!("enforces {} of traffic", settings.share))
    }
}
