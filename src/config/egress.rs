//! Calls that the sidecar makes itself, as to a collector: whom it trusts, what it shows, which
//! proxy it goes through. Traffic to upstreams has settings of its own.

use std::fmt;
use std::path::PathBuf;

use super::{Problems, Setting, SettingSource, Values};

/// Names of this section's settings. The variables of the proxies are those of curl.
pub const SETTINGS: &[Setting] = &[
    Setting::new("egress.ca_file", &["CVT_EGRESS_CA_FILE"]),
    Setting::new("egress.cert_file", &["CVT_EGRESS_CERT_FILE"]),
    Setting::new("egress.key_file", &["CVT_EGRESS_KEY_FILE"]),
    Setting::new("egress.http_proxy", &["HTTP_PROXY", "http_proxy"]),
    Setting::new("egress.https_proxy", &["HTTPS_PROXY", "https_proxy"]),
    Setting::new("egress.no_proxy", &["NO_PROXY", "no_proxy"]),
];

/// How the sidecar calls others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundSettings {
    /// PEM file of the trusted authorities; `None` trusts those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the certificate that is shown to services which ask for one, and of its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The proxies in between.
    pub proxies: ProxySettings,
}

/// The proxies, as they were configured. They are read when a call needs one: these variables may
/// be there for other programs, and a form that is not supported stops no start.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// For `http` addresses; may hold a password.
    pub http: String,
    /// For `https` addresses; may hold a password.
    pub https: String,
    /// Names, addresses and networks that are called directly.
    pub none_for: String,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> OutboundSettings {
    let text = |key: &str| values.get(key).map_or("", |(text, _)| text.trim()).to_owned();
    let path = |key: &str| Some(text(key)).filter(|text| !text.is_empty()).map(PathBuf::from);
    let identity = match (path("egress.cert_file"), path("egress.key_file")) {
        (Some(cert), Some(key)) => Some((cert, key)),
        (None, None) => None,
        (cert, _) => {
            let (given, missing) = match cert {
                Some(_) => ("egress.cert_file", "egress.key_file"),
                None => ("egress.key_file", "egress.cert_file"),
            };
            let source = values.get(given).map(|(_, source)| source.clone());
            let source = source.unwrap_or(SettingSource::Default);
            problems.push(source, format!("{missing}: required with {given}"));
            None
        }
    };
    OutboundSettings {
        ca_file: path("egress.ca_file"),
        identity,
        proxies: ProxySettings {
            http: text("egress.http_proxy"),
            https: text("egress.https_proxy"),
            none_for: text("egress.no_proxy"),
        },
    }
}

impl fmt::Debug for ProxySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text: &str| if text.is_empty() { "none" } else { "set" };
        f.debug_struct("ProxySettings")
            .field("http", &shown(&self.http))
            .field("https", &shown(&self.https))
            .field("none_for", &self.none_for)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawSettings;

    fn load(environment: &[(&str, &str)]) -> (OutboundSettings, String) {
        let mut problems = Problems::default();
        let raw = RawSettings {
            environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            ..RawSettings::default()
        };
        let values = Values::collect(raw, crate::config::Config::TABLES, &mut problems);
        let settings = read(&values, &mut problems);
        (settings, problems.or_fail().err().map_or_else(String::new, |error| error.to_string()))
    }

    #[test]
    fn proxies_come_from_the_usual_variables_and_are_not_shown() {
        let (settings, problems) = load(&[
            ("HTTP_PROXY", "http://ada:secret@proxy:3128"),
            ("https_proxy", "http://proxy:3128"),
            ("NO_PROXY", "10.0.0.0/8,.internal"),
        ]);
        assert_eq!(problems, "");
        assert_eq!(settings.proxies.http, "http://ada:secret@proxy:3128");
        assert_eq!(settings.proxies.none_for, "10.0.0.0/8,.internal");
        assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
    }

    #[test]
    fn a_certificate_needs_its_key() {
        let (_, problems) = load(&[("CVT_EGRESS_CERT_FILE", "a.crt")]);
        assert!(problems.contains("egress.key_file: required with egress.cert_file"), "{problems}");
        let (settings, problems) =
            load(&[("CVT_EGRESS_CERT_FILE", "a.crt"), ("CVT_EGRESS_KEY_FILE", "a.key")]);
        assert_eq!(
            (settings.identity, problems.as_str()),
            (Some(("a.crt".into(), "a.key".into())), "")
        );
    }
}
