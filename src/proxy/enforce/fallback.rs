//! Falling back to `warn` when too much is rejected, and coming back.
//!
//! What must hold: a breaker shows what it does only while it is in force; over a change of the
//! settings it stays as it is where its own stay, so that an edit elsewhere does not end a pause.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::Enforcement;
use super::breaker::{Breaker, Trip};
use super::metrics::BreakerSign;
use crate::config::enforcement::BreakerSettings;

/// A breaker and what shows it.
pub(super) struct Fallback {
    breaker: Breaker,
    /// Empty until it is in force.
    sign: OnceLock<BreakerSign>,
}

// === impl Fallback ===

impl Fallback {
    /// A breaker that is closed and shown nowhere.
    pub(super) fn new(settings: BreakerSettings, origin: Instant) -> Self {
        Self { breaker: Breaker::new(settings, origin), sign: OnceLock::new() }
    }

    fn show(&self, open: bool) {
        if let Some(sign) = self.sign.get() {
            sign.show(open);
        }
    }
}

// === impl Enforcement ===

impl Enforcement {
    /// Takes over the breaker of the one `before` where its settings are the same.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        if let (Some(new), Some(old)) = (&self.fallback, &before.fallback)
            && new.breaker.settings() == old.breaker.settings()
        {
            self.fallback = Some(old.clone());
        }
        self
    }

    /// Whether both have the same breaker.
    pub fn shares_breaker(&self, other: &Self) -> bool {
        let both = self.fallback.as_ref().zip(other.fallback.as_ref());
        both.is_some_and(|(one, other)| Arc::ptr_eq(one, other))
    }

    /// Its breaker comes into force.
    pub fn show_breaker(&self) {
        if let Some(fallback) = &self.fallback {
            let sign = self.parts.metrics.breaker_sign(&self.parts.route);
            sign.show(false);
            let _ = fallback.sign.set(sign);
        }
    }

    /// Its breaker is in force no longer, whatever exchanges under way still do.
    pub fn retire_breaker(&self) {
        let Some(fallback) = &self.fallback else { return };
        if fallback.breaker.retire() {
            self.say_resumed();
        }
        self.parts.metrics.forget_breaker(&self.parts.route);
    }

    /// Whether enforcement pauses; ends the pause when its time is over.
    pub(super) fn has_fallen_back(&self) -> bool {
        let Some(fallback) = &self.fallback else { return false };
        let now = self.parts.clock.instant();
        self.settle(now);
        fallback.breaker.open(now).is_some()
    }

    /// Notes what became of an exchange that was enforced.
    pub(super) fn note(self: &Arc<Self>, rejected: bool) {
        let Some(fallback) = &self.fallback else { return };
        let breaker = &fallback.breaker;
        let Some(trip) = breaker.note(rejected, self.parts.clock.instant()) else { return };
        let Trip { rejected, seen } = trip;
        let route = self.parts.route.as_str();
        self.parts.metrics.breaker_opened(route);
        fallback.show(true);
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
            enforcement.settle(enforcement.parts.clock.instant());
        });
    }

    /// Resumes enforcement if its pause is over.
    fn settle(&self, now: Instant) {
        if let Some(fallback) = &self.fallback
            && fallback.breaker.settle(now)
        {
            fallback.show(false);
            self.say_resumed();
        }
    }

    fn say_resumed(&self) {
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
        let fallback = self.fallback.as_ref();
        if let Some((trip, left)) = fallback.and_then(|it| it.breaker.open(now)) {
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
