//! Templates of which neither is the more concrete one, though a request may match both.
//!
//! `/{a}/x` and `/b/{c}` both match `/b/x`. The specification leaves it to the tool which one is
//! meant; the table decides for the first segment that differs, and says so in a lint.

use std::sync::Arc;

use super::table::{OperationRouter, TrieNode};
use super::template::SegmentPattern;

/// Two templates that the same request may match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AmbiguousTemplates {
    /// The template that such requests are validated against.
    pub chosen: Arc<str>,
    /// The other one.
    pub other: Arc<str>,
}

/// Pairs reported at most.
const MAX_PAIRS: usize = 20;

/// Pairs of nodes looked at. Documents of ten thousand operations stay far below; a table made
/// to be hard to look through is left before it costs a second.
const BUDGET: usize = 500_000;

struct AmbiguitySearch<'t> {
    nodes: &'t [TrieNode],
    found: Vec<AmbiguousTemplates>,
    budget: usize,
}

// === impl OperationRouter ===

impl OperationRouter {
    /// Pairs of templates of which neither is the more concrete one, at most [`MAX_PAIRS`].
    pub fn ambiguous_templates(&self) -> Vec<AmbiguousTemplates> {
        let mut walk = AmbiguitySearch { nodes: self.nodes(), found: Vec::new(), budget: BUDGET };
        for node in self.nodes() {
            for (at, (pattern, weaker)) in node.patterns.iter().enumerate() {
                for (text, stronger) in &node.literals {
                    if matches_text(pattern, text) {
                        walk.below(*stronger, *weaker, false);
                    }
                }
                for (heavier, stronger) in node.patterns.iter().take(at) {
                    if may_share_text(heavier, pattern) {
                        walk.below(*stronger, *weaker, false);
                    }
                }
            }
        }
        walk.found
    }
}

// === impl AmbiguitySearch ===

impl AmbiguitySearch<'_> {
    /// Walks down two ways that may take the same segments. `chosen` was the more concrete one
    /// where they parted; `other_preferred` says that `other` was more concrete further down.
    fn below(&mut self, chosen: u32, other: u32, other_preferred: bool) {
        let (Some(a), Some(b)) = (self.node(chosen), self.node(other)) else { return };
        if self.budget == 0 || self.found.len() >= MAX_PAIRS {
            return;
        }
        self.budget -= 1;
        if other_preferred {
            self.endpoints(a, b);
        }
        for (text, next) in &a.literals {
            if let Some(other) = b.literals.get(text) {
                self.below(*next, *other, other_preferred);
            }
            for (_, other) in b.patterns.iter().filter(|(one, _)| matches_text(one, text)) {
                self.below(*next, *other, other_preferred);
            }
        }
        for (pattern, next) in &a.patterns {
            for (text, other) in &b.literals {
                if matches_text(pattern, text) {
                    self.below(*next, *other, true);
                }
            }
            for (one, other) in &b.patterns {
                if may_share_text(pattern, one) {
                    let other_preferred =
                        other_preferred || one.specificity() > pattern.specificity();
                    self.below(*next, *other, other_preferred);
                }
            }
        }
    }

    fn endpoints(&mut self, a: &TrieNode, b: &TrieNode) {
        for one in &a.endpoints {
            let rivals = b.endpoints.iter().filter(|other| other.operation != one.operation);
            let Some(other) = rivals.into_iter().find(|other| other.method == one.method) else {
                continue;
            };
            let pair = AmbiguousTemplates {
                chosen: Arc::clone(&one.template),
                other: Arc::clone(&other.template),
            };
            if !self.found.contains(&pair) {
                self.found.push(pair);
            }
        }
    }
}

impl<'t> AmbiguitySearch<'t> {
    fn node(&self, index: u32) -> Option<&'t TrieNode> {
        self.nodes.get(index as usize)
    }
}

/// Whether a templated segment matches a literal one.
fn matches_text(pattern: &SegmentPattern, text: &str) -> bool {
    pattern.capture(text, 0, &mut super::Captures::new())
}

/// Whether two templated segments may match the same text: what they begin and end with has to
/// agree. What is between is not compared: reporting a pair too many is better than one too few.
fn may_share_text(a: &SegmentPattern, b: &SegmentPattern) -> bool {
    let agree = |x: &str, y: &str| x.starts_with(y) || y.starts_with(x);
    let agree_at_end = |x: &str, y: &str| x.ends_with(y) || y.ends_with(x);
    let ((a_first, a_last), (b_first, b_last)) = (a.ends(), b.ends());
    agree(a_first, b_first) && agree_at_end(a_last, b_last)
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::super::PathTemplate;
    use super::*;
    use crate::model::rule::Strictness;

    fn ambiguous_templates(paths: &[&str]) -> Vec<(String, String)> {
        let mut table = OperationRouter::new(Strictness::Strict);
        for (at, path) in paths.iter().enumerate() {
            let template = PathTemplate::parse(path).unwrap();
            let at = u32::try_from(at).unwrap();
            let base = PathTemplate::empty();
            let _ = table.insert(&base, &template, &Arc::from(*path), &Method::GET, at);
        }
        let found = table.ambiguous_templates().into_iter();
        let mut found: Vec<_> =
            found.map(|one| (one.chosen.to_string(), one.other.to_string())).collect();
        found.sort();
        found
    }

    #[test]
    fn templates_of_which_neither_is_more_concrete_are_ambiguous() {
        let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
        assert_eq!(ambiguous_templates(&["/{a}/x", "/b/{c}"]), pair("/b/{c}", "/{a}/x"));
        assert_eq!(
            ambiguous_templates(&["/p/{a}/x/y", "/p/b/{c}/y"]),
            pair("/p/b/{c}/y", "/p/{a}/x/y")
        );
        assert_eq!(ambiguous_templates(&["/v{a}/x", "/v1/{c}"]), pair("/v1/{c}", "/v{a}/x"));
    }

    #[test]
    fn a_more_concrete_template_is_not_ambiguous() {
        let all: [&[&str]; 6] = [
            &["/{a}/{b}", "/b/{c}"],
            &["/{a}/x", "/b/{c}/d"],
            &["/{a}/x", "/b/y"],
            &["/w{a}/x", "/v1/{c}"],
            &["/{a}/x", "/{b}/{c}"],
            &["/a/b", "/a/{b}"],
        ];
        for paths in all {
            assert_eq!(ambiguous_templates(paths), [], "{paths:?}");
        }
    }

    #[test]
    fn the_search_ends_for_an_adversarial_table() {
        let paths: Vec<String> = (0..14)
            .map(|bits: u32| {
                (0..14)
                    .map(move |at| if bits == at { "/x".to_owned() } else { format!("/{{p{at}}}") })
            })
            .map(Iterator::collect)
            .collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert!(ambiguous_templates(&paths).len() <= MAX_PAIRS);
    }
}
