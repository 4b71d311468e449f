//! The queue between traffic and judging: bounded, and the side of traffic never waits.
//!
//! What must hold: every exchange offered is either taken by a worker or counted as skipped
//! with a reason; offering costs no lock and, while workers are awake, no system call.
//! Bytes are bounded by the [`Budget`](super::budget::Budget) that captures draw on, items by
//! the queue's own length.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;

use super::budget::Budget;
use super::exchange::Exchange;
use super::metrics::ObserverMetrics;
use crate::model::verdict::SkipReason;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// A worker that found nothing looks again this often for a while before it sleeps deeply:
/// under traffic nobody has to wake it, and traffic saves the system call.
const DOZE: Duration = Duration::from_millis(2);
const DOZES: u32 = 100;
/// Deep sleep is bounded as well, so that a wake-up lost to a defect costs a second, not a day.
const SLEEP: Duration = Duration::from_secs(1);

/// Exchanges that wait to be judged.
pub struct Queue {
    items: ArrayQueue<Box<Exchange>>,
    sleeping: AtomicUsize,
    workers: Mutex<Vec<Thread>>,
    closed: AtomicBool,
    metrics: ObserverMetrics,
}

// === impl Queue ===

impl Queue {
    /// A queue of at most `length` exchanges.
    pub fn new(length: usize, metrics: ObserverMetrics) -> Self {
        Self {
            items: ArrayQueue::new(length.max(1)),
            sleeping: AtomicUsize::new(0),
            workers: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
            metrics,
        }
    }

    /// Shows how much waits, whenever the metrics are read.
    pub fn show(self: &Arc<Self>, metrics: &Metrics, budget: Budget) -> Result<(), MetricsError> {
        let queue = Arc::downgrade(self);
        let waiting = move || queue.upgrade().map_or(0, |queue| queue.len());
        metrics.observed("cvt_queue_exchanges", "Exchanges that wait to be validated.", waiting)?;
        metrics.observed(
            "cvt_queue_bytes",
            "Bytes of heads and bodies that wait for validation.",
            move || budget.used(),
        )
    }

    /// Puts an exchange in line, or counts it as skipped when the line is full. Never waits.
    pub fn offer(&self, exchange: Box<Exchange>) {
        self.metrics.seen.inc();
        if self.closed.load(Ordering::Acquire) {
            return self.metrics.skip(SkipReason::Stopping);
        }
        if self.items.push(exchange).is_err() {
            return self.metrics.skip(SkipReason::QueueFull);
        }
        // Pairs with the fence in `take`: either we see the sleeper, or it sees our item.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }

    /// Notes an exchange that was seen but could not be captured at all.
    pub fn refuse(&self, reason: SkipReason) {
        self.metrics.seen.inc();
        self.metrics.skip(reason);
    }

    /// Whether judging has fallen behind so far that what waits takes half of the queue.
    pub fn is_half_full(&self) -> bool {
        self.items.len() > self.items.capacity() / 2
    }

    /// Exchanges that wait.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none wait.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The next exchange, if one waits.
    pub fn at_once(&self) -> Option<Box<Exchange>> {
        self.items.pop()
    }

    /// The next exchange; waits for one. `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<Box<Exchange>> {
        let mut dozes = 0;
        loop {
            if let Some(exchange) = self.items.pop() {
                return Some(exchange);
            }
            if self.closed.load(Ordering::Acquire) {
                return self.items.pop();
            }
            if dozes < DOZES {
                dozes += 1;
                std::thread::park_timeout(DOZE);
                continue;
            }
            self.sleeping.fetch_add(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if self.items.is_empty() && !self.closed.load(Ordering::Acquire) {
                std::thread::park_timeout(SLEEP);
            }
            self.sleeping.fetch_sub(1, Ordering::Relaxed);
            dozes = DOZES / 2;
        }
    }

    /// Makes the calling thread one that is woken for new exchanges.
    pub fn enlist(&self) {
        self.workers.lock().push(std::thread::current());
    }

    /// Takes no more exchanges; those in line are still handed out.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake();
    }

    /// Counts what nobody will judge any more.
    pub fn abandon(&self) {
        while self.items.pop().is_some() {
            self.metrics.skip(SkipReason::Stopping);
        }
    }

    fn wake(&self) {
        for worker in self.workers.lock().iter() {
            worker.unpark();
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("len", &self.items.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn what_waits_is_shown() {
        let parts = testing::parts();
        let metrics = Metrics::default();
        parts.queue.show(&metrics, parts.budget.clone()).unwrap();
        for _ in 0..3 {
            parts.queue.offer(testing::exchange(&parts.budget));
        }
        assert!(metrics.encode().unwrap().contains("cvt_queue_exchanges 3"));
        parts.queue.abandon();
        assert!(metrics.encode().unwrap().contains("cvt_queue_exchanges 0"));
    }
}
