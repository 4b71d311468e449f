//! Paths of a document that carry a query: `/messages?beta=true`.
//!
//! OpenAPI knows no such paths, and generators write them all the same. An operation of one is
//! meant only for requests whose query has these pairs; the operation with the most of them wins.

use percent_encoding::percent_decode_str;

/// The pairs that a request's query must have; a value that is templated is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueryCondition {
    pairs: Vec<(Box<str>, Option<Box<str>>)>,
}

/// Splits a key of `paths` at a `?` outside braces.
pub fn split_query(path: &str) -> (&str, QueryCondition) {
    let mut inside = false;
    let at = path.find(|c| {
        inside = c == '{' || inside && c != '}';
        c == '?' && !inside
    });
    match at {
        Some(at) => (&path[..at], QueryCondition::parse(&path[at + 1..])),
        None => (path, QueryCondition::default()),
    }
}

// === impl QueryCondition ===

impl QueryCondition {
    fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|piece| !piece.is_empty()).map(|piece| {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let value = (!value.contains('{')).then(|| decoded(value));
            (decoded(name), value)
        });
        Self { pairs: pairs.collect() }
    }

    /// Whether every query meets it.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// How many pairs it asks for.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether a query meets it.
    pub fn is_met(&self, query: Option<&str>) -> bool {
        self.pairs.iter().all(|(name, value)| {
            query.unwrap_or_default().split('&').any(|piece| {
                let (key, sent) = piece.split_once('=').unwrap_or((piece, ""));
                decoded(key) == *name && value.as_ref().is_none_or(|value| decoded(sent) == *value)
            })
        })
    }

    /// Whether it names a key.
    pub fn names(&self, key: &str) -> bool {
        self.pairs.iter().any(|(name, _)| **name == *key)
    }
}

fn decoded(text: &str) -> Box<str> {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_meets_a_condition_with_all_its_pairs_in_any_order() {
        let (path, condition) = split_query("/a/{x?y}?beta=true&kind={k}&flag");
        assert_eq!((path, condition.len()), ("/a/{x?y}", 3));
        assert!(condition.is_met(Some("kind=7&x=1&flag&beta=tru%65")));
        assert!(!condition.is_met(Some("kind=7&flag&beta=false")));
        assert!(!condition.is_met(None));
        assert!(condition.names("flag") && !condition.names("x"));
        assert!(split_query("/a").1.is_met(None));
    }
}
