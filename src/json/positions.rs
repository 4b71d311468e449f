//! Line and column of a value in a JSON text, by its pointer.
//!
//! Invariants: the index is built in one pass and its size is bounded by the upper levels of the
//! text; a look-up does not read the whole text again.

use crate::model::violation::Position;

use super::pointer;

/// Line and column of a byte offset.
pub(crate) fn position(text: &str, offset: usize) -> Position {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = &text[..offset];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position {
        line: count(line_breaks(before.as_bytes()) + 1),
        column: count(before[line_start..].chars().count() + 1),
    }
}

/// Positions in a well-formed JSON text: the values of the first levels and the lines, so that no
/// look-up has to read the whole text again.
pub(crate) struct PositionIndex {
    /// Hash of the pointer, offset of the key and of the value, for everything down to [`INDEXED_LEVELS`].
    offsets: Vec<(u64, u32, u32)>,
    /// The text before each block of [`BLOCK`] bytes.
    blocks: Vec<BlockStart>,
}

/// The text before a block, summed up: some documents are one line of megabytes.
#[derive(Clone, Copy, Default)]
struct BlockStart {
    /// Lines begun.
    lines: u32,
    /// Characters since the last of them began.
    column: u32,
}

/// Levels that are indexed: `/paths/~1a/get` and `/components/schemas/A`.
const INDEXED_LEVELS: usize = 3;
const BLOCK: usize = 16 * 1024;

// === impl PositionIndex ===

impl PositionIndex {
    /// Indexes a text in one pass over it.
    pub(crate) fn new(text: &str) -> Self {
        let mut offsets = Vec::new();
        let mut scan = Scanner { bytes: text.as_bytes(), at: start_of(text) };
        scan.skip_space();
        let start = scan.at;
        scan.record(&mut String::new(), start, 0, &mut offsets);
        offsets.sort_unstable_by_key(|(hash, ..)| *hash);
        offsets.shrink_to_fit();
        let mut blocks = Vec::with_capacity(text.len() / BLOCK + 1);
        let mut before = BlockStart::default();
        for block in text.as_bytes().chunks(BLOCK) {
            blocks.push(before);
            before = before.after(block);
        }
        Self { offsets, blocks }
    }

    /// The position of the member or item that `pointer` leads to (of its key, for a member).
    pub(crate) fn locate(&self, text: &str, pointer: &str) -> Option<Position> {
        let mut prefix = match pointer.match_indices('/').nth(INDEXED_LEVELS) {
            Some((end, _)) => &pointer[..end],
            None => pointer,
        };
        let (key, value) = loop {
            let hash = pointer_hash(prefix);
            if let Ok(found) = self.offsets.binary_search_by_key(&hash, |(hash, ..)| *hash) {
                break self.offsets.get(found).map(|(_, key, value)| (*key, *value))?;
            }
            prefix = pointer::split_last(prefix)?.0;
        };
        let mut scan = Scanner { bytes: text.as_bytes(), at: value as usize };
        let mut start = key as usize;
        for token in pointer::tokens(&pointer[prefix.len()..]) {
            start = match scan.peek()? {
                b'{' => scan.find_member(&token)?,
                b'[' => scan.find_item(token.parse().ok()?)?,
                _ => return None,
            };
        }
        Some(self.position(text, start))
    }

    fn position(&self, text: &str, offset: usize) -> Position {
        let block = offset / BLOCK;
        let before = self.blocks.get(block).copied().unwrap_or_default();
        let within = text.as_bytes().get(block * BLOCK..offset).unwrap_or_default();
        let here = before.after(within);
        Position { line: here.lines.saturating_add(1), column: here.column.saturating_add(1) }
    }
}

// === impl BlockStart ===

impl BlockStart {
    /// The same with some bytes more, which need not end where a character does.
    fn after(self, bytes: &[u8]) -> Self {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let last_line = bytes.iter().rposition(|byte| *byte == b'\n');
        let line = bytes.get(last_line.map_or(0, |at| at + 1)..).unwrap_or_default();
        // Every character has one byte that is no continuation of another.
        let characters = count(line.iter().filter(|byte| (**byte & 0xc0) != 0x80).count());
        Self {
            lines: self.lines.saturating_add(count(line_breaks(bytes))),
            column: match last_line {
                Some(_) => characters,
                None => self.column.saturating_add(characters),
            },
        }
    }
}

fn line_breaks(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count() - 1
}

fn start_of(text: &str) -> usize {
    if text.starts_with('\u{feff}') { 3 } else { 0 }
}

struct Scanner<'t> {
    bytes: &'t [u8],
    at: usize,
}

// === impl Scanner ===

impl Scanner<'_> {
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

    /// Records the value here, whose key is at `key`, and what it holds; moves past it.
    fn record(
        &mut self,
        pointer: &mut String,
        key: usize,
        level: usize,
        offsets: &mut Vec<(u64, u32, u32)>,
    ) {
        let small = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        offsets.push((pointer_hash(pointer), small(key), small(self.at)));
        let is_object = match self.peek() {
            Some(b'{') if level < INDEXED_LEVELS => true,
            Some(b'[') if level < INDEXED_LEVELS => false,
            _ => return self.skip_value(),
        };
        self.at += 1;
        let mut index = 0usize;
        loop {
            self.skip_space();
            let Some(byte) = self.peek() else { return };
            if matches!(byte, b'}' | b']') {
                self.at += 1;
                return;
            }
            let len = pointer.len();
            let key = self.at;
            if is_object {
                self.skip_string();
                let name = serde_json::from_slice::<String>(&self.bytes[key..self.at]);
                pointer::push_token(pointer, &name.unwrap_or_default());
                self.skip_space();
            } else {
                pointer::push_token(pointer, &index.to_string());
                index += 1;
            }
            let before = self.at;
            self.record(pointer, key, level + 1, offsets);
            pointer.truncate(len);
            if self.at == before {
                return;
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

/// FNV-1a: the texts come from operators, and a false hit costs a wrong line number.
pub(crate) fn pointer_hash(pointer: &str) -> u64 {
    pointer.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_match_the_text() {
        let text = "{\n  \"é\": 1,\n  \"a\": [10, {\"b~/\": \"x,}\\\"\"}, 30],\n \"c\": {}\n}";
        let index = PositionIndex::new(text);
        let at = |pointer: &str| index.locate(text, pointer);
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
    fn positions_below_the_indexed_levels_are_found() {
        let text = "{\"a\":{\"b\":{\"c\":{\"d\":[1,\n {\"e\": {}}]}}}, \"z\": [[[[7]]]]}";
        let index = PositionIndex::new(text);
        let at = |pointer: &str| index.locate(text, pointer).map(|at| (at.line, at.column));
        assert_eq!(at("/a/b/c"), Some((1, 12)));
        assert_eq!(at("/a/b/c/d/1/e"), Some((2, 3)));
        assert_eq!(at("/z/0/0/0/0"), Some((2, 26)));
        assert_eq!(at("/z/0/0/0/1"), None);
    }

    #[test]
    fn columns_count_characters_across_blocks() {
        let long = "é".repeat(BLOCK);
        let text = format!("{{\"a\":\"{long}\",\"b\":\"{long}\",\n\"{long}\":1,\"c\":2}}");
        let index = PositionIndex::new(&text);
        let at = |pointer: &str| index.locate(&text, pointer).map(|at| (at.line, at.column));
        assert_eq!(at("/b"), Some((1, 9 + u32::try_from(BLOCK).unwrap())));
        assert_eq!(at("/c"), Some((2, 6 + u32::try_from(BLOCK).unwrap())));
        assert_eq!(at("/b").map(|(line, column)| Position { line, column }), {
            let offset = text.find("\"b\"").unwrap();
            Some(position(&text, offset))
        });
    }
}
