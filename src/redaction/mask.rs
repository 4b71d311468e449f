//! Masks: values that say nothing but are of the same kind.

use crate::model::clock::Timestamp;

/// The longest mask of a text.
const LONGEST: usize = 64;

/// The mask of a text: the same format where it has one that validation would ask for, else as
/// many `x` as the biggest power of two that is not longer than the text, at most 64. A mask is
/// its own mask.
pub fn mask(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    if is_email(text) {
        return "x@x.example".to_owned();
    }
    if is_uuid(text) {
        return "00000000-0000-4000-8000-000000000000".to_owned();
    }
    if is_date(text) {
        return "2000-01-01".to_owned();
    }
    if Timestamp::parse(text).is_some() {
        return "2000-01-01T00:00:00Z".to_owned();
    }
    if let Some(digits) = mask_digits(text) {
        return digits;
    }
    for scheme in ["https://", "http://"] {
        if text.starts_with(scheme) {
            return format!("{scheme}x.example/");
        }
    }
    mask_letters(text.chars().count())
}

/// As many `x` as the length class of `length` has.
pub(super) fn mask_letters(length: usize) -> String {
    let class = length.checked_ilog2().map_or(0, |log| 1_usize << log);
    "x".repeat(class.min(LONGEST))
}

/// Card-shaped and other numbers: every digit becomes 0, separators stay.
fn mask_digits(text: &str) -> Option<String> {
    let shaped = text.len() <= LONGEST
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-' | b'+' | b'.'))
        && text.bytes().any(|byte| byte.is_ascii_digit());
    shaped.then(|| zeros(text))
}

/// `text` with every digit 0.
pub(super) fn zeros(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

/// The mask of a JSON number: 0, with a fraction or an exponent where it had one.
pub(super) fn mask_number(text: &str) -> &'static str {
    match (text.contains('.'), text.contains(['e', 'E'])) {
        (true, _) => "0.0",
        (false, true) => "0e0",
        (false, false) => "0",
    }
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    !local.is_empty()
        && domain.contains('.')
        && !domain.contains('@')
        && !text.chars().any(char::is_whitespace)
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_date(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_keep_kind_and_length_class() {
        for (text, masked) in [
            ("", ""),
            ("a", "x"),
            ("hunter2", "xxxx"),
            ("correct horse battery", "xxxxxxxxxxxxxxxx"),
            ("bob@corp.com", "x@x.example"),
            ("4111 1111 1111 1111", "0000 0000 0000 0000"),
            ("123", "000"),
            ("1984-04-01", "2000-01-01"),
            ("1984-04-01T12:00:00+01:00", "2000-01-01T00:00:00Z"),
            ("123e4567-e89b-12d3-a456-426614174000", "00000000-0000-4000-8000-000000000000"),
            ("https://corp.com/reset?k=1", "https://x.example/"),
        ] {
            assert_eq!(mask(text), masked, "{text}");
            assert_eq!(mask(masked), masked, "a mask is its own mask");
        }
    }

    #[test]
    fn numbers_keep_their_kind() {
        assert_eq!(mask_number("12345678901234567890"), "0");
        assert_eq!(mask_number("-1.5"), "0.0");
        assert_eq!(mask_number("1e400"), "0e0");
    }
}
