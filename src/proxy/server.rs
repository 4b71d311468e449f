//! The traffic service: Pingora accepts, rustls secures, hyper serves.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use pingora_core::apps::ServerApp;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::{Stream, TcpKeepalive};
use pingora_core::server::{ListenFds, ShutdownWatch};
use pingora_core::services::Service;
use pingora_core::services::listening::Service as Listening;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::answer::AnswerBody;
use super::entrance::{Answered, Entrance};
use super::interim::Interim;
use super::metrics::Raised;
use super::overseer::{Finding, Overseer};
use super::peer::{Line, Peer};
use super::relay::{Relay, Woken};
use super::wire::{Held, Tally, Transport, Wire};
use crate::config::limits::ConnectionLimits;
use crate::tls::Acceptor;

/// How long a connection without an exchange may stay once draining has begun. Closing it at
/// once would cut off a request that is on its way; a caller who sends one within this time gets
/// an answer that says `Connection: close`.
const LINGER: Duration = Duration::from_secs(1);
/// How often such a connection is looked at.
const LINGER_LOOK: Duration = Duration::from_millis(50);

/// Everything the traffic service is made of.
pub struct TrafficParts {
    /// The way in.
    pub entrance: Entrance,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The listening socket itself.
    pub listener: TcpListener,
    /// Told when traffic is taken.
    pub started: oneshot::Sender<()>,
    /// Threads that carry traffic.
    pub threads: usize,
    /// The longest a downstream may take to send a request's head.
    pub head_timeout: Duration,
    /// What connections may take.
    pub limits: ConnectionLimits,
    /// The identity to encrypt with, if traffic is encrypted.
    pub identity: Option<Acceptor>,
    /// Counts connections.
    pub connections: Connections,
    /// Turns true when draining begins.
    pub stop: watch::Receiver<bool>,
}

/// Counts downstream connections, for draining. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<AtomicUsize>);

/// The listening service. It stops accepting when `stop` turns true, which is when draining
/// begins, and not when Pingora's own shutdown does: that one cuts off what is in flight.
pub struct TrafficService {
    listening: Listening<TrafficApp>,
    address: String,
    listener: Option<TcpListener>,
    started: Option<oneshot::Sender<()>>,
    stop: watch::Receiver<bool>,
}

struct TrafficApp {
    entrance: Arc<Entrance>,
    http: auto::Builder<TokioExecutor>,
    connections: Connections,
    identity: Option<Acceptor>,
    limits: ConnectionLimits,
    head_timeout: Duration,
}

/// One connection, counted while it lives.
pub struct Counted {
    connections: Connections,
    _gauge: Raised,
}

/// What is shared by the exchanges of one connection.
struct Shared {
    entrance: Arc<Entrance>,
    line: Line,
    tally: Arc<Tally>,
    /// Whether the connection is to end after the next answer.
    ending: AtomicBool,
    resets: usize,
}

/// The peer gives up exchanges faster than it may; what it begins now is not served.
#[derive(Debug, thiserror::Error)]
#[error("too many exchanges given up")]
struct GivesUpTooMuch;

/// Makes the traffic service.
pub fn traffic_service(parts: TrafficParts) -> TrafficService {
    let address = parts.listen.to_string();
    let app = TrafficApp {
        http: http_builder(&parts.limits),
        entrance: Arc::new(parts.entrance),
        connections: parts.connections,
        identity: parts.identity,
        limits: parts.limits,
        head_timeout: parts.head_timeout,
    };
    let mut listening = Listening::new("traffic".to_owned(), app);
    let mut options = TcpSocketOptions::default();
    // Finds peers that went away without a word, such as behind an idle WebSocket.
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_mins(1),
        interval: Duration::from_secs(15),
        count: 4,
        user_timeout: Duration::ZERO,
    });
    // hyper brings buffers of its own: Pingora's would copy every byte once more and hold 64 KiB
    // per connection.
    let listener = ListenerConfig::tcp(address.clone()).tcp_socket_options(options);
    listening.add_listener(listener.l4_buffer(L4BufferSettings::unbuffered()));
    listening.threads = Some(parts.threads);
    TrafficService {
        listening,
        address,
        listener: Some(parts.listener),
        started: Some(parts.started),
        stop: parts.stop,
    }
}

/// HTTP as it is spoken downstream. hyper's own timer for heads is off: it makes a timer for
/// every request, where [`Overseer`] looks at each connection now and then.
fn http_builder(limits: &ConnectionLimits) -> auto::Builder<TokioExecutor> {
    const HYPERS_HEADERS: usize = 100;
    let mut http = auto::Builder::new(TokioExecutor::new());
    let mut http1 = http.http1();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .preserve_header_case(true)
        .auto_date_header(false)
        .max_buf_size(limits.head_size);
    if limits.headers != HYPERS_HEADERS {
        // Any number set takes memory on the heap for every head; hyper's own does not.
        http1.max_headers(limits.headers);
    }
    http.http2()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
        .max_concurrent_streams(limits.streams);
    http
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
        // As Pingora's own hand-over does it: a socket in the table is used, none is bound.
        if let (Some(fds), Some(listener)) = (&fds, self.listener.take()) {
            fds.lock().add(self.address.clone(), listener.into_raw_fd());
        }
        if let Some(started) = self.started.take() {
            let _ = started.send(());
        }
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
        let metrics = self.entrance.gate().metrics();
        let gauge = Raised::new(&metrics.connections);
        let counted = Counted::new(&self.connections, gauge);
        if self.connections.open() > self.limits.connections {
            metrics.refused("connections");
            return None;
        }
        let ip = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().and_then(|peer| peer.as_inet().copied()))
            .map(|peer| peer.ip());
        let (transport, peer) = match &self.identity {
            None => (Transport::Plain(stream), Peer { ip, subject: None, encrypted: false }),
            Some(identity) => {
                // Whoever fails is counted by the acceptor.
                let secured = identity.accept(stream, self.head_timeout).await.ok()?;
                let peer = Peer { ip, subject: secured.subject, encrypted: true };
                (Transport::Tls(Box::new(secured.stream)), peer)
            }
        };
        let tally = Arc::new(Tally::default());
        let interim = Interim::default();
        let wire = Wire::new(transport, tally.clone(), interim.clone(), counted);
        let shared = Shared {
            entrance: self.entrance.clone(),
            line: Line { peer, lane: self.entrance.gate().lane(), interim, relay: Relay::new() },
            tally,
            ending: AtomicBool::new(false),
            resets: self.limits.resets,
        };
        self.serve(wire, Arc::new(shared), shutdown.clone()).await;
        None
    }
}

impl TrafficApp {
    /// Serves one connection until it ends, is found idle or abusive, or draining ends it.
    async fn serve(&self, wire: Wire, shared: Arc<Shared>, mut shutdown: ShutdownWatch) {
        // h2 needs a future of its own per stream, hence the clone.
        let service = service_fn(|request| Shared::exchange(shared.clone(), request));
        let connection = self.http.serve_connection_with_upgrades(TokioIo::new(wire), service);
        let connection = std::pin::pin!(connection);
        let mut connection = Woken::new(connection, shared.line.relay.clone());
        let clock = self.entrance.gate().clock();
        let mut overseer = Overseer::new(self.limits, self.head_timeout, clock.instant());
        let mut pause = overseer.interval();
        let look = std::pin::pin!(tokio::time::sleep(pause));
        let mut look = Woken::new(look, Relay::new());
        let stop = std::pin::pin!(stopping(&mut shutdown));
        let mut stop = Woken::new(stop, Relay::new());
        let mut lingers_until = None;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    if let Err(error) = ended {
                        self.note_failure(&*error);
                    }
                    return;
                }
                () = &mut stop, if lingers_until.is_none() => {
                    shared.ending.store(true, Ordering::Relaxed);
                    lingers_until = Some(clock.instant() + LINGER);
                    pause = LINGER_LOOK;
                    look.change().as_mut().reset(Instant::now());
                    if shared.tally.snapshot().multiplexed {
                        // GOAWAY says which exchanges are still served: nothing is cut off.
                        connection.change().as_mut().graceful_shutdown();
                    }
                }
                () = &mut look => {
                    let now = clock.instant();
                    look.change().as_mut().reset(Instant::now() + pause);
                    match overseer.look(shared.tally.snapshot(), now) {
                        Finding::Cut(abuse) => {
                            self.entrance.gate().metrics().refused(abuse.as_str());
                            return;
                        }
                        Finding::Idle => connection.change().as_mut().graceful_shutdown(),
                        Finding::Fine if lingers_until.is_some_and(|end| now >= end) => {
                            connection.change().as_mut().graceful_shutdown();
                        }
                        // Should a wake ever be held back that was not to be, it ends here.
                        Finding::Fine => drop(connection.change()),
                    }
                }
            }
        }
    }

    /// Counts a head that hyper refused; that a peer breaks off is its own affair.
    fn note_failure(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        let Some(error) = error.downcast_ref::<hyper::Error>() else { return };
        if error.is_parse_too_large() {
            self.entrance.gate().metrics().refused("head_too_large");
        } else if error.is_parse() {
            self.entrance.gate().metrics().refused("malformed");
        }
    }
}

/// Waits for the order to stop; the borrow of the watched value ends here.
async fn stopping(shutdown: &mut ShutdownWatch) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

// === impl Shared ===

impl Shared {
    async fn exchange(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Held<AnswerBody>>, GivesUpTooMuch> {
        let version = request.version();
        let multiplexed = version == Version::HTTP_2;
        if multiplexed && self.tally.given_up() > self.resets {
            return Err(GivesUpTooMuch);
        }
        let open = self.tally.open(multiplexed);
        let Answered { mut response, limit, turns } =
            self.entrance.serve(request, &self.line).await;
        if self.ending.load(Ordering::Relaxed) && !multiplexed {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| open.hold(body, limit, turns)))
    }
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
