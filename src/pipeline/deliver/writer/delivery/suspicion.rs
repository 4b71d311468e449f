//! Whether an error of unknown meaning is about a batch or about storage.
//!
//! Invariants: a batch that stands alone is refused after two failures, the second through
//! another connection than the first; when several are refused and none is stored in between,
//! storage itself is the more likely cause, and further ones are refused one in
//! [`SLOW_REFUSAL`] only, so that one bad batch never keeps all others waiting for good.

use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

/// Refusals without a success in between that are taken for bad batches.
const REFUSALS: u32 = 3;
/// Time between two refusals beyond these.
const SLOW_REFUSAL: Duration = Duration::from_mins(1);

/// What is known about batches that failed alone.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    batch: Option<Uuid>,
    refusals: u32,
    last: Option<Instant>,
}

// === impl Suspicion ===

impl Suspicion {
    /// Whether the batch, which just failed alone, did so before and is to be refused.
    pub(super) fn confirms(&mut self, batch: Option<Uuid>, now: Instant) -> bool {
        if self.batch.is_none() || self.batch != batch {
            self.batch = batch;
            return false;
        }
        let recent = self.last.is_some_and(|last| now.duration_since(last) < SLOW_REFUSAL);
        if self.refusals >= REFUSALS && recent {
            return false;
        }
        *self = Self { batch: None, refusals: self.refusals + 1, last: Some(now) };
        true
    }

    /// Something was stored: storage is well.
    pub(super) fn clear(&mut self) {
        self.refusals = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_refused_after_its_second_failure_and_storage_is_suspected_after_three() {
        let mut suspicion = Suspicion::default();
        let id = |n| Some(Uuid::from_u128(n));
        let now = Instant::now();
        for n in 0..3 {
            assert!(!suspicion.confirms(id(n), now), "{n}: the first failure");
            assert!(suspicion.confirms(id(n), now), "{n}: the second failure");
        }
        for _ in 0..5 {
            assert!(!suspicion.confirms(id(3), now), "storage is suspected");
        }
        let later = now + SLOW_REFUSAL;
        assert!(suspicion.confirms(id(3), later), "one a minute");
        suspicion.clear();
        assert!(!suspicion.confirms(id(4), later));
        assert!(suspicion.confirms(id(4), later), "storage is well");
    }
}
