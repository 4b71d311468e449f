//! The shape of a JSON text: its keys and types, without its values.
//!
//! Invariants: two texts that differ only in values, in the order of keys, or in how often
//! an element of the same shape stands in a list have one shape; time is linear, memory
//! bounded, and nothing is validated: a text that is no JSON has a shape too.

use memchr::memchr2;
use smallvec::SmallVec;

use super::hash::{combine, hash};

/// Levels that are distinguished; deeper ones are not.
const MAX_DEPTH: usize = 64;
/// Shapes told apart in one list.
const MAX_SHAPES_IN_LIST: usize = 32;

const NULL: u64 = 1;
const BOOLEAN: u64 = 2;
const NUMBER: u64 = 3;
const TEXT: u64 = 4;
const OBJECT: u64 = 5;
const LIST: u64 = 6;
const TOO_DEEP: u64 = 7;
const NO_JSON: u64 = 8;

/// A value that is open.
enum OpenValue {
    Object { sum: u64, key: u64 },
    List { sum: u64, seen: SmallVec<[u64; 4]> },
}

struct ShapeReader<'t> {
    text: &'t [u8],
    at: usize,
}

/// The shape of the JSON text at the start of `text`.
pub fn shape(text: &[u8]) -> u64 {
    ShapeReader { text, at: 0 }.shape().unwrap_or(NO_JSON)
}

// === impl ShapeReader ===

impl ShapeReader<'_> {
    /// Reads one value; nothing when it is none.
    fn shape(mut self) -> Option<u64> {
        let mut open: SmallVec<[OpenValue; 8]> = SmallVec::new();
        'value: loop {
            let mut shape = match self.opens()? {
                Ok(shape) => shape,
                Err(_) if open.len() >= MAX_DEPTH => return Some(TOO_DEEP),
                Err(level) => {
                    open.push(level);
                    continue;
                }
            };
            loop {
                let Some(level) = open.last_mut() else { return Some(shape) };
                level.add(shape);
                match (self.next()?, level) {
                    (b',', OpenValue::Object { key, .. }) => {
                        *key = self.key()?;
                        continue 'value;
                    }
                    (b',', OpenValue::List { .. }) => continue 'value,
                    (b'}', OpenValue::Object { sum, .. }) => shape = combine(OBJECT, *sum),
                    (b']', OpenValue::List { sum, .. }) => shape = combine(LIST, *sum),
                    _ => return None,
                }
                open.pop();
            }
        }
    }

    /// The shape of a value that is over at once, or what it opens.
    fn opens(&mut self) -> Option<Result<u64, OpenValue>> {
        Some(match self.next()? {
            b'{' if self.is_next(b'}') => Ok(combine(OBJECT, 0)),
            b'{' => Err(OpenValue::Object { sum: 0, key: self.key()? }),
            b'[' if self.is_next(b']') => Ok(combine(LIST, 0)),
            b'[' => Err(OpenValue::List { sum: 0, seen: SmallVec::new() }),
            b'"' => self.string().map(|_| Ok(TEXT))?,
            b'n' => self.word().map(|()| Ok(NULL))?,
            b't' | b'f' => self.word().map(|()| Ok(BOOLEAN))?,
            b'-' | b'0'..=b'9' => self.word().map(|()| Ok(NUMBER))?,
            _ => return None,
        })
    }

    /// The next byte that is not blank.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.get(self.at..)?;
        let blank = rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
        self.at += blank + 1;
        Some(rest[blank])
    }

    /// Passes `byte` if it comes next.
    fn is_next(&mut self, byte: u8) -> bool {
        let before = self.at;
        let found = self.next() == Some(byte);
        if !found {
            self.at = before;
        }
        found
    }

    fn key(&mut self) -> Option<u64> {
        if self.next()? != b'"' {
            return None;
        }
        let key = hash(self.string()?);
        (self.next()? == b':').then_some(key)
    }

    /// The rest of a string, without its closing quote.
    fn string(&mut self) -> Option<&[u8]> {
        let start = self.at;
        loop {
            let found = self.at + memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.text[found] == b'"' {
                self.at = found + 1;
                return Some(&self.text[start..found]);
            }
            self.at = found + 2;
        }
    }

    /// Passes the rest of a number or of a word.
    fn word(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let goes_on =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
        self.at += rest.iter().take_while(|byte| goes_on(byte)).count();
        Some(())
    }
}

// === impl OpenValue ===

impl OpenValue {
    /// Adds what stands inside; sums do not mind the order.
    fn add(&mut self, shape: u64) {
        match self {
            Self::Object { sum, key } => *sum = sum.wrapping_add(combine(*key, shape)),
            Self::List { sum, seen } => {
                if seen.len() < MAX_SHAPES_IN_LIST && !seen.contains(&shape) {
                    seen.push(shape);
                    *sum = sum.wrapping_add(combine(LIST, shape));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> u64 {
        shape(text.as_bytes())
    }

    #[test]
    fn values_order_and_repetition_do_not_matter() {
        let same = [
            r#"{"a":1,"b":["x",null],"c":{"d":true}}"#,
            r#" { "c" : {"d":false} , "b":["yy\"]}",null,"z"] , "a" : -2.5e9 } "#,
            r#"{"b":[null,"x"],"a":0,"c":{"d":true}}, more"#,
        ];
        for text in same {
            assert_eq!(of(text), of(same[0]), "{text}");
            assert_ne!(of(text), NO_JSON);
        }
    }

    #[test]
    fn keys_types_and_nesting_change_the_shape() {
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
            r#"{"a":{"b":1}}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"b":{"a":1}}"#,
            r#"[1,"1"]"#,
            "{oops",
        ];
        for (index, one) in all.iter().enumerate() {
            for other in &all[index + 1..] {
                assert_ne!(of(one), of(other), "{one} {other}");
            }
        }
    }

    #[test]
    fn deep_nesting_and_cut_texts_have_a_shape_too() {
        assert_eq!(of(&"[".repeat(100_000)), TOO_DEEP);
        for cut in [r#"{"a":1"#, r#"{"a"#, r#"{"a\"#, "", "[1,", r#"{"a":1]"#] {
            assert_eq!(of(cut), NO_JSON, "{cut}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_whatever_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            shape(&bytes);
        }

        #[test]
        fn what_looks_like_json_does_not_either(text in r#"[\[\]{}",:0a\\ ]{0,60}"#) {
            shape(text.as_bytes());
        }
    }
}
