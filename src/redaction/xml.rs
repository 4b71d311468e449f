//! XML bodies: the text of elements and attributes whose name says "secret".
//!
//! A scanner, not a parser: it finds tags and keeps no tree. Inside a secret element every text
//! and every attribute is masked until as many elements closed as opened. From a tag that does
//! not end on, everything is masked.

use super::mask::{mask, mask_letters};
use super::redactor::Redactor;

impl Redactor {
    /// The text with every secret masked. With `cut` it goes on beyond its end.
    pub(super) fn xml(&self, text: &str, cut: bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        // elements open since the outermost secret one; 0 outside of one
        let mut secret = 0_usize;
        while let Some(open) = rest.find('<') {
            let (before, tag) = rest.split_at(open);
            out.push_str(&self.xml_text(before, secret > 0, false));
            if let Some(length) = verbatim(tag) {
                let piece = &tag[..length];
                out.push_str(&self.xml_text(piece, secret > 0, false));
                rest = &tag[length..];
                continue;
            }
            let Some(end) = tag_end(tag) else {
                out.push_str(&mask_letters(tag.len()));
                return out;
            };
            let (tag, after) = tag.split_at(end);
            if tag.starts_with("</") {
                secret = secret.saturating_sub(1);
                out.push_str(&self.without_secrets(tag));
            } else {
                let names = self.is_secret_name(local_name(tag));
                out.push_str(&self.tag(tag, secret > 0 || names));
                let opens =
                    !tag.ends_with("/>") && !tag.starts_with("<?") && !tag.starts_with("<!");
                if opens && (secret > 0 || names) {
                    secret += 1;
                }
            }
            rest = after;
        }
        out.push_str(&self.xml_text(rest, secret > 0 || cut, cut));
        out
    }

    fn xml_text(&self, text: &str, secret: bool, cut: bool) -> String {
        if secret && !text.trim().is_empty() {
            let start = text.len() - text.trim_start().len();
            let end = text.trim_end().len();
            return format!("{}{}{}", &text[..start], mask(&text[start..end]), &text[end..]);
        }
        self.mask_secrets(text, cut).unwrap_or_else(|| text.to_owned())
    }

    /// A tag with the values of its secret attributes masked.
    fn tag(&self, tag: &str, secret: bool) -> String {
        let mut out = String::with_capacity(tag.len());
        let mut rest = tag;
        while let Some(at) = rest.find(['"', '\'']) {
            let quote = &rest[at..=at];
            let (before, quoted) = rest.split_at(at + 1);
            out.push_str(&self.without_secrets(before));
            let end = quoted.find(quote).unwrap_or(quoted.len());
            let name = before.trim_end_matches([' ', '=', '"', '\'', '\t', '\n', '\r']);
            let name = name.rsplit([' ', '\t', '\n', '\r', ':']).next().unwrap_or("");
            let value = &quoted[..end];
            if secret || self.is_secret_name(name) {
                out.push_str(&mask(value));
            } else {
                out.push_str(&self.mask_secrets(value, false).unwrap_or_else(|| value.to_owned()));
            }
            let closed = (end + 1).min(quoted.len());
            out.push_str(&quoted[end..closed]);
            rest = &quoted[closed..];
        }
        out.push_str(&self.without_secrets(rest));
        out
    }
}

/// The length of a comment or CDATA section that `text` starts with.
fn verbatim(text: &str) -> Option<usize> {
    [("<!--", "-->"), ("<![CDATA[", "]]>")].into_iter().find_map(|(start, end)| {
        let inner = text.strip_prefix(start)?;
        Some(inner.find(end).map_or(text.len(), |at| start.len() + at + end.len()))
    })
}

/// Where a tag ends: after the first `>` outside of quotes.
fn tag_end(tag: &str) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return Some(at + 1),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

fn local_name(tag: &str) -> &str {
    let name = tag.trim_start_matches('<');
    let end = name.find([' ', '\t', '\n', '\r', '/', '>']).unwrap_or(name.len());
    name[..end].rsplit(':').next().unwrap_or("")
}
