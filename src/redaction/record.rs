//! Redacts a whole record.

use super::body::BodyForm;
use super::mask::mask;
use super::pointers::PointerSet;
use super::redactor::{ContractMasks, Redacted, Redactor};
use crate::model::record::{HeaderList, ValidationRecord};

/// The longest name of a consumer or version that is kept, in bytes: databases index it.
const MAX_NAME_LENGTH: usize = 255;

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

/// What the redactor needs to know beside the record.
#[derive(Debug, Clone, Copy, Default)]
pub struct RedactionContext<'h> {
    /// The masks of the operation, when there is one.
    pub masks: Option<&'h ContractMasks>,
    /// The request body goes on beyond what was kept.
    pub request_cut: bool,
    /// The response body goes on beyond what was kept.
    pub response_cut: bool,
    /// Bodies keep only their keys and types.
    pub shape_only: bool,
}

// === impl Redactor ===

impl Redactor {
    /// A record with every secret masked. Bodies that are not text are dropped.
    pub fn record(
        &self,
        mut record: ValidationRecord,
        context: RedactionContext<'_>,
    ) -> Redacted<ValidationRecord> {
        let none = ContractMasks::default();
        let masks = context.masks.unwrap_or(&none);
        record.request_path = self.target(&record.request_path, masks);
        let request_type = content_type(&record.request_headers);
        let response_type = content_type(&record.response_headers);
        record.request_body = record.request_body.and_then(|body| {
            let pointers = &masks.request_body;
            self.record_body(&body, request_type.as_deref(), pointers, context.request_cut, context)
        });
        record.response_body = record.response_body.and_then(|body| {
            let pointers = &masks.response_body;
            self.record_body(
                &body,
                response_type.as_deref(),
                pointers,
                context.response_cut,
                context,
            )
        });
        self.header_list(&mut record.request_headers, &masks.request_headers);
        self.header_list(&mut record.response_headers, &masks.response_headers);
        for text in
            [&mut record.request_id, &mut record.consumer_version, &mut record.request_method]
        {
            if let Some(masked) = self.mask_secrets(text, false) {
                *text = masked;
            }
        }
        for name in [&mut record.consumer_id, &mut record.consumer_version, &mut record.client_id] {
            shorten(name);
        }
        Redacted::new(record)
    }

    fn record_body(
        &self,
        body: &str,
        content_type: Option<&str>,
        pointers: &PointerSet,
        cut: bool,
        context: RedactionContext<'_>,
    ) -> Option<String> {
        if !context.shape_only {
            return self.body(body, content_type, pointers, cut);
        }
        // Other forms have no keys to keep.
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
            if let Some(masked) = self.mask_secrets(shown, false) {
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
                    format!("{scheme} {}", mask(rest))
                }
                _ => mask(value),
            },
            // Location, Referer, Link and their kin carry targets
            _ => match value.split_once('?') {
                Some((before, query)) => {
                    let before =
                        self.mask_secrets(before, false).unwrap_or_else(|| before.to_owned());
                    let query = self.pairs(query, &[], &PointerSet::default(), false);
                    format!("{before}?{query}")
                }
                None => self.mask_secrets(value, false).unwrap_or_else(|| value.to_owned()),
            },
        }
    }
}

fn content_type(headers: &HeaderList) -> Option<String> {
    headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map(|(_, value)| value.clone())
}

fn shorten(name: &mut String) {
    if name.len() > MAX_NAME_LENGTH {
        let end = (0..=MAX_NAME_LENGTH).rev().find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        name.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::RedactionRules;
    use super::*;

    fn redactor() -> Redactor {
        Redactor::new(&RedactionRules::default()).unwrap()
    }

    #[test]
    fn redacted_headers_keep_their_form() {
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
    fn targets_are_masked_by_segment_key_and_pattern() {
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
    fn bodies_are_redacted_by_their_form() {
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
