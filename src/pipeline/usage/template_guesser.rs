//! A template for a path that the document does not list, guessed from what was seen.
//!
//! Invariants: no part that may be a value is shown: only plain words are; how many templates
//! there are does not grow with traffic.

use std::collections::{BTreeSet, HashMap};

use crate::redaction::is_plain_word;

/// Segments shown; the rest is one `…`.
const MAX_SEGMENTS: usize = 8;
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
        if !is_plain_word(segment) {
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
