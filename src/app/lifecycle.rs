//! Start and stop: ready, drain, flush, exit, each with a deadline; and the signals for it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::error::StartError;
use super::handover::{HandoverError, Sockets};
use crate::proxy::ConnectionCounter;

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

/// The signals that steer the process. They are asked for before anything else is done: none
/// is lost, and none is ignored where the process is the first of its container.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Option<Signal>,
}

/// What a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ShutdownRequest {
    /// SIGTERM or SIGINT.
    Stop,
    /// SIGQUIT.
    HandOver,
}

/// Turns SIGTERM and SIGINT into a drain: listeners close first, exchanges in flight finish
/// within the deadline, then Pingora ends its runtimes. A second signal ends the drain. SIGQUIT
/// hands the listeners to a successor first, and drains only once that takes traffic.
pub struct Drain {
    /// The signals.
    pub signals: tokio::sync::Mutex<Signals>,
    /// Closes the listeners when set.
    pub stop: watch::Sender<bool>,
    /// Closes the admin port when set.
    pub stop_admin: Arc<watch::Sender<bool>>,
    /// The listening sockets, for a successor.
    pub sockets: Mutex<Option<Arc<Sockets>>>,
    /// Where a successor waits for them.
    pub upgrade_socket: PathBuf,
    /// Connections to wait for.
    pub connections: ConnectionCounter,
    /// The longest that draining may take.
    pub timeout: Duration,
    /// Set at each step.
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

// === impl Signals ===

impl Signals {
    /// Asks for them; within a runtime.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            hangup: Some(signal(SignalKind::hangup())?),
        })
    }

    /// Does `work`, unless told to stop before it is done.
    pub async fn unless_stopped<T>(
        &mut self,
        work: impl Future<Output = Result<T, StartError>>,
    ) -> Result<T, StartError> {
        tokio::select! {
            done = work => done,
            () = self.stop() => Err(StartError::Stopped),
        }
    }

    /// SIGHUP, for the part that reads files again. Given away once.
    pub fn take_hangup(&mut self) -> Option<Signal> {
        self.hangup.take()
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    async fn next(&mut self) -> ShutdownRequest {
        tokio::select! {
            _ = self.terminate.recv() => ShutdownRequest::Stop,
            _ = self.interrupt.recv() => ShutdownRequest::Stop,
            _ = self.quit.recv() => ShutdownRequest::HandOver,
        }
    }
}

// === impl Drain ===

impl Drain {
    async fn wait_until_drained(&self) {
        const STEP: Duration = Duration::from_millis(10);
        while self.connections.open() > 0 {
            tokio::time::sleep(STEP).await;
        }
    }

    /// Hands the sockets to a successor; true when it takes traffic.
    async fn hand_over(&self) -> bool {
        let Some(sockets) = self.sockets.lock().clone() else { return false };
        let path = self.upgrade_socket.clone();
        tracing::info!(event = "handover_started", socket = %path.display(), "looking for a successor");
        match run_on_thread(move || sockets.hand_over(&path)).await {
            Ok(()) => {
                tracing::info!(event = "handover_finished", "a successor takes traffic");
                let _ = self.stop_admin.send(true);
                true
            }
            Err(error) => {
                tracing::error!(event = "handover_failed", %error, "serving goes on");
                false
            }
        }
    }

    async fn wait_for_shutdown_request(&self, signals: &mut Signals) {
        loop {
            match signals.next().await {
                ShutdownRequest::Stop => return,
                ShutdownRequest::HandOver => tokio::select! {
                    handed_over = self.hand_over() => if handed_over { return },
                    () = signals.stop() => return,
                },
            }
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Drain {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        self.wait_for_shutdown_request(&mut signals).await;
        self.phase.set(Phase::Draining);
        let in_flight = self.connections.open();
        tracing::info!(event = "draining", connections = in_flight, "finishing what is in flight");
        // Our own copies would keep the ports open.
        drop(self.sockets.lock().take());
        // Fails only when every listener is closed, which is what it asks for.
        let _ = self.stop.send(true);
        tokio::select! {
            () = self.wait_until_drained() => {}
            () = signals.stop() => {
                tracing::warn!(event = "drain_interrupted", "a second signal ends the drain");
            }
            () = tokio::time::sleep(self.timeout) => {
                let left = self.connections.open();
                tracing::warn!(event = "drain_timeout", connections = left, "connections are cut");
            }
        }
        ShutdownSignal::FastShutdown
    }
}

/// Does blocking work on a thread of its own, which a runtime that ends does not wait for.
pub async fn run_on_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HandoverError> + Send + 'static,
) -> Result<T, HandoverError> {
    let (done, result) = oneshot::channel();
    let started = std::thread::Builder::new().name("hand-over".into()).spawn(move || {
        // The receiver is gone when the process is stopping.
        let _ = done.send(work());
    });
    match started {
        Ok(_) => result.await.unwrap_or(Err(HandoverError::Failed("was given up"))),
        Err(_) => Err(HandoverError::Failed("cannot be served: there are no threads")),
    }
}

/// As the first process of its container, reaps processes that were left to it: no other
/// process does.
pub async fn reap_children() {
    if std::process::id() != 1 {
        return;
    }
    let Ok(mut child) = signal(SignalKind::child()) else { return };
    loop {
        while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
        if child.recv().await.is_none() {
            return;
        }
    }
}
