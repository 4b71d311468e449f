//! The traffic side: listener, upstream, mode, limits.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Uri;

use super::{Problems, Setting, Source, Values, parse};
use crate::model::mode::Mode;

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("upstream", &["CVT_UPSTREAM"]),
    Setting::new("listen", &["CVT_LISTEN"]),
    Setting::new("mode", &["CVT_MODE"]),
    Setting::new("body_limit", &["CVT_BODY_LIMIT"]),
    Setting::new("traffic.threads", &["CVT_TRAFFIC_THREADS"]),
    Setting::new("traffic.connect_timeout", &["CVT_CONNECT_TIMEOUT"]),
    Setting::new("traffic.upstream_timeout", &["CVT_UPSTREAM_TIMEOUT"]),
    Setting::new("traffic.idle_timeout", &["CVT_IDLE_TIMEOUT"]),
    Setting::new("traffic.head_timeout", &["CVT_HEAD_TIMEOUT"]),
    Setting::new("traffic.drain_timeout", &["CVT_DRAIN_TIMEOUT"]),
    Setting::new("traffic.idle_upstream_connections", &["CVT_IDLE_UPSTREAM_CONNECTIONS"]),
];

/// Where an upstream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamAddress {
    /// Host name or address, brackets removed.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// How traffic flows.
#[derive(Debug, Clone)]
pub struct TrafficSettings {
    /// Whom we call.
    pub upstream: UpstreamAddress,
    /// Where the downstream connects.
    pub listen: SocketAddr,
    /// What a verdict may do.
    pub mode: Mode,
    /// Bytes of each body that are kept for judging.
    pub body_limit: usize,
    /// Traffic threads; 0 means one per core.
    pub threads: usize,
    /// The longest a TCP connect to the upstream may take.
    pub connect_timeout: Duration,
    /// The longest the upstream may take from the request's end to the response's head.
    pub upstream_timeout: Duration,
    /// How long an unused upstream connection is kept.
    pub idle_timeout: Duration,
    /// The longest a downstream may take to send a request's head.
    pub head_timeout: Duration,
    /// The longest that exchanges in flight may take at shutdown.
    pub drain_timeout: Duration,
    /// Unused upstream connections kept per traffic thread.
    pub idle_upstream_connections: usize,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> TrafficSettings {
    if values.get("upstream").is_none() {
        problems.push(
            Source::Default,
            "upstream: required; the service to stand in front of (--upstream http://127.0.0.1:8080 or CVT_UPSTREAM)",
        );
    }
    let seconds = |from: u64, to: u64| Duration::from_secs(from)..=Duration::from_secs(to);
    let brief = || Duration::from_millis(1)..=Duration::from_hours(1);
    let default_upstream = UpstreamAddress { host: String::new(), port: 0 };
    let timeout = |key: &str, default: u64, problems: &mut Problems| {
        values.read(key, Duration::from_secs(default), problems, parse::duration(brief()))
    };
    TrafficSettings {
        upstream: values.read("upstream", default_upstream, problems, upstream_address),
        listen: values.read(
            "listen",
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9080)),
            problems,
            parse::listen_address,
        ),
        mode: values.read("mode", Mode::default(), problems, mode),
        body_limit: values.read("body_limit", 1 << 20, problems, parse::bytes(0..=256 << 20)),
        threads: usize_of(values, "traffic.threads", 0, 0..=1024, problems),
        connect_timeout: timeout("traffic.connect_timeout", 5, problems),
        upstream_timeout: timeout("traffic.upstream_timeout", 60, problems),
        idle_timeout: timeout("traffic.idle_timeout", 60, problems),
        head_timeout: timeout("traffic.head_timeout", 30, problems),
        drain_timeout: values.read(
            "traffic.drain_timeout",
            Duration::from_secs(25),
            problems,
            parse::duration(seconds(0, 3600)),
        ),
        idle_upstream_connections: usize_of(
            values,
            "traffic.idle_upstream_connections",
            256,
            0..=65_536,
            problems,
        ),
    }
}

/// A whole number that counts things in memory.
pub(super) fn usize_of(
    values: &Values,
    key: &str,
    default: usize,
    range: std::ops::RangeInclusive<u64>,
    problems: &mut Problems,
) -> usize {
    let number = values.read(key, default as u64, problems, parse::integer(range));
    usize::try_from(number).unwrap_or(default)
}

fn mode(text: &str) -> Result<Mode, String> {
    text.parse().map_err(|error| format!("{error}"))
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
