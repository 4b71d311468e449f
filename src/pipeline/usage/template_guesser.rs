//! A template for a path that the document does not list, guessed from what was seen.
//!
//! Invariants: no part that may be a value is shown: only plain words are; how many templates
//! there are does not grow with traffic.

use std::collections::{BTreeSet, HashMap};

/// Segments shown; the rest is one `…`.
const MAX_SEGMENTS: usize = 8;
/// The longest word shown.
const MAX_WORD_BYTES: usize = 32;
/// The longest part of one.
const MAX_PART_BYTES: usize = 20;
/// Words shown after the same prefix; further ones are one parameter.
const MAX_WORDS: usize = 30;
/// Beginnings remembered; beyond them every word is a parameter.
const MAX_PREFIXES: usize = 2_000;
/// What stands for a segment that is not shown.
const PARAMETER: &str = "{id}";

/// Guesses templates; remembers the words it showed.
#[derive(Debug, Default)]
pub(super) struct TemplateGuesser {
    words: HashMap<String, BTreeSet<Box<str>>>,
}

// === impl TemplateGuesser ===

impl TemplateGuesser {
    /// The template of a path as sent.
    pub(super) fn template(&mut self, path: &str) -> String {
        let mut template = String::with_capacity(path.len());
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        for (at, segment) in segments.enumerate() {
            if at == MAX_SEGMENTS {
                template.push_str("/…");
                break;
            }
            let shown = if segment.is_empty() || self.keeps_word(&template, segment) {
                segment
            } else {
                PARAMETER
            };
            template.push('/');
            template.push_str(shown);
        }
        template
    }

    fn keeps_word(&mut self, prefix: &str, segment: &str) -> bool {
        if !is_word(segment) {
            return false;
        }
        let room = self.words.len() < MAX_PREFIXES;
        let Some(words) = self.words.get_mut(prefix) else {
            if room {
                self.words.insert(prefix.to_owned(), [segment.into()].into());
            }
            return room;
        };
        words.contains(segment) || (words.len() < MAX_WORDS && words.insert(segment.into()))
    }
}

/// Whether a segment is a plain word, as parts of an interface are named: letters in one case,
/// or camel case, joined by `-`, `_` or `.`; a version such as `v2`. Digits make a value of it.
fn is_word(segment: &str) -> bool {
    let version = segment.strip_prefix('v').is_some_and(|digits| {
        (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
    });
    let word = segment.len() <= MAX_WORD_BYTES
        && segment.starts_with(|c: char| c.is_ascii_alphabetic())
        && segment.bytes().all(|byte| byte.is_ascii_alphabetic() || b"-_.".contains(&byte));
    version || (word && changes_of_case(segment) <= 3 && !looks_random(segment))
}

/// Whether some part is longer than words are, or a long part is all capitals, as keys are.
fn looks_random(segment: &str) -> bool {
    segment.split(['-', '_', '.']).any(|part| {
        let capitals = part.len() > 12 && !part.bytes().any(|byte| byte.is_ascii_lowercase());
        part.len() > MAX_PART_BYTES || capitals
    })
}

/// How often a capital follows a small letter: often in random text, seldom in names.
fn changes_of_case(segment: &str) -> usize {
    let bytes = segment.as_bytes();
    bytes
        .windows(2)
        .filter(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase())
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_and_values_replaced() {
        let mut guesser = TemplateGuesser::default();
        for (path, template) in [
            ("/", "/"),
            ("/v1/users/17/orders", "/v1/users/{id}/orders"),
            ("/books/123e4567-e89b-12d3-a456-426614174000", "/books/{id}"),
            ("/mail/bob@corp.com", "/mail/{id}"),
            ("/reset/aGVsbG8gd29ybGQ", "/reset/{id}"),
            ("/reset/aGVsbGhXbGQoPqRsTu", "/reset/{id}"),
            ("/reset/AKIAABCDEFGHIJKLMNOP", "/reset/{id}"),
            ("/reset/abcdefghijklmnopqrstuvw", "/reset/{id}"),
            ("/order-confirmations/by_customer", "/order-confirmations/by_customer"),
            ("/a%20b/getUserInfo", "/{id}/getUserInfo"),
            ("/robots.txt", "/robots.txt"),
            ("/a/b/c/d/e/f/g/h/i/j", "/a/b/c/d/e/f/g/h/…"),
        ] {
            assert_eq!(guesser.template(path), template, "{path}");
        }
    }

    #[test]
    fn many_words_after_one_prefix_are_a_parameter() {
        let mut guesser = TemplateGuesser::default();
        let letters = |n: u8| format!("{}{}", char::from(b'a' + n / 26), char::from(b'a' + n % 26));
        let templates: BTreeSet<_> =
            (0..200).map(|n| guesser.template(&format!("/people/{}", letters(n)))).collect();
        assert_eq!(templates.len(), MAX_WORDS + 1);
        assert!(templates.contains("/people/{id}"));
    }
}
