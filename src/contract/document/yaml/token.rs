//! The tokens of YAML.

use std::borrow::Cow;

use super::cursor::Mark;

#[derive(Debug)]
pub(super) struct YamlToken<'t> {
    pub kind: TokenKind<'t>,
    pub start: Mark,
    pub end: Mark,
}

#[derive(Debug)]
pub(super) enum TokenKind<'t> {
    StreamEnd,
    VersionDirective {
        major: u32,
        minor: u32,
    },
    TagDirective {
        handle: &'t str,
        prefix: String,
    },
    DocumentStart,
    DocumentEnd,
    BlockSequenceStart,
    BlockMappingStart,
    BlockEnd,
    FlowSequenceStart,
    FlowSequenceEnd,
    FlowMappingStart,
    FlowMappingEnd,
    BlockEntry,
    FlowEntry,
    Key,
    Value,
    Alias(&'t str),
    Anchor(&'t str),
    /// An empty handle: the suffix is the whole tag.
    Tag {
        handle: &'t str,
        suffix: String,
    },
    Scalar {
        text: Cow<'t, str>,
        is_plain: bool,
    },
}
