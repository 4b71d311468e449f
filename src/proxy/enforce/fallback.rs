//! Falling back to `warn` when too much is rejected, and coming back.

use std::sync::Arc;

use super::Enforcement;
use super::breaker::Trip;

// === impl Enforcement ===

impl Enforcement {
    /// Notes what became of an exchange that was enforced.
    pub(super) fn note(self: &Arc<Self>, rejected: bool) {
        let Some(breaker) = &self.breaker else { return };
        let Some(trip) = breaker.note(rejected, self.parts.clock.instant()) else { return };
        let Trip { rejected, seen } = trip;
        let route = self.parts.route.as_str();
        self.parts.metrics.breaker_opened(route);
        tracing::error!(
            event = "enforcement_suspended",
            route,
            rejected,
            seen,
            seconds = breaker.cooldown().as_secs(),
            "too much is rejected: enforcement falls back to warn"
        );
        // It shall come back in time even when no traffic asks for it.
        let (enforcement, cooldown) = (self.clone(), breaker.cooldown());
        tokio::spawn(async move {
            tokio::time::sleep(cooldown).await;
            enforcement.settle();
        });
    }

    /// Resumes enforcement if its pause is over.
    fn settle(&self) {
        let now = self.parts.clock.instant();
        if self.breaker.as_ref().is_some_and(|breaker| breaker.settle(now)) {
            self.resume();
        }
    }

    pub(super) fn resume(&self) {
        let route = self.parts.route.as_str();
        self.parts.metrics.breaker_closed(route);
        tracing::warn!(event = "enforcement_resumed", route, "enforcement is on again");
    }

    /// A sentence for the operator; `None` where nothing is enforced.
    pub fn state(&self) -> Option<String> {
        let settings = &self.parts.settings;
        if !settings.enforces() {
            return None;
        }
        let now = self.parts.clock.instant();
        if let Some((trip, left)) = self.breaker.as_ref().and_then(|breaker| breaker.open(now)) {
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
