//! The upstream: its addresses, protocol, TLS, health checks and timeouts.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use super::traffic::usize_of;
use super::{Problems, Setting, SettingSource, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("upstream", &["CVT_UPSTREAM"]).per_route(),
    Setting::new("upstream_protocol", &["CVT_UPSTREAM_PROTOCOL"]).per_route(),
    Setting::new("upstream_balance", &["CVT_UPSTREAM_BALANCE"]).per_route(),
    Setting::new("upstream_retries", &["CVT_UPSTREAM_RETRIES"]).per_route(),
    Setting::new("upstream_tls.ca_file", &["CVT_UPSTREAM_TLS_CA_FILE"]).per_route(),
    Setting::new("upstream_tls.cert_file", &["CVT_UPSTREAM_TLS_CERT_FILE"]).per_route(),
    Setting::new("upstream_tls.key_file", &["CVT_UPSTREAM_TLS_KEY_FILE"]).per_route(),
    Setting::new("upstream_tls.server_name", &["CVT_UPSTREAM_TLS_SERVER_NAME"]).per_route(),
    Setting::new("upstream_tls.verify", &["CVT_UPSTREAM_TLS_VERIFY"]).per_route(),
    Setting::new("upstream_health.path", &["CVT_UPSTREAM_HEALTH_PATH"]).per_route(),
    Setting::new("upstream_health.status", &["CVT_UPSTREAM_HEALTH_STATUS"]).per_route(),
    Setting::new("upstream_health.interval", &["CVT_UPSTREAM_HEALTH_INTERVAL"]).per_route(),
    Setting::new("upstream_health.timeout", &["CVT_UPSTREAM_HEALTH_TIMEOUT"]).per_route(),
    Setting::new("traffic.connect_timeout", &["CVT_CONNECT_TIMEOUT"]).per_route(),
    Setting::new("traffic.upstream_timeout", &["CVT_UPSTREAM_TIMEOUT"]).per_route(),
    Setting::new("traffic.body_timeout", &["CVT_BODY_TIMEOUT"]).per_route(),
    Setting::new("traffic.total_timeout", &["CVT_TOTAL_TIMEOUT"]).per_route(),
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
    /// Whether it is called over TLS.
    pub encrypted: bool,
}

/// Which HTTP an upstream is called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, over clear text by prior knowledge.
    Http2,
    /// What the upstream chooses in the TLS handshake; HTTP/1.1 over clear text.
    Auto,
}

/// Which address gets the next exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Balance {
    /// Each in turn.
    RoundRobin,
    /// The one with the fewest exchanges under way.
    LeastConnections,
}

/// TLS identities of an upstream and of this proxy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// Authorities that may vouch for it; the system's when not given.
    pub ca_file: Option<PathBuf>,
    /// Our certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The name its certificate must have; the address's host when not given.
    pub server_name: Option<String>,
    /// Whether its certificate is checked at all.
    pub verify: bool,
}

/// Health checks of the addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HealthSettings {
    /// Asked with GET; without it a connection is proof enough.
    pub path: Option<String>,
    /// Statuses of the answer that are proof, from and to.
    pub statuses: (u16, u16),
    /// Time between two checks.
    pub interval: Duration,
    /// The longest that one may take.
    pub timeout: Duration,
}

/// How an upstream is called.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamSettings {
    /// Where it is; at least one address, all with or all without TLS.
    pub addresses: Vec<UpstreamAddress>,
    /// With which HTTP.
    pub protocol: Protocol,
    /// Which of several addresses is next.
    pub balance: Balance,
    /// How often a request that may be repeated goes out again after the upstream broke off.
    pub retries: u32,
    /// TLS, where the addresses say so.
    pub tls: UpstreamTls,
    /// Health checks.
    pub health: HealthSettings,
    /// The longest that making a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// The longest it may take from the request's end to the response's head, and between two
    /// pieces of the request's body.
    pub timeout: Duration,
    /// The longest between two pieces of a response's body.
    pub body_timeout: Option<Duration>,
    /// The longest from the request's head to the end of the response.
    pub total_timeout: Option<Duration>,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections kept per address and traffic thread.
    pub idle_connections: usize,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> UpstreamSettings {
    if values.get("upstream").is_none() {
        problems.push(
            values.origin(),
            "upstream: required; the service to stand in front of (--upstream http://127.0.0.1:8080 or CVT_UPSTREAM)",
        );
    }
    let brief = || Duration::from_millis(1)..=Duration::from_hours(1);
    let timeout = |key: &str, default: u64, problems: &mut Problems| {
        values.read(key, Duration::from_secs(default), problems, parse::duration(brief()))
    };
    let limit = |key: &str, problems: &mut Problems| {
        let days = Duration::ZERO..=Duration::from_hours(24 * 7);
        let read = values.read(key, Duration::ZERO, problems, parse::duration(days));
        (!read.is_zero()).then_some(read)
    };
    let balances =
        [("round_robin", Balance::RoundRobin), ("least_connections", Balance::LeastConnections)];
    let protocols =
        [("http1", Protocol::Http1), ("http2", Protocol::Http2), ("auto", Protocol::Auto)];
    let balance = parse::choice(&balances);
    UpstreamSettings {
        addresses: values.read("upstream", Vec::new(), problems, addresses),
        protocol: values.read(
            "upstream_protocol",
            Protocol::Auto,
            problems,
            parse::choice(&protocols),
        ),
        balance: values.read("upstream_balance", Balance::RoundRobin, problems, balance),
        retries: u32::try_from(usize_of(values, "upstream_retries", 0, 0..=10, problems))
            .unwrap_or(0),
        tls: tls(values, problems),
        health: health(values, problems),
        connect_timeout: timeout("traffic.connect_timeout", 5, problems),
        timeout: timeout("traffic.upstream_timeout", 60, problems),
        body_timeout: limit("traffic.body_timeout", problems),
        total_timeout: limit("traffic.total_timeout", problems),
        idle_timeout: timeout("traffic.idle_timeout", 60, problems),
        idle_connections: usize_of(
            values,
            "traffic.idle_upstream_connections",
            1024,
            0..=65_536,
            problems,
        ),
    }
}

fn tls(values: &Values, problems: &mut Problems) -> UpstreamTls {
    let path = |key: &str| {
        values.get(key).map(|(text, _)| text).filter(|text| !text.is_empty()).map(PathBuf::from)
    };
    let (cert, key) = ("upstream_tls.cert_file", "upstream_tls.key_file");
    let identity = match (path(cert), path(key)) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (found, _) => {
            let (given, wanted) = if found.is_some() { (cert, key) } else { (key, cert) };
            let source =
                values.get(given).map_or(SettingSource::Default, |(_, source)| source.clone());
            problems.push(source, format!("{wanted}: required with {given}"));
            None
        }
    };
    UpstreamTls {
        ca_file: path("upstream_tls.ca_file"),
        identity,
        server_name: values.read("upstream_tls.server_name", None, problems, |text| match text {
            "" => Err("expected the name in the service's certificate".into()),
            name => Ok(Some(name.to_owned())),
        }),
        verify: values.read("upstream_tls.verify", true, problems, parse::boolean),
    }
}

fn health(values: &Values, problems: &mut Problems) -> HealthSettings {
    let times = || Duration::from_millis(50)..=Duration::from_mins(10);
    let mut time = |key: &str, default: u64| {
        values.read(key, Duration::from_secs(default), problems, parse::duration(times()))
    };
    let (interval, timeout) =
        (time("upstream_health.interval", 1), time("upstream_health.timeout", 2));
    HealthSettings {
        path: values.read("upstream_health.path", None, problems, |text| {
            let target = text.parse::<http::uri::PathAndQuery>();
            target
                .ok()
                .filter(|_| text.starts_with('/'))
                .map(|_| Some(text.to_owned()))
                .ok_or_else(|| "expected a path such as /healthz".to_owned())
        }),
        statuses: values.read("upstream_health.status", (200, 299), problems, statuses),
        interval,
        timeout,
    }
}

/// `200` or `200-299`.
fn statuses(text: &str) -> Result<(u16, u16), String> {
    let expected = || "expected a status such as 200, or a range such as 200-299".to_owned();
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| {
        text.trim().parse().ok().filter(|code| (100..600).contains(code)).ok_or_else(expected)
    };
    let (from, to) = (status(from)?, status(to)?);
    if from > to { Err(expected()) } else { Ok((from, to)) }
}

fn addresses(text: &str) -> Result<Vec<UpstreamAddress>, String> {
    let addresses: Vec<_> =
        parse::list(text)?.iter().map(|item| address(item)).collect::<Result<_, _>>()?;
    match addresses.as_slice() {
        [] => Err("expected http://HOST:PORT or https://HOST:PORT".into()),
        [first, rest @ ..] if rest.iter().any(|one| one.encrypted != first.encrypted) => {
            Err("expected all addresses to begin with http:// or all with https://".into())
        }
        _ => Ok(addresses),
    }
}

fn address(text: &str) -> Result<UpstreamAddress, String> {
    let expected = || "expected http://HOST:PORT or https://HOST:PORT without a path".to_owned();
    let uri: Uri = text.parse().map_err(|_| expected())?;
    let encrypted = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        _ => return Err(expected()),
    };
    let authority = uri.authority().ok_or_else(expected)?;
    if uri.path() != "/" && !uri.path().is_empty() || uri.query().is_some() {
        return Err(format!("{}; the path of a request is passed on unchanged", expected()));
    }
    if authority.as_str().contains('@') {
        return Err("expected no user name or password in the address".into());
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = authority.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
    Ok(UpstreamAddress { host, port, encrypted })
}

// === impl UpstreamSettings ===

impl UpstreamSettings {
    /// Whether it is called over TLS.
    pub fn encrypted(&self) -> bool {
        self.addresses.first().is_some_and(|address| address.encrypted)
    }

    /// What metrics and messages call it: its addresses.
    pub fn name(&self) -> String {
        self.addresses.iter().map(UpstreamAddress::authority).collect::<Vec<_>>().join(",")
    }
}

// === impl UpstreamAddress ===

impl UpstreamAddress {
    /// Host and port, as in `Host`.
    pub fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawSettings;

    fn load(file: &str) -> (UpstreamSettings, String) {
        let mut problems = Problems::default();
        let file = Some(("cvt.yaml".into(), file.into()));
        let values = Values::collect(
            RawSettings { file, ..RawSettings::default() },
            crate::config::Config::TABLES,
            &mut problems,
        );
        let settings = read(&values, &mut problems);
        (settings, problems.or_fail().err().map_or_else(String::new, |error| error.to_string()))
    }

    #[test]
    fn upstreams_are_addresses_without_a_path() {
        let one = address("http://[::1]:8080/").unwrap();
        assert_eq!((one.host.as_str(), one.port, one.encrypted), ("::1", 8080, false));
        assert_eq!(address("http://users").unwrap().port, 80);
        assert_eq!(address("https://users").unwrap().port, 443);
        for bad in ["users:80", "http://", "http://a/b", "ftp://a", "http://u:p@a"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_addresses_are_a_list_of_one_scheme() {
        let (settings, problems) = load("upstream: [http://a:1, 'http://[::1]:2']\n");
        assert_eq!((settings.name().as_str(), problems.as_str()), ("a:1,[::1]:2", ""));
        let (_, problems) = load("upstream: [http://a:1, https://b:2]\n");
        assert!(problems.contains("cvt.yaml:1: upstream: expected all"), "{problems}");
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let (_, problems) = load("upstream: https://a\nupstream_tls: {cert_file: a.crt}\n");
        assert!(problems.contains("upstream_tls.key_file: required with"), "{problems}");
    }

    #[test]
    fn a_timeout_of_zero_means_none() {
        let (settings, problems) = load("upstream: http://a\ntraffic: {total_timeout: 0}\n");
        assert_eq!((settings.total_timeout, problems.as_str()), (None, ""));
        let (settings, _) = load("upstream: http://a\ntraffic: {total_timeout: 5s}\n");
        assert_eq!(settings.total_timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn statuses_are_one_or_a_range() {
        assert_eq!(statuses("204"), Ok((204, 204)));
        assert_eq!(statuses("200 - 399"), Ok((200, 399)));
        for bad in ["", "2xx", "299-200", "99", "200-600"] {
            assert!(statuses(bad).is_err(), "{bad}");
        }
    }
}
