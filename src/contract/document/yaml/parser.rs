//! Tokens into events: the grammar of YAML as libyaml 0.2.5 reads it.

use std::borrow::Cow;

use super::cursor::{Mark, SyntaxFault, YamlCursor};
use super::scanner::YamlScanner;
use super::token::{TokenKind, YamlToken};

#[derive(Debug)]
pub(super) struct YamlEvent<'t> {
    pub kind: EventKind<'t>,
    pub start: Mark,
}

#[derive(Debug)]
pub(super) enum EventKind<'t> {
    DocumentStart,
    DocumentEnd,
    StreamEnd,
    Alias(&'t str),
    Scalar { text: Cow<'t, str>, is_plain: bool, properties: NodeProperties<'t> },
    SequenceStart(NodeProperties<'t>),
    SequenceEnd,
    MappingStart(NodeProperties<'t>),
    MappingEnd,
}

/// What may stand before a node.
#[derive(Debug, Default)]
pub(super) struct NodeProperties<'t> {
    pub anchor: Option<&'t str>,
    /// The tag in full, such as `tag:yaml.org,2002:str`.
    pub tag: Option<String>,
}

/// Reads a text event by event.
#[derive(Debug)]
pub(super) struct YamlParser<'t> {
    scanner: YamlScanner<'t>,
    state: ParserState,
    /// Where to go on when the node at hand is complete.
    outer: Vec<ParserState>,
    /// Handles of tags that directives of this document define, with their prefixes.
    handles: Vec<(&'t str, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParserState {
    FirstDocument,
    Document,
    DocumentContent,
    DocumentEnd,
    BlockNode,
    BlockSequenceStart,
    BlockSequenceEntry,
    IndentlessSequenceEntry,
    BlockMappingStart,
    BlockMappingKey,
    BlockMappingValue,
    FlowSequenceStart,
    FlowSequenceEntry,
    PairKey,
    PairValue,
    PairEnd,
    FlowMappingStart,
    FlowMappingKey,
    FlowMappingValue,
    FlowMappingNoValue,
    End,
}

type EventResult<'t> = Result<YamlEvent<'t>, SyntaxFault>;

// === impl YamlParser ===

impl<'t> YamlParser<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, SyntaxFault> {
        Ok(Self {
            scanner: YamlScanner::new(YamlCursor::new(text)?),
            state: ParserState::FirstDocument,
            outer: Vec::new(),
            handles: Vec::new(),
        })
    }

    /// The next event; behind the end of the stream, its end again.
    pub(super) fn next_event(&mut self) -> EventResult<'t> {
        use ParserState as S;
        match self.state {
            S::FirstDocument => self.document_start(true),
            S::Document => self.document_start(false),
            S::DocumentContent => self.document_content(),
            S::DocumentEnd => self.document_end(),
            S::BlockNode => self.node(true, false),
            S::BlockSequenceStart => self.enter(S::BlockSequenceEntry),
            S::BlockSequenceEntry => self.block_sequence_entry(),
            S::IndentlessSequenceEntry => self.indentless_sequence_entry(),
            S::BlockMappingStart => self.enter(S::BlockMappingKey),
            S::BlockMappingKey => self.block_mapping_key(),
            S::BlockMappingValue => self.block_mapping_value(),
            S::FlowSequenceStart => {
                self.scanner.skip();
                self.flow_sequence_entry(true)
            }
            S::FlowSequenceEntry => self.flow_sequence_entry(false),
            S::PairKey => self.pair_key(),
            S::PairValue => self.pair_value(),
            S::PairEnd => {
                let start = self.peek()?.start;
                self.state = S::FlowSequenceEntry;
                Ok(YamlEvent { kind: EventKind::MappingEnd, start })
            }
            S::FlowMappingStart => {
                self.scanner.skip();
                self.flow_mapping_key(true)
            }
            S::FlowMappingKey => self.flow_mapping_key(false),
            S::FlowMappingValue => self.flow_mapping_value(),
            S::FlowMappingNoValue => self.empty_here(S::FlowMappingKey),
            S::End => Ok(YamlEvent { kind: EventKind::StreamEnd, start: self.peek()?.start }),
        }
    }

    fn peek(&mut self) -> Result<&mut YamlToken<'t>, SyntaxFault> {
        self.scanner.peek()
    }

    /// Skips the token that opens a block collection.
    fn enter(&mut self, state: ParserState) -> EventResult<'t> {
        self.scanner.skip();
        self.state = state;
        self.next_event()
    }

    /// A node inside the one at hand, which goes on with `then`.
    fn inner(&mut self, then: ParserState, is_block: bool, indentless: bool) -> EventResult<'t> {
        self.outer.push(then);
        self.node(is_block, indentless)
    }

    fn close(&mut self, kind: EventKind<'t>) -> EventResult<'t> {
        let start = self.peek()?.start;
        self.scanner.skip();
        Ok(self.leave(kind, start))
    }

    fn leave(&mut self, kind: EventKind<'t>, start: Mark) -> YamlEvent<'t> {
        self.state = self.outer.pop().unwrap_or(ParserState::End);
        YamlEvent { kind, start }
    }

    /// An empty node at `start`; goes on with `then`.
    fn empty(&mut self, start: Mark, then: ParserState) -> YamlEvent<'t> {
        self.state = then;
        YamlEvent { kind: empty_scalar(NodeProperties::default()), start }
    }

    fn empty_here(&mut self, then: ParserState) -> EventResult<'t> {
        let start = self.peek()?.start;
        Ok(self.empty(start, then))
    }
}

/// Documents.
impl<'t> YamlParser<'t> {
    fn document_start(&mut self, is_first: bool) -> EventResult<'t> {
        if !is_first {
            while matches!(self.peek()?.kind, TokenKind::DocumentEnd) {
                self.scanner.skip();
            }
        }
        let token = self.peek()?;
        let start = token.start;
        match token.kind {
            TokenKind::StreamEnd => {
                self.state = ParserState::End;
                return Ok(YamlEvent { kind: EventKind::StreamEnd, start });
            }
            TokenKind::VersionDirective { .. }
            | TokenKind::TagDirective { .. }
            | TokenKind::DocumentStart => {
                self.directives()?;
                let token = self.peek()?;
                if !matches!(token.kind, TokenKind::DocumentStart) {
                    return token.start.fault("directives need a '---' behind them");
                }
                self.scanner.skip();
                self.state = ParserState::DocumentContent;
            }
            _ if is_first => self.state = ParserState::BlockNode,
            _ => return start.fault("the document ends before this"),
        }
        self.outer.push(ParserState::DocumentEnd);
        Ok(YamlEvent { kind: EventKind::DocumentStart, start })
    }

    fn directives(&mut self) -> Result<(), SyntaxFault> {
        let mut has_version = false;
        loop {
            let token = self.scanner.peek()?;
            let start = token.start;
            match &mut token.kind {
                TokenKind::VersionDirective { .. } if has_version => {
                    return start.fault("a second %YAML directive");
                }
                TokenKind::VersionDirective { major: 1, minor: 1 | 2 } => has_version = true,
                TokenKind::VersionDirective { .. } => {
                    return start.fault("a version of YAML other than 1.1 and 1.2");
                }
                TokenKind::TagDirective { handle, prefix } => {
                    if self.handles.iter().any(|(known, _)| known == handle) {
                        return start.fault("a second %TAG directive for one handle");
                    }
                    self.handles.push((handle, std::mem::take(prefix)));
                }
                _ => return Ok(()),
            }
            self.scanner.skip();
        }
    }

    fn document_content(&mut self) -> EventResult<'t> {
        let token = self.peek()?;
        let start = token.start;
        match token.kind {
            TokenKind::VersionDirective { .. }
            | TokenKind::TagDirective { .. }
            | TokenKind::DocumentStart
            | TokenKind::DocumentEnd
            | TokenKind::StreamEnd => {
                Ok(self.leave(empty_scalar(NodeProperties::default()), start))
            }
            _ => self.node(true, false),
        }
    }

    fn document_end(&mut self) -> EventResult<'t> {
        let token = self.peek()?;
        let start = token.start;
        if matches!(token.kind, TokenKind::DocumentEnd) {
            self.scanner.skip();
        }
        self.handles.clear();
        self.state = ParserState::Document;
        Ok(YamlEvent { kind: EventKind::DocumentEnd, start })
    }
}

/// Nodes.
impl<'t> YamlParser<'t> {
    fn node(&mut self, is_block: bool, indentless: bool) -> EventResult<'t> {
        let token = self.peek()?;
        let mut start = token.start;
        if let TokenKind::Alias(name) = token.kind {
            return self.close(EventKind::Alias(name));
        }
        let (properties, first) = self.properties()?;
        start = first.unwrap_or(start);
        let is_bare = first.is_none();
        let token = self.scanner.peek()?;
        let at = token.start;
        let (kind, state) = match &mut token.kind {
            TokenKind::Scalar { text, is_plain } => {
                let (text, is_plain) = (std::mem::take(text), *is_plain);
                self.scanner.skip();
                return Ok(self.leave(EventKind::Scalar { text, is_plain, properties }, start));
            }
            TokenKind::BlockEntry if indentless => {
                (EventKind::SequenceStart(properties), ParserState::IndentlessSequenceEntry)
            }
            TokenKind::FlowSequenceStart => {
                (EventKind::SequenceStart(properties), ParserState::FlowSequenceStart)
            }
            TokenKind::FlowMappingStart => {
                (EventKind::MappingStart(properties), ParserState::FlowMappingStart)
            }
            TokenKind::BlockSequenceStart if is_block => {
                (EventKind::SequenceStart(properties), ParserState::BlockSequenceStart)
            }
            TokenKind::BlockMappingStart if is_block => {
                (EventKind::MappingStart(properties), ParserState::BlockMappingStart)
            }
            _ if !is_bare => return Ok(self.leave(empty_scalar(properties), start)),
            _ => return at.fault("a value is expected here"),
        };
        self.state = state;
        Ok(YamlEvent { kind, start })
    }

    /// An anchor and a tag, in either order, and where the first of them begins.
    fn properties(&mut self) -> Result<(NodeProperties<'t>, Option<Mark>), SyntaxFault> {
        let mut properties = NodeProperties::default();
        let mut tag = None;
        let mut first = None;
        loop {
            let token = self.scanner.peek()?;
            match &mut token.kind {
                TokenKind::Anchor(name) if properties.anchor.is_none() => {
                    properties.anchor = Some(name);
                }
                TokenKind::Tag { handle, suffix } if tag.is_none() => {
                    tag = Some((*handle, std::mem::take(suffix), token.start));
                }
                _ => break,
            }
            first = first.or(Some(token.start));
            self.scanner.skip();
        }
        if let Some((handle, suffix, mark)) = tag {
            let defined = self.handles.iter().find(|(known, _)| *known == handle);
            properties.tag = Some(match (defined, handle) {
                (_, "") => suffix,
                (Some((_, prefix)), _) => format!("{prefix}{suffix}"),
                (None, "!") => format!("!{suffix}"),
                (None, "!!") => format!("tag:yaml.org,2002:{suffix}"),
                _ => return mark.fault("no %TAG directive defines the handle of this tag"),
            });
        }
        Ok((properties, first))
    }
}

/// Block collections.
impl<'t> YamlParser<'t> {
    fn block_sequence_entry(&mut self) -> EventResult<'t> {
        let token = self.peek()?;
        let (start, end) = (token.start, token.end);
        match token.kind {
            TokenKind::BlockEntry => {
                self.scanner.skip();
                match self.peek()?.kind {
                    TokenKind::BlockEntry | TokenKind::BlockEnd => {
                        Ok(self.empty(end, ParserState::BlockSequenceEntry))
                    }
                    _ => self.inner(ParserState::BlockSequenceEntry, true, false),
                }
            }
            TokenKind::BlockEnd => self.close(EventKind::SequenceEnd),
            _ => start.fault("the next item of a list, with '-' in the same column, is expected"),
        }
    }

    /// A sequence under a key, its `-` in the column of the key.
    fn indentless_sequence_entry(&mut self) -> EventResult<'t> {
        let token = self.peek()?;
        let (start, end) = (token.start, token.end);
        if !matches!(token.kind, TokenKind::BlockEntry) {
            return Ok(self.leave(EventKind::SequenceEnd, start));
        }
        self.scanner.skip();
        match self.peek()?.kind {
            TokenKind::BlockEntry | TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => {
                Ok(self.empty(end, ParserState::IndentlessSequenceEntry))
            }
            _ => self.inner(ParserState::IndentlessSequenceEntry, true, false),
        }
    }

    fn block_mapping_key(&mut self) -> EventResult<'t> {
        let token = self.peek()?;
        let (start, end) = (token.start, token.end);
        match token.kind {
            TokenKind::Key => {
                self.scanner.skip();
                self.block_mapping_node(end, ParserState::BlockMappingValue)
            }
            TokenKind::BlockEnd => self.close(EventKind::MappingEnd),
            _ => start.fault("the next key of a mapping, in the same column, is expected"),
        }
    }

    fn block_mapping_value(&mut self) -> EventResult<'t> {
        let token = self.peek()?;
        let end = token.end;
        if !matches!(token.kind, TokenKind::Value) {
            return self.empty_here(ParserState::BlockMappingKey);
        }
        self.scanner.skip();
        self.block_mapping_node(end, ParserState::BlockMappingKey)
    }

    fn block_mapping_node(&mut self, before: Mark, then: ParserState) -> EventResult<'t> {
        match self.peek()?.kind {
            TokenKind::Key | TokenKind::Value | TokenKind::BlockEnd => Ok(self.empty(before, then)),
            _ => self.inner(then, true, true),
        }
    }
}

/// Flow collections.
impl<'t> YamlParser<'t> {
    fn flow_sequence_entry(&mut self, is_first: bool) -> EventResult<'t> {
        let mut token = self.scanner.peek()?;
        if !is_first && !matches!(token.kind, TokenKind::FlowSequenceEnd) {
            if !matches!(token.kind, TokenKind::FlowEntry) {
                return token.start.fault("a ',' or ']' is expected here");
            }
            self.scanner.skip();
            token = self.scanner.peek()?;
        }
        let start = token.start;
        match token.kind {
            TokenKind::FlowSequenceEnd => self.close(EventKind::SequenceEnd),
            TokenKind::Key => {
                self.scanner.skip();
                self.state = ParserState::PairKey;
                let kind = EventKind::MappingStart(NodeProperties::default());
                Ok(YamlEvent { kind, start })
            }
            _ => self.inner(ParserState::FlowSequenceEntry, false, false),
        }
    }

    /// The key of a pair that is an item of a sequence: `[a: 1]`.
    fn pair_key(&mut self) -> EventResult<'t> {
        let token = self.peek()?;
        let end = token.end;
        match token.kind {
            TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowSequenceEnd => {
                self.scanner.skip();
                Ok(self.empty(end, ParserState::PairValue))
            }
            _ => self.inner(ParserState::PairValue, false, false),
        }
    }

    fn pair_value(&mut self) -> EventResult<'t> {
        if matches!(self.peek()?.kind, TokenKind::Value) {
            self.scanner.skip();
            if !matches!(self.peek()?.kind, TokenKind::FlowEntry | TokenKind::FlowSequenceEnd) {
                return self.inner(ParserState::PairEnd, false, false);
            }
        }
        self.empty_here(ParserState::PairEnd)
    }

    fn flow_mapping_key(&mut self, is_first: bool) -> EventResult<'t> {
        let mut token = self.scanner.peek()?;
        if !is_first && !matches!(token.kind, TokenKind::FlowMappingEnd) {
            if !matches!(token.kind, TokenKind::FlowEntry) {
                return token.start.fault("a ',' or '}' is expected here");
            }
            self.scanner.skip();
            token = self.scanner.peek()?;
        }
        match token.kind {
            TokenKind::FlowMappingEnd => self.close(EventKind::MappingEnd),
            TokenKind::Key => {
                self.scanner.skip();
                match self.peek()?.kind {
                    TokenKind::Value | TokenKind::FlowEntry | TokenKind::FlowMappingEnd => {
                        self.empty_here(ParserState::FlowMappingValue)
                    }
                    _ => self.inner(ParserState::FlowMappingValue, false, false),
                }
            }
            _ => self.inner(ParserState::FlowMappingNoValue, false, false),
        }
    }

    fn flow_mapping_value(&mut self) -> EventResult<'t> {
        if matches!(self.peek()?.kind, TokenKind::Value) {
            self.scanner.skip();
            if !matches!(self.peek()?.kind, TokenKind::FlowEntry | TokenKind::FlowMappingEnd) {
                return self.inner(ParserState::FlowMappingKey, false, false);
            }
        }
        self.empty_here(ParserState::FlowMappingKey)
    }
}

fn empty_scalar(properties: NodeProperties<'_>) -> EventKind<'_> {
    EventKind::Scalar { text: Cow::Borrowed(""), is_plain: true, properties }
}
