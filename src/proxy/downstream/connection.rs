//! One downstream connection: its peer, what its exchanges share, how it is counted, and the
//! tunnel that it becomes after an upgrade.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::proxy::downstream::interim::InterimResponses;
use crate::proxy::metrics::GaugeGuard;
use crate::proxy::upstream::pool::WorkerId;
use crate::proxy::waker::TrackedWaker;

/// Counts downstream connections, for draining. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ConnectionCounter(Arc<AtomicUsize>);

/// One connection, counted while it lives.
pub struct CountedConnection {
    connections: ConnectionCounter,
    _gauge: GaugeGuard,
}

/// One downstream connection, as its exchanges see it.
pub struct DownstreamConnection {
    /// The other end.
    pub peer: DownstreamPeer,
    /// The worker thread that serves it.
    pub worker: WorkerId,
    /// Where interim responses go.
    pub interim: InterimResponses,
    /// Wakes its task.
    pub waker: TrackedWaker,
}

/// The other end of one downstream connection.
#[derive(Debug, Clone, Default)]
pub struct DownstreamPeer {
    /// Its address, where it has one.
    pub ip: Option<IpAddr>,
    /// Subject of the certificate it showed, verified.
    pub subject: Option<Arc<str>>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// Copies bytes between the two upgraded connections. Ends when both directions have ended or
/// either fails; nothing in the tunnel is validated.
pub async fn tunnel(downstream: OnUpgrade, upstream: OnUpgrade, in_flight: GaugeGuard) {
    let _in_flight = in_flight;
    let (Ok(downstream), Ok(upstream)) = tokio::join!(downstream, upstream) else {
        return;
    };
    let mut downstream = TokioIo::new(downstream);
    let mut upstream = TokioIo::new(upstream);
    // A peer that resets an upgraded connection is how most of them end.
    let _ = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await;
}

// === impl ConnectionCounter ===

impl ConnectionCounter {
    /// Connections open now.
    pub fn open(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }
}

// === impl CountedConnection ===

impl CountedConnection {
    /// Counts a connection in `connections`, and in `gauge` as long as it lives.
    pub fn new(connections: &ConnectionCounter, gauge: GaugeGuard) -> Self {
        connections.0.fetch_add(1, Ordering::AcqRel);
        Self { connections: connections.clone(), _gauge: gauge }
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        self.connections.0.fetch_sub(1, Ordering::AcqRel);
    }
}
