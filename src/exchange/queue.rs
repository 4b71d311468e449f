//! The queue between traffic and validation: bounded, and the side of traffic never waits.
//!
//! Invariants: every exchange offered is either taken by a worker or counted as skipped
//! with a reason; offering costs no lock and, while workers are awake, no system call.
//! Bytes are bounded by the [`Budget`](crate::exchange::memory_budget::Budget) that captures draw on, items by
//! the queue's own length.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use parking_lot::Mutex;

use crate::exchange::Exchange;
use crate::exchange::memory_budget::Budget;
use crate::exchange::metrics::ExchangeMetrics;
use crate::model::verdict::SkipReason;
use crate::telemetry::metrics::{Metrics, MetricsError};

/// A worker that found nothing looks again this often for a while before it sleeps deeply:
/// under traffic no push has to wake it, and traffic saves the system call.
const POLL_WAIT: Duration = Duration::from_millis(2);
const POLLS: u32 = 100;
/// Deep sleep is bounded as well, so that a wake-up lost to a defect costs a second, not a day.
const MAX_SLEEP: Duration = Duration::from_secs(1);

/// Exchanges that wait to be validated.
pub struct Queue {
    items: ArrayQueue<Box<Exchange>>,
    sleeping: AtomicUsize,
    workers: Mutex<Vec<Thread>>,
    closed: AtomicBool,
    metrics: ExchangeMetrics,
}

// === impl Queue ===

impl Queue {
    /// A queue of at most `length` exchanges.
    pub fn new(length: usize, metrics: ExchangeMetrics) -> Self {
        Self {
            items: ArrayQueue::new(length.max(1)),
            sleeping: AtomicUsize::new(0),
            workers: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
            metrics,
        }
    }

    /// Shows how much waits, whenever the metrics are read.
    pub fn register_gauges(
        self: &Arc<Self>,
        metrics: &Metrics,
        budget: Budget,
    ) -> Result<(), MetricsError> {
        let queue = Arc::downgrade(self);
        let waiting = move || queue.upgrade().map_or(0, |queue| queue.len());
        metrics.callback_gauge(
            "cvt_queue_exchanges",
            "Exchanges that wait to be validated.",
            waiting,
        )?;
        metrics.callback_gauge(
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
        // Pairs with the fence in `pop`: either we see the sleeper, or it sees our item.
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) > 0 {
            self.wake();
        }
    }

    /// Counts an exchange that was seen but could not be captured at all.
    pub fn count_uncaptured(&self, reason: SkipReason) {
        self.metrics.seen.inc();
        self.metrics.skip(reason);
    }

    /// Whether validation has fallen behind so far that what waits takes half of the queue.
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
    pub fn try_pop(&self) -> Option<Box<Exchange>> {
        self.items.pop()
    }

    /// The next exchange; waits for one. `None` once the queue is closed and empty.
    pub fn pop(&self) -> Option<Box<Exchange>> {
        let mut polls = 0;
        loop {
            if let Some(exchange) = self.items.pop() {
                return Some(exchange);
            }
            if self.closed.load(Ordering::Acquire) {
                return self.items.pop();
            }
            if polls < POLLS {
                polls += 1;
                std::thread::park_timeout(POLL_WAIT);
                continue;
            }
            self.sleeping.fetch_add(1, Ordering::Relaxed);
            fence(Ordering::SeqCst);
            if self.items.is_empty() && !self.closed.load(Ordering::Acquire) {
                std::thread::park_timeout(MAX_SLEEP);
            }
            self.sleeping.fetch_sub(1, Ordering::Relaxed);
            polls = POLLS / 2;
        }
    }

    /// Makes the calling thread one that is woken for new exchanges.
    pub fn register_worker(&self) {
        self.workers.lock().push(std::thread::current());
    }

    /// Takes no more exchanges; those in line are still handed out.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.wake();
    }

    /// Counts what will not be validated any more.
    pub fn drain_as_skipped(&self) {
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
    use super::*;
    use crate::exchange::testing;

    #[test]
    fn gauges_show_what_waits() {
        let metrics = Metrics::default();
        let budget = Budget::new(1 << 20);
        let queue = Arc::new(Queue::new(8, ExchangeMetrics::new(&metrics).unwrap()));
        queue.register_gauges(&metrics, budget.clone()).unwrap();
        for _ in 0..3 {
            queue.offer(testing::exchange(&budget));
        }
        assert!(metrics.encode().unwrap().contains("cvt_queue_exchanges 3"));
        queue.drain_as_skipped();
        assert!(metrics.encode().unwrap().contains("cvt_queue_exchanges 0"));
    }
}
