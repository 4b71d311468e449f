//! Distributed tracing.

use super::{Problems, Setting, Values};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("tracing.endpoint", &["CVT_TRACING_ENDPOINT"]),
    Setting::new("tracing.ratio", &["CVT_TRACING_RATIO"]),
    Setting::new("tracing.service_name", &["CVT_TRACING_SERVICE_NAME"]),
];

/// The port of OTLP over HTTP.
const OTLP_PORT: u16 = 4318;

/// Whether and where spans go.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingSettings {
    /// The collector; `None` leaves `traceparent` alone and makes no spans.
    pub endpoint: Option<CollectorAddress>,
    /// The share of the traces that begin here that is recorded, 0 to 1.
    pub ratio: f64,
    /// What the sidecar calls itself.
    pub service_name: String,
}

/// Where an OpenTelemetry collector takes OTLP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorAddress {
    /// Whether it is called over TLS.
    pub encrypted: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path to post to.
    pub path: String,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> TracingSettings {
    TracingSettings {
        endpoint: values.read("tracing.endpoint", None, problems, |text| match text {
            "" => Ok(None),
            text => CollectorAddress::parse(text).map(Some),
        }),
        ratio: values.read("tracing.ratio", 0.1, problems, ratio),
        service_name: values.read(
            "tracing.service_name",
            "cvt-sidecar".to_owned(),
            problems,
            |text| match text.trim() {
                "" => Err("expected a name".into()),
                name => Ok(name.to_owned()),
            },
        ),
    }
}

fn ratio(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    number.ok_or_else(|| "expected a number from 0 to 1, such as 0.1".into())
}

// === impl CollectorAddress ===

impl CollectorAddress {
    /// Where to post to.
    pub fn url(&self) -> String {
        let Self { encrypted, host, port, path } = self;
        let scheme = if *encrypted { "https" } else { "http" };
        if host.contains(':') {
            return format!("{scheme}://[{host}]:{port}{path}");
        }
        format!("{scheme}://{host}:{port}{path}")
    }

    fn parse(text: &str) -> Result<Self, String> {
        let expected = || {
            "expected http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:4318"
                .to_owned()
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(expected)?;
        let encrypted = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(expected()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let bracketed = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority[bracketed..].rfind(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(bracketed + colon);
                (host, port[1..].parse().map_err(|_| expected())?)
            }
            None => (authority, OTLP_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        let graphic = path.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !host.chars().all(plain) || !graphic {
            return Err(expected());
        }
        let path = if matches!(path, "" | "/") { "/v1/traces" } else { path };
        Ok(Self { encrypted, host: host.to_owned(), port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_addresses_are_parsed() {
        let read = |text: &str| {
            let address = CollectorAddress::parse(text)?;
            Ok::<_, String>(address.url())
        };
        let url = |text: &str| Ok(text.to_owned());
        assert_eq!(read("http://otel"), url("http://otel:4318/v1/traces"));
        assert_eq!(read("https://otel/"), url("https://otel:4318/v1/traces"));
        assert_eq!(read("http://10.0.0.1:80/"), url("http://10.0.0.1:80/v1/traces"));
        assert_eq!(read("http://[::1]:80/in/v1/traces"), url("http://[::1]:80/in/v1/traces"));
        for bad in
            ["otel:4318", "grpc://otel", "http://", "http://a:b", "http://a b/", "http://a/x y"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(ratio("0.5").is_ok() && ratio("1.5").is_err() && ratio("NaN").is_err());
    }
}
