//! Scalars in single and double quotes.

use std::borrow::Cow;

use super::fold::{LineBreaks, ScalarText};
use crate::contract::document::yaml::cursor::{Mark, SyntaxFault, YamlCursor};

/// Reads a scalar whose opening quote is at the cursor. Its lines may begin at any column.
pub(super) fn scan<'t>(cursor: &mut YamlCursor<'t>) -> Result<Cow<'t, str>, SyntaxFault> {
    let start = cursor.mark();
    let quote = cursor.byte(0);
    cursor.skip_ascii(1);
    let mut text = ScalarText::new(cursor.offset());
    let mut breaks = LineBreaks::default();
    loop {
        if cursor.is_document_indicator() {
            return start.fault("a document ends inside this quoted text");
        }
        if cursor.at_end() {
            return start.fault("the closing quote of this text is missing");
        }
        let mut after_break = words(cursor, quote, start, &mut text)?;
        let end = cursor.offset();
        if cursor.byte(0) == quote {
            cursor.skip_ascii(1);
            return Ok(text.finish(cursor, end));
        }
        loop {
            if cursor.is_blank(0) {
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
        if after_break {
            text.cut(cursor, end, cursor.offset());
            text.push_breaks(&mut breaks);
        }
    }
}

/// Reads up to white space or the closing quote; true where an escaped line break came first.
fn words(
    cursor: &mut YamlCursor<'_>,
    quote: u8,
    start: Mark,
    text: &mut ScalarText,
) -> Result<bool, SyntaxFault> {
    loop {
        let len = run_len(cursor.rest(), quote);
        cursor.take(len);
        let here = cursor.offset();
        match cursor.byte(0) {
            b'\'' if quote == b'\'' && cursor.byte(1) == b'\'' => {
                text.cut(cursor, here + 1, here + 2);
                cursor.skip_ascii(2);
            }
            b'\\' if quote == b'"' && cursor.break_len(1) != 0 => {
                cursor.skip_ascii(1);
                cursor.skip_break();
                text.cut(cursor, here, cursor.offset());
                return Ok(true);
            }
            b'\\' if quote == b'"' => {
                let escaped = escape(cursor, start)?;
                text.cut(cursor, here, cursor.offset());
                text.push(escaped);
            }
            _ => return Ok(false),
        }
    }
}

/// Bytes up to white space, the quote or an escape.
fn run_len(rest: &[u8], quote: u8) -> usize {
    let byte = |at: usize| rest.get(at).copied().unwrap_or(0);
    let ends = |at: &usize| match byte(*at) {
        b' ' | b'\t' | b'\n' | b'\r' => true,
        b'\\' => quote == b'"',
        0xc2 => byte(at + 1) == 0x85,
        0xe2 => byte(at + 1) == 0x80 && matches!(byte(at + 2), 0xa8 | 0xa9),
        other => other == quote,
    };
    (0..rest.len()).find(ends).unwrap_or(rest.len())
}

/// Reads an escape, the backslash included.
fn escape(cursor: &mut YamlCursor<'_>, start: Mark) -> Result<char, SyntaxFault> {
    let mark = cursor.mark();
    let digits = match cursor.byte(1) {
        b'x' => 2,
        b'u' => 4,
        b'U' => 8,
        0 => return start.fault("the closing quote of this text is missing"),
        letter => {
            let Some(meant) = escaped_char(letter) else {
                return mark.fault("an unknown escape in a quoted text");
            };
            cursor.skip_ascii(2);
            return Ok(meant);
        }
    };
    let mut code = 0u32;
    for at in 0..digits {
        let Some(digit) = char::from(cursor.byte(2 + at)).to_digit(16) else {
            return mark.fault("an escape needs hexadecimal digits");
        };
        code = (code << 4) | digit;
    }
    let Some(meant) = char::from_u32(code) else {
        return mark.fault("an escape that is no Unicode character");
    };
    cursor.skip_ascii(2 + digits);
    Ok(meant)
}

fn escaped_char(letter: u8) -> Option<char> {
    Some(match letter {
        b'0' => '\0',
        b'a' => '\x07',
        b'b' => '\x08',
        b't' | b'\t' => '\t',
        b'n' => '\n',
        b'v' => '\x0b',
        b'f' => '\x0c',
        b'r' => '\r',
        b'e' => '\x1b',
        b' ' => ' ',
        b'"' => '"',
        b'/' => '/',
        b'\\' => '\\',
        b'N' => '\u{85}',
        b'_' => '\u{a0}',
        b'L' => '\u{2028}',
        b'P' => '\u{2029}',
        _ => return None,
    })
}
