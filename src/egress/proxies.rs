//! Which calls go through a proxy. The rules of `NO_PROXY` are hyper-util's, which are curl's; it
//! is given the settings and does not read the environment.
//!
//! Loopback addresses are always called directly: a proxy elsewhere has a loopback of its own.

use std::net::IpAddr;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::error::EgressError;
use crate::config::egress::ProxySettings;

/// The proxies in force.
pub(super) struct ProxyRules {
    matcher: Matcher,
    /// Variables whose proxy cannot be used, by the scheme of the call.
    unusable: [(&'static str, &'static str, bool); 2],
}

/// Stands in for a proxy that cannot be used, so that the rules of `NO_PROXY` hold for it too.
const UNUSABLE: &str = "http://unusable.invalid";

// === impl ProxyRules ===

impl ProxyRules {
    pub(super) fn new(settings: &ProxySettings) -> Self {
        let (http, https) = (usable(&settings.http), usable(&settings.https));
        let text = |usable: bool, text: &str| if usable { text } else { UNUSABLE }.to_owned();
        let matcher = Matcher::builder()
            .http(text(http, &settings.http))
            .https(text(https, &settings.https))
            .no(settings.none_for.clone())
            .build();
        let unusable = [("http", "HTTP_PROXY", !http), ("https", "HTTPS_PROXY", !https)];
        Self { matcher, unusable }
    }

    /// The proxy that leads to `target`, if there is one.
    pub(super) fn leading_to(&self, target: &Uri) -> Result<Option<Intercept>, EgressError> {
        if target.host().is_none_or(is_loopback) {
            return Ok(None);
        }
        let Some(proxy) = self.matcher.intercept(target) else { return Ok(None) };
        let of_scheme = |(scheme, _, _): &&(&str, _, _)| target.scheme_str() == Some(*scheme);
        match self.unusable.iter().find(of_scheme) {
            Some((_, variable, true)) => Err(EgressError::ProxySetting { variable }),
            _ => Ok(Some(proxy)),
        }
    }

    /// The credentials for the proxy that forwards plain requests to `target`. Where it only
    /// leads to the service, they are a matter of the connection.
    pub(super) fn authorization(&self, target: &Uri) -> Option<HeaderValue> {
        let plain = target.scheme_str() == Some("http");
        let proxy = self.leading_to(target).ok().flatten().filter(|_| plain)?;
        let mut credentials = proxy.basic_auth()?.clone();
        credentials.set_sensitive(true);
        Some(credentials)
    }
}

/// Whether a proxy is named that can be used, or none at all.
fn usable(text: &str) -> bool {
    let any = Uri::from_static("http://any.invalid");
    text.is_empty()
        || Matcher::builder()
            .http(text.to_owned())
            .build()
            .intercept(&any)
            .is_some_and(|proxy| proxy.uri().scheme_str() == Some("http"))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().map(|address| address.to_canonical().is_loopback());
    let name = host.to_ascii_lowercase();
    address.unwrap_or(name == "localhost" || name.ends_with(".localhost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(http: &str, https: &str, none_for: &str) -> ProxyRules {
        ProxyRules::new(&ProxySettings {
            http: http.into(),
            https: https.into(),
            none_for: none_for.into(),
        })
    }

    #[test]
    fn the_scheme_and_no_proxy_decide() {
        let rules = rules("http://a:s@proxy:1", "other:2", "10.0.0.0/8,.internal");
        let proxy = |target: &'static str| {
            let proxy = rules.leading_to(&Uri::from_static(target)).unwrap();
            proxy.map(|proxy| proxy.uri().authority().unwrap().to_string())
        };
        assert_eq!(proxy("http://service/a"), Some("proxy:1".into()));
        assert_eq!(proxy("https://service/a"), Some("other:2".into()));
        for direct in [
            "http://10.1.1.1/",
            "http://b.internal/",
            "http://localhost:1/",
            "http://127.0.0.2/",
            "https://[::1]:1/",
        ] {
            assert_eq!(proxy(direct), None, "{direct}");
        }
        let credentials = |target| rules.authorization(&Uri::from_static(target));
        assert_eq!(credentials("http://service/").unwrap(), "Basic YTpz");
        assert_eq!(credentials("https://service/"), None);
    }

    #[test]
    fn an_unusable_proxy_fails_the_calls_that_need_it() {
        for bad in ["socks5://proxy:1", "https://proxy:1", "http://a b"] {
            let rules = rules(bad, "", "direct");
            let error = rules.leading_to(&Uri::from_static("http://service/")).unwrap_err();
            assert_eq!(error, EgressError::ProxySetting { variable: "HTTP_PROXY" }, "{bad}");
            assert!(rules.leading_to(&Uri::from_static("http://direct/")).unwrap().is_none());
            assert!(rules.leading_to(&Uri::from_static("https://service/")).unwrap().is_none());
        }
    }
}
