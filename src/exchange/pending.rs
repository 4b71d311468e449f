//! An exchange while it is under way, and the hand-over to the queue when it ends.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::exchange::Exchange;
use crate::exchange::queue::Queue;
use crate::model::clock::Clock;
use crate::model::exchange::CapturedBody;
use crate::model::violation::Side;

/// The exchange while it is under way. Every part that takes part in it holds a clone; when the last
/// clone goes, however the exchange ended, the exchange is offered to the queue: exactly once.
#[derive(Clone)]
pub struct PendingExchange(Arc<PendingState>);

struct PendingState {
    exchange: Mutex<Option<Box<Exchange>>>,
    started: Instant,
    clock: Arc<dyn Clock>,
    queue: Arc<Queue>,
}

// === impl PendingExchange ===

impl PendingExchange {
    /// Starts the exchange.
    pub fn new(
        exchange: Box<Exchange>,
        started: Instant,
        clock: Arc<dyn Clock>,
        queue: Arc<Queue>,
    ) -> Self {
        Self(Arc::new(PendingState { exchange: Mutex::new(Some(exchange)), started, clock, queue }))
    }

    /// Changes the exchange, or looks something up in it.
    pub fn update<T>(&self, change: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        // The exchange is there until the last clone goes.
        self.0.exchange.lock().as_mut().map(|exchange| change(exchange))
    }

    /// Hands over what was captured of one body.
    pub fn set_body(&self, side: Side, captured: CapturedBody) {
        self.update(|exchange| match side {
            Side::Request => exchange.request_body = captured,
            Side::Response => exchange.response_body = captured,
        });
    }

    /// Sets memory aside for `bytes` more of a body; false when there is none left.
    pub fn reserve(&self, bytes: usize) -> bool {
        let mut slot = self.0.exchange.lock();
        slot.as_mut().is_some_and(|exchange| exchange.reservation.grow(bytes))
    }
}

impl Drop for PendingState {
    fn drop(&mut self) {
        if let Some(mut exchange) = self.exchange.get_mut().take() {
            exchange.duration = self.clock.instant().saturating_duration_since(self.started);
            self.queue.offer(exchange);
        }
    }
}
