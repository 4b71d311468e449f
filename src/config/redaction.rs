//! What is hidden before anything leaves memory, on top of what always is.

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("redaction.headers", &["CVT_REDACT_HEADERS"]),
    Setting::new("redaction.query", &["CVT_REDACT_QUERY"]),
    Setting::new("redaction.fields", &["CVT_REDACT_FIELDS"]),
    Setting::new("redaction.pointers", &["CVT_REDACT_POINTERS"]),
];

/// Names to hide, added to the built-in ones; case does not matter.
#[derive(Debug, Clone, Default)]
pub struct RedactionSettings {
    /// Header fields.
    pub headers: Vec<String>,
    /// Query keys.
    pub query: Vec<String>,
    /// Property names of bodies, at any depth.
    pub fields: Vec<String>,
    /// RFC 6901 pointers into bodies; `*` stands for any one segment.
    pub pointers: Vec<String>,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> RedactionSettings {
    let mut names = |key: &str| values.read(key, Vec::new(), problems, parse::list);
    let (headers, query, fields) =
        (names("redaction.headers"), names("redaction.query"), names("redaction.fields"));
    RedactionSettings {
        headers,
        query,
        fields,
        pointers: values.read("redaction.pointers", Vec::new(), problems, |text| {
            let pointers = parse::list(text)?;
            if pointers.iter().all(|pointer| pointer.starts_with('/')) {
                Ok(pointers)
            } else {
                Err("expected JSON pointers such as /user/email or /items/*/card".into())
            }
        }),
    }
}
