//! RFC 8259 text into an [`Arena`], in one pass and without recursion.

use thiserror::Error;

use super::arena::{Arena, Entry, Kind, NO_INDEX, NodeId, Open, key_hash};
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

/// What comes next in the innermost container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A member or an item.
    Member,
    /// Its bracket was read.
    Close,
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

    /// Reads a value and all it holds. The innermost open container is kept at hand; those
    /// around it lie on the arena's list.
    fn value(&mut self, arena: &mut Arena) -> Result<NodeId, JsonError> {
        self.skip_space();
        arena.count_value();
        let root = NodeId(arena.next());
        let Some(bracket @ (b'{' | b'[')) = self.peek() else {
            self.scalar(arena)?;
            return Ok(root);
        };
        let mut top = self.enter(arena, bracket)?;
        let mut step = self.first_step(&top);
        loop {
            match step {
                Step::Member => {
                    if top.is_object {
                        self.key(arena, &mut top)?;
                    } else {
                        top.len += 1;
                    }
                    self.skip_space();
                    if let Some(bracket @ (b'{' | b'[')) = self.peek() {
                        arena.open.push(top);
                        top = self.enter(arena, bracket)?;
                        step = self.first_step(&top);
                    } else {
                        self.scalar(arena)?;
                        step = self.after_value(&top)?;
                    }
                }
                Step::Close => {
                    arena.finish(&top);
                    if arena.open.len() == self.floor {
                        return Ok(root);
                    }
                    let Some(outer) = arena.open.pop() else { return Ok(root) };
                    top = outer;
                    step = self.after_value(&top)?;
                }
            }
        }
    }

    fn enter(&mut self, arena: &mut Arena, bracket: u8) -> Result<Open, JsonError> {
        if arena.open.len() >= arena.max_depth as usize {
            return Err(JsonErrorKind::TooDeep.at(self.at));
        }
        self.at += 1;
        let is_object = bracket == b'{';
        let entry = arena.next();
        let kind = if is_object { Kind::Object } else { Kind::Array };
        arena.entries.push(Entry { kind, start: NO_INDEX, len: 0, end: 0 });
        Ok(Open::new(entry, is_object))
    }

    /// What to do in a container that was just entered.
    #[inline]
    fn first_step(&mut self, top: &Open) -> Step {
        self.skip_space();
        if self.peek() == Some(closing(top)) {
            self.at += 1;
            return Step::Close;
        }
        Step::Member
    }

    /// What to do after a value in a container.
    #[inline]
    fn after_value(&mut self, top: &Open) -> Result<Step, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(Step::Member)
            }
            Some(byte) if byte == closing(top) => {
                self.at += 1;
                Ok(Step::Close)
            }
            byte => {
                let expected =
                    if top.is_object { "a comma or a brace" } else { "a comma or a bracket" };
                Err(self.wrong(byte, expected))
            }
        }
    }

    #[inline]
    fn key(&mut self, arena: &mut Arena, top: &mut Open) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.at += 1,
            byte => return Err(self.wrong(byte, "a key")),
        }
        let (start, len) = self.string(arena)?;
        let from = start as usize;
        let hash = key_hash(arena.text.as_bytes().get(from..from + len).unwrap_or_default());
        let key = Entry { kind: Kind::Key, start, len: small(len), end: hash };
        arena.push_key_into(top, key);
        self.skip_space();
        match self.peek() {
            Some(b':') => self.at += 1,
            byte => return Err(self.wrong(byte, "a colon")),
        }
        Ok(())
    }

    #[inline]
    fn scalar(&mut self, arena: &mut Arena) -> Result<(), JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        match rest.first() {
            Some(b'"') => {
                self.at += 1;
                let (start, len) = self.string(arena)?;
                write(arena, Kind::String, start, len);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(rest, arena),
            Some(b't') if rest.starts_with(b"true") => {
                self.word(arena, Kind::True, 4);
                Ok(())
            }
            Some(b'f') if rest.starts_with(b"false") => {
                self.word(arena, Kind::False, 5);
                Ok(())
            }
            Some(b'n') if rest.starts_with(b"null") => {
                self.word(arena, Kind::Null, 4);
                Ok(())
            }
            byte => Err(self.wrong(byte.copied(), "a value")),
        }
    }

    /// Reads a number; an integer of at most 18 digits, as most are, in one pass.
    fn number(&mut self, rest: &[u8], arena: &mut Arena) -> Result<(), JsonError> {
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
            let end = arena.next() + 1;
            arena.entries.push(Entry::integer(if negative { -value } else { value }, end));
            return Ok(());
        }
        let Some(len) = number::scan_number(rest) else {
            return Err(JsonErrorKind::Expected("a number").at(self.at));
        };
        let start = self.base + small(self.at);
        self.at += len;
        write(arena, Kind::Decimal, start, len);
        Ok(())
    }

    fn word(&mut self, arena: &mut Arena, kind: Kind, len: usize) {
        self.at += len;
        write(arena, kind, 0, 0);
    }

    /// Reads a string after its opening quote; returns where it stands in the arena's text.
    #[inline]
    fn string(&mut self, arena: &mut Arena) -> Result<(u32, usize), JsonError> {
        let from = self.at;
        self.skip_plain();
        match self.peek() {
            Some(b'"') => {
                let len = self.at - from;
                self.at += 1;
                Ok((self.base + small(from), len))
            }
            Some(b'\\') => self.escaped_string(arena, from),
            byte => Err(self.wrong(byte, "the end of a string")),
        }
    }

    /// Reads a string that has escapes, from `from` on, to the end of the arena's text.
    #[cold]
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
        if self.peek().is_some_and(|byte| byte > b' ') {
            return;
        }
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

/// The bracket that ends a container.
fn closing(top: &Open) -> u8 {
    if top.is_object { b'}' } else { b']' }
}

/// Writes a scalar that its container has counted already.
#[inline]
fn write(arena: &mut Arena, kind: Kind, start: u32, len: usize) {
    let end = arena.next() + 1;
    arena.entries.push(Entry { kind, start, len: small(len), end });
}

/// Places in a text are small: a longer one was refused before.
#[inline]
fn small(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
