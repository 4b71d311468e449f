//! What callers invent: which names and parts of paths may be shown as they are.
//!
//! Invariants: only plain names and plain words are shown, never what may be a value: digits in
//! numbers, random letters, long runs and everything that the patterns and name rules of the
//! redactor find are hidden; the answer depends on the text alone, so that every process gives the
//! same one.

use super::patterns::mask_patterns;
use super::redactor::Redactor;

/// The longest name shown.
const MAX_NAME_BYTES: usize = 64;
/// Digits that a name may have in all, as in `sha256`.
const MAX_NAME_DIGITS: usize = 3;
/// The longest word shown of a path.
const MAX_WORD_BYTES: usize = 32;
/// The longest part of a word.
const MAX_PART_BYTES: usize = 20;
/// Consonants that may follow one another.
const MAX_CONSONANTS: usize = 6;
/// The longest part with digits between letters, as in `sha256sum`.
const MAX_MIXED_BYTES: usize = 10;
/// Letters `a` to `f` and digits alone are a number in base 16 from this length on.
const MIN_HEX_BYTES: usize = 8;
/// The longest path shown.
const MAX_PATH_BYTES: usize = 120;
/// Segments shown; the rest is one `…`.
const MAX_SEGMENTS: usize = 8;
/// What stands for a segment that is not shown.
const PARAMETER: &str = "{id}";

// === impl Redactor ===

impl Redactor {
    /// Whether a name that a caller invented may be shown: a plain identifier in which nothing
    /// secret is found.
    pub fn may_show_name(&self, name: &str) -> bool {
        is_plain_name(name) && !self.is_secret_name(name) && mask_patterns(name, false).is_none()
    }

    /// Whether a media type that a caller invented may be shown. Its parameters are not part of
    /// `essence`.
    pub fn may_show_media_type(&self, essence: &str) -> bool {
        let Some((main, sub)) = essence.split_once('/') else { return false };
        let is_part = |part: &str| {
            part.len() <= MAX_NAME_BYTES
                && part.starts_with(|c: char| c.is_ascii_alphabetic())
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.+".contains(&byte))
                && digits(part) <= MAX_NAME_DIGITS + 1
                && changes_of_case(part) <= 1 + part.len() / 4
                && !looks_random(part)
        };
        is_part(main)
            && is_part(sub)
            && !self.is_secret_name(sub)
            && mask_patterns(essence, false).is_none()
    }

    /// A path as sent with every segment replaced that is no plain word, and those at which
    /// `is_parameter` says so; at most 128 bytes.
    pub fn fold_path(&self, path: &str, is_parameter: impl Fn(usize) -> bool) -> String {
        let mut folded = String::with_capacity(path.len().min(MAX_PATH_BYTES));
        for (at, segment) in path.strip_prefix('/').unwrap_or(path).split('/').enumerate() {
            let hidden = is_parameter(at)
                || !(segment.is_empty() || is_plain_word(segment))
                || mask_patterns(segment, false).is_some();
            let shown = if hidden { PARAMETER } else { segment };
            if at == MAX_SEGMENTS || folded.len() + 1 + shown.len() > MAX_PATH_BYTES {
                folded.push_str("/…");
                break;
            }
            folded.push('/');
            folded.push_str(shown);
        }
        folded
    }
}

/// Whether a segment is a plain word, as parts of an interface are named: letters in one case,
/// or camel case, joined by `-`, `_` or `.`; a version such as `v2`. Digits make a value of it.
pub fn is_plain_word(segment: &str) -> bool {
    let version = segment.strip_prefix('v').is_some_and(|digits| {
        (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let word = segment.len() <= MAX_WORD_BYTES
        && segment.starts_with(|c: char| c.is_ascii_alphabetic())
        && segment.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_.".contains(&byte));
    version || (word && changes_of_case(segment) <= 3 && !looks_random(segment))
}

/// Whether a name is an identifier, as programs name things.
fn is_plain_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '$'))
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte))
        && digits(name) <= MAX_NAME_DIGITS
        && changes_of_case(name) <= 1 + name.len() / 4
        && !looks_random(name)
}

/// Whether some part is longer than words are, is all capitals as long keys are, is a number in
/// base 16, or cannot be spoken.
fn looks_random(text: &str) -> bool {
    text.split(['-', '_', '.', '+', '$']).any(|part| {
        let capitals = part.len() > 12 && !part.bytes().any(|byte| byte.is_ascii_lowercase());
        let hex = part.len() >= MIN_HEX_BYTES && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        let single_case = changes_of_case(part) == 0;
        let long = part.len() > MAX_PART_BYTES && (single_case || part.len() > MAX_WORD_BYTES);
        // JSON in Base64, also where header names lost their case.
        let token = part.len() >= MIN_HEX_BYTES
            && part.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("eyj"));
        long || capitals || hex || token || !is_speakable(part) || alternates(part)
    })
}

/// Whether vowels come often enough for a word.
fn is_speakable(part: &str) -> bool {
    let mut run = 0;
    part.bytes().all(|byte| {
        let vowel = b"aeiouyAEIOUY".contains(&byte) || !byte.is_ascii_alphabetic();
        run = if vowel { 0 } else { run + 1 };
        run <= MAX_CONSONANTS
    })
}

/// Whether letters and digits alternate, as in `a8f3k2`; a short part may do so twice, as `i18n`.
fn alternates(part: &str) -> bool {
    let pairs = part.as_bytes().windows(2);
    let changes = pairs.filter(|two| two[0].is_ascii_digit() != two[1].is_ascii_digit()).count();
    changes > if part.len() <= MAX_MIXED_BYTES { 2 } else { 1 }
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// How often a capital follows a small letter: often in random text, seldom in names.
fn changes_of_case(text: &str) -> usize {
    let bytes = text.as_bytes();
    bytes
        .windows(2)
        .filter(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_shown() {
        let redactor = Redactor::default();
        for name in [
            "colour",
            "customerName",
            "shipping_address_line_2",
            "X-Tenant-Region",
            "$filter",
            "_links",
            "sha256",
            "i18n",
            "order.items",
            "thisIsAVeryLongCamelCaseName",
            "getXById",
            "HTTPStatus",
            "URL",
        ] {
            assert!(redactor.may_show_name(name), "{name}");
        }
    }

    #[test]
    fn what_may_be_a_value_or_a_secret_is_hidden() {
        let redactor = Redactor::default();
        for name in [
            "",
            "alice@example.org",
            "4111111111111111",
            "user_12345",
            "f47ac10b-58cc-4372-a567-0e02b2c3d479",
            "deadbeefcafebabe",
            "aGVsbGhXbGQoPqRsTu",
            "aGVsbG8gd29ybGQ",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
            "AKIAIOSFODNNEXAMPLE",
            "ghp_abcdefghijklmnopqrst",
            "sk_live_abcdefabcdefabcdef",
            "mfrggzdfmztwqlk",
            "correcthorsebatterystaple",
            "DE89370400440532013000",
            "api_token",
            "hunter2password",
            "with space",
            "semi;colon",
            "zoë",
            "<script>",
            "a/b",
            &"a_".repeat(40),
        ] {
            assert!(!redactor.may_show_name(name), "{name}");
        }
    }

    #[test]
    fn paths_are_folded() {
        let redactor = Redactor::default();
        let folded =
            |path: &str| redactor.fold_path(path, |at| path.starts_with("/users/") && at == 1);
        for (path, shown) in [
            ("/wp-login.php", "/wp-login.php"),
            ("/orders/17/refund", "/orders/{id}/refund"),
            ("/users/alice/photo", "/users/{id}/photo"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/…"),
            ("/reset/ghp_abcdefghijklmnopqrst", "/reset/{id}"),
            ("/", "/"),
            ("/orders/", "/orders/"),
            ("/a%20b", "/{id}"),
        ] {
            assert_eq!(folded(path), shown, "{path}");
        }
        let long = format!("/{}", ["abcdefghij-abcdefghij"; 8].join("/"));
        assert!(folded(&long).len() <= 128 && folded(&long).ends_with("/…"));
    }

    #[test]
    fn media_types_are_shown_without_what_may_be_a_value() {
        let redactor = Redactor::default();
        for shown in [
            "text/html",
            "application/vnd.github.v3+json",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        ] {
            assert!(redactor.may_show_media_type(shown), "{shown}");
        }
        for hidden in ["application/x-4711815", "a/ghp_abcdefghijklmnopqrst", "text", "1/2"] {
            assert!(!redactor.may_show_media_type(hidden), "{hidden}");
        }
    }
}
