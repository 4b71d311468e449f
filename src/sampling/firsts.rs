//! What has not come often yet.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Kinds remembered in all; beyond them nothing is a first any more.
const MOST_KINDS: usize = 65_536;
/// Kinds remembered of one operation, so that one whose messages all differ takes not all.
const MOST_OF_ONE: u32 = 4_096;

/// Keys are hashes already.
pub(super) type ByHash<V> = HashMap<u64, V, BuildHasherDefault<IdentityHasher>>;

/// Counts how often each kind came, up to a bound, in bounded memory.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    counts: ByHash<u8>,
    of_operation: ByHash<u32>,
}

#[derive(Debug, Default)]
pub(super) struct IdentityHasher(u64);

// === impl Firsts ===

impl Firsts {
    /// Whether `kind` of `operation` came fewer than `times` times before.
    pub(super) fn is_among(&mut self, times: u8, operation: u64, kind: u64) -> bool {
        if let Some(count) = self.counts.get_mut(&kind) {
            let is_among = *count < times;
            *count = count.saturating_add(1);
            return is_among;
        }
        let kinds = self.of_operation.entry(operation).or_default();
        if times == 0 || self.counts.len() >= MOST_KINDS || *kinds >= MOST_OF_ONE {
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
    use super::super::hash::mix;
    use super::*;

    #[test]
    fn the_first_few_of_each_kind() {
        let mut firsts = Firsts::default();
        let mut came = |kind| firsts.is_among(2, 1, kind);
        assert_eq!([came(7), came(7), came(7), came(8)], [true, true, false, true]);
    }

    #[test]
    fn memory_is_bounded_and_one_operation_does_not_take_all_of_it() {
        let mut firsts = Firsts::default();
        for kind in 0..100_000 {
            firsts.is_among(1, 1, mix(1, kind));
        }
        assert!(firsts.counts.len() <= MOST_OF_ONE as usize);
        assert!(firsts.is_among(1, 2, mix(2, 0)), "another operation has room");
        for kind in 0..200_000 {
            firsts.is_among(1, kind % 1000, mix(3, kind));
        }
        assert!(firsts.counts.len() <= MOST_KINDS);
    }
}
