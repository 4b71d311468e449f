//! The redactor, and a whole record through it.

use std::collections::HashSet;

use super::body::BodyForm;
use super::names::Names;
use super::pointers::{InvalidPointer, PointerSet};
use super::{Redacted, Rules};
use crate::model::record::{HeaderList, ValidationRecord};

/// The longest name of a consumer or version that is kept, in bytes: databases index it.
const NAME_MAX: usize = 255;

/// Schemes of credentials (IANA's registry and what is common beside it).
const SCHEMES: [&str; 16] = [
    "Basic",
    "Bearer",
    "Digest",
    "DPoP",
    "GNAP",
    "HOBA",
    "Mutual",
    "Negotiate",
    "OAuth",
    "PrivateToken",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "vapid",
    "ApiKey",
    "Token",
    "AWS4-HMAC-SHA256",
];

/// Goes over everything that leaves memory. The only maker of [`Redacted`].
#[derive(Debug, Clone)]
pub struct Redactor {
    headers: HashSet<String>,
    names: Names,
    places: PointerSet,
    patterns: bool,
}

/// What a contract says must be masked in the messages of one operation.
#[derive(Debug, Clone, Default)]
pub struct ContractMasks {
    /// Places in the request body.
    pub request_body: PointerSet,
    /// Places in the response body.
    pub response_body: PointerSet,
    /// Names of request headers, lower case.
    pub request_headers: Vec<String>,
    /// Names of response headers, lower case.
    pub response_headers: Vec<String>,
    /// Names of query parameters, compared exactly.
    pub query: Vec<String>,
    /// Segments of the path, counted from 0.
    pub path_segments: Vec<usize>,
}

/// What the redactor cannot see in the record itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Hints<'h> {
    /// The masks of the operation, when there is one.
    pub masks: Option<&'h ContractMasks>,
    /// The request body goes on beyond what was kept.
    pub request_cut: bool,
    /// The response body goes on beyond what was kept.
    pub response_cut: bool,
    /// Of bodies nothing shall be kept but keys and types.
    pub shape_only: bool,
}

// === impl Redactor ===

impl Redactor {
    /// A redactor by these rules.
    pub fn new(rules: &Rules) -> Result<Self, InvalidPointer> {
        Ok(Self {
            headers: rules.headers.iter().map(|name| name.to_ascii_lowercase()).collect(),
            names: Names::new(
                rules.names.iter().map(String::as_str),
                rules.name_parts.iter().map(String::as_str),
            ),
            places: PointerSet::new(rules.pointers.iter().map(String::as_str))?,
            patterns: rules.patterns,
        })
    }

    /// A record with every secret masked. Bodies that are not text are dropped.
    pub fn record(
        &self,
        mut record: ValidationRecord,
        hints: Hints<'_>,
    ) -> Redacted<ValidationRecord> {
        let none = ContractMasks::default();
        let masks = hints.masks.unwrap_or(&none);
        record.request_path = self.target(&record.request_path, masks);
        let request_type = content_type(&record.request_headers);
        let response_type = content_type(&record.response_headers);
        record.request_body = record.request_body.and_then(|body| {
            let places = &masks.request_body;
            self.one_body(&body, request_type.as_deref(), places, hints.request_cut, hints)
        });
        record.response_body = record.response_body.and_then(|body| {
            let places = &masks.response_body;
            self.one_body(&body, response_type.as_deref(), places, hints.response_cut, hints)
        });
        self.header_list(&mut record.request_headers, &masks.request_headers);
        self.header_list(&mut record.response_headers, &masks.response_headers);
        for text in
            [&mut record.request_id, &mut record.consumer_version, &mut record.request_method]
        {
            if let Some(masked) = self.patterns(text, false) {
                *text = masked;
            }
        }
        for name in [&mut record.consumer_id, &mut record.consumer_version, &mut record.client_id] {
            shorten(name);
        }
        Redacted::new(record)
    }

    fn one_body(
        &self,
        body: &str,
        content_type: Option<&str>,
        places: &PointerSet,
        cut: bool,
        hints: Hints<'_>,
    ) -> Option<String> {
        if !hints.shape_only {
            return self.body(body, content_type, places, cut);
        }
        // Of other forms no more than everything can be hidden.
        let form = BodyForm::of(content_type, body.as_bytes());
        let whole = PointerSet::whole();
        matches!(form, BodyForm::Json | BodyForm::Form)
            .then(|| self.body(body, content_type, &whole, cut))
            .flatten()
    }

    fn header_list(&self, headers: &mut HeaderList, secret: &[String]) {
        for (shown, value) in headers {
            let name = shown.to_ascii_lowercase();
            let masked = secret.contains(&name)
                || self.headers.contains(&name)
                || self.is_secret_name(&name);
            *value = self.header(&name, value, masked);
            if let Some(masked) = self.patterns(shown, false) {
                *shown = masked;
            }
        }
    }

    fn header(&self, name: &str, value: &str, secret: bool) -> String {
        match name {
            "cookie" if secret => self.cookies(value),
            "set-cookie" if secret => self.set_cookie(value),
            _ if secret => match value.split_once(' ') {
                // the scheme of a credential is no secret, when it is one
                Some((scheme, rest)) if SCHEMES.iter().any(|s| s.eq_ignore_ascii_case(scheme)) => {
                    format!("{scheme} {}", super::mask(rest))
                }
                _ => super::mask(value),
            },
            // Location, Referer, Link and their kin carry targets
            _ => match value.split_once('?') {
                Some((before, query)) => {
                    let before = self.patterns(before, false).unwrap_or_else(|| before.to_owned());
                    let query = self.pairs(query, &[], &PointerSet::default(), false);
                    format!("{before}?{query}")
                }
                None => self.patterns(value, false).unwrap_or_else(|| value.to_owned()),
            },
        }
    }

    /// Whether a text that shall be shown looks like a secret, wherever it stands.
    pub fn looks_secret(&self, text: &str) -> bool {
        self.patterns(text, false).is_some()
    }

    /// Whether a name says that its value is a secret.
    pub(super) fn is_secret_name(&self, name: &str) -> bool {
        self.names.matches(name)
    }

    /// The places that the settings name.
    pub(super) fn places(&self) -> &PointerSet {
        &self.places
    }

    pub(super) fn has_patterns(&self) -> bool {
        self.patterns
    }
}

fn content_type(headers: &HeaderList) -> Option<String> {
    headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.clone())
}

fn shorten(name: &mut String) {
    if name.len() > NAME_MAX {
        let end = (0..=NAME_MAX).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&Rules::default()).unwrap()
    }

    #[test]
    fn headers_keep_their_form() {
        let redactor = redactor();
        let mut headers: HeaderList = [
            ("Authorization", "Bearer abc.def.ghi"),
            ("Cookie", "sid=12ab; theme=dark"),
            ("Set-Cookie", "sid=12ab; Path=/; HttpOnly"),
            ("X-Api-Key", "k-123"),
            ("X-Session-Token", "k-123"),
            ("Referer", "https://a.example/p?token=abc&page=2"),
            ("Accept", "text/html"),
            ("X-Internal", "k-123"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        redactor.header_list(&mut headers, &["x-internal".to_owned()]);
        let values: Vec<_> = headers.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(
            values,
            [
                "Bearer xxxxxxxx",
                "sid=xxxx; theme=xxxx",
                "sid=xxxx; Path=/; HttpOnly",
                "xxxx",
                "xxxx",
                "https://a.example/p?token=xx&page=2",
                "text/html",
                "xxxx",
            ]
        );
    }

    #[test]
    fn targets_are_masked_by_segment_key_and_look() {
        let masks = ContractMasks {
            query: vec!["q".into()],
            path_segments: vec![1],
            ..ContractMasks::default()
        };
        assert_eq!(
            redactor()
                .target("/users/abcd/x%20y?q=abc&page=2&api%5Fkey=abc&m=bob%40corp.com", &masks),
            "/users/xxxx/x%20y?q=xx&page=2&api%5Fkey=xx&m=x@x.example"
        );
    }

    #[test]
    fn bodies_go_by_their_form() {
        let redactor = redactor();
        let none = PointerSet::default();
        for (form, text, expected) in [
            (
                "application/x-www-form-urlencoded",
                "a=1&password=hunter2",
                Some("a=1&password=xxxx"),
            ),
            (
                "application/xml",
                "<u><password>hunter2</password><b pin=\"1234\">c</b></u>",
                Some("<u><password>xxxx</password><b pin=\"0000\">c</b></u>"),
            ),
            (
                "application/xml",
                "<secret><a>b</a>hunter2</secret>x",
                Some("<secret><a>x</a>xxxx</secret>x"),
            ),
            (
                "text/plain",
                "hello bob@corp.com\npassword: hunter2\nbye",
                Some("hello x@x.example\npassword: xxxx\nbye"),
            ),
            ("application/problem+json", r#"{"token":"abc"}"#, Some(r#"{"token":"xx"}"#)),
            ("application/octet-stream", "hunter2", None),
            ("multipart/form-data; boundary=x", "hunter2", None),
        ] {
            let body = redactor.body(text, Some(form), &none, false);
            assert_eq!(body.as_deref(), expected, "{text}");
            if let Some(expected) = expected {
                assert_eq!(
                    redactor.body(expected, Some(form), &none, false).as_deref(),
                    Some(expected)
                );
            }
        }
    }
}
