//! RFC 8259 text into an [`Arena`], in one pass and without recursion.

use thiserror::Error;

use super::arena::{Arena, ArenaEntry, EntryKind, NO_INDEX, NodeId, OpenContainer};
use super::scan::{key_hash, plain_key, plain_len};
use crate::json::number;

/// Why bytes are not a JSON text, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{kind} at byte {offset}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Bytes before the error.
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
    /// A well-formed text beyond [`Arena::max_depth`]: skipped rather than wrong.
    #[error("the text is nested too deep to be validated")]
    TooDeep,
    /// A text of four gigabytes or more: skipped rather than wrong.
    #[error("the text is too long to be validated")]
    TooLong,
}

/// One pass over a text that is already in the arena's own text.
struct Parser<'t> {
    bytes: &'t [u8],
    at: usize,
    /// What went wrong; kept here, so that a failing method returns one register.
    error: Option<JsonError>,
    /// Where the text begins in the arena's text.
    base: u32,
    /// Containers open when the pass began: those belong to the caller.
    outer_depth: usize,
}

/// Something went wrong; the parser knows what.
#[derive(Debug, Clone, Copy)]
struct ParseFailed;

impl Arena {
    /// Reads one JSON text.
    ///
    /// Linear in the bytes; depth is bounded by [`Arena::max_depth`]. A byte order mark is
    /// skipped. Half a surrogate pair, which RFC 8259 allows and UTF-8 cannot hold, becomes
    /// U+FFFD. On an error the arena is as it was, but for memory.
    pub fn parse(&mut self, bytes: &[u8]) -> Result<NodeId, JsonError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| JsonErrorKind::NotUtf8.at(error.valid_up_to()))?;
        let limit = u32::MAX as usize / 4;
        if text.len() + self.text.len() > limit || self.entries.len() > limit {
            return Err(JsonErrorKind::TooLong.at(0));
        }
        let before = (self.text.len(), self.entries.len(), self.index.len(), self.open.len());
        let outer = self.open.last().copied();
        let base = self.append(text);
        let mut parser = Parser { bytes, at: 0, error: None, base, outer_depth: before.3 };
        parser.document(self).map_err(|ParseFailed| {
            self.text.truncate(before.0);
            self.entries.truncate(before.1);
            self.index.truncate(before.2);
            self.open.truncate(before.3);
            if let (Some(open), Some(outer)) = (self.open.last_mut(), outer) {
                *open = outer;
            }
            parser.error.unwrap_or(JsonErrorKind::Trailing.at(parser.at))
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
    fn document(&mut self, arena: &mut Arena) -> Result<NodeId, ParseFailed> {
        if self.bytes.starts_with(b"\xef\xbb\xbf") {
            self.at = 3;
        }
        let id = self.value(arena)?;
        self.token();
        if self.at < self.bytes.len() {
            return Err(self.fail(JsonErrorKind::Trailing));
        }
        Ok(id)
    }

    /// Reads a value and all it holds. The innermost open container is kept in a local; those
    /// around it are on the arena's list, and around them all one that nothing ends.
    fn value(&mut self, arena: &mut Arena) -> Result<NodeId, ParseFailed> {
        arena.count_value();
        let root = NodeId(arena.next());
        let mut top = OpenContainer::new(root.0, false);
        loop {
            if top.is_object {
                self.key(arena, &mut top)?;
            } else {
                top.len += 1;
            }
            let byte = self.token();
            if matches!(byte, b'{' | b'[') {
                self.enter(arena, byte, &mut top)?;
                if self.token() != closing(&top) {
                    continue;
                }
            } else {
                self.scalar(byte, arena)?;
            }
            loop {
                if arena.open.len() == self.outer_depth {
                    return Ok(root);
                }
                let byte = self.token();
                self.at += 1;
                if byte == b',' {
                    break;
                }
                if byte != closing(&top) {
                    self.at -= 1;
                    return Err(self.unexpected(&top));
                }
                arena.finish(&top);
                let Some(outer) = arena.open.pop() else { return Ok(root) };
                top = outer;
            }
        }
    }

    fn enter(
        &mut self,
        arena: &mut Arena,
        bracket: u8,
        top: &mut OpenContainer,
    ) -> Result<(), ParseFailed> {
        if arena.open.len() >= arena.max_depth as usize {
            return Err(self.fail(JsonErrorKind::TooDeep));
        }
        self.at += 1;
        let is_object = bracket == b'{';
        let entry = arena.next();
        let kind = if is_object { EntryKind::Object } else { EntryKind::Array };
        arena.entries.push(ArenaEntry { kind, start: NO_INDEX, len: 0, end: 0 });
        arena.open.push(std::mem::replace(top, OpenContainer::new(entry, is_object)));
        Ok(())
    }

    #[inline]
    fn key(&mut self, arena: &mut Arena, top: &mut OpenContainer) -> Result<(), ParseFailed> {
        if self.token() != b'"' {
            return Err(self.wrong("a key"));
        }
        let from = self.at + 1;
        let (len, hash) = plain_key(self.bytes.get(from..).unwrap_or_default());
        self.at = from + len;
        let start = self.base + small(from);
        let mut key = ArenaEntry { kind: EntryKind::Key, start, len: small(len), end: hash };
        if self.byte() == b'"' {
            self.at += 1;
        } else {
            (key.start, key.len) = self.escaped_string(arena, from)?;
            key.end = key_hash(arena.text_of(key).as_bytes());
        }
        arena.push_key_into(top, key);
        if self.token() != b':' {
            return Err(self.wrong("a colon"));
        }
        self.at += 1;
        Ok(())
    }

    /// Reads a value that is no container, from its first byte on.
    #[inline]
    fn scalar(&mut self, first: u8, arena: &mut Arena) -> Result<(), ParseFailed> {
        match first {
            b'"' => {
                let from = self.at + 1;
                let len = plain_len(self.bytes.get(from..).unwrap_or_default());
                self.at = from + len;
                if self.byte() == b'"' {
                    self.at += 1;
                    write(arena, EntryKind::String, self.base + small(from), small(len));
                } else {
                    let (start, len) = self.escaped_string(arena, from)?;
                    write(arena, EntryKind::String, start, len);
                }
                Ok(())
            }
            b'-' | b'0'..=b'9' => self.number(arena),
            b't' => self.word(arena, EntryKind::True, b"true"),
            b'f' => self.word(arena, EntryKind::False, b"false"),
            b'n' => self.word(arena, EntryKind::Null, b"null"),
            _ => Err(self.wrong("a value")),
        }
    }

    /// Reads a number; an integer of at most 18 digits, as most are, in one pass.
    fn number(&mut self, arena: &mut Arena) -> Result<(), ParseFailed> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let (negative, digits) = match rest {
            [b'-', digits @ ..] => (true, digits),
            digits => (false, digits),
        };
        let mut value = 0i64;
        let mut len = 0;
        for byte in digits.iter().take(18).take_while(|byte| byte.is_ascii_digit()) {
            value = value * 10 + i64::from(byte - b'0');
            len += 1;
        }
        let more = matches!(digits.get(len), Some(b'.' | b'e' | b'E' | b'0'..=b'9'));
        let odd = len == 0 || more || (len > 1 && digits.first() == Some(&b'0'));
        if !odd && (value != 0 || !negative) {
            self.at += usize::from(negative) + len;
            let end = arena.next() + 1;
            arena.entries.push(ArenaEntry::integer(if negative { -value } else { value }, end));
            return Ok(());
        }
        let Some(len) = number::scan_number(rest) else {
            return Err(self.fail(JsonErrorKind::Expected("a number")));
        };
        let start = self.base + small(self.at);
        self.at += len;
        write(arena, EntryKind::Decimal, start, small(len));
        Ok(())
    }

    #[inline]
    fn word(&mut self, arena: &mut Arena, kind: EntryKind, word: &[u8]) -> Result<(), ParseFailed> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.wrong("a value"));
        }
        self.at += word.len();
        write(arena, kind, 0, 0);
        Ok(())
    }

    /// Reads a string that has escapes, from `from` on, to the end of the arena's text.
    #[cold]
    fn escaped_string(
        &mut self,
        arena: &mut Arena,
        from: usize,
    ) -> Result<(u32, u32), ParseFailed> {
        let start = arena.text.len();
        let base = self.base as usize;
        let mut plain_from = from;
        loop {
            arena.text.extend_from_within(base + plain_from..base + self.at);
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok((small(start), small(arena.text.len() - start)));
                }
                b'\\' => {
                    let char = self.escape()?;
                    arena.text.push(char);
                }
                _ => return Err(self.wrong("the end of a string")),
            }
            plain_from = self.at;
            self.at += plain_len(self.bytes.get(self.at..).unwrap_or_default());
        }
    }

    fn escape(&mut self) -> Result<char, ParseFailed> {
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
            _ => {
                self.at = (self.at - 1).min(self.bytes.len());
                return Err(self.wrong("an escape"));
            }
        })
    }

    /// The code point of a surrogate pair whose first half was read; half a pair stays half.
    fn low_surrogate(&mut self, high: u16) -> Result<u32, ParseFailed> {
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

    fn hex(&mut self) -> Result<u16, ParseFailed> {
        let mut value = 0u16;
        for _ in 0..4 {
            let Some(digit) = char::from(self.byte()).to_digit(16) else {
                return Err(self.wrong("four hexadecimal digits"));
            };
            value = value << 4 | u16::try_from(digit).unwrap_or_default();
            self.at += 1;
        }
        Ok(value)
    }

    /// Moves to the next byte that is no space and returns it.
    #[inline]
    fn token(&mut self) -> u8 {
        let mut byte = self.byte();
        while byte <= b' ' {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return 0;
            }
            self.at += 1;
            byte = self.byte();
        }
        byte
    }

    /// The current byte; 0, which the grammar does not use, at the end.
    #[inline]
    fn byte(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// The error of a byte that the grammar does not allow here.
    #[cold]
    fn wrong(&mut self, expected: &'static str) -> ParseFailed {
        self.fail(if self.at < self.bytes.len() {
            JsonErrorKind::Expected(expected)
        } else {
            JsonErrorKind::Incomplete(expected)
        })
    }

    /// Neither a comma nor the bracket that ends the container.
    #[cold]
    fn unexpected(&mut self, top: &OpenContainer) -> ParseFailed {
        self.wrong(if top.is_object { "a comma or a brace" } else { "a comma or a bracket" })
    }

    #[cold]
    fn fail(&mut self, kind: JsonErrorKind) -> ParseFailed {
        self.error = Some(kind.at(self.at.min(self.bytes.len())));
        ParseFailed
    }
}

/// The bracket that ends a container.
fn closing(top: &OpenContainer) -> u8 {
    if top.is_object { b'}' } else { b']' }
}

/// Writes a scalar that its container has counted already.
#[inline]
fn write(arena: &mut Arena, kind: EntryKind, start: u32, len: u32) {
    let end = arena.next() + 1;
    arena.entries.push(ArenaEntry { kind, start, len, end });
}

/// Offsets in a text fit 32 bits: a longer text was refused before.
#[inline]
fn small(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
