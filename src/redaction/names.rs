//! Names that say "secret".

use std::collections::HashSet;

use foldhash::fast::RandomState;
use memchr::memmem::Finder;

/// Only so many bytes at the end of a name are compared.
const COMPARED_LENGTH: usize = 256;

/// A set of names, compared by their words.
#[derive(Debug, Clone, Default)]
pub(super) struct SecretNames {
    /// Joined words, lower case.
    whole: HashSet<String, RandomState>,
    parts: Vec<Finder<'static>>,
}

// === impl SecretNames ===

impl SecretNames {
    pub(super) fn new<'n>(
        names: impl IntoIterator<Item = &'n str>,
        parts: impl IntoIterator<Item = &'n str>,
    ) -> Self {
        let joined = |name: &str| words(name).0;
        Self {
            whole: names.into_iter().map(joined).filter(|name| !name.is_empty()).collect(),
            parts: parts
                .into_iter()
                .map(joined)
                .filter(|part| !part.is_empty())
                .map(|part| Finder::new(&part).into_owned())
                .collect(),
        }
    }

    /// Whether `name`, or its last words, stand for a secret.
    pub(super) fn matches(&self, name: &str) -> bool {
        let cut = name.len().saturating_sub(COMPARED_LENGTH);
        let cut = (cut..=name.len()).find(|at| name.is_char_boundary(*at)).unwrap_or(0);
        let (joined, starts) = words(&name[cut..]);
        // `password2`, `card_1`: a number at the end numbers the name
        let stem = joined.trim_end_matches(|c: char| c.is_ascii_digit());
        starts.iter().any(|&start| {
            self.whole.contains(&joined[start..])
                || stem.get(start..).is_some_and(|end| self.whole.contains(end))
        }) || self.parts.iter().any(|part| part.find(joined.as_bytes()).is_some())
    }
}

/// The words of a name joined in lower case, and where each starts.
fn words(name: &str) -> (String, Vec<usize>) {
    let mut joined = String::with_capacity(name.len());
    let mut starts = Vec::new();
    let mut boundary = true;
    let mut lower = false;
    for c in name.chars() {
        if !c.is_alphanumeric() {
            boundary = true;
            continue;
        }
        if boundary || (lower && c.is_uppercase()) {
            starts.push(joined.len());
        }
        boundary = false;
        lower = c.is_lowercase() || c.is_ascii_digit();
        if c.is_ascii() {
            joined.push(c.to_ascii_lowercase());
        } else {
            joined.extend(c.to_lowercase());
        }
    }
    (joined, starts)
}

#[cfg(test)]
mod tests {
    use super::super::RedactionRules;
    use super::*;

    fn names() -> SecretNames {
        let rules = RedactionRules::default();
        SecretNames::new(
            rules.names.iter().map(String::as_str),
            rules.name_parts.iter().map(String::as_str),
        )
    }

    #[test]
    fn spellings_of_one_name_match() {
        let names = names();
        for name in [
            "password",
            "passwordConfirmation",
            "USER_PASSWORD",
            "new-password",
            "password2",
            "accessToken",
            "access_token",
            "ACCESS-TOKEN",
            "apikey",
            "x-api-key",
            "apiKey",
            "card",
            "creditCard",
            "card_1",
            "client_secret",
            "clientSecret",
            "user[token]",
            "cvv",
            "userpasswordhash",
        ] {
            assert!(names.matches(name), "{name}");
        }
    }

    #[test]
    fn harmless_names_do_not_match() {
        let names = names();
        for name in [
            "token_type",
            "tokens_used",
            "discard",
            "postcard",
            "author",
            "pinned",
            "key",
            "name",
            "",
        ] {
            assert!(!names.matches(name), "{name}");
        }
    }
}
