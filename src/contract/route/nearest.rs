//! The documented path that an undocumented one comes closest to.
//!
//! Invariants: asked only where no path matches; the work is bounded ([`MAX_STEPS`]) whatever the
//! document and the path; the answer depends on both alone.

use percent_encoding::percent_decode_str;
use smallvec::SmallVec;

use super::query_condition::split_query;
use super::table::{OperationRouter, TrieNode};
use super::template::{Captures, PathSegment, PathTemplate};

/// Differences that two paths may have: a similar, a missing or a further segment is one, another
/// segment in the place of one is two.
const MAX_DISTANCE: u32 = 2;
/// Segments of the trie that are compared.
const MAX_STEPS: u32 = 2_048;
/// Segments of a path that are compared; a longer one is near to nothing.
const MAX_SEGMENTS: usize = 24;
/// The longest segment that is compared letter by letter, and the letters that may differ.
const MAX_WORD: usize = 32;
const MAX_LETTERS: usize = 2;
/// Base paths kept for messages.
const MAX_BASES: usize = 32;

/// A documented path near an undocumented one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NearestPath {
    /// The path template with its base path.
    pub template: String,
    /// Segments of the undocumented path where the documented one has a parameter: bit n for the
    /// n-th.
    parameters: u32,
}

/// The base paths of a table, in the order of the document.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownBases(Vec<(String, PathTemplate)>);

#[derive(Clone, Copy)]
struct TrailStep<'t> {
    text: &'t str,
    /// A literal segment that the path has too, or one similar to it.
    is_match: bool,
}

#[derive(Debug)]
struct PathCandidate {
    distance: u32,
    template: String,
    parameters: u32,
}

struct NearestSearch<'t, 'p> {
    nodes: &'t [TrieNode],
    segments: SmallVec<[&'p str; MAX_SEGMENTS]>,
    steps: u32,
    trail: Vec<TrailStep<'t>>,
    best: Option<PathCandidate>,
}

// === impl OperationRouter ===

impl OperationRouter {
    /// The documented path nearest to an undocumented one; `None` where none is near.
    pub fn nearest(&self, path: &str) -> Option<NearestPath> {
        let segments: SmallVec<_> =
            path.strip_prefix('/')?.split('/').take(MAX_SEGMENTS + 1).collect();
        if segments.len() > MAX_SEGMENTS {
            return None;
        }
        let (nodes, trail) = (self.nodes(), Vec::new());
        let mut search = NearestSearch { nodes, segments, steps: MAX_STEPS, trail, best: None };
        search.descend(0, 0, 0, 0);
        let PathCandidate { template, parameters, .. } = search.best?;
        Some(NearestPath { template, parameters })
    }

    /// The base paths under which operations are found; empty where one of them adds nothing to
    /// the templates, or where `path` is under one.
    pub fn missing_bases(&self, path: &str) -> Vec<&str> {
        let bases = &self.bases().0;
        if bases.iter().any(|(text, base)| text.is_empty() || is_under(path, base)) {
            return Vec::new();
        }
        bases.iter().map(|(text, _)| text.as_str()).collect()
    }
}

// === impl NearestPath ===

impl NearestPath {
    /// Whether the documented path has a parameter where the undocumented one has its `at`-th
    /// segment.
    pub fn is_parameter(&self, at: usize) -> bool {
        u32::try_from(at).is_ok_and(|at| self.parameters.checked_shr(at).unwrap_or(0) & 1 == 1)
    }
}

// === impl KnownBases ===

impl KnownBases {
    pub(super) fn record(&mut self, base: &PathTemplate) {
        let known = self.0.iter().rev().any(|(_, other)| other.segments == base.segments);
        if !known && self.0.len() < MAX_BASES {
            self.0.push((base.to_text(), base.clone()));
        }
    }
}

fn is_under(path: &str, base: &PathTemplate) -> bool {
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/');
    base.segments.iter().all(|expected| {
        segments.next().is_some_and(|segment| match expected {
            PathSegment::Literal(text) => **text == *decoded(segment),
            PathSegment::Pattern(pattern) => pattern.capture(segment, 0, &mut Captures::new()),
        })
    })
}

// === impl NearestSearch ===

impl<'t> NearestSearch<'t, '_> {
    /// Continues at `node` with the segments from `at` on, after `distance` differences. Recursion
    /// ends with the segments of the path and the differences left.
    fn descend(&mut self, node: u32, at: usize, distance: u32, parameters: u32) {
        let nodes = self.nodes;
        let Some(node_at) = nodes.get(node as usize) else { return };
        if distance > MAX_DISTANCE || self.steps == 0 {
            return;
        }
        self.steps -= 1;
        let Some(segment) = self.segments.get(at).copied() else {
            self.propose(node_at, distance, parameters);
            return self.insert(node_at, at, distance, parameters);
        };
        let text = decoded(segment);
        for (pattern, child) in &node_at.patterns {
            let captures = pattern.capture(segment, 0, &mut Captures::new());
            let distance = distance + if captures { 0 } else { 2 };
            self.enter("{id}", false, |search| {
                search.descend(*child, at + 1, distance, parameters | 1 << at);
            });
        }
        for (literal, child) in &node_at.literals {
            let difference = difference(literal, &text);
            if distance + difference <= MAX_DISTANCE {
                self.enter(literal, difference < 2, |search| {
                    search.descend(*child, at + 1, distance + difference, parameters);
                });
            }
            self.steps = self.steps.saturating_sub(1);
        }
        self.descend(node, at + 1, distance + 1, parameters);
        self.insert(node_at, at, distance, parameters);
    }

    /// Continues with a segment that the path does not have.
    fn insert(&mut self, node: &'t TrieNode, at: usize, distance: u32, parameters: u32) {
        if distance >= MAX_DISTANCE {
            return;
        }
        for (_, child) in &node.patterns {
            self.enter("{id}", false, |search| {
                search.descend(*child, at, distance + 1, parameters);
            });
        }
        for (literal, child) in &node.literals {
            self.enter(literal, false, |search| {
                search.descend(*child, at, distance + 1, parameters);
            });
        }
    }

    fn enter(&mut self, text: &'t str, is_match: bool, then: impl FnOnce(&mut Self)) {
        self.trail.push(TrailStep { text, is_match });
        then(self);
        self.trail.pop();
    }

    /// The paths that end at `node`, where something of the template itself occurs in the path.
    fn propose(&mut self, node: &TrieNode, distance: u32, parameters: u32) {
        let Some(endpoint) = node.endpoints.first() else { return };
        let own = split_query(&endpoint.template).0.matches('/').count().min(self.trail.len());
        let (base, own) = self.trail.split_at(self.trail.len() - own);
        if !own.iter().any(|step| step.is_match) {
            return;
        }
        let base: String = base.iter().flat_map(|step| ["/", step.text]).collect();
        let template = base + &endpoint.template;
        let found = PathCandidate { distance, template, parameters };
        let order = |one: &PathCandidate| (one.distance, one.template.len(), one.template.clone());
        if self.best.as_ref().is_none_or(|best| order(&found) < order(best)) {
            self.best = Some(found);
        }
    }
}

fn decoded(segment: &str) -> std::borrow::Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

/// 0 for the same word, 1 for a similar one, 2 for another.
fn difference(literal: &str, segment: &str) -> u32 {
    if literal == segment {
        0
    } else if literal.eq_ignore_ascii_case(segment) || is_similar(literal, segment) {
        1
    } else {
        2
    }
}

/// Whether two words differ in at most [`MAX_LETTERS`] letters, and in less than half of them.
fn is_similar(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let shorter = a.len().min(b.len());
    let allowed = MAX_LETTERS.min(shorter.saturating_sub(1) / 2);
    if a.len().abs_diff(b.len()) > allowed || a.len().max(b.len()) > MAX_WORD || allowed == 0 {
        return false;
    }
    // Levenshtein's distance, one row at a time.
    let mut row: SmallVec<[usize; MAX_WORD + 1]> = (0..=b.len()).collect();
    for (at, from) in a.iter().enumerate() {
        let mut corner = std::mem::replace(&mut row[0], at + 1);
        let mut least = row[0];
        for (to, below) in b.iter().zip(1..) {
            let replaced = corner + usize::from(from != to);
            corner = row[below];
            row[below] = replaced.min(corner + 1).min(row[below - 1] + 1);
            least = least.min(row[below]);
        }
        if least > allowed {
            return false;
        }
    }
    row[b.len()] <= allowed
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::Method;

    use super::*;
    use crate::model::rule::Strictness;

    fn router(base: &str, paths: &[&str]) -> OperationRouter {
        let mut router = OperationRouter::new(Strictness::Strict);
        let base = match base {
            "" => PathTemplate::empty(),
            base => PathTemplate::parse(base).unwrap(),
        };
        for (at, path) in (0..).zip(paths) {
            let template = PathTemplate::parse(path).unwrap();
            router.insert(&base, &template, &Arc::from(*path), &Method::GET, at).unwrap();
        }
        router
    }

    #[test]
    fn the_nearest_path_differs_in_a_segment_or_two() {
        let paths =
            ["/orders/{id}", "/orders/{id}/items", "/customers", "/{tenant}/reports", "/login"];
        let router = router("/v1", &paths);
        for (path, near) in [
            ("/v1/orders/17/refund", Some("/v1/orders/{id}")),
            ("/v1/order/17", Some("/v1/orders/{id}")),
            ("/orders/17", Some("/v1/orders/{id}")),
            ("/api/v1/orders/17/items", Some("/v1/orders/{id}/items")),
            ("/v2/customers", Some("/v1/customers")),
            ("/v1/Customers", Some("/v1/customers")),
            ("/v1/customers/", Some("/v1/customers")),
            ("/v1/acme/report", Some("/v1/{tenant}/reports")),
            ("/wp-login.php", None),
            ("/v1/wp-login.php", None),
            ("/", None),
            ("*", None),
        ] {
            let found = router.nearest(path).map(|found| found.template);
            assert_eq!(found.as_deref(), near, "{path}");
        }
        assert!(router.nearest(&"/a".repeat(100)).is_none());
        let found = router.nearest("/v1/acme/report").unwrap();
        assert_eq!([0, 1, 2, 40].map(|at| found.is_parameter(at)), [false, true, false, false]);
    }

    #[test]
    fn base_paths_are_named_where_a_path_is_under_none() {
        assert_eq!(router("/api/{region}", &["/a"]).missing_bases("/a"), ["/api/{region}"]);
        assert!(router("/api/{region}", &["/a"]).missing_bases("/api/eu/b").is_empty());
        assert!(router("", &["/a"]).missing_bases("/b").is_empty());
    }

    #[test]
    fn words_are_similar_up_to_two_letters() {
        for (a, b) in [("orders", "order"), ("colour", "color"), ("items", "itmes")] {
            assert!(is_similar(a, b) && is_similar(b, a), "{a} {b}");
        }
        for (a, b) in [("ab", "cd"), ("a", "b"), ("orders", "login"), ("users", "uses-of-it")] {
            assert!(!is_similar(a, b) && !is_similar(b, a), "{a} {b}");
        }
    }

    #[test]
    fn a_huge_document_costs_bounded_steps() {
        let paths: Vec<String> =
            (0..20_000).map(|n| format!("/resource{n}/{{id}}/part{n}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        let router = router("", &paths);
        let found = router.nearest("/resource/17/part");
        assert!(found.is_none_or(|found| found.template.starts_with("/resource")));
    }
}
