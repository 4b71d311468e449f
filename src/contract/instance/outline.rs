//! What a value looks like without its scalars, in one number.
//!
//! What must hold: two values that differ only in scalars of the same type, in the order of
//! members, or in how often an element of the same outline stands in an array have one outline;
//! one pass over the entries, memory bounded by depth. Keys are told apart by a hash with a secret
//! seed, so that nobody makes a message that passes for another's; numbers are good among outliners
//! of one seed only.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::arena::Kind;
use super::node::{At, Node};
use super::scan::first_word;

/// Outlines told apart in one array; with more of them an outline is no longer whole.
const MOST_IN_ARRAY: usize = 32;

const SCALAR: u64 = 1;
const ARRAY: u64 = 0x5bf0_3635;
const OBJECT: u64 = 0x7f4a_7c15;

/// The outline of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline {
    /// Stands for the members, their places and their types.
    pub number: u64,
    /// Whether values of the same number have the same members at the same places; not where an
    /// array holds too many different things.
    pub is_whole: bool,
}

/// Works outlines out, in memory of its own that is used again.
#[derive(Debug)]
pub struct Outliner {
    seed: RandomState,
    /// What short keys are hashed with.
    secret: [u64; 2],
    open: Vec<Level>,
    /// Outlines met in the arrays that are open.
    met: Vec<u64>,
}

/// A container that is open.
#[derive(Debug, Clone, Copy)]
struct Level {
    end: u32,
    is_object: bool,
    sum: u64,
    key: u64,
    /// Where an array's outlines begin.
    met_from: usize,
}

// === impl Outliner ===

impl Outliner {
    /// An outliner whose numbers agree with those of others of the same seed.
    pub fn new(seed: RandomState) -> Self {
        let secret = [0_u64, 1].map(|number| seed.hash_one(number));
        Self { seed, secret, open: Vec::new(), met: Vec::new() }
    }

    /// The number of a key. Nobody who does not know the secret can make two of one number.
    #[inline]
    fn key(&self, text: &[u8]) -> u64 {
        if text.len() > 16 {
            return self.seed.hash_one(text);
        }
        let [a, b] = self.secret;
        let (low, high) = (first_word(text), first_word(text.get(8..).unwrap_or_default()));
        // Words are filled up with zeros: the length tells a zero that was sent from one that was not.
        #[allow(clippy::cast_possible_truncation, reason = "at most 16")]
        mix(low ^ a.rotate_left(text.len() as u32), high ^ b)
    }

    /// The outline of `node`; none of a value that lies in no arena.
    pub fn outline(&mut self, node: Node<'_>) -> Option<Outline> {
        let At::Entry(arena, root) = node.at else { return None };
        self.open.clear();
        self.met.clear();
        let mut is_whole = true;
        let mut at = root;
        loop {
            let entry = arena.entries.get(at as usize)?;
            let mut number = match entry.kind {
                Kind::Key => {
                    let start = entry.start as usize;
                    let text = arena.text.as_bytes().get(start..start + entry.len as usize)?;
                    let key = self.key(text);
                    self.open.last_mut()?.key = key;
                    at += 1;
                    continue;
                }
                Kind::DeadKey => {
                    at = arena.entries.get(at as usize + 1)?.end;
                    continue;
                }
                Kind::Array | Kind::Object if entry.end > at + 1 => {
                    let is_object = entry.kind == Kind::Object;
                    let met_from = self.met.len();
                    self.open.push(Level { end: entry.end, is_object, sum: 0, key: 0, met_from });
                    at += 1;
                    continue;
                }
                kind => scalar(kind),
            };
            at += 1;
            loop {
                let Some(level) = self.open.last_mut() else {
                    return Some(Outline { number, is_whole });
                };
                is_whole &= level.add(number, &mut self.met);
                if at < level.end {
                    break;
                }
                number = mix(if level.is_object { OBJECT } else { ARRAY }, level.sum);
                self.met.truncate(level.met_from);
                self.open.pop();
            }
        }
    }
}

impl Default for Outliner {
    fn default() -> Self {
        Self::new(RandomState::default())
    }
}

// === impl Level ===

impl Level {
    /// Adds what stands inside; sums do not mind the order. False when it finds no place.
    #[inline]
    fn add(&mut self, number: u64, met: &mut Vec<u64>) -> bool {
        if self.is_object {
            self.sum = self.sum.wrapping_add(mix(self.key, number));
            return true;
        }
        let here = met.get(self.met_from..).unwrap_or_default();
        if here.contains(&number) {
            return true;
        }
        if here.len() >= MOST_IN_ARRAY {
            return false;
        }
        met.push(number);
        self.sum = self.sum.wrapping_add(mix(ARRAY, number));
        true
    }
}

/// Scalars by their type, empty containers by theirs.
fn scalar(kind: Kind) -> u64 {
    match kind {
        Kind::True | Kind::False => SCALAR,
        Kind::Integer | Kind::Decimal => SCALAR + 1,
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

    fn of(text: &str) -> Outline {
        let mut arena = Arena::default();
        let id = arena.parse(text.as_bytes()).unwrap();
        Outliner::new(seed()).outline(arena.node(id)).unwrap()
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
            assert!(of(text).is_whole);
        }
    }

    #[test]
    fn keys_types_and_nesting_do() {
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
    fn another_seed_has_other_numbers() {
        let mut arena = Arena::default();
        let id = arena.parse(br#"{"a":1}"#).unwrap();
        let other = Outliner::default().outline(arena.node(id)).unwrap();
        assert_ne!(other, of(r#"{"a":1}"#));
    }

    #[test]
    fn an_array_of_too_many_different_things_is_not_whole() {
        let array = |n: usize| {
            let items: Vec<_> = (0..n).map(|n| format!(r#"{{"k{n}":1}}"#)).collect();
            of(&format!("[{}]", items.join(",")))
        };
        assert!(array(MOST_IN_ARRAY).is_whole);
        assert!(!array(MOST_IN_ARRAY + 1).is_whole);
    }

    #[test]
    fn an_inner_value_has_an_outline_of_its_own() {
        let mut arena = Arena::default();
        let id = arena.parse(br#"[{"a":[{"b":1}]},{"a":2}]"#).unwrap();
        let inner = arena.node(id).items().next().unwrap();
        let outline = Outliner::new(seed()).outline(inner).unwrap();
        assert_eq!(outline, of(r#"{"a":[{"b":1}]}"#));
    }
}
