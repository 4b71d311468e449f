//! The hash of a value's structure: its member names, nesting and scalar types, not its scalars.
//!
//! Invariants: two values that differ only in scalars of the same type, in the order of
//! members, or in how often an element of the same shape occurs in an array have one hash;
//! one pass over the entries, memory bounded by depth. Keys are hashed with a secret seed,
//! so that no client can make a message whose hash equals another's; hashes are comparable only
//! among hashers of one seed.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::arena::EntryKind;
use super::node::{At, Node};
use super::scan::first_word;

/// Distinct element shapes counted in one array; with more of them a hash is no longer exact.
const MAX_ARRAY_SHAPES: usize = 32;

const SCALAR: u64 = 1;
const ARRAY: u64 = 0x5bf0_3635;
const OBJECT: u64 = 0x7f4a_7c15;

/// The structure of a value as one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeHash {
    /// Covers the member names, where they are nested, and the types.
    pub number: u64,
    /// Whether values of the same number have the same structure; false where an array holds more
    /// than [`MAX_ARRAY_SHAPES`] different shapes.
    pub is_exact: bool,
}

/// Computes shape hashes, in memory of its own that is reused.
#[derive(Debug)]
pub struct ShapeHasher {
    seed: RandomState,
    /// What short keys are hashed with.
    secret: [u64; 2],
    open: Vec<HashedContainer>,
    /// Element hashes seen in the arrays that are open.
    seen: Vec<u64>,
}

/// A container whose children are being hashed.
#[derive(Debug, Clone, Copy)]
struct HashedContainer {
    end: u32,
    is_object: bool,
    sum: u64,
    key: u64,
    /// Where an array's element hashes begin in `seen`.
    seen_from: usize,
}

// === impl ShapeHasher ===

impl ShapeHasher {
    /// A hasher whose hashes equal those of others of the same seed.
    pub fn new(seed: RandomState) -> Self {
        let secret = [0_u64, 1].map(|number| seed.hash_one(number));
        Self { seed, secret, open: Vec::new(), seen: Vec::new() }
    }

    /// The hash of a key. Without the secret no two keys of one hash can be constructed.
    #[inline]
    fn key(&self, text: &[u8]) -> u64 {
        if text.len() > 16 {
            return self.seed.hash_one(text);
        }
        let [a, b] = self.secret;
        let (low, high) = (first_word(text), first_word(text.get(8..).unwrap_or_default()));
        // Words are filled up with zeros: the length separates a sent zero from a filled one.
        #[allow(clippy::cast_possible_truncation, reason = "at most 16")]
        mix(low ^ a.rotate_left(text.len() as u32), high ^ b)
    }

    /// The hash of `node`; none for a value that is in no arena.
    pub fn shape_hash(&mut self, node: Node<'_>) -> Option<ShapeHash> {
        let At::Entry(arena, root) = node.at else { return None };
        self.open.clear();
        self.seen.clear();
        let mut is_exact = true;
        let mut at = root;
        loop {
            let entry = arena.entries.get(at as usize)?;
            let mut number = match entry.kind {
                EntryKind::Key => {
                    let start = entry.start as usize;
                    let text = arena.text.as_bytes().get(start..start + entry.len as usize)?;
                    let key = self.key(text);
                    self.open.last_mut()?.key = key;
                    at += 1;
                    continue;
                }
                EntryKind::ShadowedKey => {
                    at = arena.entries.get(at as usize + 1)?.end;
                    continue;
                }
                EntryKind::Array | EntryKind::Object if entry.end > at + 1 => {
                    let is_object = entry.kind == EntryKind::Object;
                    let seen_from = self.seen.len();
                    self.open.push(HashedContainer {
                        end: entry.end,
                        is_object,
                        sum: 0,
                        key: 0,
                        seen_from,
                    });
                    at += 1;
                    continue;
                }
                kind => scalar(kind),
            };
            at += 1;
            loop {
                let Some(container) = self.open.last_mut() else {
                    return Some(ShapeHash { number, is_exact });
                };
                is_exact &= container.add(number, &mut self.seen);
                if at < container.end {
                    break;
                }
                number = mix(if container.is_object { OBJECT } else { ARRAY }, container.sum);
                self.seen.truncate(container.seen_from);
                self.open.pop();
            }
        }
    }
}

impl Default for ShapeHasher {
    fn default() -> Self {
        Self::new(RandomState::default())
    }
}

// === impl HashedContainer ===

impl HashedContainer {
    /// Adds the hash of a child; a sum does not depend on the order. False when the array already has
    /// too many shapes.
    #[inline]
    fn add(&mut self, number: u64, seen: &mut Vec<u64>) -> bool {
        if self.is_object {
            self.sum = self.sum.wrapping_add(mix(self.key, number));
            return true;
        }
        let here = seen.get(self.seen_from..).unwrap_or_default();
        if here.contains(&number) {
            return true;
        }
        if here.len() >= MAX_ARRAY_SHAPES {
            return false;
        }
        seen.push(number);
        self.sum = self.sum.wrapping_add(mix(ARRAY, number));
        true
    }
}

/// Scalars by their type, empty containers by theirs.
fn scalar(kind: EntryKind) -> u64 {
    match kind {
        EntryKind::True | EntryKind::False => SCALAR,
        EntryKind::Integer | EntryKind::Decimal => SCALAR + 1,
        other => SCALAR + 2 + other as u64,
    }
}

/// Two numbers in one; which comes first matters.
#[inline]
fn mix(a: u64, b: u64) -> u64 {
    const A: u64 = 0x9e37_79b9_7f4a_7c15;
    const B: u64 = 0xc2b2_ae3d_27d4_eb4f;
    let (a, b) = (a ^ A, b.rotate_left(32) ^ B);
    let high = (u128::from(a) * u128::from(b)) >> 64;
    high as u64 ^ a.wrapping_mul(b)
}

#[cfg(test)]
mod tests {
    use super::super::Arena;
    use super::*;

    fn seed() -> RandomState {
        static SEED: std::sync::OnceLock<RandomState> = std::sync::OnceLock::new();
        SEED.get_or_init(RandomState::default).clone()
    }

    fn of(text: &str) -> ShapeHash {
        let mut arena = Arena::default();
        let id = arena.parse(text.as_bytes()).unwrap();
        ShapeHasher::new(seed()).shape_hash(arena.node(id)).unwrap()
    }

    #[test]
    fn values_order_and_repetition_do_not_matter() {
        let same = [
            r#"{"a":1,"b":["x",null],"c":{"d":true}}"#,
            r#"{"c":{"d":false},"b":["yy",null,"z"],"a":-2.5e9}"#,
            r#"{"a":{"gone":1},"b":[null,"x"],"a":0,"c":{"d":true}}"#,
        ];
        for text in same {
            assert_eq!(of(text), of(same[0]), "{text}");
            assert!(of(text).is_exact);
        }
    }

    #[test]
    fn keys_types_and_nesting_matter() {
        let all = [
            "{}",
            "[]",
            "null",
            "1",
            "true",
            r#""x""#,
            "[[]]",
            "[{}]",
            "[1]",
            r#"["1"]"#,
            r#"{"a":1}"#,
            r#"{"b":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":null}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[]}"#,
            r#"{"a":{}}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"b":{"a":1}}"#,
            r#"[1,"1"]"#,
            r#"[{"a":1},{"b":1}]"#,
            r#"[{"a":1,"b":1}]"#,
            r#"{"a":{"b":1},"c":1}"#,
            r#"{"a":{"b":1,"c":1}}"#,
            r#"{"":1}"#,
            r#"{"\u0000":1}"#,
            r#"{"a\u0000":1}"#,
            r#"{"abcdefgh":1}"#,
            r#"{"abcdefgh\u0000":1}"#,
            r#"{"abcdefghijklmno":1}"#,
            r#"{"abcdefghijklmno\u0000":1}"#,
            r#"{"abcdefghijklmno\u0000p":1}"#,
            r#"{"ijklmnopabcdefgh":1}"#,
            r#"{"abcdefghijklmnop":1}"#,
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(of(one).number, of(other).number, "{one} {other}");
            }
        }
    }

    #[test]
    fn hashes_differ_between_seeds() {
        let mut arena = Arena::default();
        let id = arena.parse(br#"{"a":1}"#).unwrap();
        let other = ShapeHasher::default().shape_hash(arena.node(id)).unwrap();
        assert_ne!(other, of(r#"{"a":1}"#));
    }

    #[test]
    fn an_array_of_too_many_shapes_is_not_exact() {
        let array = |n: usize| {
            let items: Vec<_> = (0..n).map(|n| format!(r#"{{"k{n}":1}}"#)).collect();
            of(&format!("[{}]", items.join(",")))
        };
        assert!(array(MAX_ARRAY_SHAPES).is_exact);
        assert!(!array(MAX_ARRAY_SHAPES + 1).is_exact);
    }

    #[test]
    fn an_inner_value_has_its_own_hash() {
        let mut arena = Arena::default();
        let id = arena.parse(br#"[{"a":[{"b":1}]},{"a":2}]"#).unwrap();
        let inner = arena.node(id).items().next().unwrap();
        let hash = ShapeHasher::new(seed()).shape_hash(inner).unwrap();
        assert_eq!(hash, of(r#"{"a":[{"b":1}]}"#));
    }
}
