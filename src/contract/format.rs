//! `format`: which are asserted, and by what.
//!
//! Formats of JSON Schema are validated by the `jsonschema` crate; those of OpenAPI and its format
//! registry are validated here. A format that nothing is known about is a lint, never a silent pass.

use crate::json::Number;
use crate::json::number::Decimal;

/// How a format is validated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FormatKind {
    /// Asserts about numbers: [`NumberFormat`].
    Number,
    /// Asserts about strings.
    Text,
    /// Says something about a string that no value contradicts, such as `password`.
    Annotation,
    /// Nothing is known about it.
    Unknown,
}

/// The range of numbers that a format allows.
#[derive(Debug, Clone)]
pub(super) struct NumberFormat {
    integer: bool,
    least: Decimal,
    greatest: Decimal,
    /// Both as text.
    bounds: (&'static str, &'static str),
}

/// Formats of strings that the `jsonschema` crate knows under 2020-12.
const STANDARD: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];

/// Whether a string is of a format.
type TextCheck = fn(&str) -> bool;

/// Formats of strings that are validated here.
pub(super) const OWN: [(&str, TextCheck); 5] = [
    ("byte", is_base64),
    ("base64url", is_base64url),
    ("char", is_char),
    ("date-time-local", is_local_date_time),
    ("time-local", is_local_time),
];

/// Formats that no string contradicts, or whose text is not validated.
const ANNOTATIONS: [&str; 9] =
    ["password", "binary", "commonmark", "html", "markdown", "file", "string", "number", "integer"];

/// What `name` means.
pub(super) fn kind(name: &str) -> FormatKind {
    if NumberFormat::of(name).is_some() {
        FormatKind::Number
    } else if STANDARD.contains(&name) || OWN.iter().any(|(own, _)| *own == name) {
        FormatKind::Text
    } else if ANNOTATIONS.contains(&name) {
        FormatKind::Annotation
    } else {
        FormatKind::Unknown
    }
}

// === impl NumberFormat ===

impl NumberFormat {
    pub(super) fn of(name: &str) -> Option<Self> {
        let (integer, least, greatest) = match name {
            "int8" => (true, "-128", "127"),
            "int16" => (true, "-32768", "32767"),
            "int32" => (true, "-2147483648", "2147483647"),
            "int64" => (true, "-9223372036854775808", "9223372036854775807"),
            "uint8" => (true, "0", "255"),
            "uint16" => (true, "0", "65535"),
            "uint32" => (true, "0", "4294967295"),
            "uint64" => (true, "0", "18446744073709551615"),
            "double-int" => (true, "-9007199254740991", "9007199254740991"),
            "float" => (false, "-3.40282347e38", "3.40282347e38"),
            "double" => (false, "-1.7976931348623157e308", "1.7976931348623157e308"),
            _ => return None,
        };
        let bounds = (least, greatest);
        let (least, greatest) = (Decimal::parse(least)?, Decimal::parse(greatest)?);
        Some(Self { integer, least, greatest, bounds })
    }

    /// The numbers of the format, in words.
    pub(super) fn range(&self) -> String {
        let kind = if self.integer { "an integer" } else { "a number" };
        format!("{kind} from {} to {}", self.bounds.0, self.bounds.1)
    }

    /// Whether a number is one of the format's.
    pub(super) fn allows(&self, number: &Number<'_>) -> bool {
        let decimal = number.decimal();
        (!self.integer || decimal.is_integer()) && decimal >= self.least && decimal <= self.greatest
    }
}

/// RFC 1123 §2.1, as the drafts mean it that OpenAPI's own dialect builds on. JSON Schema 2020-12
/// takes the rules of RFC 5890 in, which set labels apart that have hyphens in third and fourth
/// position.
pub(super) fn is_hostname(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

/// Whether a text is plainly an address: names of letters and digits, at a host of several of them.
/// One that is not may be an address still (RFC 5321 §4.1.2).
pub(super) fn is_plain_email(text: &str) -> bool {
    const LONGEST: usize = 63;
    let are_names = |text: &str, separators: &[u8]| {
        let mut in_name = false;
        for byte in text.bytes() {
            let is_part = byte.is_ascii_alphanumeric();
            if !is_part && (!in_name || !separators.contains(&byte)) {
                return false;
            }
            in_name = is_part;
        }
        in_name && text.len() <= LONGEST
    };
    let Some((local, host)) = text.split_once('@') else { return false };
    are_names(local, b".+-_")
        && are_names(host, b".")
        && host.contains('.')
        && host.ends_with(|end: char| end.is_ascii_alphabetic())
}

/// RFC 4648 §4, padded.
fn is_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    let data = bytes.strip_suffix(b"==").or_else(|| bytes.strip_suffix(b"=")).unwrap_or(bytes);
    bytes.len().is_multiple_of(4)
        && data.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

/// RFC 4648 §5, with or without padding.
fn is_base64url(text: &str) -> bool {
    let data = text.trim_end_matches('=');
    text.len() - data.len() <= 2
        && data.len() % 4 != 1
        && data.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_char(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some() && chars.next().is_none()
}

/// Whether a text is plainly a `date-time` in UTC or without an offset, of a day that every month
/// has. One that is not may be one still.
pub(super) fn is_plain_date_time(text: &str) -> bool {
    let local = text.strip_suffix('Z').unwrap_or(text);
    local.as_bytes().get(10) == Some(&b'T')
        && local.get(8..10).is_some_and(|day| day < "29")
        && local.get(17..19).is_some_and(|second| second < "60")
        && local.get(8..10) != Some("00")
        && local.get(5..7) != Some("00")
        && is_local_date_time(local)
}

/// Whether a text is plainly a `time` in UTC or without an offset. One that is not may be one still.
pub(super) fn is_plain_time(text: &str) -> bool {
    let local = text.strip_suffix('Z').unwrap_or(text);
    local.get(6..8).is_some_and(|second| second < "60") && is_local_time(local)
}

/// `date-time` of RFC 3339 without an offset.
fn is_local_date_time(text: &str) -> bool {
    let Some((date, time)) = text.split_once(['T', 't', ' ']) else { return false };
    let bytes = date.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        date.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))?.parse::<u16>().ok()
    };
    let date_ok = bytes.len() == 10
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && digits(0..4).is_some()
        && digits(5..7).is_some_and(|month| (1..=12).contains(&month))
        && digits(8..10).is_some_and(|day| (1..=31).contains(&day));
    date_ok && is_local_time(time)
}

/// `time` of RFC 3339 without an offset.
fn is_local_time(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(a, b)| (a, Some(b)));
    let mut parts = whole.split(':');
    let mut part = |max: u16| {
        parts
            .next()
            .filter(|part| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|part| part.parse::<u16>().ok())
            .is_some_and(|value| value <= max)
    };
    let whole_ok = part(23) && part(59) && part(60);
    whole_ok
        && parts.next().is_none()
        && fraction.is_none_or(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_at_their_edges() {
        let allows = |name: &str, digits: &str| {
            NumberFormat::of(name).unwrap().allows(&Number::Digits(digits))
        };
        assert!(allows("int32", "2147483647"));
        assert!(!allows("int32", "2147483648"));
        assert!(allows("int32", "1e3"));
        assert!(!allows("int32", "1.5"));
        assert!(allows("int64", "9223372036854775807"));
        assert!(!allows("int64", "9223372036854775808"));
        assert!(allows("float", "0.1"));
        assert!(!allows("double", "1e400"));
    }

    #[test]
    fn text_formats_accept_and_refuse() {
        assert!(is_base64("") && is_base64("QQ==") && is_base64("QUI=") && is_base64("QUJD"));
        assert!(
            !is_base64("QQ=") && !is_base64("Q Q=") && !is_base64("Q_==") && !is_base64("====")
        );
        assert!(is_base64url("Q_-") && !is_base64url("Q") && !is_base64url("a+b="));
        assert!(is_hostname("a--b.example") && is_hostname("1.x") && is_hostname("xn--x"));
        assert!(
            !is_hostname("") && !is_hostname("a.") && !is_hostname("-a") && !is_hostname("a_b")
        );
        assert!(is_char("é") && !is_char("") && !is_char("ab"));
        assert!(
            is_local_date_time("2020-01-31T10:00:00.5")
                && !is_local_date_time("2020-13-31T10:00:00")
        );
        assert!(!is_local_time("24:00:00") && !is_local_time("10:00:00Z"));
    }

    #[test]
    fn every_format_is_of_one_kind() {
        assert_eq!(kind("int32"), FormatKind::Number);
        assert_eq!(kind("uuid"), FormatKind::Text);
        assert_eq!(kind("byte"), FormatKind::Text);
        assert_eq!(kind("password"), FormatKind::Annotation);
        assert_eq!(kind("our-id"), FormatKind::Unknown);
    }
}
