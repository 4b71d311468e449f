//! Text into tokens: indentation becomes the tokens that open and close block collections.
//!
//! Accepts and refuses what libyaml 0.2.5 does, by the same rules: one look ahead of at most 1024
//! characters in one line decides whether a node is a key. Invariants: the time is linear in the
//! text, whatever it holds, and nothing is read further than the token that is asked for needs.

mod block;
mod fold;
mod plain;
mod property;
mod quoted;

use std::collections::VecDeque;

use super::cursor::{Mark, SyntaxFault, YamlCursor};
use super::token::{TokenKind, YamlToken};

/// Characters that a key may take without a `?` before it.
const MAX_KEY_LEN: usize = 1024;

#[derive(Debug)]
pub(super) struct YamlScanner<'t> {
    cursor: YamlCursor<'t>,
    tokens: VecDeque<YamlToken<'t>>,
    /// Tokens that were taken from the queue.
    taken: usize,
    is_ready: bool,
    flow_level: usize,
    /// Column of the innermost block collection, -1 outside of all, and those around it.
    indent: i64,
    outer_indents: Vec<i64>,
    may_be_key: bool,
    /// Tokens that are keys if a `:` follows, at most one of each flow level; the oldest first.
    possible_keys: VecDeque<PossibleKey>,
}

#[derive(Debug, Clone, Copy)]
struct PossibleKey {
    mark: Mark,
    flow_level: usize,
    /// Number of its first token, counted from the start of the text.
    token: usize,
    /// Nothing else than a key may begin where it does.
    is_required: bool,
}

// === impl YamlScanner ===

impl<'t> YamlScanner<'t> {
    pub(super) fn new(cursor: YamlCursor<'t>) -> Self {
        Self {
            cursor,
            tokens: VecDeque::new(),
            taken: 0,
            is_ready: false,
            flow_level: 0,
            indent: -1,
            outer_indents: Vec::new(),
            may_be_key: true,
            possible_keys: VecDeque::new(),
        }
    }

    /// The next token. Behind the end of the text, the end again.
    pub(super) fn peek(&mut self) -> Result<&mut YamlToken<'t>, SyntaxFault> {
        if !self.is_ready {
            while self.needs_more()? {
                self.fetch()?;
            }
            self.is_ready = true;
        }
        let end = self.cursor.mark();
        if self.tokens.is_empty() {
            self.tokens.push_back(YamlToken { kind: TokenKind::StreamEnd, start: end, end });
        }
        self.tokens.front_mut().ok_or(SyntaxFault { mark: end, message: "the text ends" })
    }

    /// Takes the token that [`peek`](Self::peek) has shown.
    pub(super) fn skip(&mut self) {
        self.tokens.pop_front();
        self.taken += 1;
        self.is_ready = false;
    }

    /// Whether the first token of the queue may still turn out to be a key.
    fn needs_more(&mut self) -> Result<bool, SyntaxFault> {
        if self.tokens.is_empty() {
            return Ok(true);
        }
        self.drop_stale_keys()?;
        Ok(self.possible_keys.front().is_some_and(|key| key.token == self.taken))
    }

    fn fetch(&mut self) -> Result<(), SyntaxFault> {
        self.skip_to_token();
        self.drop_stale_keys()?;
        self.close_blocks(i64::from(self.cursor.mark().column));
        let cursor = &self.cursor;
        let in_block = self.flow_level == 0;
        let at_line_start = cursor.mark().column == 0;
        match cursor.byte(0) {
            0 if cursor.at_end() => self.stream_end(),
            b'%' if at_line_start => self.directive(),
            b'-' if cursor.is_document_indicator() => self.document(TokenKind::DocumentStart),
            b'.' if cursor.is_document_indicator() => self.document(TokenKind::DocumentEnd),
            b'[' => self.flow_start(TokenKind::FlowSequenceStart),
            b'{' => self.flow_start(TokenKind::FlowMappingStart),
            b']' => self.flow_end(TokenKind::FlowSequenceEnd),
            b'}' => self.flow_end(TokenKind::FlowMappingEnd),
            b',' => {
                self.remove_key()?;
                self.may_be_key = true;
                self.indicator(TokenKind::FlowEntry);
                Ok(())
            }
            b'-' if cursor.is_space_or_end(1) => self.block_entry(),
            b'?' if !in_block || cursor.is_space_or_end(1) => self.key(),
            b':' if !in_block || cursor.is_space_or_end(1) => self.value(),
            b'*' => self.anchor(TokenKind::Alias),
            b'&' => self.anchor(TokenKind::Anchor),
            b'!' => self.tag(),
            b'|' | b'>' if in_block => self.block_scalar(),
            b'\'' | b'"' => self.quoted_scalar(),
            b'|' | b'>' | b'#' | b'%' | b'@' | b'`' | b'\t' => {
                cursor.mark().fault("a character that no value can begin with")
            }
            _ => self.plain_scalar(),
        }
    }

    /// Skips white space and comments. A tab is white space only where no key may begin.
    fn skip_to_token(&mut self) {
        loop {
            let cursor = &mut self.cursor;
            if cursor.mark().column == 0 && cursor.rest().starts_with("\u{feff}".as_bytes()) {
                cursor.skip();
            }
            let tabs = self.flow_level > 0 || !self.may_be_key;
            while cursor.byte(0) == b' ' || (tabs && cursor.byte(0) == b'\t') {
                cursor.skip_ascii(1);
            }
            cursor.skip_comment();
            if !cursor.is_break() {
                return;
            }
            cursor.skip_break();
            if self.flow_level == 0 {
                self.may_be_key = true;
            }
        }
    }

    fn push(&mut self, kind: TokenKind<'t>, start: Mark) {
        let end = self.cursor.mark();
        self.tokens.push_back(YamlToken { kind, start, end });
    }

    /// A token of one character.
    fn indicator(&mut self, kind: TokenKind<'t>) {
        let start = self.cursor.mark();
        self.cursor.skip_ascii(1);
        self.push(kind, start);
    }
}

/// Keys.
impl YamlScanner<'_> {
    /// A key ends in the line it begins in, within [`MAX_KEY_LEN`] characters.
    fn drop_stale_keys(&mut self) -> Result<(), SyntaxFault> {
        let here = self.cursor.mark();
        while let Some(key) = self.possible_keys.front() {
            if key.mark.line == here.line && key.mark.index + MAX_KEY_LEN >= here.index {
                break;
            }
            key.refuse_if_required()?;
            self.possible_keys.pop_front();
        }
        Ok(())
    }

    /// The token that comes next may be a key.
    fn save_key(&mut self) -> Result<(), SyntaxFault> {
        if self.may_be_key {
            self.remove_key()?;
            let mark = self.cursor.mark();
            let is_required = self.flow_level == 0 && self.indent == i64::from(mark.column);
            let token = self.taken + self.tokens.len();
            let flow_level = self.flow_level;
            self.possible_keys.push_back(PossibleKey { mark, flow_level, token, is_required });
        }
        Ok(())
    }

    /// The possible key of this flow level is none.
    fn remove_key(&mut self) -> Result<(), SyntaxFault> {
        self.take_key().map_or(Ok(()), |key| key.refuse_if_required())
    }

    fn take_key(&mut self) -> Option<PossibleKey> {
        let flow_level = self.flow_level;
        self.possible_keys.pop_back_if(|key| key.flow_level == flow_level)
    }

    fn key(&mut self) -> Result<(), SyntaxFault> {
        self.open_block_here(TokenKind::BlockMappingStart)?;
        self.remove_key()?;
        self.may_be_key = self.flow_level == 0;
        self.indicator(TokenKind::Key);
        Ok(())
    }

    fn value(&mut self) -> Result<(), SyntaxFault> {
        if let Some(PossibleKey { mark, token, .. }) = self.take_key() {
            let at = token.saturating_sub(self.taken).min(self.tokens.len());
            self.tokens.insert(at, YamlToken { kind: TokenKind::Key, start: mark, end: mark });
            self.open_block(mark, at, TokenKind::BlockMappingStart);
            self.may_be_key = false;
        } else {
            self.open_block_here(TokenKind::BlockMappingStart)?;
            self.may_be_key = self.flow_level == 0;
        }
        self.indicator(TokenKind::Value);
        Ok(())
    }
}

/// Block and flow collections.
impl<'t> YamlScanner<'t> {
    /// Opens a block collection whose first node is at `mark`, unless it is open.
    fn open_block(&mut self, mark: Mark, at: usize, kind: TokenKind<'t>) {
        let column = i64::from(mark.column);
        if self.flow_level == 0 && self.indent < column {
            self.outer_indents.push(self.indent);
            self.indent = column;
            self.tokens.insert(at, YamlToken { kind, start: mark, end: mark });
        }
    }

    fn open_block_here(&mut self, kind: TokenKind<'t>) -> Result<(), SyntaxFault> {
        let mark = self.cursor.mark();
        if self.flow_level == 0 && !self.may_be_key {
            return mark.fault("a key, a value or an item is not allowed here");
        }
        self.open_block(mark, self.tokens.len(), kind);
        Ok(())
    }

    /// Closes the block collections that are indented deeper than `column`.
    fn close_blocks(&mut self, column: i64) {
        while self.flow_level == 0 && self.indent > column {
            self.push(TokenKind::BlockEnd, self.cursor.mark());
            self.indent = self.outer_indents.pop().unwrap_or(-1);
        }
    }

    fn block_entry(&mut self) -> Result<(), SyntaxFault> {
        self.open_block_here(TokenKind::BlockSequenceStart)?;
        self.remove_key()?;
        self.may_be_key = true;
        self.indicator(TokenKind::BlockEntry);
        Ok(())
    }

    fn flow_start(&mut self, kind: TokenKind<'t>) -> Result<(), SyntaxFault> {
        self.save_key()?;
        self.flow_level += 1;
        self.may_be_key = true;
        self.indicator(kind);
        Ok(())
    }

    fn flow_end(&mut self, kind: TokenKind<'t>) -> Result<(), SyntaxFault> {
        self.remove_key()?;
        self.flow_level = self.flow_level.saturating_sub(1);
        self.may_be_key = false;
        self.indicator(kind);
        Ok(())
    }

    fn stream_end(&mut self) -> Result<(), SyntaxFault> {
        self.cursor.close_line();
        self.end_document()?;
        self.push(TokenKind::StreamEnd, self.cursor.mark());
        Ok(())
    }

    fn document(&mut self, kind: TokenKind<'t>) -> Result<(), SyntaxFault> {
        self.end_document()?;
        let start = self.cursor.mark();
        self.cursor.skip_ascii(3);
        self.push(kind, start);
        Ok(())
    }

    fn directive(&mut self) -> Result<(), SyntaxFault> {
        self.end_document()?;
        let start = self.cursor.mark();
        let kind = property::directive(&mut self.cursor)?;
        self.push(kind, start);
        Ok(())
    }

    fn end_document(&mut self) -> Result<(), SyntaxFault> {
        self.close_blocks(-1);
        self.remove_key()?;
        self.may_be_key = false;
        Ok(())
    }
}

/// Nodes.
impl<'t> YamlScanner<'t> {
    fn anchor(&mut self, kind: fn(&'t str) -> TokenKind<'t>) -> Result<(), SyntaxFault> {
        self.save_key()?;
        self.may_be_key = false;
        let start = self.cursor.mark();
        let name = property::anchor(&mut self.cursor)?;
        self.push(kind(name), start);
        Ok(())
    }

    fn tag(&mut self) -> Result<(), SyntaxFault> {
        self.save_key()?;
        self.may_be_key = false;
        let start = self.cursor.mark();
        let kind = property::tag(&mut self.cursor, self.flow_level > 0)?;
        self.push(kind, start);
        Ok(())
    }

    fn block_scalar(&mut self) -> Result<(), SyntaxFault> {
        self.remove_key()?;
        self.may_be_key = true;
        let start = self.cursor.mark();
        let (text, end) = block::scan(&mut self.cursor, self.indent)?;
        let kind = TokenKind::Scalar { text: text.into(), is_plain: false };
        self.tokens.push_back(YamlToken { kind, start, end });
        Ok(())
    }

    fn quoted_scalar(&mut self) -> Result<(), SyntaxFault> {
        self.save_key()?;
        self.may_be_key = false;
        let start = self.cursor.mark();
        let text = quoted::scan(&mut self.cursor)?;
        self.push(TokenKind::Scalar { text, is_plain: false }, start);
        Ok(())
    }

    fn plain_scalar(&mut self) -> Result<(), SyntaxFault> {
        self.save_key()?;
        self.may_be_key = false;
        let start = self.cursor.mark();
        let plain = plain::scan(&mut self.cursor, self.indent + 1, self.flow_level > 0)?;
        if plain.ends_line {
            self.may_be_key = true;
        }
        let kind = TokenKind::Scalar { text: plain.text, is_plain: true };
        self.tokens.push_back(YamlToken { kind, start, end: plain.end });
        Ok(())
    }
}

// === impl PossibleKey ===

impl PossibleKey {
    fn refuse_if_required(&self) -> Result<(), SyntaxFault> {
        if self.is_required {
            return self.mark.fault("a ':' is missing behind this key");
        }
        Ok(())
    }
}
