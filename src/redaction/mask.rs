//! Masks: values that reveal nothing but have the same kind.
//!
//! The verdict on a masked message is that on the original as far as a schema asks for types and formats:
//! what is an e-mail address, a UUID, a date, a time, a duration, an address of the Internet, a
//! URI, a path or Base64 stays one; a number keeps its sign and stays whole or fractional. This is
//! not so where a schema asks for an exact value: `enum`, `const`, `pattern`, bounds of numbers
//! other than 0, exact lengths.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::model::clock::Timestamp;

/// The longest mask of a text.
const MAX_MASK_LENGTH: usize = 64;
/// Schemes that a masked URI keeps.
const SCHEMES: [&str; 12] =
    ["http", "https", "ftp", "ftps", "ws", "wss", "mailto", "tel", "urn", "ldap", "data", "file"];

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
    if is_time(text) {
        return "00:00:00Z".to_owned();
    }
    if text.parse::<Ipv4Addr>().is_ok() {
        return "192.0.2.1".to_owned();
    }
    if text.contains(':') && text.parse::<Ipv6Addr>().is_ok() {
        return "fd00::1".to_owned();
    }
    if let Some(digits) = mask_digits(text) {
        return digits;
    }
    if let Some(uri) = mask_uri(text) {
        return uri;
    }
    if is_duration(text) {
        return "P1D".to_owned();
    }
    if text.ends_with('=') && is_base64(text) {
        return "eHh4eA==".to_owned();
    }
    mask_letters(text.chars().count())
}

/// A URI keeps its scheme, a path its first slash (RFC 3986 §3.1, §3.3).
fn mask_uri(text: &str) -> Option<String> {
    if text.starts_with('/') {
        return Some("/x".to_owned());
    }
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() <= 16
        && scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || b"+.-".contains(&byte));
    let spaced = rest.is_empty() || rest.contains(char::is_whitespace);
    let inner = if rest.starts_with("//") { "//x.example/" } else { "x" };
    // an unknown scheme may be a part of a secret
    (is_scheme && !spaced && SCHEMES.contains(&scheme)).then(|| format!("{scheme}:{inner}"))
}

/// `P3DT4H`, as `format: duration` has it (RFC 3339 appendix A).
fn is_duration(text: &str) -> bool {
    let rest = text.strip_prefix('P').unwrap_or_default();
    let known = |byte: u8| byte.is_ascii_digit() || b"YMWDTHS".contains(&byte);
    (2..=32).contains(&rest.len())
        && rest.bytes().all(known)
        && rest.starts_with(|c: char| c.is_ascii_digit() || c == 'T')
        && rest.ends_with(|c: char| c.is_ascii_uppercase() && c != 'T')
}

/// As many `x` as the length class of `length` has.
pub(super) fn mask_letters(length: usize) -> String {
    let class = length.checked_ilog2().map_or(0, |log| 1_usize << log);
    "x".repeat(class.min(MAX_MASK_LENGTH))
}

/// Card-shaped and other numbers: every digit becomes 0, separators stay.
fn mask_digits(text: &str) -> Option<String> {
    let shaped = text.len() <= MAX_MASK_LENGTH
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

/// The mask of a JSON number: of the same sign, zero only for zero, whole only for whole ones,
/// with a fraction or an exponent where it had one.
pub(super) fn mask_number(text: &str) -> &'static str {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let negative = text.starts_with('-');
    let zero = !mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let form = match (mantissa.contains('.'), exponent) {
        (_, Some(_)) => 2,
        (true, None) => 1,
        (false, None) => 0,
    };
    let forms = match (zero, is_whole(mantissa, exponent), negative) {
        (true, _, _) => ["0", "0.0", "0e0"],
        (false, true, false) => ["1", "1.0", "1e0"],
        (false, true, true) => ["-1", "-1.0", "-1e0"],
        (false, false, false) => ["0.5", "0.5", "5e-1"],
        (false, false, true) => ["-0.5", "-0.5", "-5e-1"],
    };
    forms[form]
}

/// Whether only zeros follow the point once the exponent has moved it.
fn is_whole(mantissa: &str, exponent: Option<&str>) -> bool {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0').len();
    let zeros = whole.len() - whole.trim_end_matches('0').len();
    let exponent = exponent.map_or("0", |digits| digits.strip_prefix('+').unwrap_or(digits));
    match exponent.parse::<i64>() {
        Ok(exponent) if exponent >= 0 => fraction as u64 <= exponent.unsigned_abs(),
        Ok(exponent) => fraction == 0 && exponent.unsigned_abs() <= zeros as u64,
        // beyond any exponent there is
        Err(_) => !exponent.starts_with('-'),
    }
}

/// `12:30:00Z`, as `format: time` has it (RFC 3339 §5.6).
fn is_time(text: &str) -> bool {
    text.len() <= 32 && Timestamp::parse(&format!("2000-01-01T{text}")).is_some()
}

fn is_base64(text: &str) -> bool {
    let digits = text.trim_end_matches('=');
    text.len() >= 4
        && text.len().is_multiple_of(4)
        && text.len() - digits.len() <= 2
        && digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
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
            ("mailto:bob", "mailto:x"),
            ("hunter2:abc", "xxxxxxxx"),
            ("/home/bob", "/x"),
            ("P3DT4H", "P1D"),
            ("192.168.17.4", "192.0.2.1"),
            ("fe80::1:2", "fd00::1"),
            ("23:59:58+01:00", "00:00:00Z"),
            ("aHVudGVyMg==", "eHh4eA=="),
        ] {
            assert_eq!(mask(text), masked, "{text}");
            assert_eq!(mask(masked), masked, "a mask is its own mask");
        }
    }

    #[test]
    fn numbers_keep_their_kind() {
        for (number, masked) in [
            ("12345678901234567890", "1"),
            ("-7", "-1"),
            ("0", "0"),
            ("-0.00", "0.0"),
            ("-1.5", "-0.5"),
            ("12.00", "1.0"),
            ("1e400", "1e0"),
            ("-1.25e1", "-5e-1"),
            ("-1.25E+2", "-1e0"),
            ("100e-2", "1e0"),
            ("100e-3", "5e-1"),
            ("1e-99999999999999999999", "5e-1"),
            ("1e99999999999999999999", "1e0"),
        ] {
            assert_eq!(mask_number(number), masked, "{number}");
            assert_eq!(mask_number(masked), masked, "a mask is its own mask");
        }
    }
}
