//! Hashes that are the same in every process and every release: replicas agree by them.

/// A hash of `bytes`: FNV-1a, finished as MurmurHash3 finishes.
pub fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    finish(fnv)
}

/// A hash of two hashes; which comes first matters.
pub fn combine(a: u64, b: u64) -> u64 {
    finish(a.rotate_left(25).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ b)
}

fn finish(mut hash: u64) -> u64 {
    hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ hash >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_never_change() {
        assert_eq!(hash(b"request-1"), hash(b"request-1"));
        assert_ne!(hash(b"request-1"), hash(b"request-2"));
        assert_ne!(combine(1, 2), combine(2, 1));
        // What replicas of different releases must agree on.
        assert_eq!((hash(b""), hash(b"cvt")), (HASH_OF_NOTHING, HASH_OF_CVT));
    }

    const HASH_OF_NOTHING: u64 = 17_280_346_270_528_514_342;
    const HASH_OF_CVT: u64 = 1_178_923_458_175_030_491;
}
