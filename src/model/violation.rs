//! A violation: one broken rule at one place. Never carries a payload value.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The side of the exchange that broke the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// What the downstream sent.
    Request,
    /// What the upstream answered.
    Response,
}

/// The part of the message that broke the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are HTTP's and OpenAPI's own")]
pub enum Location {
    Path,
    Method,
    Query,
    Header,
    Cookie,
    MediaType,
    Body,
    Security,
    Status,
}

/// What is wrong with the part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViolationKind {
    /// Required but absent.
    Missing,
    /// Present but not in the document.
    Undocumented,
    /// Present but not declared, found where `rules.undeclared_fields` is strict.
    Undeclared,
    /// Not readable in the form the document declares (bytes, encoding, style).
    Malformed,
    /// Readable, but its schema refuses it.
    Schema,
}

/// The stable machine code of a violation: side, location and kind, as `request.body.schema`.
///
/// [`ViolationCode::ALL`] is the one table of codes; the README links to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViolationCode {
    /// Which side of the exchange.
    pub side: Side,
    /// Which part of the message.
    pub location: Location,
    /// What is wrong with it.
    pub kind: ViolationKind,
}

/// A line and a column in the document, both counted from 1; the column counts characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One broken rule at one place.
///
/// No field contains a value of the message. Names are those of the document; where the message
/// names a property that the document does not, the instance pointer shows `*` in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The stable machine code.
    pub code: ViolationCode,
    /// The documented name of the parameter, header or security scheme, where one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Arc<str>>,
    /// RFC 6901 pointer into the validated instance; empty for its root.
    #[serde(default)]
    pub instance_pointer: String,
    /// RFC 6901 pointer into the document, to the keyword that is violated.
    #[serde(default)]
    pub schema_pointer: Arc<str>,
    /// The keyword that is violated (`type`, `required`, …); empty where no schema was involved.
    #[serde(default, skip_serializing_if = "str_is_empty")]
    pub keyword: Cow<'static, str>,
    /// What a `*.undocumented` code found: the status, the method, the media type without its
    /// parameters, or the path with its id-like segments folded. At most [`MAX_FOUND`] bytes;
    /// empty for all other codes.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub found: String,
    /// Position of the rule in the document as registered.
    #[serde(default, flatten)]
    pub position: Option<Position>,
    /// A sentence in our own words.
    pub message: String,
}

/// The longest [`Violation::found`], in bytes.
pub const MAX_FOUND: usize = 128;

// === impl Side ===

impl Side {
    /// The side's name in metrics, records and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Response => "response",
        }
    }

    /// The side called `text`, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Request, Self::Response].into_iter().find(|side| side.as_str() == text)
    }
}

// === impl ViolationCode ===

macro_rules! codes {
    ($($konst:ident = $side:ident $location:ident $kind:ident $text:literal;)*) => {
        impl ViolationCode {
            $(
                #[doc = concat!("`", $text, "`")]
                pub const $konst: Self =
                    Self { side: Side::$side, location: Location::$location, kind: ViolationKind::$kind };
            )*

            /// Every code there is, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$konst),*];

            /// The code as written in records, metrics and answers.
            pub const fn as_str(self) -> &'static str {
                match (self.side, self.location, self.kind) {
                    $((Side::$side, Location::$location, ViolationKind::$kind) => $text,)*
                    _ => "unknown",
                }
            }
        }
    };
}

codes! {
    REQUEST_PATH_UNDOCUMENTED = Request Path Undocumented "request.path.undocumented";
    REQUEST_PATH_MALFORMED = Request Path Malformed "request.path.malformed";
    REQUEST_PATH_SCHEMA = Request Path Schema "request.path.schema";
    REQUEST_METHOD_UNDOCUMENTED = Request Method Undocumented "request.method.undocumented";
    REQUEST_QUERY_MISSING = Request Query Missing "request.query.missing";
    REQUEST_QUERY_MALFORMED = Request Query Malformed "request.query.malformed";
    REQUEST_QUERY_SCHEMA = Request Query Schema "request.query.schema";
    REQUEST_QUERY_UNDECLARED = Request Query Undeclared "request.query.undeclared";
    REQUEST_HEADER_MISSING = Request Header Missing "request.header.missing";
    REQUEST_HEADER_MALFORMED = Request Header Malformed "request.header.malformed";
    REQUEST_HEADER_SCHEMA = Request Header Schema "request.header.schema";
    REQUEST_HEADER_UNDECLARED = Request Header Undeclared "request.header.undeclared";
    REQUEST_COOKIE_MISSING = Request Cookie Missing "request.cookie.missing";
    REQUEST_COOKIE_MALFORMED = Request Cookie Malformed "request.cookie.malformed";
    REQUEST_COOKIE_SCHEMA = Request Cookie Schema "request.cookie.schema";
    REQUEST_COOKIE_UNDECLARED = Request Cookie Undeclared "request.cookie.undeclared";
    REQUEST_MEDIA_TYPE_MISSING = Request MediaType Missing "request.media_type.missing";
    REQUEST_MEDIA_TYPE_MALFORMED = Request MediaType Malformed "request.media_type.malformed";
    REQUEST_MEDIA_TYPE_UNDOCUMENTED = Request MediaType Undocumented "request.media_type.undocumented";
    REQUEST_BODY_MISSING = Request Body Missing "request.body.missing";
    REQUEST_BODY_MALFORMED = Request Body Malformed "request.body.malformed";
    REQUEST_BODY_SCHEMA = Request Body Schema "request.body.schema";
    REQUEST_BODY_UNDECLARED = Request Body Undeclared "request.body.undeclared";
    REQUEST_SECURITY_MISSING = Request Security Missing "request.security.missing";
    REQUEST_SECURITY_MALFORMED = Request Security Malformed "request.security.malformed";
    RESPONSE_STATUS_UNDOCUMENTED = Response Status Undocumented "response.status.undocumented";
    RESPONSE_HEADER_MISSING = Response Header Missing "response.header.missing";
    RESPONSE_HEADER_MALFORMED = Response Header Malformed "response.header.malformed";
    RESPONSE_HEADER_SCHEMA = Response Header Schema "response.header.schema";
    RESPONSE_HEADER_UNDECLARED = Response Header Undeclared "response.header.undeclared";
    RESPONSE_MEDIA_TYPE_MISSING = Response MediaType Missing "response.media_type.missing";
    RESPONSE_MEDIA_TYPE_MALFORMED = Response MediaType Malformed "response.media_type.malformed";
    RESPONSE_MEDIA_TYPE_UNDOCUMENTED = Response MediaType Undocumented "response.media_type.undocumented";
    RESPONSE_BODY_MISSING = Response Body Missing "response.body.missing";
    RESPONSE_BODY_MALFORMED = Response Body Malformed "response.body.malformed";
    RESPONSE_BODY_SCHEMA = Response Body Schema "response.body.schema";
    RESPONSE_BODY_UNDECLARED = Response Body Undeclared "response.body.undeclared";
}

impl ViolationCode {
    /// The code written as `text`, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for ViolationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ViolationCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ViolationCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("unknown violation code"))
    }
}

// === impl Violation ===

impl Violation {
    /// The plain sentence that CVT's `errors` list carries: code, place and message.
    pub fn to_sentence(&self) -> String {
        let mut line = format!("{}: {}", self.code, self.message);
        if !self.instance_pointer.is_empty() {
            line.push_str(" at ");
            line.push_str(&self.instance_pointer);
        }
        line
    }
}

fn str_is_empty(text: &str) -> bool {
    text.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_unique_text_that_parses_back() {
        let mut seen = std::collections::HashSet::new();
        for code in ViolationCode::ALL {
            assert_ne!(code.as_str(), "unknown");
            assert!(seen.insert(code.as_str()), "{code} stands twice");
            assert_eq!(ViolationCode::parse(code.as_str()), Some(*code));
        }
    }

    #[test]
    fn violations_round_trip_through_json() {
        let violation = Violation {
            code: ViolationCode::REQUEST_BODY_SCHEMA,
            name: None,
            instance_pointer: "/a/0".into(),
            schema_pointer: "/components/schemas/A/type".into(),
            keyword: "type".into(),
            found: String::new(),
            position: Some(Position { line: 3, column: 7 }),
            message: "expected an integer".into(),
        };
        let text = serde_json::to_string(&violation).unwrap();
        assert!(text.contains(r#""line":3,"column":7"#), "{text}");
        assert_eq!(serde_json::from_str::<Violation>(&text).unwrap(), violation);
    }
}
