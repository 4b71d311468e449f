//! Scalars without quotes.

use std::borrow::Cow;

use super::fold::{LineBreaks, ScalarText};
use crate::contract::document::yaml::cursor::{Mark, SyntaxFault, YamlCursor};

/// A scalar without quotes.
#[derive(Debug)]
pub(super) struct PlainScalar<'t> {
    pub text: Cow<'t, str>,
    pub end: Mark,
    /// Line breaks follow it: a key may begin behind them.
    pub ends_line: bool,
}

/// Reads a plain scalar that begins at the cursor. Lines that go on with it begin at column
/// `indent` or behind it; in a flow collection, anywhere.
pub(super) fn scan<'t>(
    cursor: &mut YamlCursor<'t>,
    indent: i64,
    in_flow: bool,
) -> Result<PlainScalar<'t>, SyntaxFault> {
    let start = cursor.mark();
    let mut text = ScalarText::new(cursor.offset());
    let mut breaks = LineBreaks::default();
    let (mut end, mut end_offset) = (start, cursor.offset());
    let mut after_break = false;
    while !cursor.is_document_indicator() && cursor.byte(0) != b'#' {
        let len = word_len(cursor.rest(), in_flow)
            .map_err(|message| SyntaxFault { mark: start, message })?;
        if len > 0 {
            if after_break {
                text.cut(cursor, end_offset, cursor.offset());
                text.push_breaks(&mut breaks);
                after_break = false;
            }
            cursor.take(len);
            (end, end_offset) = (cursor.mark(), cursor.offset());
        }
        if !cursor.is_blank(0) && !cursor.is_break() {
            break;
        }
        loop {
            if cursor.is_blank(0) {
                if after_break
                    && i64::from(cursor.mark().column) < indent
                    && cursor.byte(0) == b'\t'
                {
                    return cursor.mark().fault("a tab is where indentation is expected");
                }
                cursor.skip_ascii(1);
            } else if !cursor.is_break() {
                break;
            } else if after_break {
                breaks.read_further(cursor);
            } else {
                breaks.read_first(cursor);
                after_break = true;
            }
        }
        if !in_flow && i64::from(cursor.mark().column) < indent {
            break;
        }
    }
    Ok(PlainScalar { text: text.finish(cursor, end_offset), end, ends_line: after_break })
}

/// Bytes up to white space, or to what ends a plain scalar.
fn word_len(rest: &[u8], in_flow: bool) -> Result<usize, &'static str> {
    let byte = |at: usize| rest.get(at).copied().unwrap_or(0);
    for at in 0..rest.len() {
        match byte(at) {
            b' ' | b'\t' | b'\n' | b'\r' => return Ok(at),
            0xc2 if byte(at + 1) == 0x85 => return Ok(at),
            0xe2 if byte(at + 1) == 0x80 && matches!(byte(at + 2), 0xa8 | 0xa9) => return Ok(at),
            b',' | b'[' | b']' | b'{' | b'}' if in_flow => return Ok(at),
            b':' => match byte(at + 1) {
                0 | b' ' | b'\t' | b'\n' | b'\r' => return Ok(at),
                0xc2 if byte(at + 2) == 0x85 => return Ok(at),
                0xe2 if byte(at + 2) == 0x80 && matches!(byte(at + 3), 0xa8 | 0xa9) => {
                    return Ok(at);
                }
                b',' | b'?' | b'[' | b']' | b'{' | b'}' if in_flow => {
                    return Err("a ':' in a flow collection needs a space behind it");
                }
                _ => {}
            },
            _ => {}
        }
    }
    Ok(rest.len())
}
