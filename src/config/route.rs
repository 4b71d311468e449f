//! Routes: which requests go to which upstream, and which contract validates them.
//!
//! What a route does not say for itself, the settings outside of `routes` say for it; without
//! such a list they are the one route, and it takes everything. A section that may differ
//! between routes marks its settings `per_route` and gets a field and a line in `read` here.

use super::contract::{self, ContractSettings};
use super::enforcement::{self, EnforcementSettings};
use super::forwarded::{self, ForwardedSettings};
use super::limits::{self, BodyLimits, ExchangeLimits};
use super::upstream::{self, UpstreamSettings};
use super::{Problems, Setting, Values, parse};

/// Names of this section's settings that also occur outside of routes.
pub const SETTINGS: &[Setting] = &[Setting::new("body_limit", &["CVT_BODY_LIMIT"]).per_route()];

/// Names of settings that only a route has.
pub const ROUTE_ONLY: &[Setting] = &[
    Setting::new("name", &[]).per_route(),
    Setting::new("host", &[]).per_route(),
    Setting::new("path", &[]).per_route(),
    Setting::new("strip_path", &[]).per_route(),
];

/// The most routes there may be.
const MAX_ROUTES: usize = 1000;

/// The name of the one route there is without a list of routes.
const DEFAULT_NAME: &str = "default";

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSettings {
    /// What it is called in metrics and messages; no two have the same.
    pub name: String,
    /// Hosts it takes; `None` takes those that no other route does.
    pub host: Option<HostPattern>,
    /// Path prefix it takes, without a slash at its end: empty for every path.
    pub path: String,
    /// Whether the prefix is taken off before the request goes on.
    pub strip_path: bool,
    /// Bytes of each body that are captured for validation.
    pub body_limit: usize,
    /// How long bodies may be.
    pub bodies: BodyLimits,
    /// What this route's exchanges may take together, beside what all may take.
    pub limits: ExchangeLimits,
    /// What a verdict may do.
    pub enforcement: EnforcementSettings,
    /// The contract that validates it.
    pub contract: ContractSettings,
    /// Its upstream.
    pub upstream: UpstreamSettings,
    /// Forwarding headers sent to the upstream.
    pub forwarded: ForwardedSettings,
}

/// Hosts, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// Every subdomain of this domain.
    Wildcard(String),
}

/// Reads and checks every route: there is at least one.
pub fn read(all: &Values, problems: &mut Problems) -> Vec<RouteSettings> {
    let each = all.routes();
    if each.is_empty() {
        return vec![read_one(all, problems)];
    }
    if each.len() > MAX_ROUTES {
        problems.push(each[MAX_ROUTES].origin(), format!("routes: more than {MAX_ROUTES}"));
    }
    let mut routes: Vec<RouteSettings> = Vec::new();
    for values in &each {
        let route = read_one(values, problems);
        for notice in values.notices() {
            all.notice(format!("{}: {notice}", values.origin()));
        }
        if let Some(other) = routes.iter().find(|other| other.name == route.name) {
            problems.push(values.origin(), format!("name: two routes are called {}", other.name));
        }
        let same =
            |other: &&RouteSettings| (&other.host, &other.path) == (&route.host, &route.path);
        if let Some(other) = routes.iter().find(same) {
            let (name, other) = (&route.name, &other.name);
            problems.push(
                values.origin(),
                format!("path: the routes {other} and {name} take the same host and path"),
            );
        }
        routes.push(route);
    }
    routes
}

fn read_one(values: &Values, problems: &mut Problems) -> RouteSettings {
    let host = values.read("host", None, problems, |text| host(text).map(Some));
    let path = values.read("path", String::new(), problems, path);
    let name = values.read("name", default_name(host.as_ref(), &path), problems, name);
    RouteSettings {
        name,
        host,
        path,
        strip_path: values.read("strip_path", false, problems, parse::boolean),
        body_limit: values.read("body_limit", 1 << 20, problems, parse::bytes(0..=256 << 20)),
        bodies: limits::read_bodies(values, problems),
        limits: limits::read_exchange(&values.own(), problems),
        enforcement: enforcement::read(values, problems),
        contract: contract::read(values, problems),
        upstream: upstream::read(values, problems),
        forwarded: forwarded::read(values, problems),
    }
}

fn default_name(host: Option<&HostPattern>, path: &str) -> String {
    match host {
        None if path.is_empty() => DEFAULT_NAME.to_owned(),
        None => path.to_owned(),
        Some(HostPattern::Exact(host)) => format!("{host}{path}"),
        Some(HostPattern::Wildcard(domain)) => format!("*.{domain}{path}"),
    }
}

fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| !c.is_control() && !c.is_whitespace();
    if text.is_empty() || text.len() > 100 || !text.chars().all(plain) {
        return Err("expected a name of at most 100 characters without blanks".into());
    }
    Ok(text.to_owned())
}

fn host(text: &str) -> Result<HostPattern, String> {
    let expected = || "expected a host such as api.example.com or *.example.com".to_owned();
    let lower = text.trim_end_matches('.').to_ascii_lowercase();
    let (domain, below) = match lower.strip_prefix("*.") {
        Some(domain) => (domain, true),
        None => (lower.as_str(), false),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    if domain.is_empty() || domain.len() > 253 || !domain.chars().all(allowed) {
        return Err(expected());
    }
    if domain.contains(':') && !domain.ends_with(']') {
        return Err(format!("{}, without a port", expected()));
    }
    let domain = domain.to_owned();
    Ok(if below { HostPattern::Wildcard(domain) } else { HostPattern::Exact(domain) })
}

/// A prefix is compared as sent, byte by byte, and ends at a slash of the request's path.
fn path(text: &str) -> Result<String, String> {
    let expected = || "expected a path prefix such as /orders".to_owned();
    if !text.starts_with('/') || text.len() > 1024 {
        return Err(expected());
    }
    if text.contains(['?', '#', ' ']) || text.contains("//") || !text.is_ascii() {
        return Err(format!("{}, without query, blanks or empty segments", expected()));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::config::{Config, ConfigError, RawSettings};
    use crate::model::mode::{Mode, Modes};

    fn load(text: &str) -> Result<Vec<RouteSettings>, ConfigError> {
        let raw =
            RawSettings { file: Some(("cvt.yaml".into(), text.into())), ..RawSettings::default() };
        Config::load(raw).map(|config| config.routes)
    }

    #[test]
    fn a_route_inherits_what_it_does_not_set() {
        let routes = load(
            "mode: shadow\nbody_limit: 2KiB\nroutes:\n  - path: /a/\n    spec: a.yaml\n    \
             upstream: http://a\n    mode: off\n  - name: b\n    host: '*.Example.com'\n    \
             schema_id: b\n    schema_version: 1.2.0\n    upstream: http://b:81\n    \
             traffic:\n      upstream_timeout: 3s\n",
        )
        .unwrap();
        let [a, b] = routes.as_slice() else { panic!("{routes:?}") };
        assert_eq!(
            (a.name.as_str(), a.path.as_str(), a.enforcement.modes),
            ("/a", "/a", Modes::both(Mode::Off))
        );
        assert_eq!((a.body_limit, a.strip_path), (2048, false));
        assert_eq!(b.host, Some(HostPattern::Wildcard("example.com".into())));
        assert_eq!(
            (b.enforcement.modes, b.upstream.timeout.as_secs()),
            (Modes::both(Mode::Shadow), 3)
        );
        assert_eq!(a.upstream.timeout.as_secs(), 60);
        assert_eq!(b.contract.version.as_deref(), Some("1.2.0"));
    }

    #[test]
    fn rates_of_a_route_are_its_own_and_limits_on_bodies_are_inherited() {
        let routes = load(
            "limits: {rate: 9, request_body: 1KiB}\nroutes:\n  - path: /a\n    spec: a\n    \
             upstream: http://a\n  - path: /b\n    spec: a\n    upstream: http://a\n    \
             limits: {concurrency: 2, request_body: 0}\n",
        )
        .unwrap();
        let [a, b] = routes.as_slice() else { panic!("{routes:?}") };
        assert!(a.limits.is_unlimited());
        assert_eq!((b.limits.rate, b.limits.concurrency.map(NonZeroU64::get)), (None, Some(2)));
        assert_eq!(a.bodies.request.map(NonZeroU64::get), Some(1024));
        assert_eq!(b.bodies.request, None);
    }

    #[test]
    fn without_routes_the_settings_are_the_one_route() {
        let routes = load("spec: a.yaml\nupstream: http://a\n").unwrap();
        assert_eq!(
            (routes.len(), routes[0].name.as_str(), routes[0].path.as_str()),
            (1, DEFAULT_NAME, "")
        );
    }

    #[test]
    fn problems_of_a_route_name_their_line() {
        let error = load(
            "body_limit: lots\nroutes:\n  - path: a\n    listen: 127.0.0.1:1\n    spec: a\n    \
             upstraem: http://a\n  - path: /x\n    spec: b\n    upstream: http://b\n  \
             - path: /x\n    spec: b\n    upstream: http://b\n",
        )
        .unwrap_err();
        let text = error.to_string();
        for part in [
            "cvt.yaml:1: body_limit",
            "cvt.yaml:3: path: expected a path prefix",
            "cvt.yaml:4: listen: holds for the whole process",
            "cvt.yaml:6: unknown key `upstraem`, did you mean `upstream`?",
            "cvt.yaml:3: upstream: required",
            "cvt.yaml:10: name: two routes are called /x",
            "cvt.yaml:10: path: the routes /x and /x take the same host and path",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
        assert_eq!(error.problems.len(), 7, "{text}");
        assert!(load("routes: yes\n").unwrap_err().to_string().contains("expected a list"));
    }

    #[test]
    fn hosts_and_paths_are_checked() {
        assert_eq!(host("A.example."), Ok(HostPattern::Exact("a.example".into())));
        for bad in ["", "*.", "a:80", "a/b", "*"] {
            assert!(host(bad).is_err(), "{bad}");
        }
        assert_eq!(path("/"), Ok(String::new()));
        for bad in ["", "a", "/a?b", "//a", "/ä"] {
            assert!(path(bad).is_err(), "{bad}");
        }
    }
}
