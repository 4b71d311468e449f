//! One connection to one address: TCP, TLS where asked for, HTTP/1.1 or HTTP/2.

use std::time::Duration;

use http::HeaderMap;
use http::header::UPGRADE;
use hyper::client::conn::{http1, http2};
use hyper::rt::{Read, Write};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::peers::UpstreamEndpoint;
use super::tls::{TlsClient, TlsSetupError};
use crate::config::upstream::{Protocol, UpstreamSettings};
use crate::proxy::body::buffer::OutgoingBody;
use crate::proxy::metrics::{ProxyMetrics, UpstreamFailure};
use crate::proxy::upstream::connection::UpstreamConnection;

/// Makes connections to one upstream.
pub struct UpstreamConnector {
    protocol: Protocol,
    tls: Option<TlsClient>,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    metrics: ProxyMetrics,
}

/// A connection, ready for its first request.
pub enum NewConnection {
    /// It carries one exchange at a time.
    Http1(Box<UpstreamConnection>),
    /// It carries many.
    Http2(http2::SendRequest<OutgoingBody>),
}

// === impl UpstreamConnector ===

impl UpstreamConnector {
    /// A connector for the upstream of `settings`.
    pub fn new(settings: &UpstreamSettings, metrics: ProxyMetrics) -> Result<Self, TlsSetupError> {
        let mut http1 = http1::Builder::new();
        http1.preserve_header_case(true);
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        // A connection whose other end has vanished must not take requests for ever.
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        let tls = TlsClient::of(settings)?;
        Ok(Self { protocol: settings.protocol, tls, http1, http2, metrics })
    }

    /// TLS, where the upstream is called with it.
    pub fn tls(&self) -> Option<&TlsClient> {
        self.tls.as_ref()
    }

    /// Whether a connection to `endpoint` may come out as HTTP/2.
    pub fn may_share(&self, endpoint: &UpstreamEndpoint) -> bool {
        match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => self.tls.is_some() && !endpoint.is_http1_only(),
        }
    }

    /// Whether a request with `headers` needs HTTP/1.1, where the upstream offers a choice:
    /// HTTP/2 knows no upgrades.
    pub fn needs_http1(&self, headers: &HeaderMap) -> bool {
        self.tls.is_some() && self.protocol == Protocol::Auto && headers.contains_key(UPGRADE)
    }

    /// Connects to `endpoint`; `only_http1` for an exchange that HTTP/2 cannot carry.
    pub async fn connect(
        &self,
        endpoint: &UpstreamEndpoint,
        only_http1: bool,
    ) -> Result<NewConnection, UpstreamFailure> {
        let stream =
            TcpStream::connect(endpoint.address).await.map_err(|_| UpstreamFailure::Connect)?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.handshake(TokioIo::new(stream), self.protocol == Protocol::Http2).await;
        };
        let connected = tls.connect(stream, endpoint.address_index, only_http1).await;
        let (stream, http2) = connected.map_err(|_| UpstreamFailure::Tls)?;
        if !only_http1 {
            endpoint.set_http1_only(!http2);
        }
        self.handshake(TokioIo::new(stream), http2).await
    }

    async fn handshake<IO>(&self, stream: IO, http2: bool) -> Result<NewConnection, UpstreamFailure>
    where
        IO: Read + Write + Unpin + Send + 'static,
    {
        self.metrics.upstream_connections.inc();
        // The exchange that waits for a response on the connection learns how it ended.
        if http2 {
            let connected = self.http2.handshake(stream).await;
            let (sender, connection) = connected.map_err(|_| UpstreamFailure::Broken)?;
            tokio::spawn(async move {
                let _ = connection.await;
            });
            return Ok(NewConnection::Http2(sender));
        }
        let connected = self.http1.handshake(stream).await;
        let (sender, connection) = connected.map_err(|_| UpstreamFailure::Broken)?;
        let driver = async move {
            let _ = connection.with_upgrades().await;
        };
        Ok(NewConnection::Http1(Box::new(UpstreamConnection::new(sender, driver))))
    }
}
