//! Connections to one address of an upstream, one pool per traffic thread.
//!
//! A connection is served by the thread that opened it and reused by that thread alone, so
//! that no exchange crosses threads. The lock is therefore never contended. An HTTP/1.1
//! connection carries one exchange and comes back when its response has passed whole; an
//! HTTP/2 connection stays in the pool and carries many. Nobody moves an unused HTTP/1.1
//! connection ([`Link`]), so that the pool is to be [swept](Pool::sweep) now and then.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use http::Request;
use hyper::client::conn::http2;
use parking_lot::{Mutex, RwLock};

use super::connection::{as_http1, as_http2};
use super::hold::Payload;
use super::link::{Driver, Link, Patience, Sent};
use super::metrics::UpstreamFailure;
use super::tap::Tap;
use super::upstream::{Occupied, Target};
use crate::model::clock::Clock;

/// The body of a request on its way up.
///
/// On the heap: a request is moved many times before it is written.
pub type Outgoing = Box<Tap<Payload>>;

/// Exchanges that one HTTP/2 connection carries at once before another one is opened; servers
/// commonly allow this many.
const MOST_STREAMS: usize = 100;

/// A traffic thread, by a number that indexes the pools of every upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane(usize);

/// Numbers traffic threads as they come.
#[derive(Debug, Default)]
pub struct Lanes(RwLock<HashMap<ThreadId, Lane>>);

/// Connections to one address, a pool for each traffic thread.
pub struct Pools(Vec<Arc<Pool>>);

/// Connections of one thread to one address.
pub struct Pool {
    target: Arc<Target>,
    connections: Mutex<Connections>,
    /// Held while a connection is made that others can share.
    opening: tokio::sync::Mutex<()>,
    most: usize,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

#[derive(Default)]
struct Connections {
    idle: VecDeque<Idle>,
    shared: Vec<Shared>,
}

struct Idle {
    link: Box<Link>,
    since: Instant,
}

/// A connection that carries many exchanges.
struct Shared {
    sender: http2::SendRequest<Outgoing>,
    streams: Arc<AtomicUsize>,
}

/// One exchange's place on a connection that carries many.
pub struct Place {
    sender: http2::SendRequest<Outgoing>,
    streams: Arc<AtomicUsize>,
}

/// A way to send one request.
pub enum Sender {
    /// On a connection of its own.
    Http1(Box<Link>),
    /// On a connection shared with others.
    Http2(Place),
}

/// One exchange's hold on a connection, from its request to the end of its response.
pub struct Lease {
    sender: Sender,
    pool: Arc<Pool>,
    occupied: Option<Occupied>,
}

// === impl Lanes ===

impl Lanes {
    /// The lane of the calling thread.
    pub fn mine(&self) -> Lane {
        let thread = std::thread::current().id();
        if let Some(lane) = self.0.read().get(&thread) {
            return *lane;
        }
        let mut lanes = self.0.write();
        let next = Lane(lanes.len());
        *lanes.entry(thread).or_insert(next)
    }
}

// === impl Pools ===

impl Pools {
    /// A pool for each of `threads` lanes, at least one, made by `make`.
    pub fn new(threads: usize, make: impl Fn() -> Pool) -> Self {
        Self((0..threads.max(1)).map(|_| Arc::new(make())).collect())
    }

    /// The pool of a lane. Lanes share where there are more of them than was said.
    pub fn of(&self, Lane(lane): Lane) -> &Arc<Pool> {
        &self.0[lane % self.0.len()]
    }

    /// Sweeps each of them.
    pub fn sweep(&self) {
        for pool in &self.0 {
            pool.sweep();
        }
    }
}

// === impl Pool ===

impl Pool {
    /// A pool of connections to `target`: at most `most` unused ones, each kept at most
    /// `timeout`.
    pub fn new(target: Arc<Target>, most: usize, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        let connections = Mutex::default();
        Self { target, connections, opening: tokio::sync::Mutex::new(()), most, timeout, clock }
    }

    /// The address that the connections lead to.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// A connection that is open already: the HTTP/1.1 one used last that is still good, or an
    /// HTTP/2 one with room unless `only_http1`.
    pub fn take(&self, only_http1: bool, now: Instant) -> Option<Sender> {
        let mut connections = self.connections.lock();
        while let Some(candidate) = connections.idle.pop_back() {
            let fresh = now.saturating_duration_since(candidate.since) < self.timeout;
            if fresh && candidate.link.is_ready() {
                return Some(Sender::Http1(candidate.link));
            }
        }
        if only_http1 || connections.shared.is_empty() {
            return None;
        }
        connections.shared.retain(|shared| !shared.sender.is_closed());
        connections.shared.iter().find_map(Shared::enter).map(Sender::Http2)
    }

    /// Waits until nobody opens a connection that can be shared; nobody begins to while the
    /// guard is held.
    pub async fn opening(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.opening.lock().await
    }

    /// Keeps an HTTP/2 connection for everybody, and enters it first.
    pub fn share(&self, sender: http2::SendRequest<Outgoing>) -> Sender {
        let streams = Arc::new(AtomicUsize::new(1));
        let place = Place { sender: sender.clone(), streams: streams.clone() };
        self.connections.lock().shared.push(Shared { sender, streams });
        Sender::Http2(place)
    }

    /// Lets go of unused connections that their other end has closed, and of those that are too
    /// old. The lock is held for some nanoseconds each: nothing has happened to most of them.
    pub fn sweep(&self) {
        let now = self.clock.instant();
        self.connections.lock().idle.retain_mut(|one| {
            one.link.settle();
            !one.link.is_closed() && now.saturating_duration_since(one.since) < self.timeout
        });
    }

    fn put(&self, link: Box<Link>) {
        if self.target.is_gone() {
            return;
        }
        let now = self.clock.instant();
        let idle = &mut self.connections.lock().idle;
        let stale = |front: &Idle| {
            front.link.is_closed() || now.saturating_duration_since(front.since) >= self.timeout
        };
        while idle.front().is_some_and(stale) || idle.len() > self.most {
            idle.pop_front();
        }
        if self.most > 0 {
            idle.push_back(Idle { link, since: now });
        }
    }
}

// === impl Shared ===

impl Shared {
    /// A place on the connection, if it has one free.
    fn enter(&self) -> Option<Place> {
        let room = |streams| (streams < MOST_STREAMS).then_some(streams + 1);
        let entered = self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room);
        let place = || Place { sender: self.sender.clone(), streams: self.streams.clone() };
        entered.is_ok().then(place)
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Lease ===

impl Lease {
    /// A hold on `sender`, which belongs to `pool`.
    pub fn new(sender: Sender, pool: Arc<Pool>, occupied: Option<Occupied>) -> Self {
        Self { sender, pool, occupied }
    }

    /// What it occupied, when nothing came of it.
    pub fn into_occupied(self) -> Option<Occupied> {
        self.occupied
    }

    /// Sends `request` in the form that the connection speaks, and waits for the head of its
    /// response. What was not sent comes back with the error.
    pub async fn send(
        &mut self,
        mut request: Request<Outgoing>,
        patience: Patience<'_>,
    ) -> Result<Sent, UpstreamFailure> {
        match &mut self.sender {
            Sender::Http1(link) => {
                as_http1(&mut request);
                link.send(request, patience).await
            }
            Sender::Http2(place) => {
                as_http2(&mut request, self.pool.target.encrypted);
                let sending = place.sender.try_send_request(request);
                patience.with(sending).await
            }
        }
    }

    /// What moves the connection, where its user does it.
    pub fn driver(&mut self) -> Option<&mut Driver> {
        match &mut self.sender {
            Sender::Http1(link) => Some(link.driver()),
            Sender::Http2(_) => None,
        }
    }

    /// Brings the connection back: its response has passed whole.
    pub fn give_back(self) {
        let Self { sender: Sender::Http1(mut link), pool, .. } = self else { return };
        link.rest();
        if link.is_ready() {
            pool.put(link);
        } else if !link.is_closed() {
            // The rest of the request is still on its way; the connection is good after that.
            tokio::spawn(async move {
                if link.ready().await {
                    pool.put(link);
                }
            });
        }
    }
}
