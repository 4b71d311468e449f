//! JSON documents: read at once, positions found again when asked for.

use serde_json::Value;

use crate::contract::error::{ContractError, Problem};
use crate::contract::instance::{Arena, JsonErrorKind};
use crate::contract::options::Limits;
use crate::model::violation::Position;

use super::pointer;

/// Reads a JSON text into a tree, numbers exact. Repeated keys are an error.
pub(super) fn read(text: &str, limits: &Limits) -> Result<Value, ContractError> {
    let mut arena = Arena::with_max_depth(limits.depth);
    let id = arena.parse(text.as_bytes()).map_err(|error| {
        let problem = Problem::at(position(text, error.offset), error.kind.to_string());
        match error.kind {
            JsonErrorKind::TooDeep | JsonErrorKind::TooLong => ContractError::OverLimit(problem),
            _ => ContractError::Syntax(problem),
        }
    })?;
    if let Some(offset) = arena.repeated_key() {
        return Err(ContractError::Syntax(Problem::at(
            position(text, offset.saturating_sub(1)),
            "a key stands twice in one object",
        )));
    }
    Ok(arena.node(id).to_value())
}

/// Line and column of a byte offset.
pub(super) fn position(text: &str, offset: usize) -> Position {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position {
        line: count(before.bytes().filter(|byte| *byte == b'\n').count() + 1),
        column: count(before[line_start..].chars().count() + 1),
    }
}

/// Where the member or item that `pointer` leads to begins (its key, for a member), in a text
/// that [`read`] has accepted. Skips over everything else: linear in the text before it.
pub(super) fn locate(text: &str, pointer: &str) -> Option<usize> {
    let mut scan =
        Scan { bytes: text.as_bytes(), at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
    scan.skip_space();
    let mut start = scan.at;
    for token in pointer::tokens(pointer) {
        start = match scan.peek()? {
            b'{' => scan.find_member(&token)?,
            b'[' => scan.find_item(token.parse().ok()?)?,
            _ => return None,
        };
    }
    Some(start)
}

struct Scan<'t> {
    bytes: &'t [u8],
    at: usize,
}

// === impl Scan ===

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t' | b',' | b':')) {
            self.at += 1;
        }
    }

    /// Moves to the value of a member and returns where its key begins.
    fn find_member(&mut self, name: &str) -> Option<usize> {
        self.at += 1;
        loop {
            self.skip_space();
            if self.peek()? != b'"' {
                return None;
            }
            let key = self.at;
            self.skip_string();
            let found = self.key_is(key, name);
            self.skip_space();
            if found {
                return Some(key);
            }
            self.skip_value();
        }
    }

    fn key_is(&self, key: usize, name: &str) -> bool {
        let raw = self.bytes.get(key + 1..self.at - 1).unwrap_or_default();
        if !raw.contains(&b'\\') {
            return raw == name.as_bytes();
        }
        let quoted = self.bytes.get(key..self.at).unwrap_or_default();
        serde_json::from_slice::<String>(quoted).is_ok_and(|key| key == name)
    }

    fn find_item(&mut self, index: usize) -> Option<usize> {
        self.at += 1;
        for _ in 0..index {
            self.skip_space();
            if matches!(self.peek()?, b']' | b'}') {
                return None;
            }
            self.skip_value();
        }
        self.skip_space();
        (self.peek()? != b']').then_some(self.at)
    }

    /// Moves past the string that begins here.
    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'\\' => self.at += 1,
                b'"' => return,
                _ => {}
            }
        }
    }

    fn skip_value(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.skip_string();
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth <= 1 => {
                    // Depth zero: the end of the container around a bare value.
                    self.at += depth;
                    return;
                }
                b'}' | b']' => depth -= 1,
                b',' if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_of_the_text() {
        let text = "{\n  \"é\": 1,\n  \"a\": [10, {\"b~/\": \"x,}\\\"\"}, 30],\n \"c\": {}\n}";
        let at = |pointer: &str| locate(text, pointer).map(|offset| position(text, offset));
        assert_eq!(at(""), Some(Position { line: 1, column: 1 }));
        assert_eq!(at("/é"), Some(Position { line: 2, column: 3 }));
        assert_eq!(at("/a/0"), Some(Position { line: 3, column: 9 }));
        assert_eq!(at("/a/1/b~0~1"), Some(Position { line: 3, column: 14 }));
        assert_eq!(at("/a/2"), Some(Position { line: 3, column: 31 }));
        assert_eq!(at("/c"), Some(Position { line: 4, column: 2 }));
        assert_eq!(at("/d"), None);
        assert_eq!(at("/a/3"), None);
        assert_eq!(at("/c/x"), None);
    }

    #[test]
    fn errors_have_places() {
        let limits = Limits::default();
        let problem = |text: &str| read(text, &limits).unwrap_err().problem().clone();
        assert_eq!(problem("{\n \"a\" 1}").position, Some(Position { line: 2, column: 6 }));
        let twice = problem("{\"a\":1,\n\"b\":{\"c\":1,\"c\":2}}");
        assert_eq!(twice.position, Some(Position { line: 2, column: 6 }));
    }
}
