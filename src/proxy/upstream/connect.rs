//! One connection to one address: TCP, TLS where asked for, HTTP/1.1 or HTTP/2.

use std::time::Duration;

use http::HeaderMap;
use http::header::UPGRADE;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::peers::Target;
use super::tls::{Tls, TlsSetupError};
use crate::config::upstream::{Protocol, UpstreamSettings};
use crate::proxy::link::Link;
use crate::proxy::metrics::{ProxyMetrics, UpstreamFailure};
use crate::proxy::pool::Outgoing;

/// Makes connections to one upstream.
pub struct Connector {
    protocol: Protocol,
    tls: Option<Tls>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    metrics: ProxyMetrics,
}

/// A connection, ready for its first request.
pub enum Connected {
    /// It carries one exchange at a time.
    Http1(Box<Link>),
    /// It carries many.
    Http2(http2::SendRequest<Outgoing>),
}

// === impl Connector ===

impl Connector {
    /// A connector for the upstream of `settings`.
    pub fn new(settings: &UpstreamSettings, metrics: ProxyMetrics) -> Result<Self, TlsSetupError> {
        let mut http1 = http1::Builder::new();
        http1.preserve_header_case(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        // A connection whose other end is gone without a word must not take requests for ever.
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        let tls = Tls::of(settings)?;
        Ok(Self { protocol: settings.protocol, tls, http1, http2, metrics })
    }

    /// TLS, where the upstream is called with it.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether a connection to `target` may come out as HTTP/2.
    pub fn may_share(&self, target: &Target) -> bool {
        match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => self.tls.is_some() && !target.is_http1(),
        }
    }

    /// Whether a request with `headers` needs HTTP/1.1, where the upstream offers a choice:
    /// HTTP/2 knows no upgrades.
    pub fn needs_http1(&self, headers: &HeaderMap) -> bool {
        self.tls.is_some() && self.protocol == Protocol::Auto && headers.contains_key(UPGRADE)
    }

    /// Connects to `target`; `only_http1` for an exchange that HTTP/2 cannot carry.
    pub async fn connect(
        &self,
        target: &Target,
        only_http1: bool,
    ) -> Result<Connected, UpstreamFailure> {
        let stream =
            TcpStream::connect(target.address).await.map_err(|_| UpstreamFailure::Connect)?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak(TokioIo::new(stream), self.protocol == Protocol::Http2).await;
        };
        let shaken = tls.connect(stream, target.origin, only_http1).await;
        let (stream, http2) = shaken.map_err(|_| UpstreamFailure::Tls)?;
        if !only_http1 {
            target.speaks_http1(!http2);
        }
        self.speak(TokioIo::new(stream), http2).await
    }

    async fn speak<IO>(&self, stream: IO, http2: bool) -> Result<Connected, UpstreamFailure>
    where
        IO: Read + Write + Unpin + Send + 'static,
    {
        self.metrics.upstream_connections.inc();
        // How a connection ends is told to whoever waits for a response on it.
        if http2 {
            let shaken = self.http2.handshake(stream).await;
            let (sender, connection) = shaken.map_err(|_| UpstreamFailure::Broken)?;
            tokio::spawn(async move {
                let _ = connection.await;
            });
            return Ok(Connected::Http2(sender));
        }
        let shaken = self.http1.handshake(stream).await;
        let (sender, connection) = shaken.map_err(|_| UpstreamFailure::Broken)?;
        let driver = async move {
            let _ = connection.with_upgrades().await;
        };
        Ok(Connected::Http1(Box::new(Link::new(sender, driver))))
    }
}
