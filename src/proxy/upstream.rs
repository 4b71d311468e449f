//! One upstream: addresses that follow their names, health, connections.
//!
//! Invariants: traffic waits for no look-up and no health check (a background task keeps
//! both current; only before the first look-up has succeeded a request makes its own), and an
//! address that fails gets no exchange until a check finds it good again.
//!
//! Our own choice of addresses, not Pingora's load balancer: that one has no least connections,
//! cannot be started or ended while the server runs, which a reload of the settings needs, and
//! checks health with a client that knows nothing of our trust and of HTTP/2.

mod background;
pub mod body;
pub mod connection;
mod connector;
mod peers;
pub mod pool;
mod retry;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::metrics::{ProxyMetrics, UpstreamFailure};
use crate::config::upstream::UpstreamSettings;
use crate::model::clock::Clock;
use connector::UpstreamConnector;
use peers::UpstreamPeers;
use pool::{ConnectionPool, WorkerPools};

pub use peers::{InFlightGuard, UpstreamEndpoint};
pub use tls::TlsSetupError;

/// The service behind the proxy. Its background task ends when it is dropped.
pub struct Upstream {
    state: Arc<UpstreamState>,
    background_task: JoinHandle<()>,
}

struct UpstreamState {
    name: String,
    settings: UpstreamSettings,
    peers: UpstreamPeers,
    connector: UpstreamConnector,
    /// Traffic threads that call.
    threads: usize,
    metrics: ProxyMetrics,
    clock: Arc<dyn Clock>,
}

// === impl Upstream ===

impl Upstream {
    /// The upstream of `settings`, called from `threads` traffic threads; its background task
    /// runs on `runtime`.
    pub fn start(
        settings: UpstreamSettings,
        threads: usize,
        metrics: ProxyMetrics,
        clock: Arc<dyn Clock>,
        runtime: &Handle,
    ) -> Result<Self, TlsSetupError> {
        let state = Arc::new(UpstreamState {
            name: settings.name(),
            peers: UpstreamPeers::new(settings.balance),
            connector: UpstreamConnector::new(&settings, metrics.clone())?,
            settings,
            threads,
            metrics,
            clock,
        });
        let background_task = runtime.spawn(background::run(state.clone()));
        Ok(Self { state, background_task })
    }

    /// Whether at least one address took a connection when it was last checked.
    pub fn reachable(&self) -> bool {
        self.state.peers.reachable()
    }

    /// How it is called.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.state.settings
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.background_task.abort();
    }
}

// === impl UpstreamState ===

impl UpstreamState {
    /// Looks every name up. Where that fails, the addresses known before stay.
    async fn resolve(&self) {
        for (address_index, address) in self.settings.addresses.iter().enumerate() {
            let name = (address.host.as_str(), address.port);
            let Ok(found) = tokio::net::lookup_host(name).await else {
                self.metrics.resolve_failures.inc();
                continue;
            };
            let mut found: Vec<SocketAddr> = found.collect();
            found.sort_unstable();
            found.dedup();
            if found.is_empty() {
                continue;
            }
            if self
                .peers
                .replace(address_index, &found, address.encrypted, |endpoint| self.pools(endpoint))
            {
                let addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
                tracing::info!(
                    event = "upstream_resolved",
                    upstream = self.name,
                    addresses = addresses.join(","),
                    "the upstream's addresses"
                );
            }
        }
    }

    fn pools(&self, endpoint: &Arc<UpstreamEndpoint>) -> WorkerPools {
        let (most, idle) = (self.settings.idle_connections, self.settings.idle_timeout);
        WorkerPools::new(self.threads, || {
            ConnectionPool::new(endpoint.clone(), most, idle, self.clock.clone())
        })
    }

    /// Traffic could not connect: the address gets no exchange until a check finds it good.
    fn eject(&self, endpoint: &UpstreamEndpoint, failure: UpstreamFailure) {
        if self.record_health(endpoint, false) {
            self.metrics.ejected_endpoints.inc();
            tracing::debug!(event = "upstream_ejected", failure = failure.as_str());
        }
    }

    /// Records the health of an address; true if it changed.
    fn record_health(&self, endpoint: &UpstreamEndpoint, up: bool) -> bool {
        let first = endpoint.is_unchecked();
        if !endpoint.set_health(up) {
            return false;
        }
        let (upstream, address) = (self.name.as_str(), endpoint.address.to_string());
        if !up {
            tracing::warn!(
                event = "upstream_down",
                upstream,
                address,
                "the address refuses connections"
            );
        } else if !first {
            tracing::info!(
                event = "upstream_up",
                upstream,
                address,
                "the address accepts connections again"
            );
        }
        true
    }
}

impl Drop for UpstreamState {
    fn drop(&mut self) {
        self.metrics.remove_endpoints(&self.name);
    }
}
