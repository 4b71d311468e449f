//! `cvt-sidecar health`: ask a running sidecar how it is.
//!
//! For health checks where there is neither a shell nor curl, as in a distroless container. Where
//! the admin port is encrypted it only tells whether the port takes connections: which authority
//! vouches for the certificate is known to those who ask from outside.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::output::{EXIT_ERROR, EXIT_NEGATIVE, EXIT_OK};
use super::settings;
use crate::config::Config;

/// How long the sidecar may take to answer: its own checks are over within two seconds.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

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
    let asked = arguments.address(environment).and_then(|(address, encrypted)| {
        let asked = match (encrypted, arguments.live) {
            (false, _) => ask(address, path),
            (true, true) => connect(address),
            (true, false) => Err(std::io::Error::other(
                "the admin port is encrypted; ask it with curl --cacert, or with --live whether it \
                 takes connections",
            )),
        };
        asked.map_err(|error| format!("{address}{path}: {error}"))
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

fn connect(address: SocketAddr) -> std::io::Result<HealthAnswer> {
    TcpStream::connect_timeout(&address, TIMEOUT)?;
    Ok(HealthAnswer { status: 200, body: "ok".to_owned() })
}

fn ask(address: SocketAddr, path: &str) -> std::io::Result<HealthAnswer> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    stream.take(MAX_ANSWER_BYTES).read_to_end(&mut bytes)?;
    let malformed = || std::io::Error::other("what answers there is no sidecar");
    HealthAnswer::read(&String::from_utf8_lossy(&bytes)).ok_or_else(malformed)
}

// === impl HealthArgs ===

impl HealthArgs {
    /// Where to ask, and whether it is encrypted there.
    fn address(&self, environment: &[(String, String)]) -> Result<(SocketAddr, bool), String> {
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
        Ok((address, tls.is_some()))
    }
}

// === impl HealthAnswer ===

impl HealthAnswer {
    fn read(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        Some(Self { status, body: body.to_owned() })
    }

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
        let text = format!("HTTP/1.1 503 Service Unavailable\r\nX: y\r\n\r\n{body}");
        let answer = HealthAnswer::read(&text).unwrap();
        assert_eq!(answer.status, 503);
        assert_eq!(answer.lines(), "NOT  upstream: is away\nok   storage: accepts writes");
        assert_eq!(HealthAnswer::read("HTTP/1.1 200 OK\r\n\r\nok\n").unwrap().lines(), "ok");
        assert!(HealthAnswer::read("SSH-2.0-OpenSSH\r\n").is_none());
    }
}
