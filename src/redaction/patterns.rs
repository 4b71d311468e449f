//! Finds secrets by pattern: card numbers, e-mail addresses, tokens.
//!
//! One pass per pattern over the text; each byte is read a bounded number of times.

use memchr::memchr;

use super::mask::{mask_letters, zeros};

/// Digits of the longest card number.
const MAX_CARD_DIGITS: usize = 19;
/// Digits of the shortest card number.
const MIN_CARD_DIGITS: usize = 13;
/// Words before a token; the token ends at the next space.
const SCHEMES: [&str; 2] = ["bearer ", "basic "];
/// How well-known tokens begin.
const PREFIXES: [&str; 29] = [
    "eyJ",
    "ASIA",
    "AROA",
    "ABIA",
    "ghu_",
    "ghr_",
    "xapp-",
    "xoxa-",
    "xoxs-",
    "npm_",
    "pypi-",
    "hf_",
    "shpat_",
    "SG.",
    "dop_v1_",
    "sk-ant-",
    "sk-proj-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "AIza",
];
/// First bytes of prefixes: most of a text is skipped by this test alone.
const PREFIX_STARTS: [bool; 256] = bytes_at(0);
/// Second bytes of prefixes.
const PREFIX_SECONDS: [bool; 256] = bytes_at(1);
/// A token has at least this many characters, its prefix included.
const MIN_TOKEN_LENGTH: usize = 16;

/// `text` with everything masked that looks like a secret; `None` when nothing does. With `cut`
/// the text goes on beyond its end: what may be the start of a secret there is masked too.
pub(super) fn mask_patterns(text: &str, cut: bool) -> Option<String> {
    let mut spans = Vec::new();
    cards(text, cut, &mut spans);
    emails(text, cut, &mut spans);
    tokens(text, cut, &mut spans);
    if spans.is_empty() {
        return None;
    }
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        if span.end <= at {
            continue;
        }
        let start = span.start.max(at);
        out.push_str(&text[at..start]);
        out.push_str(&span.kind.mask(&text[start..span.end]));
        at = span.end;
    }
    out.push_str(&text[at..]);
    (out != text).then_some(out)
}

#[derive(Debug, Clone, Copy)]
enum SecretKind {
    Card,
    Email,
    Token,
}

#[derive(Debug, Clone, Copy)]
struct SecretSpan {
    start: usize,
    end: usize,
    kind: SecretKind,
}

// === impl SecretKind ===

impl SecretKind {
    fn mask(self, text: &str) -> String {
        match self {
            Self::Card => zeros(text),
            Self::Email => "x@x.example".to_owned(),
            Self::Token => mask_letters(text.len()),
        }
    }
}

/// Runs of 13 to 19 digits, in groups by single spaces or hyphens, that pass the Luhn test and
/// begin as the card networks' numbers do.
fn cards(text: &str, cut: bool, spans: &mut Vec<SecretSpan>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let run = digit_run(bytes, at);
        let open = cut && run == bytes.len();
        if !open && run - at < MIN_CARD_DIGITS {
            at = run;
            continue;
        }
        let mut start = at;
        while start < run {
            match card_at(bytes, start, run) {
                Some(end) => {
                    spans.push(SecretSpan { start, end, kind: SecretKind::Card });
                    start = end;
                }
                None if open && may_be_card(&bytes[start..run]) => {
                    spans.push(SecretSpan { start, end: run, kind: SecretKind::Card });
                    start = run;
                }
                None => start = next_group(bytes, start, run),
            }
        }
        at = run.max(at + 1);
    }
}

/// Whether these digits at the cut may be the start of a card number.
fn may_be_card(bytes: &[u8]) -> bool {
    (4..2 * MAX_CARD_DIGITS).contains(&bytes.len())
        && bytes.iter().filter(|byte| byte.is_ascii_digit()).count() <= MAX_CARD_DIGITS
}

/// The end of the digits and single separators from `at` on; never on a separator.
fn digit_run(bytes: &[u8], at: usize) -> usize {
    let mut end = at;
    while end < bytes.len() {
        let separated =
            matches!(bytes[end], b' ' | b'-') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit);
        if !bytes[end].is_ascii_digit() && !separated {
            break;
        }
        end += 1;
    }
    end
}

fn next_group(bytes: &[u8], at: usize, end: usize) -> usize {
    (at..end).find(|at| !bytes[*at].is_ascii_digit()).map_or(end, |at| at + 1)
}

/// Where the card number that starts at `start` ends, if one does; it fills whole groups.
fn card_at(bytes: &[u8], start: usize, run: usize) -> Option<usize> {
    let mut found = Vec::with_capacity(MAX_CARD_DIGITS);
    for at in start..run {
        if bytes[at].is_ascii_digit() {
            if found.len() == MAX_CARD_DIGITS {
                return None;
            }
            found.push(bytes[at] - b'0');
        }
        let group_ends = at + 1 == run || !bytes[at + 1].is_ascii_digit();
        if group_ends && bytes[at].is_ascii_digit() && is_card(&found) {
            return Some(at + 1);
        }
    }
    None
}

fn is_card(digits: &[u8]) -> bool {
    (MIN_CARD_DIGITS..=MAX_CARD_DIGITS).contains(&digits.len())
        && (2..=6).contains(&digits[0])
        && luhn(digits)
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, &digit)| match (at % 2, u32::from(digit) * 2) {
            (0, _) => u32::from(digit),
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

fn emails(text: &str, cut: bool, spans: &mut Vec<SecretSpan>) {
    let bytes = text.as_bytes();
    let mut lower_bound = 0;
    let mut at = 0;
    while let Some(found) = memchr(b'@', &bytes[at..]) {
        let sign = at + found;
        let start = (lower_bound..sign)
            .rev()
            .find(|at| !is_local(bytes[*at]))
            .map_or(lower_bound, |at| at + 1);
        let end = (sign + 1..bytes.len()).find(|at| !is_domain(bytes[*at])).unwrap_or(bytes.len());
        let domain = text.get(sign + 1..end).unwrap_or("").trim_end_matches(['.', '-']);
        let whole = domain.contains('.') || (cut && end == bytes.len());
        if start < sign && whole {
            let end = sign + 1 + domain.len();
            spans.push(SecretSpan { start, end, kind: SecretKind::Email });
            lower_bound = end;
        } else {
            lower_bound = sign + 1;
        }
        at = sign + 1;
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b".!#$%&'*+/=?^_`{|}~-".contains(&byte)
}

fn is_domain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'-')
}

fn tokens(text: &str, cut: bool, spans: &mut Vec<SecretSpan>) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let may_be_scheme =
            matches!(bytes[at], b'b' | b'B') && (at == 0 || !is_token(bytes[at - 1]));
        if let Some(scheme) = SCHEMES.iter().find(|scheme| {
            may_be_scheme && starts_with_ignoring_case(&bytes[at..], scheme.as_bytes())
        }) {
            let start = at + scheme.len();
            let end = token_end(bytes, start);
            if end - start >= 8 || (cut && end == bytes.len()) {
                spans.push(SecretSpan { start, end, kind: SecretKind::Token });
            }
            at = end.max(at + 1);
            continue;
        }
        if has_prefix(&bytes[at..]) {
            let end = token_end(bytes, at);
            if end - at >= MIN_TOKEN_LENGTH || (cut && end == bytes.len()) {
                spans.push(SecretSpan { start: at, end, kind: SecretKind::Token });
            }
            at = end;
            continue;
        }
        at += 1;
    }
    spans.retain(|span| span.start < span.end);
}

/// Whether `bytes` begin like a well-known token.
fn has_prefix(bytes: &[u8]) -> bool {
    let [first, second, ..] = bytes else { return false };
    PREFIX_STARTS[usize::from(*first)]
        && PREFIX_SECONDS[usize::from(*second)]
        && PREFIXES.iter().any(|prefix| bytes.starts_with(prefix.as_bytes()))
}

/// The bytes that the prefixes have at one index; all prefixes are longer.
const fn bytes_at(index: usize) -> [bool; 256] {
    let mut found = [false; 256];
    let mut prefix = 0;
    while prefix < PREFIXES.len() {
        found[PREFIXES[prefix].as_bytes()[index] as usize] = true;
        prefix += 1;
    }
    found
}

fn token_end(bytes: &[u8], at: usize) -> usize {
    (at..bytes.len()).find(|at| !is_token(bytes[*at])).unwrap_or(bytes.len())
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

fn starts_with_ignoring_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        mask_patterns(text, false).unwrap_or_else(|| text.to_owned())
    }

    #[test]
    fn text_that_matches_a_pattern_is_masked() {
        for (text, expected) in [
            ("4111111111111111", "0000000000000000"),
            ("pay 12 4111 1111 1111 1111 now", "pay 12 0000 0000 0000 0000 now"),
            ("378282246310005", "000000000000000"),
            ("mail bob.b+x@mail.corp.com.", "mail x@x.example."),
            ("<ü@ü.de>", "<x@x.example>"),
            ("Bearer abcdefgh12345678", "Bearer xxxxxxxxxxxxxxxx"),
            ("t=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "t=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        ] {
            assert_eq!(masked(text), expected, "{text}");
            assert_eq!(masked(expected), expected, "a mask is its own mask");
        }
    }

    #[test]
    fn every_prefix_begins_a_token_and_every_scheme_leads_to_one() {
        assert!(SCHEMES.iter().all(|scheme| scheme.starts_with('b')));
        for prefix in PREFIXES {
            let secret = format!("({prefix}0123456789abcdef)");
            let mask = format!("({})", mask_letters(secret.len() - 2));
            assert_eq!(masked(&secret), mask, "{prefix}");
        }
        assert_eq!(masked("BASIC abcdefgh"), format!("BASIC {}", mask_letters(8)));
    }

    #[test]
    fn text_without_secrets_stays() {
        for text in [
            "12345678901234567890",
            "1700000000000",
            "4111111111111112",
            "a@b",
            "@",
            "bearer of news",
            "2026-11-23 16:14:15",
            "key",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_secret_at_the_cut_is_masked() {
        for (text, expected) in [
            ("card 4111 1111 11", "card 0000 0000 00"),
            ("mail bob@cor", "mail x@x.example"),
            ("Bearer abc", "Bearer xx"),
            ("eyJhbGc", "xxxx"),
        ] {
            assert_eq!(mask_patterns(text, true).as_deref(), Some(expected), "{text}");
        }
    }
}
