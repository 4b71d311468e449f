//! `cvt-sidecar health`: ask a running sidecar how it is.
//!
//! For health checks where there is neither a shell nor curl, as in a distroless container. Where
//! the admin port is encrypted, the one certificate that is trusted is the configured one itself:
//! it need not name the loopback address, nor be signed by an authority that this container knows.
//! Where callers must show a certificate, the sidecar's own is shown; that works where its
//! authority signs for callers too.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::output::{EXIT_ERROR, EXIT_NEGATIVE, EXIT_OK};
use super::settings;
use crate::config::Config;
use crate::config::egress::ProxySettings;
use crate::config::tls::{ClientAuth, ServerTls};
use crate::egress::{
    EgressClient, EgressError, EgressRequest, EgressSettings, PrivateAddresses, ServerTrust,
};

/// How long the sidecar may take to answer: its own checks are over within two seconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// Arguments of `health`.
#[derive(Debug, Args)]
pub struct HealthArgs {
    /// Ask only whether the process answers, not whether it is ready
    #[arg(long)]
    live: bool,
    /// The sidecar's admin address [default: as `run` has it]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<String>,
    /// Config file [default: cvt.yaml, when there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The checks as JSON
    #[arg(long)]
    json: bool,
}

struct HealthAnswer {
    status: u16,
    body: String,
}

/// Asks, and says what is not well.
pub fn run(arguments: &HealthArgs, environment: &[(String, String)], out: &mut dyn Write) -> u8 {
    let path = if arguments.live { "/healthz" } else { "/readyz" };
    let asked = arguments.address(environment).and_then(|(address, tls)| {
        let asked = if arguments.live {
            ask_live(address, tls.as_ref(), path)
        } else {
            ask(address, tls.as_ref(), path)
        };
        asked.map_err(|error| explain(address, path, &error))
    });
    let answer = match asked {
        Ok(answer) => answer,
        Err(message) => {
            eprintln!("cvt-sidecar: {message}");
            return EXIT_ERROR;
        }
    };
    let text = if arguments.json { answer.body.trim().to_owned() } else { answer.lines() };
    let written = writeln!(out, "{text}");
    match (answer.status, written) {
        (_, Err(_)) => EXIT_ERROR,
        (200, Ok(())) => EXIT_OK,
        (_, Ok(())) => EXIT_NEGATIVE,
    }
}

fn ask(
    address: SocketAddr,
    tls: Option<&ServerTls>,
    path: &str,
) -> Result<HealthAnswer, EgressError> {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let request = EgressRequest::get(&format!("{scheme}://{address}{path}"))?;
    let client = EgressClient::new(client_settings(tls));
    let asking = async {
        let response = client.send(request).await?;
        let status = response.status.as_u16();
        let body = String::from_utf8_lossy(&response.bytes().await?).into_owned();
        Ok(HealthAnswer { status, body })
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| EgressError::Runtime(error.to_string()))?.block_on(asking)
}

/// Asks whether the process answers. One that refuses this caller is alive, even where the files
/// that it once read are gone.
fn ask_live(
    address: SocketAddr,
    tls: Option<&ServerTls>,
    path: &str,
) -> Result<HealthAnswer, EgressError> {
    let asked = match ask(address, tls, path) {
        Err(EgressError::TlsFile { .. } | EgressError::TlsSetup(_)) => ask(address, None, path),
        asked => asked,
    };
    match asked {
        Err(
            EgressError::UntrustedCertificate { .. }
            | EgressError::Handshake { .. }
            | EgressError::Protocol { .. },
        ) if tls.is_some() => Ok(HealthAnswer { status: 200, body: "ok".to_owned() }),
        asked => asked,
    }
}

/// Says why there is no answer, and what to do where that is not plain.
fn explain(address: SocketAddr, path: &str, error: &EgressError) -> String {
    let remedy = match error {
        EgressError::UntrustedCertificate { .. } => {
            "; if admin.tls.cert_file was just renewed, ask again in a few seconds"
        }
        EgressError::Handshake { .. } => {
            "; where admin.tls.client_auth is require, ask with curl --cert, or with --live"
        }
        _ => "",
    };
    format!("{address}{path}: {error}{remedy}")
}

fn client_settings(tls: Option<&ServerTls>) -> EgressSettings {
    let certificate = |tls: &ServerTls| ServerTrust::Certificate(tls.cert_file.clone());
    let required = tls.filter(|tls| matches!(tls.client_auth, ClientAuth::Require(_)));
    EgressSettings {
        trust: tls.map_or(ServerTrust::System, certificate),
        identity: required.map(|tls| (tls.cert_file.clone(), tls.key_file.clone())),
        proxies: ProxySettings::default(),
        connect_timeout: TIMEOUT,
        timeout: TIMEOUT,
        max_response_bytes: MAX_ANSWER_BYTES,
        max_redirects: 0,
        private_addresses: PrivateAddresses::Allow,
    }
}

// === impl HealthArgs ===

impl HealthArgs {
    /// Where to ask, and how it is encrypted there.
    fn address(
        &self,
        environment: &[(String, String)],
    ) -> Result<(SocketAddr, Option<ServerTls>), String> {
        let flag = self.admin_listen.iter();
        let flags = flag.map(|address| ("admin.listen", "--admin-listen", address.clone()));
        let typed = settings::typed(self.config.clone(), environment, flags.collect())?;
        let (settings, tls) = Config::load_admin(typed).map_err(|error| error.to_string())?;
        let mut address = settings.listen;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        Ok((address, tls))
    }
}

// === impl HealthAnswer ===

impl HealthAnswer {
    /// The checks, one a line; the body itself where there are none.
    fn lines(&self) -> String {
        let parsed: Option<Value> = serde_json::from_str(&self.body).ok();
        let checks = parsed.as_ref().and_then(|body| body["checks"].as_array());
        let Some(checks) = checks else { return self.body.trim().to_owned() };
        let line = |check: &Value| {
            let word = if check["ok"] == true { "ok " } else { "NOT" };
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            format!("{word}  {}: {}", text("name"), text("detail"))
        };
        checks.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_answer_prints_one_line_per_check() {
        let body = r#"{"ready":false,"checks":[{"name":"upstream","ok":false,"detail":"is away"},
            {"name":"storage","ok":true,"detail":"accepts writes"}]}"#;
        let answer = HealthAnswer { status: 503, body: body.to_owned() };
        assert_eq!(answer.lines(), "NOT  upstream: is away\nok   storage: accepts writes");
        assert_eq!(HealthAnswer { status: 200, body: "ok\n".to_owned() }.lines(), "ok");
    }
}
