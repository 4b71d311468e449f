//! The chain of ways to tell.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::header::{AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderName};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::config::consumer::{ConsumerSettings, IdentitySource};
use crate::model::consumer::UNKNOWN_CONSUMER;

/// A consumer as one exchange shows it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsumerIdentity {
    /// Its id, `unknown` when nothing tells.
    pub id: String,
    /// Its version, empty when nothing tells.
    pub version: String,
}

/// What may tell who called.
#[derive(Debug, Clone, Copy)]
pub struct IdentityInput<'c> {
    /// The header fields of the request.
    pub headers: &'c HeaderMap,
    /// The subject of the certificate that the downstream showed, when it was checked.
    pub certificate: Option<&'c str>,
}

/// How consumers are identified.
#[derive(Debug, Clone)]
pub struct IdentityChain {
    settings: ConsumerSettings,
}

/// The longest id or version kept, in bytes.
const MAX_NAME_BYTES: usize = 128;
/// The longest token looked into, in bytes.
const MAX_TOKEN_BYTES: usize = 8 << 10;
/// Bytes of a hash that stand for what was hashed: few enough that nothing can be found again by
/// it alone, enough to tell a million apart.
const HASH_BYTES: usize = 8;

// === impl IdentityChain ===

impl IdentityChain {
    /// The chain that `settings` ask for.
    pub fn new(settings: &ConsumerSettings) -> Self {
        Self { settings: settings.clone() }
    }

    /// Who called.
    pub fn identify(&self, caller: IdentityInput<'_>) -> ConsumerIdentity {
        let found = self.settings.identity.iter().find_map(|source| self.resolve(*source, caller));
        let (id, mut version) =
            found.unwrap_or_else(|| (UNKNOWN_CONSUMER.to_owned(), String::new()));
        if let Some(named) = field(caller.headers, &self.settings.version_header) {
            version = named;
        }
        ConsumerIdentity { id, version }
    }

    /// A short hash of what may not be input; the same for every sidecar with the same key.
    pub fn hash(&self, kind: &str, secret: &str) -> String {
        let key = self.settings.hash_key.as_bytes();
        // a key of any length is one
        let keyed = (!key.is_empty()).then(|| Hmac::<Sha256>::new_from_slice(key).ok()).flatten();
        let digest = match keyed {
            Some(mut mac) => {
                mac.update(secret.as_bytes());
                mac.finalize().into_bytes()
            }
            None => Sha256::digest(secret),
        };
        let hex = digest.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}"));
        format!("{kind}-{}", hex.collect::<String>())
    }

    fn resolve(
        &self,
        source: IdentitySource,
        caller: IdentityInput<'_>,
    ) -> Option<(String, String)> {
        let id = match source {
            IdentitySource::UserAgent => return product(caller.headers),
            IdentitySource::Header => field(caller.headers, &self.settings.header),
            IdentitySource::Certificate => caller.certificate.and_then(valid_name),
            IdentitySource::Jwt => self.claim(caller.headers),
            IdentitySource::ApiKey => {
                let key = caller.headers.get(&self.settings.api_key_header)?.to_str().ok()?;
                (!key.is_empty()).then(|| self.hash("key", key))
            }
        };
        id.map(|id| (id, String::new()))
    }

    /// The first of the configured claims that the bearer token makes (RFC 7519 §3). The token
    /// is not checked: who issues it does that.
    fn claim(&self, headers: &HeaderMap) -> Option<String> {
        let field = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = field.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut parts = token.trim().split('.');
        let (Some(_), Some(claims), Some(_), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return None;
        };
        let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let mut named = self.settings.jwt_claims.iter();
        named.find_map(|name| valid_name(claims.get(name)?.as_str()?))
    }
}

/// The product that `User-Agent` names first, and its version (RFC 9110 §10.1.5).
fn product(headers: &HeaderMap) -> Option<(String, String)> {
    let agent = headers.get(USER_AGENT)?.to_str().ok()?;
    let first = agent.split_whitespace().next()?;
    let (name, version) = first.split_once('/').unwrap_or((first, ""));
    Some((valid_name(name)?, valid_name(version).unwrap_or_default()))
}

fn field(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().and_then(valid_name)
}

/// OperationNames of consumers end up in records and answers: short, printable, no surprises.
fn valid_name(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= MAX_NAME_BYTES;
    (fits && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RawSettings};
    use http::HeaderValue;

    fn chain(settings: &[(&'static str, &str)]) -> IdentityChain {
        let required = [("spec", "x"), ("upstream", "http://127.0.0.1:1")];
        let all = required.iter().chain(settings);
        let flags = all.map(|(key, value)| (*key, "--flag", (*value).to_owned())).collect();
        let config = Config::load(RawSettings { flags, ..RawSettings::default() }).unwrap();
        IdentityChain::new(&config.consumer)
    }

    fn identify(chain: &IdentityChain, pairs: &[(&'static str, &str)]) -> (String, String) {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let identity = chain.identify(IdentityInput { headers: &headers, certificate: None });
        (identity.id, identity.version)
    }

    #[test]
    fn the_first_source_that_names_a_consumer_wins() {
        let chain = chain(&[]);
        let agent = ("user-agent", "order-service/2.1.0 (linux)");
        assert_eq!(identify(&chain, &[agent]), ("order-service".into(), "2.1.0".into()));
        let named = ("x-consumer-id", "shop");
        assert_eq!(identify(&chain, &[agent, named]), ("shop".into(), String::new()));
        let version = ("x-consumer-version", "3");
        assert_eq!(identify(&chain, &[named, version]), ("shop".into(), "3".into()));
        assert_eq!(identify(&chain, &[]), ("unknown".into(), String::new()));
        let headers = HeaderMap::new();
        let input = IdentityInput { headers: &headers, certificate: Some("CN=billing,O=Corp") };
        assert_eq!(chain.identify(input).id, "CN=billing,O=Corp");
    }

    #[test]
    fn malformed_names_yield_unknown() {
        let chain = chain(&[]);
        assert_eq!(identify(&chain, &[("x-consumer-id", &"x".repeat(129))]).0, "unknown");
        assert_eq!(identify(&chain, &[("x-consumer-id", "\u{e9}")]).0, "unknown");
        assert_eq!(identify(&chain, &[("user-agent", "   ")]).0, "unknown");
    }

    #[test]
    fn jwt_claims_are_read_and_api_keys_are_hashed_when_configured() {
        let chain =
            chain(&[("consumer.identity", "jwt, api_key"), ("consumer.hash_key", "a secret")]);
        // {"sub":"user-7","azp":"mobile"}
        let token = "Bearer e30.eyJzdWIiOiJ1c2VyLTciLCJhenAiOiJtb2JpbGUifQ.sig";
        assert_eq!(identify(&chain, &[("authorization", token)]).0, "mobile");
        let key = identify(&chain, &[("x-api-key", "k-1")]).0;
        assert!(key.starts_with("key-") && key.len() == 20, "{key}");
        assert_eq!(key, identify(&chain, &[("x-api-key", "k-1")]).0);
        assert_ne!(key, identify(&chain, &[("x-api-key", "k-2")]).0);
        assert_ne!(key, chain_without_key(), "the key of the hash matters");
        for broken in
            ["Bearer", "Bearer a.b", "Bearer a.b.c", "Bearer e30.e30.x", "Basic e30.e30.x"]
        {
            assert_eq!(identify(&chain, &[("authorization", broken)]).0, "unknown", "{broken}");
        }
        let bomb = format!("Bearer e30.{}.x", "W1tb".repeat(4_000));
        assert_eq!(identify(&chain, &[("authorization", &bomb)]).0, "unknown");
    }

    fn chain_without_key() -> String {
        identify(&chain(&[("consumer.identity", "api_key")]), &[("x-api-key", "k-1")]).0
    }
}
