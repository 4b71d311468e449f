//! Request targets, form bodies, cookies: pairs in text.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::mask::mask;
use super::pointers::PointerSet;
use super::redactor::{ContractMasks, Redactor};

/// Characters of masks that must be encoded in a target; `@` and `:` need not.
const UNSAFE: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'%')
    .add(b'&')
    .add(b'=')
    .add(b'+')
    .add(b'/')
    .add(b'\\')
    .add(b'^')
    .add(b'|');

impl Redactor {
    /// Path and query of a request, redacted. Segments count from 0 after the first slash.
    pub(super) fn target(&self, target: &str, masks: &ContractMasks) -> String {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let mut out = String::with_capacity(target.len());
        for (index, segment) in path.split('/').enumerate() {
            if index > 0 {
                out.push('/');
            }
            let secret = index.checked_sub(1).is_some_and(|n| masks.path_segments.contains(&n));
            out.push_str(&self.part(segment, secret, false));
        }
        if let Some(query) = query {
            out.push('?');
            out.push_str(&self.pairs(query, &masks.query, &PointerSet::default(), false));
        }
        out
    }

    /// `key=value` pairs joined by `&`, redacted; used for queries and form bodies. With `cut`
    /// the last value may go on beyond the end.
    pub(super) fn pairs(
        &self,
        text: &str,
        secret_keys: &[String],
        pointers: &PointerSet,
        cut: bool,
    ) -> String {
        let (configured, _) = self.pointers().start();
        let (contract, whole) = pointers.start();
        let mut out = String::with_capacity(text.len());
        let count = text.split('&').count();
        for (index, pair) in text.split('&').enumerate() {
            if index > 0 {
                out.push('&');
            }
            let Some((key, value)) = pair.split_once('=') else {
                out.push_str(&self.part(pair, cut && index + 1 == count, false));
                continue;
            };
            let name = decode(key);
            let secret = whole
                || self.is_secret_name(&name)
                || secret_keys.iter().any(|known| *known == name)
                || self.pointers().step(&configured, &name).1
                || pointers.step(&contract, &name).1
                || (cut && index + 1 == count);
            out.push_str(&self.part(key, false, false));
            out.push('=');
            out.push_str(&self.part(value, secret, false));
        }
        out
    }

    /// One percent-encoded piece.
    fn part<'t>(&self, text: &'t str, secret: bool, cut: bool) -> Cow<'t, str> {
        let plain = decode(text);
        let masked = if secret { Some(mask(&plain)) } else { self.mask_secrets(&plain, cut) };
        match masked {
            Some(masked) => Cow::Owned(utf8_percent_encode(&masked, UNSAFE).to_string()),
            None => Cow::Borrowed(text),
        }
    }

    /// The value of a `Set-Cookie` header; its name and attributes stay.
    pub(super) fn set_cookie(&self, text: &str) -> String {
        let (pair, attributes) = text.split_at(text.find(';').unwrap_or(text.len()));
        format!("{}{}", self.cookie(pair), self.without_secrets(attributes))
    }

    /// The values of a `Cookie` header masked; names stay.
    pub(super) fn cookies(&self, text: &str) -> String {
        text.split(';').map(|pair| self.cookie(pair)).collect::<Vec<_>>().join(";")
    }

    fn cookie(&self, pair: &str) -> String {
        match pair.split_once('=') {
            Some((name, value)) => format!("{}={}", self.without_secrets(name), mask(value)),
            None => mask(pair),
        }
    }

    /// A text with everything in it masked that looks like a secret.
    pub(super) fn without_secrets<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.mask_secrets(text, false).map_or(Cow::Borrowed(text), Cow::Owned)
    }
}

fn decode(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned());
    }
    percent_decode_str(text).decode_utf8_lossy()
}
