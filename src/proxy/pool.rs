//! Idle connections to the upstream, one pool per traffic thread.
//!
//! A connection is served by the thread that opened it and reused by that thread alone, so
//! that no exchange crosses threads. The lock is therefore never contended.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use hyper::client::conn::http1::SendRequest;
use parking_lot::{Mutex, RwLock};

use super::hold::Payload;
use super::tap::{EndObserver, Tap};
use crate::model::clock::Clock;

/// A connection that can carry one request at a time.
pub type Sender = SendRequest<Tap<Payload>>;

/// A traffic thread, by a number that indexes the pools of every upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane(usize);

/// Numbers traffic threads as they come.
#[derive(Debug, Default)]
pub struct Lanes(RwLock<HashMap<ThreadId, Lane>>);

/// Idle connections to one upstream, a pool for each traffic thread.
pub struct Pools(Vec<Arc<Pool>>);

/// Idle connections of one thread.
pub struct Pool {
    idle: Mutex<VecDeque<Idle>>,
    most: usize,
    timeout: Duration,
    clock: Arc<dyn Clock>,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

/// Brings a connection back once its response has passed whole, and ends the exchange.
pub struct Return {
    sender: Sender,
    pool: Arc<Pool>,
    _in_flight: super::metrics::Raised,
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
}

// === impl Pool ===

impl Pool {
    /// A pool of at most `most` connections, each kept at most `timeout` unused.
    pub fn new(most: usize, timeout: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { idle: Mutex::new(VecDeque::new()), most, timeout, clock }
    }

    /// The connection used last that is still good.
    pub fn take(&self) -> Option<Sender> {
        let now = self.clock.instant();
        let mut idle = self.idle.lock();
        while let Some(candidate) = idle.pop_back() {
            let fresh = now.saturating_duration_since(candidate.since) < self.timeout;
            if fresh && candidate.sender.is_ready() {
                return Some(candidate.sender);
            }
        }
        None
    }

    fn put(&self, sender: Sender) {
        let now = self.clock.instant();
        let mut idle = self.idle.lock();
        let stale = |front: &Idle| {
            front.sender.is_closed() || now.saturating_duration_since(front.since) >= self.timeout
        };
        while idle.front().is_some_and(stale) || idle.len() > self.most {
            idle.pop_front();
        }
        if self.most > 0 {
            idle.push_back(Idle { sender, since: now });
        }
    }
}

// === impl Return ===

impl Return {
    /// Will put `sender` back into `pool`.
    pub fn new(sender: Sender, pool: Arc<Pool>, in_flight: super::metrics::Raised) -> Self {
        Self { sender, pool, _in_flight: in_flight }
    }
}

impl EndObserver for Return {
    fn ended(self: Box<Self>, whole: bool) {
        if !whole {
            return;
        }
        let Self { mut sender, pool, .. } = *self;
        if sender.is_ready() {
            pool.put(sender);
        } else if !sender.is_closed() {
            // The rest of the request is still on its way; the connection is good after that.
            tokio::spawn(async move {
                if sender.ready().await.is_ok() {
                    pool.put(sender);
                }
            });
        }
    }
}

impl std::fmt::Debug for Return {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Return").finish_non_exhaustive()
    }
}
