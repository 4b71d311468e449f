//! Bytes of a document into text: UTF-8, or UTF-16 that begins with a byte order mark.

use std::borrow::Cow;

use crate::contract::error::{ContractError, Diagnostic};
use crate::json::positions;

pub(super) fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ContractError> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            not_text(&valid, "the text is not UTF-8")
        }),
    }
}

fn decode_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<Cow<'_, str>, ContractError> {
    let pairs = bytes.chunks_exact(2);
    let is_odd = !pairs.remainder().is_empty();
    let units = pairs.filter_map(|pair| pair.try_into().ok().map(unit));
    let mut text = String::with_capacity(bytes.len() / 2);
    for character in char::decode_utf16(units) {
        let Ok(character) = character else {
            return Err(not_text(&text, "the text is not UTF-16"));
        };
        text.push(character);
    }
    if is_odd {
        return Err(not_text(&text, "the text is not UTF-16"));
    }
    Ok(Cow::Owned(text))
}

/// Refuses a text behind the part of it that is valid.
fn not_text(valid: &str, message: &str) -> ContractError {
    ContractError::Syntax(Diagnostic::at(positions::position(valid, valid.len()), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn utf_16_is_known_by_its_byte_order_mark() {
        let text = "title: \u{e4}\u{1f600}\n";
        assert_eq!(decode(&utf16(text, u16::to_le_bytes)).unwrap(), text);
        assert_eq!(decode(&utf16(text, u16::to_be_bytes)).unwrap(), text);
    }

    #[test]
    fn what_is_no_text_is_refused_where_it_begins() {
        let line =
            |bytes: &[u8]| decode(bytes).unwrap_err().diagnostic().position.map(|at| at.line);
        assert_eq!(line(b"a: 1\nb: \xff"), Some(2));
        assert_eq!(line(&[0xff, 0xfe, b'\n', 0, 0x00, 0xd8]), Some(2));
        assert_eq!(line(&[0xff, 0xfe, b'a', 0, b'b']), Some(1));
    }
}
