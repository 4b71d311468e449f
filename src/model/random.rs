//! Randomness as a value that is passed in.
//!
//! Nothing but [`SystemRandom`] asks the operating system for random bytes.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where random bytes come from.
pub trait RandomSource: Send + Sync + 'static {
    /// Fills `bytes`, or fails where the system has no random bytes.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomUnavailable>;
}

/// The operating system has no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system has no random bytes")]
pub struct RandomUnavailable;

/// The operating system's generator, safe for keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

/// Pseudo-random bytes, the same for the same seed. For tests.
#[derive(Debug)]
pub struct SeededRandom(AtomicU64);

/// A factor from 0.5 to 1.5 that spreads retries which would otherwise happen everywhere at once;
/// 1 where there are no random bytes.
pub fn jitter(random: &dyn RandomSource) -> f64 {
    let mut bytes = [0; 4];
    match random.fill(&mut bytes) {
        Ok(()) => 0.5 + f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX),
        Err(RandomUnavailable) => 1.0,
    }
}

// === impl SystemRandom ===

impl RandomSource for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomUnavailable> {
        getrandom::fill(bytes).map_err(|_| RandomUnavailable)
    }
}

// === impl SeededRandom ===

impl SeededRandom {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl RandomSource for SeededRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomUnavailable> {
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
    fn seeded_random_repeats_and_system_random_does_not() {
        let draw = |random: &dyn RandomSource| {
            let mut bytes = [0; 20];
            random.fill(&mut bytes).unwrap();
            bytes
        };
        assert_ne!(draw(&SystemRandom), draw(&SystemRandom));
        assert_eq!(draw(&SeededRandom::new(7)), draw(&SeededRandom::new(7)));
        let seeded = SeededRandom::new(7);
        assert_ne!(draw(&seeded), draw(&seeded));
        for _ in 0..1_000 {
            assert!((0.5..=1.5).contains(&jitter(&seeded)));
        }
    }
}
