//! Whom we call, and how long for.

use std::time::Duration;

use http::Uri;

use super::traffic::usize_of;
use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("upstream", &["CVT_UPSTREAM"]).per_route(),
    Setting::new("traffic.connect_timeout", &["CVT_CONNECT_TIMEOUT"]).per_route(),
    Setting::new("traffic.upstream_timeout", &["CVT_UPSTREAM_TIMEOUT"]).per_route(),
    Setting::new("traffic.idle_timeout", &["CVT_IDLE_TIMEOUT"]).per_route(),
    Setting::new("traffic.idle_upstream_connections", &["CVT_IDLE_UPSTREAM_CONNECTIONS"])
        .per_route(),
];

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamAddress {
    /// Host name or address, brackets removed.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How an upstream is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamSettings {
    /// Where it is.
    pub address: UpstreamAddress,
    /// The longest a TCP connect may take.
    pub connect_timeout: Duration,
    /// The longest it may take from the request's end to the response's head.
    pub timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections kept per traffic thread.
    pub idle_connections: usize,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> UpstreamSettings {
    if values.get("upstream").is_none() {
        problems.push(
            values.place(),
            "upstream: required; the service to stand in front of (--upstream http://127.0.0.1:8080 or CVT_UPSTREAM)",
        );
    }
    let brief = || Duration::from_millis(1)..=Duration::from_hours(1);
    let nowhere = UpstreamAddress { host: String::new(), port: 0 };
    let timeout = |key: &str, default: u64, problems: &mut Problems| {
        values.read(key, Duration::from_secs(default), problems, parse::duration(brief()))
    };
    UpstreamSettings {
        address: values.read("upstream", nowhere, problems, upstream_address),
        connect_timeout: timeout("traffic.connect_timeout", 5, problems),
        timeout: timeout("traffic.upstream_timeout", 60, problems),
        idle_timeout: timeout("traffic.idle_timeout", 60, problems),
        idle_connections: usize_of(
            values,
            "traffic.idle_upstream_connections",
            256,
            0..=65_536,
            problems,
        ),
    }
}

fn upstream_address(text: &str) -> Result<UpstreamAddress, String> {
    let expected = || "expected http://HOST:PORT without a path".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("https upstreams are not available in this version".into()),
        _ => return Err(expected()),
    }
    let authority = uri.authority().ok_or_else(expected)?;
    if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
        return Err(format!("{}; the path of a request is passed on unchanged", expected()));
    }
    if authority.as_str().contains('@') {
        return Err("expected no user name or password in the address".into());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(UpstreamAddress { host, port: authority.port_u16().unwrap_or(80) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_are_addresses_without_a_path() {
        let address = upstream_address("http://[::1]:8080/").unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 8080));
        assert_eq!(upstream_address("http://users").unwrap().port, 80);
        for bad in ["users:80", "http://", "http://a/b", "ftp://a", "http://u:p@a", "https://a"] {
            assert!(upstream_address(bad).is_err(), "{bad}");
        }
    }
}
