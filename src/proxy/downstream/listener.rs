//! The traffic service: Pingora accepts, rustls secures, hyper serves.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::IntoRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

use crate::config::limits::ConnectionLimits;
use crate::proxy::downstream::ResponseBody;
use crate::proxy::downstream::admission::{LimitedResponse, RequestAdmission};
use crate::proxy::downstream::connection::{
    ConnectionCounter, CountedConnection, DownstreamConnection, DownstreamPeer,
};
use crate::proxy::downstream::interim::InterimResponses;
use crate::proxy::downstream::monitor::{ConnectionMonitor, MonitorAction};
use crate::proxy::downstream::stream::{
    ConnectionStats, DownstreamStream, ResponseBodyGuard, Transport,
};
use crate::proxy::metrics::GaugeGuard;
use crate::proxy::waker::{PollWhenWoken, TrackedWaker};
use crate::tls::Acceptor;

/// How long a connection without an exchange may stay once draining has begun. Closing it at
/// once would cut off a request that is on its way; a caller who sends one within this time gets
/// a response that says `Connection: close`.
const DRAIN_GRACE: Duration = Duration::from_secs(1);
/// How often such a connection is checked.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Everything the traffic service is made of.
pub struct TrafficParts {
    /// Admits requests.
    pub admission: RequestAdmission,
    /// Where it listens.
    pub listen: SocketAddr,
    /// The listening socket itself.
    pub listener: TcpListener,
    /// Notified when traffic is accepted.
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
    pub connections: ConnectionCounter,
    /// Turns true when draining begins.
    pub stop: watch::Receiver<bool>,
}

/// The listening service. It stops accepting when `stop` turns true, which is when draining
/// begins, and not when Pingora's own shutdown does: that one cuts off what is in flight.
pub struct TrafficService {
    service: Listening<TrafficApp>,
    address: String,
    listener: Option<TcpListener>,
    started: Option<oneshot::Sender<()>>,
    stop: watch::Receiver<bool>,
}

struct TrafficApp {
    admission: Arc<RequestAdmission>,
    http: auto::Builder<TokioExecutor>,
    connections: ConnectionCounter,
    identity: Option<Acceptor>,
    limits: ConnectionLimits,
    head_timeout: Duration,
}

/// What the exchanges of one connection share.
struct ConnectionContext {
    admission: Arc<RequestAdmission>,
    connection: DownstreamConnection,
    stats: Arc<ConnectionStats>,
    /// Whether the connection is to end after the next response.
    closing: AtomicBool,
    resets: usize,
}

/// The peer gives up exchanges faster than it may; what it begins now is not served.
#[derive(Debug, thiserror::Error)]
#[error("too many exchanges given up")]
struct TooManyResets;

/// Makes the traffic service.
pub fn traffic_service(parts: TrafficParts) -> TrafficService {
    let address = parts.listen.to_string();
    let app = TrafficApp {
        http: http_builder(&parts.limits),
        admission: Arc::new(parts.admission),
        connections: parts.connections,
        identity: parts.identity,
        limits: parts.limits,
        head_timeout: parts.head_timeout,
    };
    let mut service = Listening::new("traffic".to_owned(), app);
    let mut options = TcpSocketOptions::default();
    // Finds peers that vanished, such as behind an idle WebSocket.
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_mins(1),
        interval: Duration::from_secs(15),
        count: 4,
        user_timeout: Duration::ZERO,
    });
    // hyper brings buffers of its own: Pingora's would copy every byte once more and hold 64 KiB
    // per connection.
    let listener = ListenerConfig::tcp(address.clone()).tcp_socket_options(options);
    service.add_listener(listener.l4_buffer(L4BufferSettings::unbuffered()));
    service.threads = Some(parts.threads);
    TrafficService {
        service,
        address,
        listener: Some(parts.listener),
        started: Some(parts.started),
        stop: parts.stop,
    }
}

/// HTTP as it is spoken downstream. hyper's own timer for heads is off: it makes a timer for
/// every request, where [`ConnectionMonitor`] checks each connection at intervals.
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
        Service::start_service(&mut self.service, fds, self.stop.clone(), listeners_per_fd).await;
    }

    fn name(&self) -> &'static str {
        "traffic"
    }

    fn threads(&self) -> Option<usize> {
        Service::threads(&self.service)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Service::listen_addresses(&self.service)
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
        let metrics = self.admission.handler().metrics();
        let gauge = GaugeGuard::new(&metrics.connections);
        let guard = CountedConnection::new(&self.connections, gauge);
        if self.connections.open() > self.limits.connections {
            metrics.record_refused("connections");
            return None;
        }
        let ip = stream
            .get_socket_digest()
            .and_then(|digest| digest.peer_addr().and_then(|peer| peer.as_inet().copied()))
            .map(|peer| peer.ip());
        let (transport, peer) = match &self.identity {
            None => {
                (Transport::Plain(stream), DownstreamPeer { ip, subject: None, encrypted: false })
            }
            Some(identity) => {
                // The acceptor counts failed handshakes.
                let secured = identity.accept(stream, self.head_timeout).await.ok()?;
                let peer = DownstreamPeer { ip, subject: secured.subject, encrypted: true };
                (Transport::Tls(Box::new(secured.stream)), peer)
            }
        };
        let stats = Arc::new(ConnectionStats::default());
        let interim = InterimResponses::default();
        let stream = DownstreamStream::new(transport, stats.clone(), interim.clone(), guard);
        let context = ConnectionContext {
            admission: self.admission.clone(),
            connection: DownstreamConnection {
                peer,
                worker: self.admission.handler().worker(),
                interim,
                waker: TrackedWaker::new(),
            },
            stats,
            closing: AtomicBool::new(false),
            resets: self.limits.resets,
        };
        self.serve(stream, Arc::new(context), shutdown.clone()).await;
        None
    }
}

impl TrafficApp {
    /// Serves one connection until it ends, is found idle or abusive, or draining ends it.
    async fn serve(
        &self,
        stream: DownstreamStream,
        context: Arc<ConnectionContext>,
        mut shutdown: ShutdownWatch,
    ) {
        // h2 needs a future of its own per stream, hence the clone.
        let service =
            service_fn(|request| ConnectionContext::serve_exchange(context.clone(), request));
        let connection = self.http.serve_connection_with_upgrades(TokioIo::new(stream), service);
        let connection = std::pin::pin!(connection);
        let mut connection = PollWhenWoken::new(connection, context.connection.waker.clone());
        let clock = self.admission.handler().clock();
        let mut monitor = ConnectionMonitor::new(self.limits, self.head_timeout, clock.instant());
        let mut interval = monitor.interval();
        let check_timer = std::pin::pin!(tokio::time::sleep(interval));
        let mut check_timer = PollWhenWoken::new(check_timer, TrackedWaker::new());
        let stop = std::pin::pin!(wait_for_stop(&mut shutdown));
        let mut stop = PollWhenWoken::new(stop, TrackedWaker::new());
        let mut drain_deadline = None;
        loop {
            tokio::select! {
                biased;
                ended = &mut connection => {
                    if let Err(error) = ended {
                        self.record_failure(&*error);
                    }
                    return;
                }
                () = &mut stop, if drain_deadline.is_none() => {
                    context.closing.store(true, Ordering::Relaxed);
                    drain_deadline = Some(clock.instant() + DRAIN_GRACE);
                    interval = DRAIN_CHECK_INTERVAL;
                    check_timer.woken_mut().as_mut().reset(Instant::now());
                    if context.stats.snapshot().multiplexed {
                        // GOAWAY says which exchanges are still served: nothing is cut off.
                        connection.woken_mut().as_mut().graceful_shutdown();
                    }
                }
                () = &mut check_timer => {
                    let now = clock.instant();
                    check_timer.woken_mut().as_mut().reset(Instant::now() + interval);
                    match monitor.check(context.stats.snapshot(), now) {
                        MonitorAction::Abort(abuse) => {
                            self.admission.handler().metrics().record_refused(abuse.as_str());
                            return;
                        }
                        MonitorAction::CloseIdle => connection.woken_mut().as_mut().graceful_shutdown(),
                        MonitorAction::Continue if drain_deadline.is_some_and(|end| now >= end) => {
                            connection.woken_mut().as_mut().graceful_shutdown();
                        }
                        // If a wake was ever deferred wrongly, its delay ends here.
                        MonitorAction::Continue => drop(connection.woken_mut()),
                    }
                }
            }
        }
    }

    /// Counts a head that hyper refused; a peer that breaks off is not counted.
    fn record_failure(&self, error: &(dyn std::error::Error + Send + Sync + 'static)) {
        let Some(error) = error.downcast_ref::<hyper::Error>() else { return };
        if error.is_parse_too_large() {
            self.admission.handler().metrics().record_refused("head_too_large");
        } else if error.is_parse() {
            self.admission.handler().metrics().record_refused("malformed");
        }
    }
}

/// Waits until draining begins; the borrow of the watched value ends here.
async fn wait_for_stop(shutdown: &mut ShutdownWatch) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

// === impl ConnectionContext ===

impl ConnectionContext {
    async fn serve_exchange(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<ResponseBodyGuard<ResponseBody>>, TooManyResets> {
        let version = request.version();
        let multiplexed = version == Version::HTTP_2;
        if multiplexed && self.stats.abandoned() > self.resets {
            return Err(TooManyResets);
        }
        let exchange = self.stats.begin_exchange(multiplexed);
        let LimitedResponse { mut response, limit, permits } =
            self.admission.serve(request, &self.connection).await;
        if self.closing.load(Ordering::Relaxed) && !multiplexed {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(response.map(|body| exchange.guard_body(body, limit, permits)))
    }
}
