//! Key-value pairs of query strings, form bodies and cookies, and percent-decoding.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

/// One `key=value` as sent.
#[derive(Debug, Clone)]
pub(crate) struct Pair<'m> {
    /// The key, decoded; bytes that are no UTF-8 become replacement characters.
    pub(crate) key: Cow<'m, str>,
    /// The value, undecoded.
    pub(crate) value: &'m str,
}

/// The pairs of a query, a form body or a cookie header, in order.
pub(crate) type Pairs<'m> = SmallVec<[Pair<'m>; 12]>;

/// Splits a query or form body at `&`. Empty pieces are ignored.
pub(crate) fn query_pairs(text: &str) -> Pairs<'_> {
    let pieces = text.split('&').filter(|piece| !piece.is_empty());
    pieces
        .map(|piece| {
            let (key, value) = piece.split_once('=').unwrap_or((piece, ""));
            let key = decode_form(key).unwrap_or_else(|| lossy(key));
            Pair { key, value }
        })
        .collect()
}

/// Splits `Cookie` fields at `;` (RFC 6265 §4.2.1); quotes around a value are removed.
pub(crate) fn cookie_pairs<'m>(fields: impl Iterator<Item = &'m str>) -> Pairs<'m> {
    let pieces = fields.flat_map(|field| field.split(';'));
    pieces
        .filter_map(|piece| {
            let (key, value) = piece.split_once('=')?;
            let value = value.trim();
            let inner = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            Some(Pair { key: Cow::Borrowed(key.trim()), value: inner.unwrap_or(value) })
        })
        .collect()
}

/// Undoes percent-encoding, and `+` for a space, as every form and query reader does. `None`
/// where the bytes are no UTF-8. Borrows where there is nothing to undo.
pub(crate) fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        return match decode_percent(&spaced)? {
            Cow::Borrowed(_) => Some(Cow::Owned(spaced)),
            Cow::Owned(decoded) => Some(Cow::Owned(decoded)),
        };
    }
    decode_percent(text)
}

/// Undoes percent-encoding alone. `None` where the bytes are no UTF-8.
pub(crate) fn decode_percent(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    percent_decode_str(text).decode_utf8().ok()
}

fn lossy(text: &str) -> Cow<'_, str> {
    percent_decode_str(text).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_split_before_they_are_decoded() {
        let pairs = query_pairs("a=1%262&b%5Bx%5D=+y&c&&=z&d=e=f");
        let texts: Vec<_> = pairs.iter().map(|pair| (&*pair.key, pair.value)).collect();
        let expected = [("a", "1%262"), ("b[x]", "+y"), ("c", ""), ("", "z"), ("d", "e=f")];
        assert_eq!(texts, expected);
        assert_eq!(decode_form("1%262").unwrap(), "1&2");
        assert_eq!(decode_form("+y%2B").unwrap(), " y+");
        assert_eq!(decode_percent("+").unwrap(), "+");
        assert_eq!(decode_form("%ff"), None);
    }

    #[test]
    fn cookie_quotes_and_spaces_are_removed() {
        let pairs = cookie_pairs(["a=1; b = \"x y\"", "c=;junk"].into_iter());
        let texts: Vec<_> = pairs.iter().map(|pair| (&*pair.key, pair.value)).collect();
        assert_eq!(texts, [("a", "1"), ("b", "x y"), ("c", "")]);
    }
}
