//! What a text lacks that its format asks for, without showing anything of the text.

use crate::model::clock::Timestamp;

/// How texts of a format are written.
pub(super) fn form(format: &str) -> Option<&'static str> {
    Some(match format {
        "date-time" => "RFC 3339, as 2024-05-31T12:00:00Z",
        "date" => "as 2024-05-31",
        "time" => "as 12:00:00Z",
        "date-time-local" => "as 2024-05-31T12:00:00, without an offset",
        "time-local" => "as 12:00:00, without an offset",
        "duration" => "ISO 8601, as P1DT12H",
        "email" | "idn-email" => "as name@example.org",
        "hostname" | "idn-hostname" => "as www.example.org",
        "ipv4" => "as 192.0.2.1",
        "ipv6" => "as 2001:db8::1",
        "uri" | "iri" => "absolute, as https://example.org/a",
        "uuid" => "32 hexadecimal digits with four hyphens",
        "byte" => "Base64 with padding",
        "base64url" => "Base64 with - and _",
        "json-pointer" => "as /a/0",
        "char" => "one character",
        _ => return None,
    })
}

/// What is wrong with a text of a format, as the end of `a string which …`.
pub(super) fn hint(format: &str, text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return None;
    }
    if text.trim() != text {
        return Some("begins or ends with white space");
    }
    match format {
        "date-time" => date_time(text),
        "date" => date(text),
        "time" => time(text),
        "email" | "idn-email" => email(text),
        "hostname" | "idn-hostname" => hostname(text),
        "uri" | "iri" => uri(text),
        "uuid" => uuid(text),
        "ipv4" | "ipv6" => address(format, text),
        "byte" | "base64url" => base64(format, text),
        _ => None,
    }
}

fn date_time(text: &str) -> Option<&'static str> {
    let with_t = || text.replacen(' ', "T", 1);
    if is_digits(text) {
        return Some("is a number of seconds or milliseconds");
    }
    if is_date(text) {
        return Some("is a date alone and needs a time");
    }
    if text.contains(' ') && Timestamp::parse(&with_t()).is_some() {
        return Some("needs a T between date and time");
    }
    if text.contains(' ') && Timestamp::parse(&format!("{}Z", with_t())).is_some() {
        return Some("needs a T between date and time, and an offset such as Z or +02:00");
    }
    if Timestamp::parse(&format!("{text}Z")).is_some() {
        return Some("needs an offset such as Z or +02:00");
    }
    let short = offset_without_colon(text);
    short
        .is_some_and(|text| Timestamp::parse(&text).is_some())
        .then_some("needs a colon in its offset, as +02:00")
}

/// The text with the colon that an offset such as `+0200` lacks.
fn offset_without_colon(text: &str) -> Option<String> {
    let at = text.len().checked_sub(5)?;
    let offset = text.get(at..)?;
    let digits = offset.strip_prefix(['+', '-'])?;
    is_digits(digits).then(|| format!("{}{}:{}", &text[..at], &offset[..3], &offset[3..]))
}

fn date(text: &str) -> Option<&'static str> {
    let has_time = text.get(..10).is_some_and(is_date)
        && text.get(10..).is_some_and(|rest| rest.starts_with(['T', ' ', 't']));
    if has_time {
        Some("has a time, and a date has none")
    } else if is_date(text) {
        Some("is no day of the calendar")
    } else if text.contains('/') || text.contains('.') {
        Some("needs the order year-month-day with hyphens")
    } else {
        None
    }
}

fn time(text: &str) -> Option<&'static str> {
    let parses = |time: &str| Timestamp::parse(&format!("2000-01-01T{time}")).is_some();
    if parses(&format!("{text}Z")) {
        Some("needs an offset such as Z or +02:00")
    } else if parses(&format!("{text}:00Z")) || parses(&format!("{text}:00")) {
        Some("needs seconds and an offset, as 12:00:00Z")
    } else {
        None
    }
}

fn email(text: &str) -> Option<&'static str> {
    if text.contains(['<', '>']) {
        Some("has a display name or angle brackets, and an address alone is asked for")
    } else if !text.contains('@') {
        Some("has no @")
    } else if text.contains([',', ';']) {
        Some("has a list of addresses, and one is asked for")
    } else {
        None
    }
}

fn hostname(text: &str) -> Option<&'static str> {
    if text.contains("://") {
        Some("has a scheme, and a name alone is asked for")
    } else if text.contains(':') {
        Some("has a port, and a name alone is asked for")
    } else if text.contains('_') {
        Some("has an underscore")
    } else {
        None
    }
}

fn uri(text: &str) -> Option<&'static str> {
    let scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    });
    if !scheme {
        Some("has no scheme such as https:")
    } else if text.contains(' ') {
        Some("has a space, which is written %20")
    } else {
        None
    }
}

fn uuid(text: &str) -> Option<&'static str> {
    let hex = |text: &str| text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hex(text) {
        Some("has no hyphens")
    } else if text.starts_with('{') || text.starts_with("urn:") {
        Some("has braces or a prefix around it")
    } else {
        None
    }
}

fn address(format: &str, text: &str) -> Option<&'static str> {
    let other = match text.parse::<std::net::IpAddr>().ok()? {
        std::net::IpAddr::V4(_) => "ipv4",
        std::net::IpAddr::V6(_) => "ipv6",
    };
    match other {
        "ipv4" if format == "ipv6" => Some("is an IPv4 address"),
        "ipv6" if format == "ipv4" => Some("is an IPv6 address"),
        _ => None,
    }
}

fn base64(format: &str, text: &str) -> Option<&'static str> {
    let plain = text.trim_end_matches('=');
    let of = |extra: &[u8]| {
        plain.bytes().all(|byte| byte.is_ascii_alphanumeric() || extra.contains(&byte))
    };
    match format {
        "byte" if of(b"+/") => Some("is not padded with = to a multiple of four characters"),
        "byte" if of(b"-_") => Some("uses the alphabet of base64url"),
        "base64url" if of(b"+/") => Some("uses the alphabet of plain Base64"),
        _ => None,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
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
    fn hints_say_what_is_missing() {
        for (format, text, expected) in [
            ("date-time", "2024-05-31T12:00:00", "needs an offset such as Z or +02:00"),
            ("date-time", "2024-05-31 12:00:00Z", "needs a T between date and time"),
            (
                "date-time",
                "2024-05-31 12:00:00",
                "needs a T between date and time, and an offset such as Z or +02:00",
            ),
            ("date-time", "2024-05-31T12:00:00+0200", "needs a colon in its offset, as +02:00"),
            ("date-time", "2024-05-31", "is a date alone and needs a time"),
            ("date-time", "1717156800", "is a number of seconds or milliseconds"),
            ("date", "2024-05-31T00:00:00Z", "has a time, and a date has none"),
            ("date", "2024-02-31", "is no day of the calendar"),
            ("date", "31.05.2024", "needs the order year-month-day with hyphens"),
            ("time", "12:00:00", "needs an offset such as Z or +02:00"),
            ("time", "12:00", "needs seconds and an offset, as 12:00:00Z"),
            (
                "email",
                "Bob <bob@corp.com>",
                "has a display name or angle brackets, and an address alone is asked for",
            ),
            ("email", "bob", "has no @"),
            ("hostname", "https://a.example", "has a scheme, and a name alone is asked for"),
            ("uri", "/a/b", "has no scheme such as https:"),
            ("uri", "https://a.example/a b", "has a space, which is written %20"),
            ("uuid", "123e4567e89b12d3a456426614174000", "has no hyphens"),
            ("ipv4", "::1", "is an IPv6 address"),
            ("byte", "YQ", "is not padded with = to a multiple of four characters"),
            ("byte", "_-8=", "uses the alphabet of base64url"),
            ("uuid", " x", "begins or ends with white space"),
        ] {
            assert_eq!(hint(format, text), Some(expected), "{format} {text}");
        }
        for (format, text) in
            [("date-time", ""), ("date-time", "é"), ("regex", "("), ("ipv4", "1.2.3")]
        {
            assert_eq!(hint(format, text), None, "{format} {text}");
        }
    }
}
