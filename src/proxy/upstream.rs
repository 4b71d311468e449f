//! Whom we call: addresses that follow the name, health, connections.
//!
//! Pingora's load balancer resolves the name again and again, checks each address and picks
//! one; hyper carries HTTP on the connection. Names are resolved off the traffic threads,
//! except before the first resolution has succeeded.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use pingora_core::services::background::{GenBackgroundService, background_service};
use pingora_core::{Error, ErrorType, OrErr};
use pingora_load_balancing::discovery::ServiceDiscovery;
use pingora_load_balancing::health_check::{HealthObserve, TcpHealthCheck};
use pingora_load_balancing::selection::RoundRobin;
use pingora_load_balancing::{Backend, Backends, LoadBalancer};
use tokio::net::TcpStream;

use super::metrics::{ProxyMetrics, UpstreamFailure};
use super::pool::{Lane, Pool, Pools, Sender};
use crate::config::upstream::{UpstreamAddress, UpstreamSettings};
use crate::model::clock::Clock;

/// How often every address is checked by a TCP connect.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);
/// How often the name is resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(2);

/// The service behind us.
pub struct Upstream {
    address: UpstreamAddress,
    balancer: Arc<LoadBalancer<RoundRobin>>,
    pools: Pools,
    client: http1::Builder,
    settings: UpstreamSettings,
    metrics: ProxyMetrics,
}

struct Resolve(UpstreamAddress);

struct LogHealth;

/// The background service that keeps addresses and health current, and its balancer.
pub type HealthService = GenBackgroundService<LoadBalancer<RoundRobin>>;

/// Makes the background service for the upstream at `address`.
pub fn health_service(address: &UpstreamAddress) -> HealthService {
    let mut backends = Backends::new(Box::new(Resolve(address.clone())));
    let mut check = TcpHealthCheck::new();
    check.health_changed_callback = Some(Box::new(LogHealth));
    backends.set_health_check(check);
    let mut balancer = LoadBalancer::from_backends(backends);
    balancer.health_check_frequency = Some(HEALTH_INTERVAL);
    balancer.update_frequency = Some(RESOLVE_INTERVAL);
    balancer.parallel_health_check = true;
    background_service("upstream health", balancer)
}

// === impl Upstream ===

impl Upstream {
    /// The upstream whose addresses `service` keeps, called from `threads` traffic threads.
    pub fn new(
        service: &HealthService,
        settings: UpstreamSettings,
        threads: usize,
        metrics: ProxyMetrics,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let (most, timeout) = (settings.idle_connections, settings.idle_timeout);
        let pools = Pools::new(threads, || Pool::new(most, timeout, clock.clone()));
        let mut client = http1::Builder::new();
        client.preserve_header_case(true);
        Self {
            address: settings.address.clone(),
            balancer: service.task(),
            pools,
            client,
            settings,
            metrics,
        }
    }

    /// Whether at least one address took a connection when it was last checked.
    pub fn reachable(&self) -> bool {
        let backends = self.balancer.backends();
        backends.get_backend().iter().any(|backend| backends.ready(backend))
    }

    /// Idle connections of a traffic thread.
    pub fn pool(&self, lane: Lane) -> &Arc<Pool> {
        self.pools.of(lane)
    }

    /// The longest the upstream may take to answer.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Opens a connection: to the address whose turn it is, then to the others.
    pub async fn connect(&self) -> Result<Sender, UpstreamFailure> {
        let connecting = tokio::time::timeout(self.settings.connect_timeout, self.connect_any());
        let stream = connecting.await.map_err(|_| UpstreamFailure::ConnectTimeout)??;
        let _ = stream.set_nodelay(true);
        self.metrics.upstream_connections.inc();
        let (sender, connection) = self
            .client
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| UpstreamFailure::Broken)?;
        tokio::spawn(async move {
            // How the connection ends is told to whoever waits for its response.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    async fn connect_any(&self) -> Result<TcpStream, UpstreamFailure> {
        for address in self.candidates().await {
            if let Ok(stream) = TcpStream::connect(address).await {
                return Ok(stream);
            }
        }
        Err(UpstreamFailure::Connect)
    }

    async fn candidates(&self) -> Vec<SocketAddr> {
        let address_of = |backend: &Backend| backend.addr.as_inet().copied();
        let mut candidates: Vec<SocketAddr> =
            self.balancer.select(b"", 16).iter().filter_map(address_of).collect();
        let backends = self.balancer.backends();
        let known = backends.get_backend();
        for healthy in [true, false] {
            let same = known.iter().filter(|backend| backends.ready(backend) == healthy);
            for address in same.filter_map(address_of) {
                if !candidates.contains(&address) {
                    candidates.push(address);
                }
            }
        }
        if candidates.is_empty() {
            let name = (self.address.host.as_str(), self.address.port);
            candidates.extend(tokio::net::lookup_host(name).await.into_iter().flatten());
        }
        candidates
    }
}

// === impl LogHealth ===

#[async_trait]
impl HealthObserve for LogHealth {
    async fn observe(&self, backend: &Backend, healthy: bool) {
        let address = backend.addr.to_string();
        if healthy {
            tracing::info!(event = "upstream_up", address, "the upstream takes connections again");
        } else {
            tracing::warn!(event = "upstream_down", address, "the upstream takes no connections");
        }
    }
}

// === impl Resolve ===

#[async_trait]
impl ServiceDiscovery for Resolve {
    async fn discover(&self) -> Result<(BTreeSet<Backend>, HashMap<u64, bool>), Box<Error>> {
        let name = (self.0.host.as_str(), self.0.port);
        let addresses = tokio::net::lookup_host(name)
            .await
            .or_err(ErrorType::ConnectNoRoute, "the upstream's name cannot be resolved")?;
        let backends: Result<BTreeSet<Backend>, _> =
            addresses.map(|address| Backend::new(&address.to_string())).collect();
        Ok((backends?, HashMap::new()))
    }
}
