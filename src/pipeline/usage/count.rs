//! How often something was seen, first and last.

use crate::model::clock::Timestamp;

/// How often, first and last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TimedCount {
    pub(super) count: u64,
    pub(super) first: Timestamp,
    pub(super) last: Timestamp,
}

// === impl TimedCount ===

impl TimedCount {
    pub(super) fn add(&mut self, at: Timestamp) {
        if self.count == 0 {
            (self.first, self.last) = (at, at);
        }
        self.count += 1;
        self.first = self.first.min(at);
        self.last = self.last.max(at);
    }
}
