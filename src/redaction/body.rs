//! Bodies, by their form.

use super::json::JsonMasker;
use super::mask::mask;
use super::pointers::PointerSet;
use super::redactor::Redactor;

/// The form of a body, as far as redaction distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyForm {
    /// JSON, JSON lines, anything `+json`.
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// XML, HTML, anything `+xml`.
    Xml,
    /// Text of another kind.
    Text,
    /// Not text, or text whose secrets cannot be found: not kept.
    Opaque,
}

// === impl BodyForm ===

impl BodyForm {
    /// The form that a media type says; without one, JSON or XML are recognized by their
    /// first character.
    pub fn of(content_type: Option<&str>, body: &[u8]) -> Self {
        let Some(content_type) = content_type else { return Self::sniff(body) };
        let essence = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        let Some((kind, subtype)) = essence.split_once('/') else { return Self::sniff(body) };
        match (kind, subtype) {
            (_, "json" | "x-ndjson" | "ndjson" | "jsonl" | "json-seq") => Self::Json,
            (_, subtype) if subtype.ends_with("+json") => Self::Json,
            ("application", "x-www-form-urlencoded") => Self::Form,
            ("application" | "text", "xml" | "html" | "xhtml+xml") => Self::Xml,
            ("application", subtype) if subtype.ends_with("+xml") => Self::Xml,
            ("text", _) | ("application", "yaml" | "x-yaml" | "graphql" | "javascript") => {
                Self::Text
            }
            _ => Self::Opaque,
        }
    }

    fn sniff(body: &[u8]) -> Self {
        match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{' | b'[' | b'"') => Self::Json,
            Some(b'<') => Self::Xml,
            _ => Self::Opaque,
        }
    }
}

/// The captured bytes as text, when bodies of their media type are kept: UTF-8 up to the first
/// byte that is not (a cut inside of a character is none), `None` for everything else.
pub fn storable_text(content_type: Option<&str>, body: &[u8]) -> Option<String> {
    if BodyForm::of(content_type, body) == BodyForm::Opaque {
        return None;
    }
    match std::str::from_utf8(body) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok().map(str::to_owned)
        }
        Err(_) => None,
    }
}

impl Redactor {
    /// A body, redacted; `None` when its form is not kept. `pointers` are the contract's; with
    /// `cut` the body went on beyond its end.
    pub(super) fn body(
        &self,
        text: &str,
        content_type: Option<&str>,
        pointers: &PointerSet,
        cut: bool,
    ) -> Option<String> {
        let redacted = match BodyForm::of(content_type, text.as_bytes()) {
            BodyForm::Json => JsonMasker::new(self, pointers, text).run(),
            BodyForm::Form => self.pairs(text, &[], pointers, cut),
            BodyForm::Xml => self.xml(text, cut),
            BodyForm::Text => self.text(text, cut),
            BodyForm::Opaque => return None,
        };
        // neither database keeps NUL in text
        Some(if redacted.contains('\0') { redacted.replace('\0', "\u{fffd}") } else { redacted })
    }

    /// Text in which a secret name is followed by `:` or `=` and a value, line by line.
    pub(super) fn text(&self, text: &str, cut: bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut lines = text.split_inclusive('\n').peekable();
        while let Some(line) = lines.next() {
            let cut = cut && lines.peek().is_none();
            out.push_str(&self.line(line, cut));
        }
        out
    }

    fn line(&self, line: &str, cut: bool) -> String {
        let secret = line.match_indices([':', '=']).find(|(at, _)| {
            let name = line[..*at].trim_end_matches(['"', '\'', ' ', '\t']);
            let start = name
                .rfind(|c: char| !is_name(c))
                .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
            self.is_secret_name(&name[start..])
        });
        let end = line.trim_end().len();
        let Some((at, _)) = secret else {
            let last = if cut {
                line[..end].rfind(char::is_whitespace).map_or(0, |at| at + 1)
            } else {
                end
            };
            let last = (last..=end).find(|at| line.is_char_boundary(*at)).unwrap_or(end);
            let kept = &line[..last];
            let kept = self.mask_secrets(kept, false).unwrap_or_else(|| kept.to_owned());
            return format!("{kept}{}{}", mask(&line[last..end]), &line[end..]);
        };
        // what follows on the line may all be of the secret
        let start = at + 1;
        let start = line[start..end]
            .find(|c: char| !matches!(c, ' ' | '\t' | '"' | '\''))
            .map_or(end, |skip| start + skip);
        let before =
            self.mask_secrets(&line[..start], false).unwrap_or_else(|| line[..start].to_owned());
        format!("{before}{}{}", mask(&line[start..end]), &line[end..])
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}
