//! Media types and the table that finds the documented one for a message (RFC 9110 §8.3, §12.5.1).
//!
//! Invariants: reading a `Content-Type` allocates nothing; type, subtype, suffix and
//! parameter names compare without case; the most specific documented range wins:
//! with parameters before without, exact before `application/*+json`, before
//! `application/*`, before `*/*`. The parameters `charset`, `boundary` and `q` never decide,
//! for they say how a body is written and not which schema it follows.

use smallvec::SmallVec;

/// A media type as written in a header field, borrowed from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaTypeRef<'a> {
    /// The part before the slash.
    pub main: &'a str,
    /// The part after the slash, with its suffix.
    pub sub: &'a str,
    parameters: &'a str,
}

/// Parameters of a media type, names in lower case.
type MediaParameters = SmallVec<[(Box<str>, Box<str>); 1]>;

/// How a body of some media type is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyKind {
    /// One JSON text: `application/json`, `text/json` and every `+json`.
    Json,
    /// JSON texts one after the other: NDJSON, JSON Lines, RFC 7464 sequences.
    JsonSequence,
    /// `text/event-stream`.
    EventStream,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data` and its relatives.
    Multipart,
    /// `application/yaml`, its older names and every `+yaml`.
    Yaml,
    /// `application/xml`, `text/xml` and every `+xml`.
    Xml,
    /// Any other `text/*`.
    Text,
    /// Everything else: bytes.
    Binary,
}

/// A documented media type or range, with what follows from it.
#[derive(Debug, Clone)]
pub struct MediaRange {
    /// As written in the document.
    text: Box<str>,
    main: Box<str>,
    sub: Box<str>,
    parameters: MediaParameters,
    /// Parameters that tell it from a range that is the same but for them, and decide nothing else.
    hints: MediaParameters,
    specificity: u8,
}

/// Documented media types, most specific first.
#[derive(Debug, Clone)]
pub struct MediaTable<T> {
    entries: Vec<(MediaRange, T)>,
}

// === impl MediaTypeRef ===

impl<'a> MediaTypeRef<'a> {
    /// Reads `type/subtype; name=value …`; `None` where it is not of that form.
    pub fn parse(text: &'a str) -> Option<Self> {
        let (essence, parameters) = match text.split_once(';') {
            Some((essence, parameters)) => (essence, parameters),
            None => (text, ""),
        };
        let (main, sub) = essence.trim().split_once('/')?;
        if !is_token(main) || !is_token(sub) {
            return None;
        }
        Some(Self { main, sub, parameters })
    }

    /// The value of a parameter, quotes removed; escapes inside quotes are left as they are.
    pub fn parameter(&self, name: &str) -> Option<&'a str> {
        Parameters(self.parameters).find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// How a body of this type is read.
    pub fn kind(&self) -> BodyKind {
        let sub = self.sub;
        let is = |main: &str, name: &str| {
            self.main.eq_ignore_ascii_case(main) && sub.eq_ignore_ascii_case(name)
        };
        let sequences = ["x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines"];
        if sub.eq_ignore_ascii_case("json") || ends_with(sub, "+json") {
            BodyKind::Json
        } else if self.main.eq_ignore_ascii_case("application")
            && (sequences.iter().any(|name| sub.eq_ignore_ascii_case(name))
                || sub.eq_ignore_ascii_case("json-seq"))
            || ends_with(sub, "+json-seq")
            || ends_with(sub, "+ndjson")
        {
            BodyKind::JsonSequence
        } else if is("text", "event-stream") {
            BodyKind::EventStream
        } else if is("application", "x-www-form-urlencoded") {
            BodyKind::Form
        } else if self.main.eq_ignore_ascii_case("multipart") {
            BodyKind::Multipart
        } else if is("application", "xml") || is("text", "xml") || ends_with(sub, "+xml") {
            BodyKind::Xml
        } else if is_yaml(self.main, sub) {
            BodyKind::Yaml
        } else if self.main.eq_ignore_ascii_case("text") {
            BodyKind::Text
        } else {
            BodyKind::Binary
        }
    }
}

/// RFC 9512, and the names from before it.
fn is_yaml(main: &str, sub: &str) -> bool {
    let names = ["yaml", "x-yaml", "vnd.yaml"];
    let is_text = ["application", "text"].iter().any(|name| main.eq_ignore_ascii_case(name));
    ends_with(sub, "+yaml") || is_text && names.iter().any(|name| sub.eq_ignore_ascii_case(name))
}

/// Walks `name=value` pairs; a semicolon inside quotes separates nothing.
struct Parameters<'a>(&'a str);

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let rest = self.0.trim_start_matches([' ', '\t', ';']);
            if rest.is_empty() {
                return None;
            }
            let end = end_of_parameter(rest);
            self.0 = rest.get(end..).unwrap_or("");
            if let Some((name, value)) = rest.get(..end).and_then(|one| one.split_once('=')) {
                return Some((name.trim(), unquote(value.trim())));
            }
        }
    }
}

fn end_of_parameter(text: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn unquote(text: &str) -> &str {
    text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(text)
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn ends_with(text: &str, suffix: &str) -> bool {
    text.len() > suffix.len()
        && text.get(text.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// Whether a parameter says how a body is written rather than what it is.
fn never_decides(name: &str) -> bool {
    ["charset", "boundary", "q"].iter().any(|other| name.eq_ignore_ascii_case(other))
}

// === impl MediaRange ===

impl MediaRange {
    /// Reads a key of a `content` object; `None` where it is no media type or range.
    pub fn parse(text: &str) -> Option<Self> {
        let read = MediaTypeRef::parse(text).or_else(|| {
            (text.trim() == "*").then_some(MediaTypeRef { main: "*", sub: "*", parameters: "" })
        })?;
        let all = Parameters(read.parameters)
            .map(|(name, value)| (Box::from(name.to_ascii_lowercase()), Box::from(value)));
        let (hints, parameters): (MediaParameters, _) =
            all.partition(|(name, _): &(Box<str>, Box<str>)| never_decides(name));
        let parameters: MediaParameters = parameters;
        let breadth = match (read.main, read.sub) {
            ("*", _) => 0,
            (_, "*") => 1,
            (_, sub) if sub.starts_with("*+") => 2,
            _ => 3,
        };
        let extra = u8::try_from(parameters.len()).unwrap_or(u8::MAX).min(15);
        Some(Self {
            text: text.into(),
            main: read.main.to_ascii_lowercase().into(),
            sub: read.sub.to_ascii_lowercase().into(),
            parameters,
            hints,
            specificity: breadth * 16 + extra,
        })
    }

    /// The range as written in the document.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it names one type rather than a range of them.
    pub fn is_concrete(&self) -> bool {
        self.specificity >= 48
    }

    /// How bodies of this range are read, as far as the range alone decides.
    pub fn kind(&self) -> BodyKind {
        MediaTypeRef { main: &self.main, sub: &self.sub, parameters: "" }.kind()
    }

    /// Whether this is a range of a suffix and `actual` is the plain type that the suffix is named
    /// after, as `application/json` is for `application/*+json`.
    fn is_stretched(&self, actual: &MediaTypeRef<'_>) -> bool {
        let plain = self.sub.strip_prefix("*+");
        plain.is_some_and(|plain| actual.sub.eq_ignore_ascii_case(plain))
    }

    /// Whether it is the same as `other` but for parameters that never decide.
    fn differs_in_hints(&self, other: &Self) -> bool {
        self.main == other.main
            && self.sub == other.sub
            && self.parameters == other.parameters
            && self.hints != other.hints
    }

    /// How well `actual` goes with the parameters that never decide: a range that names those it
    /// has, then one that names none, then one that names others.
    fn affinity(&self, actual: &MediaTypeRef<'_>) -> usize {
        let sent = |(name, value): &(Box<str>, Box<str>)| {
            actual.parameter(name).is_some_and(|sent| sent.eq_ignore_ascii_case(value))
        };
        if self.hints.iter().all(sent) { 1 + self.hints.len() } else { 0 }
    }

    /// Whether a message of type `actual` falls under this range.
    pub fn matches(&self, actual: &MediaTypeRef<'_>) -> bool {
        let main = &*self.main == "*" || self.main.eq_ignore_ascii_case(actual.main);
        let sub = match &*self.sub {
            "*" => true,
            sub if sub.starts_with("*+") => {
                ends_with(actual.sub, &sub[1..]) || actual.sub.eq_ignore_ascii_case(&sub[2..])
            }
            sub => sub.eq_ignore_ascii_case(actual.sub),
        };
        main && sub
            && self.parameters.iter().all(|(name, value)| {
                actual.parameter(name).is_some_and(|sent| sent.eq_ignore_ascii_case(value))
            })
    }
}

// === impl MediaTable ===

impl<T> MediaTable<T> {
    /// A table of the given entries; among equally specific ones the document's order holds.
    pub fn new(mut entries: Vec<(MediaRange, T)>) -> Self {
        entries.sort_by_key(|(range, _)| std::cmp::Reverse(range.specificity));
        Self { entries }
    }

    /// The most specific entry that covers `actual`; a range of a suffix is stretched to the plain
    /// type only where nothing else covers it.
    pub fn select(&self, actual: &MediaTypeRef<'_>) -> Option<&(MediaRange, T)> {
        let covering = || self.entries.iter().filter(|(range, _)| range.matches(actual));
        let found =
            covering().find(|(range, _)| !range.is_stretched(actual)).or_else(|| covering().next());
        let (best, _) = found?;
        let beside = covering().filter(|(range, _)| range.differs_in_hints(best));
        // The first of the best: `max_by_key` would take the last.
        let better = beside.rev().max_by_key(|(range, _)| range.affinity(actual));
        better.filter(|(range, _)| range.affinity(actual) > best.affinity(actual)).or(found)
    }

    /// The only entry, where there is exactly one.
    pub fn only(&self) -> Option<&(MediaRange, T)> {
        match self.entries.as_slice() {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Every entry, most specific first.
    pub fn iter(&self) -> impl Iterator<Item = &(MediaRange, T)> {
        self.entries.iter()
    }

    /// Whether nothing is documented.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl<T> Default for MediaTable<T> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(ranges: &[&'static str]) -> MediaTable<&'static str> {
        MediaTable::new(
            ranges.iter().map(|text| (MediaRange::parse(text).unwrap(), *text)).collect(),
        )
    }

    fn chosen(table: &MediaTable<&'static str>, actual: &str) -> Option<&'static str> {
        table.select(&MediaTypeRef::parse(actual).unwrap()).map(|(_, text)| *text)
    }

    #[test]
    fn the_most_specific_range_wins() {
        let all = [
            "*/*",
            "application/*",
            "application/*+json",
            "application/json",
            "application/json; version=2",
        ];
        let table = table(&all);
        assert_eq!(chosen(&table, "application/json;version=2;charset=utf-8"), Some(all[4]));
        assert_eq!(chosen(&table, "Application/JSON; version=1"), Some(all[3]));
        assert_eq!(chosen(&table, "application/hal+json"), Some(all[2]));
        assert_eq!(chosen(&table, "application/pdf"), Some(all[1]));
        assert_eq!(chosen(&table, "image/png"), Some(all[0]));
    }

    #[test]
    fn a_suffix_matches_the_plain_type_only_without_a_better_range() {
        let both = table(&["application/*+json", "application/*"]);
        assert_eq!(chosen(&both, "application/json"), Some("application/*"));
        assert_eq!(chosen(&both, "application/hal+json"), Some("application/*+json"));
        let alone = table(&["application/*+json"]);
        assert_eq!(chosen(&alone, "application/json"), Some("application/*+json"));
    }

    #[test]
    fn charset_never_decides_but_other_parameters_do() {
        let table = table(&["application/json; charset=utf-8", "text/x; v=1"]);
        assert_eq!(chosen(&table, "application/json"), Some("application/json; charset=utf-8"));
        assert_eq!(chosen(&table, "text/x"), None);
    }

    #[test]
    fn ranges_that_differ_in_their_charset_alone_are_distinguished_where_both_are_listed() {
        let all = ["text/csv; charset=utf-8", "text/csv; charset=utf-16", "text/csv"];
        let table = table(&all);
        for text in all {
            assert_eq!(chosen(&table, text), Some(text));
        }
        assert_eq!(chosen(&table, "text/csv; charset=latin1"), Some("text/csv"));
    }

    #[test]
    fn yaml_goes_by_its_registered_name_and_older_ones() {
        let kind = |text: &str| MediaTypeRef::parse(text).unwrap().kind();
        for text in ["application/yaml", "text/x-yaml", "application/vnd.oai.openapi+yaml"] {
            assert_eq!(kind(text), BodyKind::Yaml, "{text}");
        }
    }

    #[test]
    fn parameters_may_be_quoted_and_hold_semicolons() {
        let read =
            MediaTypeRef::parse("multipart/form-data ; x=\"a;b\" ;Boundary=\"q;\\\"z\"").unwrap();
        assert_eq!(read.parameter("x"), Some("a;b"));
        assert_eq!(read.parameter("boundary"), Some("q;\\\"z"));
        assert_eq!(MediaTypeRef::parse("nonsense"), None);
        assert_eq!(MediaTypeRef::parse("a b/c"), None);
    }

    #[test]
    fn kinds_follow_type_and_suffix() {
        let kind = |text: &str| MediaTypeRef::parse(text).unwrap().kind();
        assert_eq!(kind("application/diagnostic+json"), BodyKind::Json);
        assert_eq!(kind("application/x-ndjson"), BodyKind::JsonSequence);
        assert_eq!(kind("text/event-stream"), BodyKind::EventStream);
        assert_eq!(kind("application/soap+xml"), BodyKind::Xml);
        assert_eq!(kind("multipart/mixed"), BodyKind::Multipart);
        assert_eq!(kind("text/html"), BodyKind::Text);
        assert_eq!(kind("application/octet-stream"), BodyKind::Binary);
    }
}
