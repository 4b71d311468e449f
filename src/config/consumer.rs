//! How consumers are identified.

use http::HeaderName;

use super::traffic::usize_of;
use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("consumer.identity", &["CVT_CONSUMER_IDENTITY"]),
    Setting::new("consumer.header", &["CVT_CONSUMER_HEADER"]),
    Setting::new("consumer.version_header", &["CVT_CONSUMER_VERSION_HEADER"]),
    Setting::new("consumer.jwt_claims", &["CVT_CONSUMER_JWT_CLAIMS"]),
    Setting::new("consumer.api_key_header", &["CVT_CONSUMER_API_KEY_HEADER"]),
    Setting::new("consumer.hash_key", &["CVT_CONSUMER_HASH_KEY"]),
    Setting::new("consumer.limit", &["CVT_CONSUMER_LIMIT"]),
    Setting::new("consumer.metric_labels", &["CVT_CONSUMER_METRIC_LABELS"]),
];

/// A source to tell who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentitySource {
    /// The configured header.
    Header,
    /// The subject of the certificate that the downstream showed.
    Certificate,
    /// A claim of the bearer token; its signature is not checked.
    Jwt,
    /// A hash of the API key.
    ApiKey,
    /// The product that `User-Agent` names.
    UserAgent,
}

/// How consumers are identified.
#[derive(Clone)]
pub struct ConsumerSettings {
    /// Sources of the identity; the first that yields one wins.
    pub identity: Vec<IdentitySource>,
    /// Header that names the consumer.
    pub header: HeaderName,
    /// Header that names the consumer's version.
    pub version_header: HeaderName,
    /// Claims that may name the consumer, the first that is there wins.
    pub jwt_claims: Vec<String>,
    /// Header that carries an API key.
    pub api_key_header: HeaderName,
    /// Key for hashes of what may not be shown; empty hashes without one.
    pub hash_key: String,
    /// Consumers that this process distinguishes; further ones count as one.
    pub limit: usize,
    /// Consumers that metrics name; further ones count as one.
    pub metric_labels: usize,
}

/// Shows everything but the key.
impl std::fmt::Debug for ConsumerSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsumerSettings")
            .field("identity", &self.identity)
            .field("header", &self.header)
            .field("version_header", &self.version_header)
            .field("jwt_claims", &self.jwt_claims)
            .field("api_key_header", &self.api_key_header)
            .field("limit", &self.limit)
            .field("metric_labels", &self.metric_labels)
            .finish_non_exhaustive()
    }
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> ConsumerSettings {
    let mut header = |key: &str, default: HeaderName| {
        values.read(key, default, problems, |text| {
            HeaderName::try_from(text).map_err(|_| "expected a header name".to_owned())
        })
    };
    let names = [
        header("consumer.header", HeaderName::from_static("x-consumer-id")),
        header("consumer.version_header", HeaderName::from_static("x-consumer-version")),
        header("consumer.api_key_header", HeaderName::from_static("x-api-key")),
    ];
    let [header, version_header, api_key_header] = names;
    let chain =
        vec![IdentitySource::Header, IdentitySource::Certificate, IdentitySource::UserAgent];
    let claims = ["azp", "client_id", "sub"].map(str::to_owned).to_vec();
    ConsumerSettings {
        identity: values.read("consumer.identity", chain, problems, identity_sources),
        header,
        version_header,
        jwt_claims: values.read("consumer.jwt_claims", claims, problems, parse::list),
        api_key_header,
        hash_key: values
            .read("consumer.hash_key", String::new(), problems, |text| Ok(text.to_owned())),
        limit: usize_of(values, "consumer.limit", 1_000, 1..=100_000, problems),
        metric_labels: usize_of(values, "consumer.metric_labels", 50, 0..=1_000, problems),
    }
}

fn identity_sources(text: &str) -> Result<Vec<IdentitySource>, String> {
    let known = [
        ("header", IdentitySource::Header),
        ("certificate", IdentitySource::Certificate),
        ("jwt", IdentitySource::Jwt),
        ("api_key", IdentitySource::ApiKey),
        ("user_agent", IdentitySource::UserAgent),
    ];
    let sources: Vec<IdentitySource> = parse::list(text)?
        .iter()
        .map(|name| parse::choice(&known)(name))
        .collect::<Result<_, _>>()
        .map_err(|expected| format!("expected a list; {expected}"))?;
    let repeated = sources.iter().enumerate().any(|(at, source)| sources[..at].contains(source));
    if repeated { Err("each source may be listed once".to_owned()) } else { Ok(sources) }
}
