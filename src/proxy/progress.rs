//! How a request's body comes along, and whose fault it is when it does not.
//!
//! A body counts what passes and whether it waits for more; whoever waits for the response looks
//! at it now and then. What must hold: a caller that drips, breaks off or sends too much is
//! never taken for a fault of the upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use super::metrics::UpstreamFailure;
use crate::config::limits::Pace;

/// The way of one request's body. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Marks>);

#[derive(Debug)]
struct Marks {
    pace: Pace,
    limit: u64,
    bytes: AtomicU64,
    waits: AtomicBool,
    over: AtomicBool,
    fault: AtomicU8,
}

/// What a downstream did wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It broke off, or what came was not framed as announced.
    Broken,
    /// It came too slowly.
    Slow,
    /// It is longer than may pass.
    TooLong,
}

/// A body that did not pass whole.
#[derive(Debug, thiserror::Error)]
pub enum Interrupted<E> {
    /// Its sender broke off.
    #[error(transparent)]
    Sender(E),
    /// It is longer than may pass.
    #[error("the body is longer than may pass")]
    TooLong,
}

/// What whoever waits for a response has seen of the body so far.
#[derive(Debug, Default)]
pub struct Look {
    bytes: u64,
    /// How long nothing has moved, and it was not the downstream's turn.
    still: Duration,
    /// How long the downstream has been measured, and what had passed before.
    measured: Duration,
    before: u64,
}

// === impl Progress ===

impl Progress {
    /// A body that has yet to begin, which may not be longer than `limit` nor slower than `pace`.
    pub fn new(pace: Pace, limit: u64) -> Self {
        Self(Arc::new(Marks {
            pace,
            limit,
            bytes: AtomicU64::new(0),
            waits: AtomicBool::new(false),
            over: AtomicBool::new(false),
            fault: AtomicU8::new(0),
        }))
    }

    /// Notes that `bytes` more have come; false when they are more than may pass.
    pub fn passed(&self, bytes: usize) -> bool {
        self.0.waits.store(false, Ordering::Relaxed);
        let before = self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        before.saturating_add(bytes as u64) <= self.0.limit
    }

    /// Notes that the downstream has yet to send more.
    pub fn waits(&self) {
        self.0.waits.store(true, Ordering::Relaxed);
    }

    /// Notes that the body is over, in whichever way.
    pub fn ended(&self) {
        self.0.waits.store(false, Ordering::Relaxed);
        self.0.over.store(true, Ordering::Relaxed);
    }

    /// Whether nothing more comes of the body.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }

    /// Notes what the downstream did wrong; the first fault counts.
    pub fn blame(&self, fault: Fault) {
        let order = Ordering::Relaxed;
        let _ = self.0.fault.compare_exchange(0, fault.number(), order, order);
    }

    /// What the downstream did wrong, if anything.
    pub fn fault(&self) -> Option<Fault> {
        let number = self.0.fault.load(Ordering::Relaxed);
        [Fault::Broken, Fault::Slow, Fault::TooLong].into_iter().find(|it| it.number() == number)
    }

    /// How often a look is worth taking where the upstream has `timeout` to answer.
    pub fn step(&self, timeout: Duration) -> Duration {
        timeout.min(self.0.pace.window)
    }

    /// Looks after `step`: fails when the upstream has been still for `timeout`, or when the
    /// downstream is too slow, which it is then blamed for.
    pub fn look(
        &self,
        look: &mut Look,
        step: Duration,
        timeout: Duration,
    ) -> Result<(), UpstreamFailure> {
        let bytes = self.0.bytes.load(Ordering::Relaxed);
        let moved = bytes != std::mem::replace(&mut look.bytes, bytes);
        if !self.0.waits.load(Ordering::Relaxed) {
            (look.measured, look.before) = (Duration::ZERO, bytes);
            look.still = if moved { Duration::ZERO } else { look.still + step };
            return if look.still >= timeout { Err(UpstreamFailure::Timeout) } else { Ok(()) };
        }
        look.still = Duration::ZERO;
        look.measured += step;
        if look.measured < self.0.pace.window {
            return Ok(());
        }
        if bytes.saturating_sub(look.before) < self.0.pace.least() {
            self.blame(Fault::Slow);
            return Err(UpstreamFailure::Timeout);
        }
        (look.measured, look.before) = (Duration::ZERO, bytes);
        Ok(())
    }
}

// === impl Fault ===

impl Fault {
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

    fn progress() -> Progress {
        Progress::new(Pace { min_rate: 10, window: SECOND * 5 }, 1000)
    }

    /// Looks once a second while `act` goes on; after how many something was found.
    fn found(progress: &Progress, act: impl Fn(u32)) -> Option<u32> {
        let mut look = Look::default();
        (1..100).find(|second| {
            act(*second);
            progress.look(&mut look, SECOND, SECOND * 20).is_err()
        })
    }

    #[test]
    fn a_body_that_drips_is_the_downstreams_fault() {
        let progress = progress();
        let drips = |_| {
            progress.passed(1);
            progress.waits();
        };
        assert_eq!(found(&progress, drips), Some(5));
        assert_eq!(progress.fault(), Some(Fault::Slow));
    }

    #[test]
    fn a_body_that_comes_along_may_take_its_time() {
        let progress = Progress::new(Pace { min_rate: 10, window: SECOND * 5 }, u64::MAX);
        let steady = |_| {
            progress.passed(20);
            progress.waits();
        };
        assert_eq!(found(&progress, steady), None);
    }

    #[test]
    fn an_upstream_that_does_not_take_the_body_or_does_not_answer_is_at_fault() {
        let progress = progress();
        progress.passed(100);
        assert_eq!(found(&progress, |_| {}), Some(21), "it moved once");
        assert_eq!(progress.fault(), None);
    }

    #[test]
    fn more_than_may_pass_does_not() {
        let progress = progress();
        assert!(progress.passed(1000) && !progress.passed(1));
        progress.blame(Fault::TooLong);
        progress.blame(Fault::Broken);
        assert_eq!(progress.fault(), Some(Fault::TooLong), "the first fault counts");
    }
}
