//! Callers that ask the same again and again on connections that they keep.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};

use super::{Client, eventually};

/// Callers at work; they stop when told to.
pub(crate) struct LoadGenerator {
    shared: Arc<LoadCounts>,
    callers: Vec<JoinHandle<()>>,
}

/// What the callers met.
#[derive(Debug, Default)]
pub(crate) struct LoadCounts {
    stop: AtomicBool,
    /// Exchanges that ended with 200.
    pub(crate) answered: AtomicUsize,
    /// Connections that were refused.
    pub(crate) unconnected: AtomicUsize,
    /// Exchanges that broke off on a connection that had not served one yet.
    pub(crate) unserved: AtomicUsize,
    /// Exchanges that broke off, or ended otherwise, on a connection that had.
    pub(crate) failed: AtomicUsize,
}

// === impl LoadGenerator ===

impl LoadGenerator {
    /// Starts `callers` that send `request` to `address`.
    pub(crate) fn start(address: SocketAddr, callers: usize, request: &'static str) -> Self {
        let shared = Arc::new(LoadCounts::default());
        let callers = (0..callers).map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.call(address, request))
        });
        Self { callers: callers.collect(), shared }
    }

    /// Waits until `n` more exchanges have been answered.
    #[track_caller]
    pub(crate) fn wait_for(&self, n: usize) {
        let target = self.shared.answered.load(Ordering::SeqCst) + n;
        eventually("answers under load", || {
            let answered = self.shared.answered.load(Ordering::SeqCst);
            if answered >= target { Ok(()) } else { Err(format!("{:?}", self.shared)) }
        });
    }

    /// Stops the callers and says what they met.
    pub(crate) fn finish(self) -> Arc<LoadCounts> {
        self.shared.stop.store(true, Ordering::SeqCst);
        for caller in self.callers {
            caller.join().expect("a caller");
        }
        self.shared
    }
}

// === impl LoadCounts ===

impl LoadCounts {
    fn call(&self, address: SocketAddr, request: &str) {
        let mut kept: Option<Client> = None;
        while !self.stop.load(Ordering::SeqCst) {
            let served = kept.is_some();
            let Some(mut client) = kept.take().or_else(|| self.connect(address)) else { continue };
            let answer = client.try_send(request).and_then(|()| client.try_read("GET"));
            match answer {
                Ok(answer) if answer.status() == 200 => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    let closes = answer.all("connection").iter().any(|it| it == "close");
                    kept = (!closes).then_some(client);
                }
                _ if served => drop(self.failed.fetch_add(1, Ordering::SeqCst)),
                _ => drop(self.unserved.fetch_add(1, Ordering::SeqCst)),
            }
        }
    }

    fn connect(&self, address: SocketAddr) -> Option<Client> {
        let connected = TcpStream::connect(address);
        if connected.is_err() {
            self.unconnected.fetch_add(1, Ordering::SeqCst);
            thread::yield_now();
        }
        connected.ok().map(Client::on)
    }
}
