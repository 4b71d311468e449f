//! The progress of a request's body, and whose fault it is when there is none.
//!
//! A body counts what passes and whether it waits for more; the exchange checks it
//! at intervals while it waits for the response. Invariants: a caller that drips, breaks off or sends too much is
//! never taken for a fault of the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use crate::config::limits::MinRate;
use crate::proxy::metrics::UpstreamFailure;

/// The progress of one request's body. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BodyProgress(Arc<ProgressState>);

#[derive(Debug)]
struct ProgressState {
    pace: MinRate,
    limit: u64,
    bytes: AtomicU64,
    waiting: AtomicBool,
    ended: AtomicBool,
    fault: AtomicU8,
}

/// What a downstream did wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyFault {
    /// It broke off, or what came was not framed as announced.
    Broken,
    /// It came too slowly.
    Slow,
    /// It is longer than may pass.
    TooLong,
}

/// Why a body did not pass whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError<E> {
    /// Its sender broke off.
    #[error(transparent)]
    Sender(E),
    /// It is longer than may pass.
    #[error("the body is longer than may pass")]
    TooLong,
}

/// What earlier checks have seen of the body.
#[derive(Debug, Default)]
pub struct StallTracker {
    bytes: u64,
    /// How long nothing has moved, and it was not the downstream's turn.
    still: Duration,
    /// How long the downstream has been measured, and what had passed before.
    measured: Duration,
    before: u64,
}

// === impl BodyProgress ===

impl BodyProgress {
    /// A body that has yet to begin, which may not be longer than `limit` nor slower than `pace`.
    pub fn new(pace: MinRate, limit: u64) -> Self {
        Self(Arc::new(ProgressState {
            pace,
            limit,
            bytes: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            fault: AtomicU8::new(0),
        }))
    }

    /// Records that `bytes` more have come; false when they are more than may pass.
    pub fn record_bytes(&self, bytes: usize) -> bool {
        self.0.waiting.store(false, Ordering::Relaxed);
        let before = self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        before.saturating_add(bytes as u64) <= self.0.limit
    }

    /// Records that the body waits for the downstream.
    pub fn mark_waiting(&self) {
        self.0.waiting.store(true, Ordering::Relaxed);
    }

    /// Records that the body has ended, in whichever way.
    pub fn mark_ended(&self) {
        self.0.waiting.store(false, Ordering::Relaxed);
        self.0.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the body has ended.
    pub fn is_ended(&self) -> bool {
        self.0.ended.load(Ordering::Relaxed)
    }

    /// Records what the downstream did wrong; the first fault counts.
    pub fn record_fault(&self, fault: BodyFault) {
        let order = Ordering::Relaxed;
        let _ = self.0.fault.compare_exchange(0, fault.number(), order, order);
    }

    /// What the downstream did wrong, if anything.
    pub fn fault(&self) -> Option<BodyFault> {
        let number = self.0.fault.load(Ordering::Relaxed);
        [BodyFault::Broken, BodyFault::Slow, BodyFault::TooLong]
            .into_iter()
            .find(|it| it.number() == number)
    }

    /// The time between two checks where the upstream has `timeout` to answer.
    pub fn check_interval(&self, timeout: Duration) -> Duration {
        timeout.min(self.0.pace.window)
    }

    /// Call after each `interval`: fails when the upstream has been still for `timeout`, or when the
    /// downstream is too slow, which it is then blamed for.
    pub fn check(
        &self,
        stall: &mut StallTracker,
        interval: Duration,
        timeout: Duration,
    ) -> Result<(), UpstreamFailure> {
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        let advanced = bytes != std::mem::replace(&mut stall.bytes, bytes);
        if !self.0.waiting.load(Ordering::Relaxed) {
            (stall.measured, stall.before) = (Duration::ZERO, bytes);
            stall.still = if advanced { Duration::ZERO } else { stall.still + interval };
            return if stall.still >= timeout { Err(UpstreamFailure::Timeout) } else { Ok(()) };
        }
        stall.still = Duration::ZERO;
        stall.measured += interval;
        if stall.measured < self.0.pace.window {
            return Ok(());
        }
        if bytes.saturating_sub(stall.before) < self.0.pace.bytes_per_window() {
            self.record_fault(BodyFault::Slow);
            return Err(UpstreamFailure::Timeout);
        }
        (stall.measured, stall.before) = (Duration::ZERO, bytes);
        Ok(())
    }
}

// === impl BodyFault ===

impl BodyFault {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Broken => "body_broken",
            Self::Slow => "slow_body",
            Self::TooLong => "request_body_too_large",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Broken => 1,
            Self::Slow => 2,
            Self::TooLong => 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn progress() -> BodyProgress {
        BodyProgress::new(MinRate { bytes_per_second: 10, window: SECOND * 5 }, 1000)
    }

    /// Checks once a second while `act` goes on; after how many something was found.
    fn found(progress: &BodyProgress, act: impl Fn(u32)) -> Option<u32> {
        let mut stall = StallTracker::default();
        (1..100).find(|second| {
            act(*second);
            progress.check(&mut stall, SECOND, SECOND * 20).is_err()
        })
    }

    #[test]
    fn a_body_that_drips_is_the_downstreams_fault() {
        let progress = progress();
        let drips = |_| {
            progress.record_bytes(1);
            progress.mark_waiting();
        };
        assert_eq!(found(&progress, drips), Some(5));
        assert_eq!(progress.fault(), Some(BodyFault::Slow));
    }

    #[test]
    fn a_steady_body_has_no_time_limit() {
        let progress =
            BodyProgress::new(MinRate { bytes_per_second: 10, window: SECOND * 5 }, u64::MAX);
        let steady = |_| {
            progress.record_bytes(20);
            progress.mark_waiting();
        };
        assert_eq!(found(&progress, steady), None);
    }

    #[test]
    fn an_upstream_that_does_not_take_the_body_or_does_not_answer_is_at_fault() {
        let progress = progress();
        progress.record_bytes(100);
        assert_eq!(found(&progress, |_| {}), Some(21), "it advanced once");
        assert_eq!(progress.fault(), None);
    }

    #[test]
    fn bytes_over_the_limit_are_reported() {
        let progress = progress();
        assert!(progress.record_bytes(1000) && !progress.record_bytes(1));
        progress.record_fault(BodyFault::TooLong);
        progress.record_fault(BodyFault::Broken);
        assert_eq!(progress.fault(), Some(BodyFault::TooLong), "the first fault counts");
    }
}
