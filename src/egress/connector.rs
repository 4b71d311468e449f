//! How a connection comes about: proxy, name, address, TLS.
//!
//! Invariants: the addresses that a name resolves to are checked and then connected to, with no
//! second resolution in between, so that a name cannot change its mind (DNS rebinding); redirects
//! and retries come through here like every first call. Behind a proxy the proxy resolves names:
//! there only a literal address can be checked here, and the rest is the proxy's policy.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Intercept;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::address::PrivateAddresses;
use super::error::EgressError;
use super::proxies::ProxyRules;
use super::stream::EgressStream;
use super::tls::EgressTls;

type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, EgressError>> + Send>>;

/// Opens the connections of a client.
#[derive(Clone)]
pub(super) struct EgressConnector(pub(super) Arc<ConnectorParts>);

/// What a connector works with.
pub(super) struct ConnectorParts {
    pub(super) proxies: ProxyRules,
    pub(super) tls: EgressTls,
    pub(super) private_addresses: PrivateAddresses,
    pub(super) connect_timeout: Duration,
}

/// Opens TCP connections to a proxy, for the tunnel through it.
#[derive(Clone)]
struct ProxyDialer {
    deadline: Instant,
}

// === impl EgressConnector ===

impl Service<Uri> for EgressConnector {
    type Response = EgressStream;
    type Error = EgressError;
    type Future = Connecting<EgressStream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let parts = self.0.clone();
        Box::pin(async move {
            let limit = parts.connect_timeout;
            let deadline = Instant::now() + limit;
            let connecting = parts.connect(&target, deadline);
            let late = |_| EgressError::Timeout { origin: origin_of(&target), limit };
            timeout_at(deadline, connecting).await.map_err(late)?
        })
    }
}

// === impl ConnectorParts ===

impl ConnectorParts {
    async fn connect(
        self: &Arc<Self>,
        target: &Uri,
        deadline: Instant,
    ) -> Result<EgressStream, EgressError> {
        let secured = target.scheme_str() == Some("https");
        let proxy = self.proxies.leading_to(target)?;
        let proxied = proxy.is_some();
        let stream = match proxy {
            None => dial(target, self.private_addresses, deadline).await?,
            Some(proxy) => {
                self.check_literal(target)?;
                if secured {
                    tunnel(&proxy, target, deadline).await?
                } else {
                    dial(proxy.uri(), PrivateAddresses::Allow, deadline).await?
                }
            }
        };
        if !secured {
            return Ok(EgressStream::plain(stream, proxied));
        }
        let parts = self.clone();
        // The files of certificates, and on first use those of the system, are read on the way.
        let config = tokio::task::spawn_blocking(move || parts.tls.config()).await;
        let config = config.map_err(|error| EgressError::TlsSetup(error.to_string()))??;
        let name = ServerName::try_from(host_of(target).to_owned())
            .map_err(|error| EgressError::Url(error.to_string()))?;
        let shaken = TlsConnector::from(config).connect(name, stream).await;
        let failed = |error: std::io::Error| match EgressError::find(&error, &origin_of(target)) {
            EgressError::Protocol { origin, reason } => EgressError::Handshake { origin, reason },
            known => known,
        };
        shaken.map(EgressStream::secured).map_err(failed)
    }

    /// Checks the address of `target`, where it is one and no name.
    fn check_literal(&self, target: &Uri) -> Result<(), EgressError> {
        let host = host_of(target);
        match host.parse::<IpAddr>() {
            Ok(address) if !self.private_addresses.permits(address) => {
                Err(EgressError::PrivateAddress { host: host.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// A TCP connection to the first permitted address of `target` that takes one.
async fn dial(
    target: &Uri,
    policy: PrivateAddresses,
    deadline: Instant,
) -> Result<TcpStream, EgressError> {
    let (host, port) = (host_of(target), port_of(target));
    let unresolved = |reason| EgressError::Resolve { host: host.to_owned(), reason };
    let resolved =
        lookup_host((host, port)).await.map_err(|error| unresolved(error.to_string()))?;
    let resolved: Vec<SocketAddr> = resolved.collect();
    if resolved.is_empty() {
        return Err(unresolved("it has no address".into()));
    }
    let permitted: Vec<_> =
        resolved.into_iter().filter(|address| policy.permits(address.ip())).collect();
    let mut last = EgressError::PrivateAddress { host: host.to_owned() };
    for (tried, address) in permitted.iter().enumerate() {
        // One address that does not answer leaves time for the others.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(permitted.len() - tried).unwrap_or(u32::MAX);
        let reason = match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it does not answer".to_owned(),
        };
        last = EgressError::Connect { origin: origin_of(target), reason };
    }
    Err(last)
}

/// A connection to `target` through `proxy`.
async fn tunnel(
    proxy: &Intercept,
    target: &Uri,
    deadline: Instant,
) -> Result<TcpStream, EgressError> {
    let mut tunnel = Tunnel::new(proxy.uri().clone(), ProxyDialer { deadline });
    if let Some(credentials) = proxy.basic_auth() {
        tunnel = tunnel.with_auth(credentials.clone());
    }
    let failed = |error| match EgressError::find(&error, &origin_of(target)) {
        EgressError::Protocol { origin, reason } => EgressError::Proxy { origin, reason },
        known => known,
    };
    tunnel.call(target.clone()).await.map(TokioIo::into_inner).map_err(failed)
}

// === impl ProxyDialer ===

impl Service<Uri> for ProxyDialer {
    type Response = TokioIo<TcpStream>;
    type Error = EgressError;
    type Future = Connecting<TokioIo<TcpStream>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), EgressError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, proxy: Uri) -> Self::Future {
        let deadline = self.deadline;
        // A proxy is the operator's choice and usually has a private address.
        let dialing = async move { dial(&proxy, PrivateAddresses::Allow, deadline).await };
        Box::pin(async move { dialing.await.map(TokioIo::new) })
    }
}

/// The host, without the brackets of an address of IPv6.
fn host_of(target: &Uri) -> &str {
    target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn port_of(target: &Uri) -> u16 {
    let usual = if target.scheme_str() == Some("https") { 443 } else { 80 };
    target.port_u16().unwrap_or(usual)
}

fn origin_of(target: &Uri) -> String {
    let host = target.host().unwrap_or_default();
    let scheme = target.scheme_str().unwrap_or("http");
    target
        .port_u16()
        .map_or_else(|| format!("{scheme}://{host}"), |port| format!("{scheme}://{host}:{port}"))
}
