//! The client: connections kept for the next call, redirects, limits of time.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{PROXY_AUTHORIZATION, USER_AGENT};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::{Instant, timeout_at};

use super::EgressSettings;
use super::connector::{ConnectorParts, EgressConnector};
use super::error::EgressError;
use super::proxies::ProxyRules;
use super::redirect;
use super::request::EgressRequest;
use super::response::{EgressResponse, ResponseLimits};
use super::tls::EgressTls;

/// How long a connection is kept for the next call.
const KEPT_IDLE: Duration = Duration::from_secs(30);
/// Connections kept to one service.
const MAX_IDLE: usize = 2;
/// The largest head of a response.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// What the sidecar calls itself, where the caller says nothing else.
const AGENT: &str = concat!("cvt-sidecar/", env!("CARGO_PKG_VERSION"));

/// Calls others. Costs nothing until the first call: authorities are read and connections opened
/// when they are needed.
pub struct EgressClient {
    settings: EgressSettings,
    parts: Arc<ConnectorParts>,
    pool: OnceLock<Pool>,
}

type Pool = legacy::Client<EgressConnector, Full<Bytes>>;

// === impl EgressClient ===

impl EgressClient {
    /// A client with these settings.
    pub fn new(settings: EgressSettings) -> Self {
        let parts = Arc::new(ConnectorParts {
            proxies: ProxyRules::new(&settings.proxies),
            tls: EgressTls::new(settings.trust.clone(), settings.identity.clone()),
            private_addresses: settings.private_addresses,
            connect_timeout: settings.connect_timeout,
        });
        Self { settings, parts, pool: OnceLock::new() }
    }

    /// Reads the files for TLS, to report now what is wrong with them.
    pub fn check_tls(&self) -> Result<(), EgressError> {
        self.parts.tls.config().map(drop)
    }

    /// Sends a request and waits for the head of the answer. Any status is an answer; the limit of
    /// time also holds for its body. Call it inside a tokio runtime.
    pub async fn send(&self, request: EgressRequest) -> Result<EgressResponse, EgressError> {
        let timeout = self.settings.timeout;
        let deadline = Instant::now() + timeout;
        let origin = request.origin();
        let (response, origin) = timeout_at(deadline, self.follow(request))
            .await
            .unwrap_or(Err(EgressError::Timeout { origin, limit: timeout }))?;
        let (head, body) = response.into_parts();
        let max_bytes = self.settings.max_response_bytes;
        Ok(EgressResponse {
            status: head.status,
            headers: head.headers,
            body,
            limits: ResponseLimits { origin, max_bytes, read: 0, deadline, timeout },
        })
    }

    /// The first answer that is no redirect to follow, and who gave it.
    async fn follow(
        &self,
        mut request: EgressRequest,
    ) -> Result<(http::Response<Incoming>, String), EgressError> {
        let limit = self.settings.max_redirects;
        let origin = request.origin();
        for followed in 0..=limit {
            let response = self.exchange(&request).await?;
            if limit == 0 {
                return Ok((response, origin));
            }
            match redirect::next(&request, response.status(), response.headers())? {
                None => return Ok((response, request.origin())),
                Some(next) if followed < limit => request = next,
                Some(_) => {}
            }
        }
        Err(EgressError::TooManyRedirects { origin, limit })
    }

    async fn exchange(
        &self,
        asked: &EgressRequest,
    ) -> Result<http::Response<Incoming>, EgressError> {
        let uri = asked.uri()?;
        let credentials = self.parts.proxies.authorization(&uri);
        let mut request = Request::new(Full::new(asked.body.clone()));
        *request.method_mut() = asked.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = asked.headers.clone();
        let headers = request.headers_mut();
        headers.entry(USER_AGENT).or_insert(http::HeaderValue::from_static(AGENT));
        if let Some(credentials) = credentials {
            headers.insert(PROXY_AUTHORIZATION, credentials);
        }
        let answer = self.pool().request(request).await;
        answer.map_err(|error| EgressError::find(&error, &asked.origin()))
    }

    fn pool(&self) -> &Pool {
        self.pool.get_or_init(|| {
            legacy::Client::builder(TokioExecutor::new())
                .pool_idle_timeout(KEPT_IDLE)
                .pool_max_idle_per_host(MAX_IDLE)
                .pool_timer(TokioTimer::new())
                .http1_max_buf_size(MAX_HEAD_BYTES)
                .build(EgressConnector(self.parts.clone()))
        })
    }
}
