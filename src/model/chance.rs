//! Randomness as a value that is passed in.
//!
//! Nothing but [`SystemChance`] asks the operating system for random bytes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where random bytes come from.
pub trait Chance: Send + Sync + 'static {
    /// Fills `bytes`, or says that the system gives none.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoChance>;
}

/// The operating system gives no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoChance;

/// The operating system's generator, fit for keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemChance;

/// Numbers that only look random and come again for the same seed. For tests.
#[derive(Debug)]
pub struct SeededChance(AtomicU64);

/// A factor from 0.5 to 1.5 that spreads what would otherwise happen everywhere at once; 1
/// where there is no chance.
pub fn jitter(chance: &dyn Chance) -> f64 {
    let mut bytes = [0; 4];
    match chance.fill(&mut bytes) {
        Ok(()) => 0.5 + f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(NoChance) => 1.0,
    }
}

// === impl SystemChance ===

impl Chance for SystemChance {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoChance> {
        getrandom::fill(bytes).map_err(|_| NoChance)
    }
}

// === impl SeededChance ===

impl SeededChance {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Chance for SeededChance {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoChance> {
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            let random = (z ^ z >> 31).to_le_bytes();
            chunk.copy_from_slice(&random[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_does_not_repeat_itself_and_a_seed_does() {
        let draw = |chance: &dyn Chance| {
            let mut bytes = [0; 20];
            chance.fill(&mut bytes).unwrap();
            bytes
        };
        assert_ne!(draw(&SystemChance), draw(&SystemChance));
        assert_eq!(draw(&SeededChance::new(7)), draw(&SeededChance::new(7)));
        let seeded = SeededChance::new(7);
        assert_ne!(draw(&seeded), draw(&seeded));
        for _ in 0..1_000 {
            assert!((0.5..=1.5).contains(&jitter(&seeded)));
        }
    }
}
