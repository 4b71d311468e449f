//! RFC 8259 text into an [`Arena`], in one pass and without recursion.

use thiserror::Error;

use super::arena::{Arena, Kind, NodeId, key_hash};
use crate::contract::number;

/// Why bytes are not a JSON text, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{kind} at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Bytes before the place.
    pub offset: usize,
}

/// What can be wrong with a JSON text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JsonErrorKind {
    /// Not UTF-8 (RFC 8259 §8.1).
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// The text ended where something else had to follow.
    #[error("the text ends too early, expected {0}")]
    Incomplete(&'static str),
    /// Another character than the grammar allows.
    #[error("expected {0}")]
    Expected(&'static str),
    /// More text after the value.
    #[error("expected the end of the text")]
    Trailing,
    /// A well-formed text beyond [`Arena::max_depth`]: not judged rather than wrong.
    #[error("the text is nested too deep to be judged")]
    TooDeep,
    /// A text of four gigabytes or more: not judged rather than wrong.
    #[error("the text is too long to be judged")]
    TooLong,
}

/// One pass over a text that is already in the arena's own text.
struct Parser<'t> {
    bytes: &'t [u8],
    at: usize,
    /// Where the text stands in the arena's text.
    base: u32,
    /// Containers open when the pass began: those belong to the caller.
    floor: usize,
}

impl Arena {
    /// Reads one JSON text.
    ///
    /// Linear in the bytes; depth is bounded by [`Arena::max_depth`]. A byte order mark is
    /// skipped. Half a surrogate pair, which RFC 8259 lets through and UTF-8 cannot hold, becomes
    /// U+FFFD. On an error the arena is as it was, but for memory.
    pub fn parse(&mut self, bytes: &[u8]) -> Result<NodeId, JsonError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| JsonErrorKind::NotUtf8.at(error.valid_up_to()))?;
        let room = u32::MAX as usize / 4;
        if text.len() + self.text.len() > room || self.entries.len() > room {
            return Err(JsonErrorKind::TooLong.at(0));
        }
        let before = (self.text.len(), self.entries.len(), self.index.len(), self.open.len());
        let outer = self.open.last().copied();
        let base = self.append(text);
        let mut parser = Parser { bytes, at: 0, base, floor: before.3 };
        parser.document(self).inspect_err(|_| {
            self.text.truncate(before.0);
            self.entries.truncate(before.1);
            self.index.truncate(before.2);
            self.open.truncate(before.3);
            if let (Some(open), Some(outer)) = (self.open.last_mut(), outer) {
                *open = outer;
            }
        })
    }
}

// === impl JsonError ===

impl JsonErrorKind {
    fn at(self, offset: usize) -> JsonError {
        JsonError { kind: self, offset }
    }
}

impl JsonError {
    /// Whether the text may well be good JSON that is only too large for us.
    pub fn is_limit(&self) -> bool {
        matches!(self.kind, JsonErrorKind::TooDeep | JsonErrorKind::TooLong)
    }
}

// === impl Parser ===

impl Parser<'_> {
    fn document(&mut self, arena: &mut Arena) -> Result<NodeId, JsonError> {
        if self.bytes.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        let id = self.value(arena)?;
        self.skip_space();
        if self.at < self.bytes.len() {
            return Err(JsonErrorKind::Trailing.at(self.at));
        }
        Ok(id)
    }

    /// Reads a value and all it holds.
    fn value(&mut self, arena: &mut Arena) -> Result<NodeId, JsonError> {
        loop {
            self.skip_space();
            let opened = match self.peek() {
                Some(b'{') => {
                    self.enter(arena, Kind::Object)?;
                    if self.closes(b'}') { None } else { Some(self.key(arena)?) }
                }
                Some(b'[') => {
                    self.enter(arena, Kind::Array)?;
                    if self.closes(b']') { None } else { Some(()) }
                }
                _ => {
                    let id = self.scalar(arena)?;
                    if arena.open.len() == self.floor {
                        return Ok(id);
                    }
                    self.after_value(arena)?.then_some(())
                }
            };
            if opened.is_some() {
                continue;
            }
            // A container is complete; so may be those around it.
            loop {
                let id = arena.end();
                if arena.open.len() == self.floor {
                    return Ok(id);
                }
                if self.after_value(arena)? {
                    break;
                }
            }
        }
    }

    fn enter(&mut self, arena: &mut Arena, kind: Kind) -> Result<(), JsonError> {
        if arena.open.len() >= arena.max_depth as usize {
            return Err(JsonErrorKind::TooDeep.at(self.at));
        }
        self.at += 1;
        arena.begin(kind);
        Ok(())
    }

    fn closes(&mut self, bracket: u8) -> bool {
        self.skip_space();
        let closes = self.peek() == Some(bracket);
        self.at += usize::from(closes);
        closes
    }

    /// What follows a value in the innermost container: `true` when another value does, `false`
    /// when the container was closed.
    fn after_value(&mut self, arena: &mut Arena) -> Result<bool, JsonError> {
        self.skip_space();
        let open = arena.open.last().map_or(0, |open| open.entry);
        let is_object = arena.entry(open).kind == Kind::Object;
        let byte = self.peek();
        self.at += 1;
        match (byte, is_object) {
            (Some(b','), true) => {
                self.skip_space();
                self.key(arena)?;
                Ok(true)
            }
            (Some(b','), false) => Ok(true),
            (Some(b'}'), true) | (Some(b']'), false) => Ok(false),
            (byte, is_object) => {
                self.at -= 1;
                let expected =
                    if is_object { "a comma or a brace" } else { "a comma or a bracket" };
                Err(self.wrong(byte, expected))
            }
        }
    }

    fn key(&mut self, arena: &mut Arena) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.at += 1,
            byte => return Err(self.wrong(byte, "a key")),
        }
        let (start, len) = self.string(arena)?;
        let from = start as usize;
        let hash = key_hash(arena.text.as_bytes().get(from..from + len).unwrap_or_default());
        arena.push_key(start, len, hash);
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at += 1,
            byte => return Err(self.wrong(byte, "a colon")),
        }
        Ok(())
    }

    fn scalar(&mut self, arena: &mut Arena) -> Result<NodeId, JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.first() {
            Some(b'"') => {
                self.at += 1;
                let (start, len) = self.string(arena)?;
                Ok(arena.scalar(Kind::String, start, len))
            }
            Some(b'-' | b'0'..=b'9') => self.number(rest, arena),
            Some(b't') if rest.starts_with(b"true") => Ok(self.word(arena, Kind::True, 4)),
            Some(b'f') if rest.starts_with(b"false") => Ok(self.word(arena, Kind::False, 5)),
            Some(b'n') if rest.starts_with(b"null") => Ok(self.word(arena, Kind::Null, 4)),
            byte => Err(self.wrong(byte.copied(), "a value")),
        }
    }

    /// Reads a number; an integer of at most 18 digits, as most are, in one pass.
    fn number(&mut self, rest: &[u8], arena: &mut Arena) -> Result<NodeId, JsonError> {
        let negative = rest.first() == Some(&b'-');
        let from = usize::from(negative);
        let mut at = from;
        let mut value = 0i64;
        while let Some(byte @ b'0'..=b'9') = rest.get(at).filter(|_| at < from + 18) {
            value = value * 10 + i64::from(byte - b'0');
            at += 1;
        }
        let more = matches!(rest.get(at), Some(b'.' | b'e' | b'E' | b'0'..=b'9'));
        let odd = at == from || more || (at > from + 1 && rest.get(from) == Some(&b'0'));
        if !odd && (value != 0 || !negative) {
            self.at += at;
            return Ok(arena.integer(if negative { -value } else { value }));
        }
        let Some(len) = number::scan_number(rest) else {
            return Err(JsonErrorKind::Expected("a number").at(self.at));
        };
        let start = self.base + u32::try_from(self.at).unwrap_or_default();
        self.at += len;
        Ok(arena.scalar(Kind::Decimal, start, len))
    }

    fn word(&mut self, arena: &mut Arena, kind: Kind, len: usize) -> NodeId {
        self.at += len;
        arena.scalar(kind, 0, 0)
    }

    /// Reads a string after its opening quote; returns where it stands in the arena's text.
    fn string(&mut self, arena: &mut Arena) -> Result<(u32, usize), JsonError> {
        let from = self.at;
        self.skip_plain();
        match self.peek() {
            Some(b'"') => {
                let len = self.at - from;
                self.at += 1;
                Ok((self.base + u32::try_from(from).unwrap_or_default(), len))
            }
            Some(b'\\') => self.escaped_string(arena, from),
            byte => Err(self.wrong(byte, "the end of a string")),
        }
    }

    /// Reads a string that has escapes, from `from` on, to the end of the arena's text.
    fn escaped_string(
        &mut self,
        arena: &mut Arena,
        from: usize,
    ) -> Result<(u32, usize), JsonError> {
        let start = arena.text.len();
        let base = self.base as usize;
        let mut plain_from = from;
        loop {
            arena.text.extend_from_within(base + plain_from..base + self.at);
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    let len = arena.text.len() - start;
                    return Ok((u32::try_from(start).unwrap_or(u32::MAX), len));
                }
                Some(b'\\') => {
                    let char = self.escape()?;
                    arena.text.push(char);
                }
                byte => return Err(self.wrong(byte, "the end of a string")),
            }
            plain_from = self.at;
            self.skip_plain();
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let byte = self.bytes.get(self.at + 1).copied();
        self.at += 2;
        Ok(match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let first = self.hex()?;
                let code = match first {
                    0xd800..=0xdbff => self.low_surrogate(first)?,
                    other => u32::from(other),
                };
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            byte => {
                self.at = (self.at - 1).min(self.bytes.len());
                return Err(self.wrong(byte, "an escape"));
            }
        })
    }

    /// The code point of a surrogate pair whose first half was read; half a pair stays half.
    fn low_surrogate(&mut self, high: u16) -> Result<u32, JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if !rest.starts_with(b"\\u") {
            return Ok(u32::from(high));
        }
        let before = self.at;
        self.at += 2;
        let low = self.hex()?;
        if (0xdc00..=0xdfff).contains(&low) {
            return Ok(0x10000 + ((u32::from(high) - 0xd800) << 10) + (u32::from(low) - 0xdc00));
        }
        self.at = before;
        Ok(u32::from(high))
    }

    fn hex(&mut self) -> Result<u16, JsonError> {
        let mut value = 0u16;
        for _ in 0..4 {
            let byte = self.peek();
            let Some(digit) = byte.and_then(|byte| char::from(byte).to_digit(16)) else {
                return Err(self.wrong(byte, "four hexadecimal digits"));
            };
            value = value << 4 | u16::try_from(digit).unwrap_or_default();
            self.at += 1;
        }
        Ok(value)
    }

    /// Moves to the next quote, backslash or control character.
    #[inline]
    fn skip_plain(&mut self) {
        const LOW: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        // Which bytes of a word are zero (exact for the lowest such byte, and that one is asked).
        let zeros = |word: u64| word.wrapping_sub(LOW) & !word & HIGH;
        while let Some(word) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*word);
            let quote = zeros(word ^ (LOW * u64::from(b'"')));
            let backslash = zeros(word ^ (LOW * u64::from(b'\\')));
            let control = word.wrapping_sub(LOW * 0x20) & !word & HIGH;
            let found = quote | backslash | control;
            if found != 0 {
                self.at += (found.trailing_zeros() / 8) as usize;
                return;
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
            self.at += 1;
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn wrong(&self, byte: Option<u8>, expected: &'static str) -> JsonError {
        match byte {
            Some(_) => JsonErrorKind::Expected(expected).at(self.at),
            None => JsonErrorKind::Incomplete(expected).at(self.at.min(self.bytes.len())),
        }
    }
}

#[cfg(test)]
mod tests;
