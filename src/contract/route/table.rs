//! The trie of path templates.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use http::Method;
use percent_encoding::percent_decode_str;

use super::nearest::KnownBases;
use super::query_condition::{QueryCondition, split_query};
use super::template::{Captures, PathSegment, PathTemplate, SegmentPattern};
use crate::model::rule::Strictness;

/// Index of an operation in its contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationIndex(u32);

/// A trie of templates. Immutable once built.
#[derive(Debug, Clone)]
pub struct OperationRouter {
    nodes: Vec<TrieNode>,
    bases: KnownBases,
    trailing_slash: Strictness,
    /// There are paths that cannot be known.
    has_unknown_paths: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct TrieNode {
    pub(super) literals: HashMap<Box<str>, u32, FixedState>,
    /// Most specific first.
    pub(super) patterns: Vec<(SegmentPattern, u32)>,
    pub(super) endpoints: Vec<Endpoint>,
    /// The template of a path that is here and whose operations cannot be known.
    undescribed: Option<Arc<str>>,
}

#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) operation: u32,
    pub(super) template: Arc<str>,
    /// What the query must have.
    query: QueryCondition,
    /// Captures that belong to the base path.
    skip: usize,
}

/// The outcome of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteMatch {
    /// The operation, and what its path parameters captured.
    Found {
        /// Index of the operation in its contract.
        operation: OperationIndex,
        /// One range per templated part of the operation's own template.
        captures: Captures,
    },
    /// A documented path that does not document the method.
    MethodUnknown {
        /// The template that matches.
        template: Arc<str>,
    },
    /// A documented path whose operations cannot be known, for a defect of the document.
    Undescribed {
        /// The template that matches.
        template: Arc<str>,
    },
    /// No documented path.
    PathUnknown,
}

/// A path and method that another template already serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteConflict {
    /// The template that was there first and keeps the method.
    pub first: Arc<str>,
}

struct Search<'t, 'p> {
    table: &'t OperationRouter,
    path: &'p str,
    method: &'p Method,
    query: Option<&'p str>,
    captures: Captures,
    /// First template whose path matched while its method did not.
    near_miss: Option<&'t Arc<str>>,
    undescribed: Option<&'t Arc<str>>,
}

// === impl OperationIndex ===

impl OperationIndex {
    pub(in crate::contract) fn new(index: u32) -> Self {
        Self(index)
    }

    /// Its position in [`crate::contract::Contract::operations`].
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }
}

// === impl OperationRouter ===

impl OperationRouter {
    /// An empty table.
    pub fn new(trailing_slash: Strictness) -> Self {
        Self {
            nodes: vec![TrieNode::default()],
            bases: KnownBases::default(),
            trailing_slash,
            has_unknown_paths: false,
        }
    }

    /// Adds an operation under a base path. The first to claim a path and method keeps it.
    pub fn insert(
        &mut self,
        base: &PathTemplate,
        template: &PathTemplate,
        text: &Arc<str>,
        method: &Method,
        operation: u32,
    ) -> Result<(), RouteConflict> {
        self.bases.record(base);
        let mut node = 0;
        for segment in base.segments.iter().chain(&template.segments) {
            node = self.child(node, segment);
        }
        let endpoint = Endpoint {
            method: method.clone(),
            operation,
            template: Arc::clone(text),
            query: split_query(text).1,
            skip: base.parameters().len(),
        };
        let taken = self.claim(node, &endpoint);
        if !base.segments.is_empty() && split_query(text).0 == "/" {
            // `/v1` is what clients send for the path `/` under the base path `/v1`.
            let mut node = 0;
            for segment in &base.segments {
                node = self.child(node, segment);
            }
            // A conflict here is the document's own `/v1`, which is meant to win.
            let _ = self.claim(node, &endpoint);
        }
        taken
    }

    /// Adds paths that cannot be known: any that is not known may be one of them.
    pub fn insert_unknown_paths(&mut self) {
        self.has_unknown_paths = true;
    }

    /// Adds a path whose operations cannot be known.
    pub fn insert_undescribed(
        &mut self,
        base: &PathTemplate,
        template: &PathTemplate,
        text: &Arc<str>,
    ) {
        let mut node = 0;
        for segment in base.segments.iter().chain(&template.segments) {
            node = self.child(node, segment);
        }
        self.nodes[node].undescribed.get_or_insert_with(|| Arc::clone(text));
    }

    fn claim(&mut self, node: usize, endpoint: &Endpoint) -> Result<(), RouteConflict> {
        let endpoints = &mut self.nodes[node].endpoints;
        let same =
            |other: &&Endpoint| other.method == endpoint.method && other.query == endpoint.query;
        match endpoints.iter().find(same) {
            Some(other) if other.operation == endpoint.operation => Ok(()),
            Some(other) => Err(RouteConflict { first: Arc::clone(&other.template) }),
            None => {
                // What asks for more of the query is tried first.
                let at = endpoints.partition_point(|one| one.query.len() >= endpoint.query.len());
                endpoints.insert(at, endpoint.clone());
                Ok(())
            }
        }
    }

    fn child(&mut self, node: usize, segment: &PathSegment) -> usize {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let here = &mut self.nodes[node];
        let child = match segment {
            PathSegment::Literal(text) => *here.literals.entry(text.clone()).or_insert(next),
            PathSegment::Pattern(pattern) => {
                let known = here.patterns.iter().find(|(other, _)| other == pattern);
                if let Some((_, child)) = known {
                    *child
                } else {
                    let is_at_least_as_specific =
                        |other: &SegmentPattern| other.specificity() >= pattern.specificity();
                    let at =
                        here.patterns.partition_point(|(other, _)| is_at_least_as_specific(other));
                    here.patterns.insert(at, (pattern.clone(), next));
                    next
                }
            }
        };
        if child == next {
            self.nodes.push(TrieNode::default());
        }
        child as usize
    }

    /// Finds the operation for a method, an undecoded path and its query. A `HEAD` that is not documented
    /// is the documented `GET` of the same path (RFC 9110 §9.3.2).
    pub fn find(&self, method: &Method, path: &str, query: Option<&str>) -> RouteMatch {
        match self.find_exact(method, path, query) {
            RouteMatch::PathUnknown if self.trailing_slash == Strictness::Lenient => {
                match path.strip_suffix('/') {
                    Some(shorter) => self.find_exact(method, shorter, query),
                    None => self.find_exact(method, &format!("{path}/"), query),
                }
            }
            found => found,
        }
    }

    fn find_exact(&self, method: &Method, path: &str, query: Option<&str>) -> RouteMatch {
        let Some(rest) = path.strip_prefix('/') else { return RouteMatch::PathUnknown };
        let mut search = Search {
            table: self,
            path,
            method,
            query,
            captures: Captures::new(),
            near_miss: None,
            undescribed: None,
        };
        if let Some(endpoint) = search.descend(0, Some(rest)) {
            let mut captures = search.captures;
            captures.drain(..endpoint.skip.min(captures.len()));
            return RouteMatch::Found {
                operation: OperationIndex::new(endpoint.operation),
                captures,
            };
        }
        if let Some(template) = search.undescribed {
            return RouteMatch::Undescribed { template: Arc::clone(template) };
        }
        match search.near_miss {
            Some(template) => RouteMatch::MethodUnknown { template: Arc::clone(template) },
            None if self.has_unknown_paths => RouteMatch::Undescribed { template: "".into() },
            None => RouteMatch::PathUnknown,
        }
    }

    pub(super) fn nodes(&self) -> &[TrieNode] {
        &self.nodes
    }

    pub(super) fn bases(&self) -> &KnownBases {
        &self.bases
    }

    /// Bytes held, roughly.
    pub fn weight(&self) -> usize {
        self.nodes
            .iter()
            .map(|node| {
                size_of::<TrieNode>()
                    + node.literals.keys().map(|key| key.len() + 32).sum::<usize>()
                    + node.patterns.len() * 64
                    + node.endpoints.len() * size_of::<Endpoint>()
            })
            .sum()
    }
}

// === impl Search ===

impl<'t> Search<'t, '_> {
    /// Walks down from `node` with `rest` of the path still to match; `None` is its end.
    /// Visits each node at most once, as a trie has one way to each.
    fn descend(&mut self, node: u32, rest: Option<&str>) -> Option<&'t Endpoint> {
        let node = self.table.nodes.get(node as usize)?;
        let Some(rest) = rest else { return self.choose(node) };
        let (segment, after) = match rest.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (rest, None),
        };
        let literal = if segment.contains('%') {
            let decoded = percent_decode_str(segment).decode_utf8().ok();
            decoded.and_then(|text| node.literals.get(&*text))
        } else {
            node.literals.get(segment)
        };
        if let Some(found) = literal.and_then(|child| self.descend(*child, after)) {
            return Some(found);
        }
        let offset = self.path.len() - rest.len();
        for (pattern, child) in &node.patterns {
            let before = self.captures.len();
            if pattern.capture(segment, offset, &mut self.captures) {
                if let Some(found) = self.descend(*child, after) {
                    return Some(found);
                }
                self.captures.truncate(before);
            }
        }
        None
    }

    fn choose(&mut self, node: &'t TrieNode) -> Option<&'t Endpoint> {
        let query = self.query;
        let meant =
            || node.endpoints.iter().filter(|one| one.query.is_empty() || one.query.is_met(query));
        let with = |method: &Method| meant().find(|one| one.method == *method);
        let found = with(self.method)
            .or_else(|| (*self.method == Method::HEAD).then(|| with(&Method::GET)).flatten());
        if found.is_none() && self.near_miss.is_none() {
            self.near_miss = meant().next().map(|one| &one.template);
        }
        if found.is_none() && self.undescribed.is_none() {
            self.undescribed = node.undescribed.as_ref();
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(paths: &[(&str, Method)], slash: Strictness) -> OperationRouter {
        let mut table = OperationRouter::new(slash);
        for (at, (path, method)) in paths.iter().enumerate() {
            let template = PathTemplate::parse(path).unwrap();
            let base = PathTemplate::empty();
            let at = u32::try_from(at).unwrap();
            table.insert(&base, &template, &Arc::from(*path), method, at).unwrap();
        }
        table
    }

    fn find(table: &OperationRouter, method: &Method, path: &str) -> Option<(usize, Vec<String>)> {
        match table.find(method, path, None) {
            RouteMatch::Found { operation, captures } => {
                let text = captures.iter().map(|(from, to)| path[*from..*to].to_owned());
                Some((operation.as_usize(), text.collect()))
            }
            _ => None,
        }
    }

    #[test]
    fn trap_t10_templates_slashes_and_verbs() {
        let get = Method::GET;
        let paths = ["/a/{x}", "/a/b", "/a/{x}:verb", "/files/{name}.{ext}", "/files/{name}", "/"];
        let all: Vec<_> = paths.iter().map(|path| (*path, get.clone())).collect();
        let table = table(&all, Strictness::Strict);
        assert_eq!(find(&table, &get, "/a/b"), Some((1, vec![])));
        assert_eq!(find(&table, &get, "/a/%62"), Some((1, vec![])));
        assert_eq!(find(&table, &get, "/a/c"), Some((0, vec!["c".into()])));
        assert_eq!(find(&table, &get, "/a/c:verb"), Some((2, vec!["c".into()])));
        assert_eq!(find(&table, &get, "/a/b%2Fc"), Some((0, vec!["b%2Fc".into()])));
        assert_eq!(find(&table, &get, "/files/a.txt"), Some((3, vec!["a".into(), "txt".into()])));
        assert_eq!(find(&table, &get, "/files/a"), Some((4, vec!["a".into()])));
        assert_eq!(find(&table, &get, "/"), Some((5, vec![])));
        assert_eq!(table.find(&get, "/a/b/", None), RouteMatch::PathUnknown);
        assert_eq!(table.find(&get, "/a//", None), RouteMatch::PathUnknown);
        assert_eq!(table.find(&get, "/a/", None), RouteMatch::PathUnknown);
        assert_eq!(table.find(&get, "*", None), RouteMatch::PathUnknown);
    }

    #[test]
    fn trap_t10_trailing_slash_is_a_choice() {
        let get = Method::GET;
        let all = [("/a", get.clone()), ("/b/", get.clone())];
        let tolerant = table(&all, Strictness::Lenient);
        assert_eq!(find(&tolerant, &get, "/a/"), Some((0, vec![])));
        assert_eq!(find(&tolerant, &get, "/b"), Some((1, vec![])));
        assert_eq!(find(&table(&all, Strictness::Strict), &get, "/b"), None);
    }

    #[test]
    fn methods_fall_through_to_a_less_concrete_template_that_has_them() {
        let all = [("/a/b", Method::GET), ("/a/{x}", Method::POST), ("/{y}/b", Method::PUT)];
        let table = table(&all, Strictness::Strict);
        assert_eq!(find(&table, &Method::POST, "/a/b").unwrap().0, 1);
        assert_eq!(find(&table, &Method::PUT, "/a/b"), Some((2, vec!["a".into()])));
        assert_eq!(find(&table, &Method::HEAD, "/a/b").unwrap().0, 0);
        let unknown = RouteMatch::MethodUnknown { template: "/a/b".into() };
        assert_eq!(table.find(&Method::DELETE, "/a/b", None), unknown);
    }

    #[test]
    fn a_path_with_a_query_is_found_by_both() {
        let mut table = OperationRouter::new(Strictness::Strict);
        let paths = ["/a", "/a?beta=true", "/a?beta=true&x", "/b?beta=true"];
        for (at, path) in paths.into_iter().enumerate() {
            let template = PathTemplate::parse(split_query(path).0).unwrap();
            let at = u32::try_from(at).unwrap();
            let base = PathTemplate::empty();
            table.insert(&base, &template, &path.into(), &Method::GET, at).unwrap();
        }
        let find = |path, query| match table.find(&Method::GET, path, query) {
            RouteMatch::Found { operation, .. } => Some(operation.as_usize()),
            _ => None,
        };
        assert_eq!(find("/a", None), Some(0));
        assert_eq!(find("/a", Some("beta=false")), Some(0));
        assert_eq!(find("/a", Some("y=1&beta=true")), Some(1));
        assert_eq!(find("/a", Some("x=&beta=true")), Some(2));
        assert_eq!(find("/b", Some("beta=true")), Some(3));
        assert_eq!(table.find(&Method::GET, "/b", None), RouteMatch::PathUnknown);
    }

    #[test]
    fn captures_of_the_base_path_are_left_out() {
        let mut table = OperationRouter::new(Strictness::Strict);
        let base = PathTemplate::parse("/{tenant}/v1").unwrap();
        for (at, path) in ["/{x}", "/"].into_iter().enumerate() {
            let template = PathTemplate::parse(path).unwrap();
            let at = u32::try_from(at).unwrap();
            table.insert(&base, &template, &Arc::from(path), &Method::GET, at).unwrap();
        }
        assert_eq!(find(&table, &Method::GET, "/acme/v1/7"), Some((0, vec!["7".into()])));
        assert_eq!(find(&table, &Method::GET, "/acme/v1"), Some((1, vec![])));
        assert_eq!(find(&table, &Method::GET, "/acme/v1/"), Some((1, vec![])));
        assert_eq!(table.find(&Method::GET, "/7", None), RouteMatch::PathUnknown);
    }

    #[test]
    fn templates_that_differ_in_names_only_share_their_path() {
        let mut table = OperationRouter::new(Strictness::Strict);
        let base = PathTemplate::empty();
        let (a, b) = (PathTemplate::parse("/{a}").unwrap(), PathTemplate::parse("/{b}").unwrap());
        table.insert(&base, &a, &"/{a}".into(), &Method::GET, 0).unwrap();
        table.insert(&base, &b, &"/{b}".into(), &Method::PUT, 1).unwrap();
        let conflict = table.insert(&base, &b, &"/{b}".into(), &Method::GET, 2);
        assert_eq!(conflict, Err(RouteConflict { first: "/{a}".into() }));
        assert_eq!(find(&table, &Method::PUT, "/7").unwrap().0, 1);
    }

    #[test]
    fn trap_t17_look_up_cost_does_not_depend_on_the_number_of_operations() {
        let paths: Vec<String> = (0..5_000).map(|n| format!("/r{n}/{{id}}/x")).collect();
        let all: Vec<_> = paths.iter().map(|path| (path.as_str(), Method::GET)).collect();
        let table = table(&all, Strictness::Strict);
        assert_eq!(find(&table, &Method::GET, "/r4999/7/x"), Some((4_999, vec!["7".into()])));
        assert_eq!(table.nodes[0].patterns.len(), 0, "no list grows with the operations");
    }
}
