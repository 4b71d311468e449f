//! The background task of an upstream: looks up names, checks addresses, reloads certificates,
//! evicts unused connections.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{HOST, USER_AGENT};

use super::UpstreamState;
use super::connector::NewConnection;
use super::peers::UpstreamEndpoint;
use crate::proxy::body::buffer::OutgoingBody;
use crate::proxy::body::capture::CaptureBody;
use crate::proxy::hop_by_hop::{convert_to_http1, convert_to_http2};
use crate::proxy::upstream::connection::ResponseTimeout;

/// How often names are looked up again and files compared.
const REFRESH_INTERVAL: Duration = Duration::from_secs(2);

/// Runs until it is aborted.
pub(super) async fn run(state: Arc<UpstreamState>) {
    tokio::join!(refresh(&state), check_health(&state));
}

async fn refresh(state: &UpstreamState) {
    loop {
        state.resolve().await;
        refresh_certificates(state);
        state.peers.evict_idle();
        tokio::time::sleep(REFRESH_INTERVAL).await;
    }
}

/// The files are small and local: reading them takes microseconds.
fn refresh_certificates(state: &UpstreamState) {
    let Some(tls) = state.connector.tls() else { return };
    let upstream = state.name.as_str();
    match tls.refresh() {
        Ok(false) => {}
        Ok(true) => tracing::info!(
            event = "upstream_certificates_reloaded",
            upstream,
            "new connections use the new files"
        ),
        Err(error) => tracing::error!(
            event = "upstream_certificates_not_reloaded",
            upstream,
            %error,
            "the certificates in use stay"
        ),
    }
}

async fn check_health(state: &Arc<UpstreamState>) {
    const FIRST: Duration = Duration::from_millis(20);
    loop {
        let endpoints = state.peers.endpoints();
        let checks: Vec<_> = endpoints
            .iter()
            .map(|endpoint| {
                let (state, endpoint) = (state.clone(), endpoint.clone());
                // Each on its own: one that hangs delays no other.
                tokio::spawn(async move { (state.is_healthy(&endpoint).await, endpoint) })
            })
            .collect();
        let mut up = 0;
        for check in checks {
            if let Ok((healthy, endpoint)) = check.await {
                state.record_health(&endpoint, healthy);
                up += usize::from(healthy);
            }
        }
        state.metrics.set_endpoints(&state.name, up, endpoints.len() - up);
        let pause = if endpoints.is_empty() { FIRST } else { state.settings.health.interval };
        tokio::time::sleep(pause).await;
    }
}

// === impl UpstreamState ===

impl UpstreamState {
    async fn is_healthy(&self, endpoint: &UpstreamEndpoint) -> bool {
        let checking = self.probe(endpoint);
        tokio::time::timeout(self.settings.health.timeout, checking)
            .await
            .is_ok_and(|healthy| healthy)
    }

    async fn probe(&self, endpoint: &UpstreamEndpoint) -> bool {
        let Some(path) = &self.settings.health.path else {
            return tokio::net::TcpStream::connect(endpoint.address).await.is_ok();
        };
        let Some(address) = self.settings.addresses.get(endpoint.address_index) else {
            return false;
        };
        let request = Request::get(path.as_str())
            .header(HOST, address.authority())
            .header(USER_AGENT, "cvt-sidecar")
            .body(OutgoingBody::new(CaptureBody::empty()));
        let (Ok(mut request), Ok(connected)) =
            (request, self.connector.connect(endpoint, false).await)
        else {
            return false;
        };
        let answer = match connected {
            NewConnection::Http1(mut connection) => {
                convert_to_http1(&mut request);
                let (timeout, since) = (self.settings.health.timeout, self.clock.instant());
                let wait = ResponseTimeout { timeout, progress: None, since };
                connection.send(request, wait).await.ok().and_then(Result::ok)
            }
            NewConnection::Http2(mut sender) => {
                convert_to_http2(&mut request, endpoint.encrypted);
                sender.send_request(request).await.ok()
            }
        };
        let (from, to) = self.settings.health.statuses;
        answer.is_some_and(|answer| (from..=to).contains(&answer.status().as_u16()))
    }
}
