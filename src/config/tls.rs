//! Encryption of the two listeners: traffic under names of its own, the admin port under CVT's.

use std::path::PathBuf;

use super::{Problems, Setting, SettingSource, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("tls.cert_file", &["CVT_TRAFFIC_TLS_CERT_FILE"]),
    Setting::new("tls.key_file", &["CVT_TRAFFIC_TLS_KEY_FILE"]),
    Setting::new("tls.ca_file", &["CVT_TRAFFIC_TLS_CA_FILE"]),
    Setting::new("tls.client_auth", &["CVT_TRAFFIC_TLS_CLIENT_AUTH"]),
    Setting::new("admin.tls.enabled", &["CVT_TLS_ENABLED"]),
    Setting::new("admin.tls.cert_file", &["CVT_TLS_CERT_FILE"]),
    Setting::new("admin.tls.key_file", &["CVT_TLS_KEY_FILE"]),
    Setting::new("admin.tls.ca_file", &["CVT_TLS_CA_FILE"]),
    Setting::new("admin.tls.client_auth", &["CVT_TLS_CLIENT_AUTH"]),
];

/// Which listeners are encrypted, and how.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// The traffic listener; `None` leaves it in plain text.
    pub traffic: Option<ServerTls>,
    /// The admin listener; `None` leaves it in plain text.
    pub admin: Option<ServerTls>,
}

/// One encrypted listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// PEM file with the certificate and the chain behind it.
    pub cert_file: PathBuf,
    /// PEM file with its private key.
    pub key_file: PathBuf,
    /// Whether callers show a certificate.
    pub client_auth: ClientAuth,
}

/// Whether callers show a certificate, and the PEM file of the authorities that vouch for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They are asked; one that is shown must be good.
    Request(PathBuf),
    /// Without a good one there is no connection.
    Require(PathBuf),
}

/// The choices of `client_auth`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ClientAuthChoice {
    None,
    Request,
    Require,
}

/// The keys of one listener.
struct TlsKeys {
    cert: &'static str,
    key: &'static str,
    ca: &'static str,
    auth: &'static str,
}

const TRAFFIC: TlsKeys = TlsKeys {
    cert: "tls.cert_file",
    key: "tls.key_file",
    ca: "tls.ca_file",
    auth: "tls.client_auth",
};

const ADMIN: TlsKeys = TlsKeys {
    cert: "admin.tls.cert_file",
    key: "admin.tls.key_file",
    ca: "admin.tls.ca_file",
    auth: "admin.tls.client_auth",
};

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> TlsSettings {
    TlsSettings { traffic: read_traffic(values, problems), admin: read_admin(values, problems) }
}

/// Traffic is encrypted when a certificate is named.
fn read_traffic(values: &Values, problems: &mut Problems) -> Option<ServerTls> {
    let client_auth = read_client_auth(values, &TRAFFIC, problems);
    match (path(values, TRAFFIC.cert), path(values, TRAFFIC.key)) {
        (Some(cert_file), Some(key_file)) => Some(ServerTls { cert_file, key_file, client_auth }),
        (None, None) => {
            for key in [TRAFFIC.ca, TRAFFIC.auth] {
                if let Some((_, source)) = values.get(key) {
                    let message = format!("{key}: has no effect without tls.cert_file");
                    problems.push(source.clone(), message);
                }
            }
            None
        }
        (Some(_), None) => missing(values, TRAFFIC.cert, TRAFFIC.key, problems),
        (None, Some(_)) => missing(values, TRAFFIC.key, TRAFFIC.cert, problems),
    }
}

/// The admin port is encrypted when told so; its files then have CVT's defaults.
fn read_admin(values: &Values, problems: &mut Problems) -> Option<ServerTls> {
    let enabled = values.read("admin.tls.enabled", false, problems, parse::boolean);
    let client_auth = read_client_auth(values, &ADMIN, problems);
    let file = |key: &str, default: &str| path(values, key).unwrap_or_else(|| default.into());
    enabled.then(|| ServerTls {
        cert_file: file(ADMIN.cert, "/certs/server.crt"),
        key_file: file(ADMIN.key, "/certs/server.key"),
        client_auth,
    })
}

fn read_client_auth(values: &Values, keys: &TlsKeys, problems: &mut Problems) -> ClientAuth {
    let choices = [
        ("none", ClientAuthChoice::None),
        ("request", ClientAuthChoice::Request),
        ("require", ClientAuthChoice::Require),
    ];
    let asked = values.read(keys.auth, ClientAuthChoice::None, problems, parse::choice(&choices));
    match (asked, path(values, keys.ca)) {
        (ClientAuthChoice::Request, Some(ca)) => ClientAuth::Request(ca),
        (ClientAuthChoice::Require, Some(ca)) => ClientAuth::Require(ca),
        (ClientAuthChoice::Request | ClientAuthChoice::Require, None) => {
            let source =
                values.get(keys.auth).map_or(SettingSource::Default, |(_, source)| source.clone());
            let message = format!(
                "{}: needs the authorities that vouch for callers; set {}",
                keys.auth, keys.ca
            );
            problems.push(source, message);
            ClientAuth::None
        }
        (ClientAuthChoice::None, Some(_)) if values.get(keys.auth).is_none() => {
            let source =
                values.get(keys.ca).map_or(SettingSource::Default, |(_, source)| source.clone());
            let message = format!(
                "{}: would have no effect; set {} to request or require (or to none)",
                keys.ca, keys.auth
            );
            problems.push(source, message);
            ClientAuth::None
        }
        (ClientAuthChoice::None, _) => ClientAuth::None,
    }
}

fn path(values: &Values, key: &str) -> Option<PathBuf> {
    values.get(key).map(|(text, _)| text).filter(|text| !text.is_empty()).map(PathBuf::from)
}

fn missing<T>(values: &Values, given: &str, wanted: &str, problems: &mut Problems) -> Option<T> {
    let source = values.get(given).map_or(SettingSource::Default, |(_, source)| source.clone());
    problems.push(source, format!("{wanted}: required with {given}"));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RawSettings;

    fn load(environment: &[(&str, &str)]) -> (TlsSettings, String) {
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
    fn a_certificate_and_its_key_encrypt_traffic() {
        let (settings, problems) = load(&[
            ("CVT_TRAFFIC_TLS_CERT_FILE", "a.crt"),
            ("CVT_TRAFFIC_TLS_KEY_FILE", "a.key"),
            ("CVT_TRAFFIC_TLS_CA_FILE", "ca.crt"),
            ("CVT_TRAFFIC_TLS_CLIENT_AUTH", "require"),
        ]);
        assert_eq!(problems, "");
        assert_eq!(settings.traffic.unwrap().client_auth, ClientAuth::Require("ca.crt".into()));
        assert_eq!(settings.admin, None);
    }

    #[test]
    fn the_admin_port_takes_the_names_and_defaults_of_cvt() {
        let (settings, problems) = load(&[("CVT_TLS_ENABLED", "true")]);
        assert_eq!(problems, "");
        assert_eq!(settings.admin.unwrap().cert_file.to_str(), Some("/certs/server.crt"));
    }

    #[test]
    fn settings_without_effect_are_refused() {
        for (environment, part) in [
            (&[("CVT_TRAFFIC_TLS_CERT_FILE", "a")][..], "tls.key_file: required"),
            (&[("CVT_TRAFFIC_TLS_CLIENT_AUTH", "require")], "tls.ca_file"),
            (&[("CVT_TLS_ENABLED", "1"), ("CVT_TLS_CLIENT_AUTH", "request")], "admin.tls.ca_file"),
            (&[("CVT_TLS_ENABLED", "1"), ("CVT_TLS_CA_FILE", "a")], "admin.tls.client_auth"),
            (&[("CVT_TLS_CLIENT_AUTH", "maybe")], "expected one of none, request, require"),
        ] {
            let (_, problems) = load(environment);
            assert!(problems.contains(part), "{part:?} is missing in {problems:?}");
        }
    }
}
