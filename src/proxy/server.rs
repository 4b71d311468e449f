//! The traffic service: Pingora accepts, hyper serves.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::protocols::Stream;
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use pingora_core::services::listening::Service as Listening;
use tokio::sync::watch;

use super::gate::Gate;
use super::metrics::Raised;

/// Counts downstream connections, for draining. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<AtomicUsize>);

/// The listening service. It stops accepting when `stop` turns true, which is when draining
/// begins, and not when Pingora's own shutdown does: that one cuts off what is in flight.
pub struct TrafficService {
    listening: Listening<TrafficApp>,
    stop: watch::Receiver<bool>,
}

struct TrafficApp {
    gate: Arc<Gate>,
    http: auto::Builder<TokioExecutor>,
    connections: Connections,
}

struct Counted {
    connections: Connections,
    _gauge: Raised,
}

/// Makes the traffic service on `listen`.
pub fn traffic_service(
    gate: Arc<Gate>,
    listen: SocketAddr,
    threads: usize,
    head_timeout: Duration,
    connections: Connections,
    stop: watch::Receiver<bool>,
) -> TrafficService {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .preserve_header_case(true)
        .auto_date_header(false);
    http.http2().timer(TokioTimer::new()).auto_date_header(false);
    let app = TrafficApp { gate, http, connections };
    let mut listening = Listening::new("traffic".to_owned(), app);
    // hyper brings buffers of its own: Pingora's would copy every byte once more and hold 64 KiB
    // per connection.
    let listener = ListenerConfig::tcp(listen.to_string());
    listening.add_listener(listener.l4_buffer(L4BufferSettings::unbuffered()));
    listening.threads = Some(threads);
    TrafficService { listening, stop }
}

// === impl TrafficService ===

#[async_trait]
impl Service for TrafficService {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        _shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        Service::start_service(&mut self.listening, fds, self.stop.clone(), listeners_per_fd).await;
    }

    fn name(&self) -> &'static str {
        "traffic"
    }

    fn threads(&self) -> Option<usize> {
        Service::threads(&self.listening)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Service::listen_addresses(&self.listening)
    }
}

// === impl TrafficApp ===

#[async_trait]
impl ServerApp for TrafficApp {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let _counted =
            Counted::new(&self.connections, Raised::new(&self.gate.metrics().connections));
        let peer = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().and_then(|peer| peer.as_inet().copied()))
            .map(|peer| peer.ip());
        let lane = self.gate.lane();
        let service = service_fn(|request| {
            // h2 needs a future of its own per stream, hence the clone.
            let gate = self.gate.clone();
            async move { gate.serve(request, peer, lane).await }
        });
        let connection = self.http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut shutdown = shutdown.clone();
        tokio::select! {
            biased;
            // A peer that breaks off or does not speak HTTP is its own affair.
            _ = connection.as_mut() => {}
            () = stopping(&mut shutdown) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
        None
    }
}

/// Waits for the order to stop; the borrow of the watched value ends here.
async fn stopping(shutdown: &mut ShutdownWatch) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

// === impl Connections ===

impl Connections {
    /// Connections open now.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

impl Counted {
    fn new(connections: &Connections, gauge: Raised) -> Self {
        connections.0.fetch_add(1, Ordering::AcqRel);
        Self { connections: connections.clone(), _gauge: gauge }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.0.fetch_sub(1, Ordering::AcqRel);
    }
}
