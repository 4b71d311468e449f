//! Whom we call: addresses that follow their names, health, connections.
//!
//! What must hold: traffic waits for no look-up and no health check (a background task keeps
//! both current; only before the first look-up has succeeded a request makes its own), and an
//! address that fails is left alone until a check finds it good again.
//!
//! Our own choice of addresses, not Pingora's load balancer: that one has no least connections,
//! cannot be started or ended while the server runs, which a reload of the settings needs, and
//! checks health with a client that knows nothing of our trust and of HTTP/2.

mod connect;
mod keep;
mod peers;
mod send;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::metrics::{ProxyMetrics, UpstreamFailure};
use super::pool::{Pool, Pools};
use crate::config::upstream::UpstreamSettings;
use crate::model::clock::Clock;
use connect::Connector;
use peers::Peers;

pub use peers::{Occupied, Target};
pub use tls::TlsSetupError;

/// The service behind us. Its background task ends when it is dropped.
pub struct Upstream {
    shared: Arc<Shared>,
    keeping: JoinHandle<()>,
}

struct Shared {
    name: String,
    settings: UpstreamSettings,
    peers: Peers,
    connector: Connector,
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
        let shared = Arc::new(Shared {
            name: settings.name(),
            peers: Peers::new(settings.balance),
            connector: Connector::new(&settings, metrics.clone())?,
            settings,
            threads,
            metrics,
            clock,
        });
        let keeping = runtime.spawn(keep::keep(shared.clone()));
        Ok(Self { shared, keeping })
    }

    /// Whether at least one address took a connection when it was last checked.
    pub fn reachable(&self) -> bool {
        self.shared.peers.reachable()
    }

    /// How it is called.
    pub fn settings(&self) -> &UpstreamSettings {
        &self.shared.settings
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

// === impl Shared ===

impl Shared {
    /// Looks every name up. Where that fails, the addresses known before stay.
    async fn resolve(&self) {
        for (origin, address) in self.settings.addresses.iter().enumerate() {
            let name = (address.host.as_str(), address.port);
            let Ok(found) = tokio::net::lookup_host(name).await else {
                self.metrics.unresolved.inc();
                continue;
            };
            let mut found: Vec<SocketAddr> = found.collect();
            found.sort_unstable();
            found.dedup();
            if found.is_empty() {
                continue;
            }
            if self.peers.replace(origin, &found, address.encrypted, |target| self.pools(target)) {
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

    fn pools(&self, target: &Arc<Target>) -> Pools {
        let (most, idle) = (self.settings.idle_connections, self.settings.idle_timeout);
        Pools::new(self.threads, || Pool::new(target.clone(), most, idle, self.clock.clone()))
    }

    /// Traffic could not connect: the address is left alone until a check finds it good.
    fn refused(&self, target: &Target, failure: UpstreamFailure) {
        if self.found(target, false) {
            self.metrics.ejections.inc();
            tracing::debug!(event = "upstream_ejected", failure = failure.as_str());
        }
    }

    /// Notes how an address was found; true when that is news.
    fn found(&self, target: &Target, up: bool) -> bool {
        let first = target.is_new();
        if !target.found(up) {
            return false;
        }
        let (upstream, address) = (self.name.as_str(), target.address.to_string());
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

impl Drop for Shared {
    fn drop(&mut self) {
        self.metrics.forget_endpoints(&self.name);
    }
}
