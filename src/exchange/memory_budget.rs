//! How much memory may be held for validation, in all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes that captures and queue share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<BudgetState>,
}

/// Bytes taken from a [`Budget`]; they go back when this is dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Budget,
    bytes: usize,
}

#[derive(Debug)]
struct BudgetState {
    used: AtomicUsize,
    limit: usize,
}

// === impl Budget ===

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { shared: Arc::new(BudgetState { used: AtomicUsize::new(0), limit }) }
    }

    /// Takes `bytes`, or nothing when that many are not left. Never waits.
    pub fn reserve(&self, bytes: usize) -> Option<Reservation> {
        let mut reservation = Reservation { budget: self.clone(), bytes: 0 };
        reservation.grow(bytes).then_some(reservation)
    }

    /// Bytes taken now.
    pub fn used(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }
}

// === impl Reservation ===

impl Reservation {
    /// Takes `bytes` more; false, and nothing taken, when that many are not left.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let shared = &self.budget.shared;
        let before = shared.used.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > shared.limit {
            shared.used.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }

    /// Whether half of the whole budget is taken.
    pub fn is_budget_half_used(&self) -> bool {
        self.budget.used() > self.budget.shared.limit / 2
    }

    /// Bytes taken by this reservation.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_never_exceed_the_limit_and_are_returned() {
        let budget = Budget::new(10);
        let mut first = budget.reserve(6).unwrap();
        assert!(budget.reserve(5).is_none());
        assert!(first.grow(4));
        assert!(!first.grow(1));
        assert_eq!((budget.used(), first.bytes()), (10, 10));
        drop(first);
        assert_eq!(budget.used(), 0);
    }
}
