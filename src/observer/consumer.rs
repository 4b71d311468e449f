//! Who called: a chain of ways to tell, the first that answers wins.

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::config::observer::ObserverSettings;
use crate::model::consumer::UNKNOWN_CONSUMER;

/// A consumer as one exchange shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its id, `unknown` when nothing tells.
    pub id: String,
    /// Its version, empty when nothing tells.
    pub version: String,
}

/// How consumers are told apart: the configured header, else the product that `User-Agent`
/// names (RFC 9110 §10.1.5), else unknown.
#[derive(Debug, Clone)]
pub struct IdentityChain {
    header: String,
    version_header: String,
}

/// The longest id or version kept, in bytes.
const LONGEST: usize = 128;

// === impl IdentityChain ===

impl IdentityChain {
    /// The chain that `settings` ask for.
    pub fn new(settings: &ObserverSettings) -> Self {
        Self {
            header: settings.consumer_header.clone(),
            version_header: settings.consumer_version_header.clone(),
        }
    }

    /// Who sent a request with these headers.
    pub fn identify(&self, headers: &HeaderMap) -> Identity {
        let field = |name: &str| headers.get(name)?.to_str().ok().and_then(acceptable);
        let product = || {
            let agent = headers.get(USER_AGENT)?.to_str().ok()?;
            let (name, version) = agent
                .split_whitespace()
                .next()
                .map(|product| product.split_once('/').unwrap_or((product, "")))?;
            Some(Identity {
                id: acceptable(name)?,
                version: acceptable(version).unwrap_or_default(),
            })
        };
        let mut identity = match field(&self.header) {
            Some(id) => Identity { id, version: String::new() },
            None => product().unwrap_or_else(|| Identity {
                id: UNKNOWN_CONSUMER.to_owned(),
                version: String::new(),
            }),
        };
        if let Some(version) = field(&self.version_header) {
            identity.version = version;
        }
        identity
    }
}

/// Names of consumers end up in records and answers: short, printable, no surprises.
fn acceptable(text: &str) -> Option<String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.len() <= LONGEST;
    (fits && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn identify(pairs: &[(&'static str, &str)]) -> (String, String) {
        let chain = IdentityChain {
            header: "x-consumer-id".into(),
            version_header: "x-consumer-version".into(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let identity = chain.identify(&headers);
        (identity.id, identity.version)
    }

    #[test]
    fn the_first_way_that_answers_wins() {
        let agent = ("user-agent", "order-service/2.1.0 (linux)");
        assert_eq!(identify(&[agent]), ("order-service".into(), "2.1.0".into()));
        assert_eq!(identify(&[agent, ("x-consumer-id", "shop")]), ("shop".into(), String::new()));
        assert_eq!(
            identify(&[("x-consumer-id", "shop"), ("x-consumer-version", "3")]),
            ("shop".into(), "3".into())
        );
        assert_eq!(identify(&[]), ("unknown".into(), String::new()));
    }

    #[test]
    fn hostile_names_are_not_names() {
        assert_eq!(identify(&[("x-consumer-id", &"x".repeat(129))]).0, "unknown");
        assert_eq!(identify(&[("x-consumer-id", "\u{e9}")]).0, "unknown");
        assert_eq!(identify(&[("user-agent", "   ")]).0, "unknown");
    }
}
