//! Connections to one address of an upstream, one pool per traffic thread.
//!
//! A connection is served by the thread that opened it and reused by that thread alone, so
//! that no exchange crosses threads. The lock is therefore never contended. An HTTP/1.1
//! connection carries one exchange and comes back when its response has passed whole; an
//! HTTP/2 connection stays in the pool and carries many. No task polls an unused HTTP/1.1
//! connection ([`UpstreamConnection`]), so that [`ConnectionPool::evict_idle`] must run at
//! intervals.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use http::Request;
use hyper::client::conn::http2;
use parking_lot::{Mutex, RwLock};

use crate::model::clock::Clock;
use crate::proxy::body::buffer::OutgoingBody;
use crate::proxy::hop_by_hop::{convert_to_http1, convert_to_http2};
use crate::proxy::metrics::UpstreamFailure;
use crate::proxy::upstream::connection::{
    ConnectionDriver, ResponseTimeout, SendResult, UpstreamConnection,
};
use crate::proxy::upstream::{InFlightGuard, UpstreamEndpoint};

/// Exchanges that one HTTP/2 connection carries at once before another one is opened; servers
/// commonly allow this many.
const MASTREAMS: usize = 100;

/// The number of a traffic thread; indexes the pools of every upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerId(usize);

/// Numbers traffic threads as they come.
#[derive(Debug, Default)]
pub struct WorkerIds(RwLock<HashMap<ThreadId, WorkerId>>);

/// Connections to one address, a pool for each traffic thread.
pub struct WorkerPools(Vec<Arc<ConnectionPool>>);

/// Connections of one thread to one address.
pub struct ConnectionPool {
    endpoint: Arc<UpstreamEndpoint>,
    connections: Mutex<PooledConnections>,
    /// Held while a connection is made that others can share.
    opening: tokio::sync::Mutex<()>,
    max_idle: usize,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct PooledConnections {
    idle: VecDeque<IdleConnection>,
    shared: Vec<SharedConnection>,
}

struct IdleConnection {
    connection: Box<UpstreamConnection>,
    since: Instant,
}

/// A connection that carries many exchanges.
struct SharedConnection {
    sender: http2::SendRequest<OutgoingBody>,
    streams: Arc<AtomicUsize>,
}

/// One exchange's stream on a connection that carries many.
pub struct StreamSlot {
    sender: http2::SendRequest<OutgoingBody>,
    streams: Arc<AtomicUsize>,
}

/// A way to send one request.
pub enum RequestSender {
    /// On a connection of its own.
    Http1(Box<UpstreamConnection>),
    /// On a connection shared with others.
    Http2(StreamSlot),
}

/// One exchange's use of a connection, from its request to the end of its response.
pub struct ConnectionLease {
    sender: RequestSender,
    pool: Arc<ConnectionPool>,
    in_flight: Option<InFlightGuard>,
}

// === impl WorkerIds ===

impl WorkerIds {
    /// The id of the calling thread.
    pub fn current(&self) -> WorkerId {
        let thread = std::thread::current().id();
        if let Some(worker) = self.0.read().get(&thread) {
            return *worker;
        }
        let mut workers = self.0.write();
        let next = WorkerId(workers.len());
        *workers.entry(thread).or_insert(next)
    }
}

// === impl WorkerPools ===

impl WorkerPools {
    /// A pool for each of `threads` workers, at least one, made by `make`.
    pub fn new(threads: usize, make: impl Fn() -> ConnectionPool) -> Self {
        Self((0..threads.max(1)).map(|_| Arc::new(make())).collect())
    }

    /// The pool of a worker. Workers share pools where there are more of them than pools.
    pub fn for_worker(&self, WorkerId(worker): WorkerId) -> &Arc<ConnectionPool> {
        &self.0[worker % self.0.len()]
    }

    /// Evicts idle connections of each.
    pub fn evict_idle(&self) {
        for pool in &self.0 {
            pool.evict_idle();
        }
    }
}

// === impl ConnectionPool ===

impl ConnectionPool {
    /// A pool of connections to `endpoint`: at most `max_idle` unused ones, each kept at most
    /// `timeout`.
    pub fn new(
        endpoint: Arc<UpstreamEndpoint>,
        max_idle: usize,
        timeout: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let connections = Mutex::default();
        Self {
            endpoint,
            connections,
            opening: tokio::sync::Mutex::new(()),
            max_idle,
            timeout,
            clock,
        }
    }

    /// The address that the connections lead to.
    pub fn endpoint(&self) -> &Arc<UpstreamEndpoint> {
        &self.endpoint
    }

    /// A connection that is open already: the HTTP/1.1 one used last that is still good, or an
    /// HTTP/2 one with room unless `only_http1`.
    pub fn take(&self, only_http1: bool, now: Instant) -> Option<RequestSender> {
        let mut connections = self.connections.lock();
        while let Some(candidate) = connections.idle.pop_back() {
            let fresh = now.saturating_duration_since(candidate.since) < self.timeout;
            if fresh && candidate.connection.is_ready() {
                return Some(RequestSender::Http1(candidate.connection));
            }
        }
        if only_http1 || connections.shared.is_empty() {
            return None;
        }
        connections.shared.retain(|shared| !shared.sender.is_closed());
        connections.shared.iter().find_map(SharedConnection::try_reserve).map(RequestSender::Http2)
    }

    /// The lock that the one exchange holds that opens a connection to be shared.
    pub async fn lock_opening(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.opening.lock().await
    }

    /// Adds an HTTP/2 connection to the pool, and takes its first stream.
    pub fn share(&self, sender: http2::SendRequest<OutgoingBody>) -> RequestSender {
        let streams = Arc::new(AtomicUsize::new(1));
        let slot = StreamSlot { sender: sender.clone(), streams: streams.clone() };
        self.connections.lock().shared.push(SharedConnection { sender, streams });
        RequestSender::Http2(slot)
    }

    /// Evicts unused connections that their other end has closed, and of those that are too
    /// old. The lock is held for some nanoseconds each: nothing has happened to most of them.
    pub fn evict_idle(&self) {
        let now = self.clock.instant();
        self.connections.lock().idle.retain_mut(|one| {
            one.connection.poll_once();
            !one.connection.is_closed() && now.saturating_duration_since(one.since) < self.timeout
        });
    }

    fn put(&self, connection: Box<UpstreamConnection>) {
        if self.endpoint.is_removed() {
            return;
        }
        let now = self.clock.instant();
        let idle = &mut self.connections.lock().idle;
        let stale = |front: &IdleConnection| {
            front.connection.is_closed()
                || now.saturating_duration_since(front.since) >= self.timeout
        };
        while idle.front().is_some_and(stale) || idle.len() > self.max_idle {
            idle.pop_front();
        }
        if self.max_idle > 0 {
            idle.push_back(IdleConnection { connection, since: now });
        }
    }
}

// === impl SharedConnection ===

impl SharedConnection {
    /// A stream on the connection, if it has one free.
    fn try_reserve(&self) -> Option<StreamSlot> {
        let room = |streams| (streams < MASTREAMS).then_some(streams + 1);
        let entered = self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        let slot = || StreamSlot { sender: self.sender.clone(), streams: self.streams.clone() };
        entered.is_ok().then(slot)
    }
}

// === impl StreamSlot ===

impl Drop for StreamSlot {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl ConnectionLease ===

impl ConnectionLease {
    /// A lease of `sender`, which belongs to `pool`.
    pub fn new(
        sender: RequestSender,
        pool: Arc<ConnectionPool>,
        in_flight: Option<InFlightGuard>,
    ) -> Self {
        Self { sender, pool, in_flight }
    }

    /// Its count of the exchange, where nothing was sent.
    pub fn into_in_flight(self) -> Option<InFlightGuard> {
        self.in_flight
    }

    /// Sends `request` in the form that the connection speaks, and waits for the head of its
    /// response. What was not sent comes back with the error.
    pub async fn send(
        &mut self,
        mut request: Request<OutgoingBody>,
        wait: ResponseTimeout<'_>,
    ) -> Result<SendResult, UpstreamFailure> {
        match &mut self.sender {
            RequestSender::Http1(connection) => {
                convert_to_http1(&mut request);
                connection.send(request, wait).await
            }
            RequestSender::Http2(slot) => {
                convert_to_http2(&mut request, self.pool.endpoint.encrypted);
                let sending = slot.sender.try_send_request(request);
                wait.wait_for(sending).await
            }
        }
    }

    /// What moves the connection, where its user does it.
    pub fn driver(&mut self) -> Option<&mut ConnectionDriver> {
        match &mut self.sender {
            RequestSender::Http1(connection) => Some(connection.driver()),
            RequestSender::Http2(_) => None,
        }
    }

    /// Returns the connection: its response has passed whole.
    pub fn return_to_pool(self) {
        let Self { sender: RequestSender::Http1(mut connection), pool, .. } = self else { return };
        connection.park();
        if connection.is_ready() {
            pool.put(connection);
        } else if !connection.is_closed() {
            // The rest of the request is still on its way; the connection is good after that.
            tokio::spawn(async move {
                if connection.ready().await {
                    pool.put(connection);
                }
            });
        }
    }
}
