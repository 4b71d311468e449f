//! Which upstream and contract a request belongs to.
//!
//! Invariants: the most specific route wins, first by host (this host, then `*.domain`
//! with the longest domain, then any), then by path (the longest prefix that ends at a slash of
//! the path). Host and path are compared as sent; nothing is decoded or resolved. A look-up
//! costs a hash per slash of the longest prefix and per label of the host, however many routes
//! there are, and nothing at all when one route takes everything.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Request, Uri};
use memchr::memrchr;

use super::enforce::Enforcement;
use super::limits::ExchangeLimiter;
use super::upstream::Upstream;
use crate::config::forwarded::ForwardedSettings;
use crate::config::limits::BodyLimits;
use crate::config::route::HostPattern;
use crate::registry::LoadedContract;

/// The longest host there is (RFC 1035), and some for brackets.
const MAHOST: usize = 256;

/// Where traffic goes and what is kept of it.
pub struct Route {
    /// Its name.
    pub name: String,
    /// The path prefix that is taken off, without a slash at its end; empty for none.
    pub stripped: String,
    /// The service behind.
    pub upstream: Arc<Upstream>,
    /// Forwarding headers sent to the service.
    pub forwarded: ForwardedSettings,
    /// What a verdict may do.
    pub enforcement: Arc<Enforcement>,
    /// Bytes kept of each body.
    pub body_limit: usize,
    /// How long bodies may be that pass.
    pub bodies: BodyLimits,
    /// What its exchanges may take together, if that is limited.
    pub limits: Option<Arc<ExchangeLimiter>>,
    /// The contract in force; replaced when a new one is loaded.
    pub contract: Arc<ArcSwapOption<LoadedContract>>,
}

/// Every route, by host and path.
#[derive(Default)]
pub struct RoutingTable {
    routes: Vec<Arc<Route>>,
    hosts: HostMap<Arc<Route>>,
}

/// Values by host and path prefix.
struct HostMap<T> {
    /// The one that takes everything, when there is no other.
    catch_all: Option<T>,
    exact: HashMap<Box<[u8]>, PathPrefixMap<T>>,
    wildcard: HashMap<Box<[u8]>, PathPrefixMap<T>>,
    any: PathPrefixMap<T>,
}

/// Values by path prefix.
struct PathPrefixMap<T> {
    prefixes: HashMap<Box<[u8]>, T>,
    longest: usize,
}

// === impl Route ===

impl Route {
    /// The target as the upstream and its contract know it.
    pub fn target(&self, uri: &Uri) -> Option<Uri> {
        if self.stripped.is_empty() {
            return None;
        }
        let sent = uri.path_and_query()?.as_str();
        let rest = sent.strip_prefix(&self.stripped)?;
        let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
        Uri::from_parts(parts).ok()
    }
}

// === impl RoutingTable ===

impl RoutingTable {
    /// A table of routes, each with the hosts it takes and its path prefix without a slash at
    /// its end; where two take the same, the later one holds.
    pub fn new(routes: Vec<(Option<HostPattern>, String, Arc<Route>)>) -> Self {
        let mut table = Self::default();
        for (host, path, route) in routes {
            table.routes.push(route.clone());
            table.hosts.insert(host.as_ref(), &path, route);
        }
        table.hosts.find_catch_all();
        table
    }

    /// The route of a request, if any takes it.
    pub fn find<B>(&self, request: &Request<B>) -> Option<&Arc<Route>> {
        self.hosts.find(request)
    }

    /// Every route, in the order of the settings.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }
}

// === impl HostMap ===

impl<T: Clone> HostMap<T> {
    fn insert(&mut self, host: Option<&HostPattern>, path: &str, value: T) {
        let paths = match host {
            None => &mut self.any,
            Some(HostPattern::Exact(host)) => self.exact.entry(host.as_bytes().into()).or_default(),
            Some(HostPattern::Wildcard(domain)) => {
                self.wildcard.entry(domain.as_bytes().into()).or_default()
            }
        };
        paths.longest = paths.longest.max(path.len());
        paths.prefixes.insert(path.as_bytes().into(), value);
    }

    /// Finds the route that takes everything, if it is the only one.
    fn find_catch_all(&mut self) {
        let is_catch_all =
            self.exact.is_empty() && self.wildcard.is_empty() && self.any.longest == 0;
        self.catch_all = is_catch_all.then(|| self.any.prefixes.get(&b""[..]).cloned()).flatten();
    }

    fn find<B>(&self, request: &Request<B>) -> Option<&T> {
        if self.catch_all.is_some() {
            return self.catch_all.as_ref();
        }
        let path = request.uri().path().as_bytes();
        let has_hosts = !(self.exact.is_empty() && self.wildcard.is_empty());
        let by_host = if has_hosts { self.find_by_host(host_of(request), path) } else { None };
        by_host.or_else(|| self.any.find(path))
    }

    fn find_by_host(&self, host: &[u8], path: &[u8]) -> Option<&T> {
        let mut lower = [0; MAHOST];
        let lower = lower.get_mut(..host.len())?;
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        if let Some(value) = self.exact.get(&*lower).and_then(|paths| paths.find(path)) {
            return Some(value);
        }
        let mut rest = &*lower;
        while !self.wildcard.is_empty()
            && let Some(dot) = memchr::memchr(b'.', rest)
        {
            rest = &rest[dot + 1..];
            if let Some(value) = self.wildcard.get(rest).and_then(|paths| paths.find(path)) {
                return Some(value);
            }
        }
        None
    }
}

impl<T> Default for HostMap<T> {
    fn default() -> Self {
        Self {
            catch_all: None,
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            any: PathPrefixMap::default(),
        }
    }
}

// === impl PathPrefixMap ===

impl<T> PathPrefixMap<T> {
    fn find(&self, path: &[u8]) -> Option<&T> {
        let mut cut = path.len();
        if cut > self.longest {
            cut = memrchr(b'/', &path[..=self.longest]).unwrap_or(0);
        }
        loop {
            if let Some(value) = self.prefixes.get(&path[..cut]) {
                return Some(value);
            }
            if cut == 0 {
                return None;
            }
            cut = memrchr(b'/', &path[..cut]).unwrap_or(0);
        }
    }
}

impl<T> Default for PathPrefixMap<T> {
    fn default() -> Self {
        Self { prefixes: HashMap::new(), longest: 0 }
    }
}

/// The host that a request is for, without its port: an absolute target names it before `Host`
/// does (RFC 9112 §3.2.2).
fn host_of<B>(request: &Request<B>) -> &[u8] {
    let authority = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    let header = || request.headers().get(HOST).map(http::HeaderValue::as_bytes);
    let host = authority.or_else(header).unwrap_or_default();
    let name = match memrchr(b':', host) {
        Some(colon) if host[colon..].iter().skip(1).all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    };
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(routes: &[(&str, &str)]) -> HostMap<usize> {
        let mut hosts = HostMap::default();
        for (number, (host, path)) in routes.iter().enumerate() {
            let pattern = match host.strip_prefix("*.") {
                Some(domain) => Some(HostPattern::Wildcard(domain.into())),
                None => (!host.is_empty()).then(|| HostPattern::Exact((*host).into())),
            };
            hosts.insert(pattern.as_ref(), path, number);
        }
        hosts.find_catch_all();
        hosts
    }

    fn find(hosts: &HostMap<usize>, host: &str, path: &str) -> Option<usize> {
        let request = Request::get(path).header(HOST, host).body(()).unwrap();
        hosts.find(&request).copied()
    }

    #[test]
    fn the_longest_prefix_that_ends_at_a_slash_wins() {
        let hosts = hosts(&[("", "/a"), ("", "/a/b"), ("", "/a/b/c/d")]);
        for (path, expected) in [
            ("/a", Some(0)),
            ("/a?x=/a/b", Some(0)),
            ("/a/", Some(0)),
            ("/a/bc", Some(0)),
            ("/a/b", Some(1)),
            ("/a/b/c", Some(1)),
            ("/a/b/c/d/e/f", Some(2)),
            ("/a/b/c/dd", Some(1)),
            ("/ab", None),
            ("/", None),
            ("/%61", None),
            ("//a", None),
        ] {
            assert_eq!(find(&hosts, "h", path), expected, "{path}");
        }
    }

    #[test]
    fn hosts_win_over_paths_and_exact_ones_over_wildcards() {
        let hosts = hosts(&[
            ("", "/a/b"),
            ("api.example.com", "/a"),
            ("*.example.com", ""),
            ("*.eu.example.com", ""),
            ("[::1]", ""),
        ]);
        for (host, path, expected) in [
            ("api.example.com", "/a/b", Some(1)),
            ("API.example.com:8080", "/a", Some(1)),
            ("api.example.com.", "/a", Some(1)),
            ("api.example.com", "/x", Some(2)),
            ("x.eu.example.com", "/x", Some(3)),
            ("example.com", "/x", None),
            ("example.com", "/a/b", Some(0)),
            ("[::1]:80", "/", Some(4)),
            ("[::1]", "/", Some(4)),
        ] {
            assert_eq!(find(&hosts, host, path), expected, "{host}{path}");
        }
        assert_eq!(find(&hosts, &"a.".repeat(5000), "/a/b"), Some(0), "a host too long for DNS");
    }

    #[test]
    fn the_authority_of_the_target_names_the_host() {
        let hosts = hosts(&[("a", ""), ("b", "")]);
        let request = Request::get("http://b/x").header(HOST, "a").body(()).unwrap();
        assert_eq!(hosts.find(&request), Some(&1));
    }

    #[test]
    fn a_target_in_asterisk_form_matches_only_the_catch_all_path() {
        let all = hosts(&[("", ""), ("", "/a")]);
        assert_eq!(find(&all, "h", "*"), Some(0));
        assert_eq!(find(&hosts(&[("", "/a")]), "h", "*"), None);
    }
}
