//! Start and stop: ready, drain, flush, exit, each with a deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::proxy::Connections;

/// What the process is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Not all parts are up.
    Starting,
    /// Traffic is served.
    Running,
    /// No new connections; exchanges in flight finish.
    Draining,
}

/// The phase, shared. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct PhaseWatch(Arc<AtomicU8>);

/// Turns SIGTERM and SIGINT into a drain: listeners close first, exchanges in flight finish
/// within the deadline, then Pingora ends its runtimes. A second signal ends the drain.
pub struct Drain {
    /// Closes the listeners when set.
    pub stop: watch::Sender<bool>,
    /// Connections to wait for.
    pub connections: Connections,
    /// The longest that draining may take.
    pub timeout: Duration,
    /// Told about each step.
    pub phase: PhaseWatch,
}

// === impl PhaseWatch ===

impl PhaseWatch {
    /// The phase now.
    pub fn get(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Starting,
            1 => Phase::Running,
            _ => Phase::Draining,
        }
    }

    /// Enters `phase`.
    pub fn set(&self, phase: Phase) {
        let number = match phase {
            Phase::Starting => 0,
            Phase::Running => 1,
            Phase::Draining => 2,
        };
        self.0.store(number, Ordering::Release);
    }
}

// === impl Drain ===

impl Drain {
    async fn drained(&self) {
        const STEP: Duration = Duration::from_millis(10);
        while self.connections.open() > 0 {
            tokio::time::sleep(STEP).await;
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        next_signal().await;
        self.phase.set(Phase::Draining);
        let in_flight = self.connections.open();
        tracing::info!(event = "draining", connections = in_flight, "finishing what is in flight");
        // Fails only when nobody listens any more, which is what it asks for.
        let _ = self.stop.send(true);
        tokio::select! {
            () = self.drained() => {}
            () = next_signal() => {
                tracing::warn!(event = "drain_cut_short", "a second signal ends the drain");
            }
            () = tokio::time::sleep(self.timeout) => {
                let left = self.connections.open();
                tracing::warn!(event = "drain_timeout", connections = left, "connections are cut");
            }
        }
        ShutdownSignal::FastShutdown
    }
}

/// Waits for SIGTERM or SIGINT; forever where signals cannot be watched.
async fn next_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
