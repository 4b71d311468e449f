//! Splits multipart bodies into parts (RFC 2046 §5.1, RFC 7578).
//!
//! Invariants: one pass over the bytes, memory linear in the number of parts up to
//! [`MAX_PARTS`], no recursion: a part that is multipart itself is one value.

use std::borrow::Cow;

use memchr::memmem::find;

/// Parts beyond this are not validated.
pub(crate) const MAX_PARTS: usize = 10_000;

/// Header fields of one part that are read.
const MAX_PART_HEADERS: usize = 64;

/// One part of a multipart body.
#[derive(Debug, Clone)]
pub(crate) struct Part<'b> {
    /// `name` of `Content-Disposition`, decoded; empty where there is none.
    pub(crate) name: Cow<'b, str>,
    /// Header fields: name as sent, value trimmed.
    pub(crate) headers: Vec<(&'b str, &'b str)>,
    /// What the part carries.
    pub(crate) content: &'b [u8],
}

/// Why a body is no multipart body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MultipartFailure {
    /// The boundary does not occur in the body, or the body is cut off before the last one.
    NoBoundary,
    /// A part without an end of its header.
    BrokenPart,
    /// More than [`MAX_PARTS`].
    TooManyParts,
}

// === impl Part ===

impl<'b> Part<'b> {
    /// The first header field of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&'b str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| *v)
    }
}

/// Splits a body at its boundary.
pub(crate) fn split<'b>(body: &'b [u8], boundary: &str) -> Result<Vec<Part<'b>>, MultipartFailure> {
    if boundary.is_empty() || boundary.len() > 200 {
        return Err(MultipartFailure::NoBoundary);
    }
    let delimiter = [b"--", boundary.as_bytes()].concat();
    let mut at = first_delimiter(body, &delimiter).ok_or(MultipartFailure::NoBoundary)?;
    let inner = [b"\r\n--", boundary.as_bytes()].concat();
    let mut parts = Vec::new();
    loop {
        let rest = &body[at..];
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let start = line_end(rest).ok_or(MultipartFailure::NoBoundary)?;
        let rest = &rest[start..];
        let (end, next) = next_delimiter(rest, &inner).ok_or(MultipartFailure::NoBoundary)?;
        if parts.len() == MAX_PARTS {
            return Err(MultipartFailure::TooManyParts);
        }
        parts.push(part(&rest[..end]).ok_or(MultipartFailure::BrokenPart)?);
        at = at + start + next;
    }
}

/// Where the text after the first delimiter begins; a preamble before it is ignored.
fn first_delimiter(body: &[u8], delimiter: &[u8]) -> Option<usize> {
    if body.starts_with(delimiter) {
        return Some(delimiter.len());
    }
    let mut from = 0;
    while let Some(at) = find(&body[from..], delimiter) {
        let start = from + at;
        if start > 0 && body[start - 1] == b'\n' {
            return Some(start + delimiter.len());
        }
        from = start + 1;
    }
    None
}

/// The end of the current part and the start of what follows its delimiter. A bare line feed
/// before the delimiter is taken too, as many senders write it.
fn next_delimiter(rest: &[u8], inner: &[u8]) -> Option<(usize, usize)> {
    // A part may be empty, with its header's end serving as the line break.
    if rest.starts_with(&inner[2..]) {
        return Some((0, inner.len() - 2));
    }
    let bare = &inner[1..];
    let mut from = 0;
    while let Some(at) = find(&rest[from..], bare) {
        let start = from + at;
        let after = start + bare.len();
        // A longer boundary that begins like ours is content.
        if matches!(rest.get(after), None | Some(b'\r' | b'\n' | b'-' | b' ' | b'\t')) {
            let end = if start > 0 && rest[start - 1] == b'\r' { start - 1 } else { start };
            return Some((end, after));
        }
        from = start + 1;
    }
    None
}

fn part(text: &[u8]) -> Option<Part<'_>> {
    let (head, content) = split_head(text)?;
    let head = std::str::from_utf8(head).ok()?;
    let headers: Vec<(&str, &str)> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim(), value.trim()))
        .take(MAX_PART_HEADERS)
        .collect();
    let disposition =
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-disposition"));
    let name = disposition.and_then(|(_, value)| disposition_name(value));
    Some(Part { name: name.unwrap_or_default(), headers, content })
}

fn split_head(text: &[u8]) -> Option<(&[u8], &[u8])> {
    // No header at all: the part begins with the empty line.
    if let Some(content) = text.strip_prefix(b"\r\n").or_else(|| text.strip_prefix(b"\n")) {
        return Some((b"", content));
    }
    let crlf = find(text, b"\r\n\r\n").map(|at| (at, at + 4));
    let bare = find(text, b"\n\n").map(|at| (at, at + 2));
    let (end, start) = match (crlf, bare) {
        (Some(a), Some(b)) => Some(if a.0 < b.0 { a } else { b }),
        (a, b) => a.or(b),
    }?;
    Some((&text[..end], &text[start..]))
}

/// The `name` parameter; `\"` inside quotes and `%22` stand for a quote (RFC 7578 §2, WHATWG).
fn disposition_name(value: &str) -> Option<Cow<'_, str>> {
    let mut rest = value;
    loop {
        let (_, after) = rest.split_once(';')?;
        let after = after.trim_start();
        let (key, tail) = after.split_once('=')?;
        let tail = tail.trim_start();
        let (text, end) = quoted_or_token(tail);
        if key.trim().eq_ignore_ascii_case("name") {
            return Some(text);
        }
        rest = tail.get(end..)?;
    }
}

fn quoted_or_token(text: &str) -> (Cow<'_, str>, usize) {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        return (Cow::Borrowed(text[..end].trim()), end);
    };
    let mut escaped = false;
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => {
                let raw = &inner[..at];
                let plain = !raw.contains(['\\', '%']);
                let text = if plain {
                    Cow::Borrowed(raw)
                } else {
                    Cow::Owned(raw.replace("\\\"", "\"").replace("%22", "\""))
                };
                return (text, at + 2);
            }
            _ => {}
        }
    }
    (Cow::Borrowed(inner), text.len())
}

fn line_end(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_with_and_without_headers() {
        let body = b"preamble\r\n--b\r\nContent-Disposition: form-data; filename=\"a;name=x\"; name=\"q\\\"r\"\r\n\
            Content-Type: text/plain\r\n\r\nline1\r\n--bx\r\n\r\n--b \r\n\r\nno name\r\n--b\r\nX: y\r\n\r\n\r\n--b--\r\nepilogue";
        let parts = split(body, "b").unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts[0].name, "q\"r");
        assert_eq!(parts[0].header("content-type"), Some("text/plain"));
        assert_eq!(parts[0].content, b"line1\r\n--bx\r\n");
        assert_eq!((&*parts[1].name, parts[1].content), ("", &b"no name"[..]));
        assert_eq!(parts[2].content, b"");
    }

    #[test]
    fn bare_line_feeds_are_accepted() {
        let body = b"--b\nContent-Disposition: form-data; name=a\n\n1\n--b--\n";
        let parts = split(body, "b").unwrap();
        assert_eq!((&*parts[0].name, parts[0].content), ("a", &b"1"[..]));
    }

    #[test]
    fn malformed_multipart_bodies_report_their_failure() {
        assert_eq!(split(b"nothing", "b").unwrap_err(), MultipartFailure::NoBoundary);
        assert_eq!(split(b"--b\r\nX: y\r\n\r\n1", "b").unwrap_err(), MultipartFailure::NoBoundary);
        assert_eq!(split(b"--b\r\nX: y\r\n--b--", "b").unwrap_err(), MultipartFailure::BrokenPart);
        assert_eq!(split(b"--b--", "b").unwrap().len(), 0);
    }

    #[test]
    fn trap_t18_a_hundred_thousand_parts() {
        let body = "--b\r\n\r\n1\r\n".repeat(100_000) + "--b--";
        assert_eq!(split(body.as_bytes(), "b").unwrap_err(), MultipartFailure::TooManyParts);
    }
}
