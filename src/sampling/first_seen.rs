//! What has not come often yet.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// KindCounters remembered in all; beyond them nothing is a first any more.
const MAX_KINDS: usize = 65_536;
/// KindCounters remembered of one operation, so that one whose messages all differ takes not all.
const MAX_KINDS_PER_OPERATION: u32 = 4_096;

/// Keys are hashes already.
pub(super) type ByHash<V> = HashMap<u64, V, BuildHasherDefault<IdentityHasher>>;

/// Counts how often each kind came, up to a bound, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct FirstSeen {
    counts: ByHash<u8>,
    of_operation: ByHash<u32>,
}

#[derive(Debug, Default)]
pub(super) struct IdentityHasher(u64);

// === impl FirstSeen ===

impl FirstSeen {
    /// Whether `kind` of `operation` came fewer than `times` times before.
    pub(super) fn is_among_first(&mut self, times: u8, operation: u64, kind: u64) -> bool {
        if let Some(count) = self.counts.get_mut(&kind) {
            let is_among_first = *count < times;
            *count = count.saturating_add(1);
            return is_among_first;
        }
        let kinds = self.of_operation.entry(operation).or_default();
        if times == 0 || self.counts.len() >= MAX_KINDS || *kinds >= MAX_KINDS_PER_OPERATION {
            return false;
        }
        *kinds += 1;
        self.counts.insert(kind, 1);
        true
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.counts.clear();
        self.of_operation.clear();
    }
}

// === impl IdentityHasher ===

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::super::hash::combine;
    use super::*;

    #[test]
    fn the_first_exchanges_of_each_kind_are_taken() {
        let mut first_seen = FirstSeen::default();
        let mut came = |kind| first_seen.is_among_first(2, 1, kind);
        assert_eq!([came(7), came(7), came(7), came(8)], [true, true, false, true]);
    }

    #[test]
    fn memory_is_bounded_and_one_operation_does_not_take_all_of_it() {
        let mut first_seen = FirstSeen::default();
        for kind in 0..100_000 {
            first_seen.is_among_first(1, 1, combine(1, kind));
        }
        assert!(first_seen.counts.len() <= MAX_KINDS_PER_OPERATION as usize);
        assert!(first_seen.is_among_first(1, 2, combine(2, 0)), "another operation has room");
        for kind in 0..200_000 {
            first_seen.is_among_first(1, kind % 1000, combine(3, kind));
        }
        assert!(first_seen.counts.len() <= MAX_KINDS);
    }
}
