//! Waiting with an end.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take before a test fails; generous, because it is never waited out.
const PATIENCE: Duration = Duration::from_secs(20);

/// A moment after which waiting is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

// === impl Deadline ===

impl Deadline {
    /// The deadline of an ordinary wait.
    pub(crate) fn patient() -> Self {
        Self::after(PATIENCE)
    }

    /// A deadline `wait` from now.
    #[allow(clippy::disallowed_methods, reason = "the tests' own clock; no product code reads it")]
    pub(crate) fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// What is left, zero when it has passed.
    #[allow(clippy::disallowed_methods, reason = "the tests' own clock; no product code reads it")]
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub(crate) fn passed(self) -> bool {
        self.left().is_zero()
    }
}

/// Asks until `ask` answers, and fails naming `what` and the last refusal when time is up.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Deadline::patient();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(refusal) if deadline.passed() => {
                panic!("{what}: not in time; last seen: {refusal}")
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}
