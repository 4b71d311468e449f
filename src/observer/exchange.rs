//! An exchange on its way to being judged, and the guard that hands it over exactly once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::budget::Reservation;
use super::queue::Queue;
use super::usage::Sketch;
use crate::model::clock::{Clock, Timestamp};
use crate::model::exchange::{Captured, RequestHead, ResponseHead};
use crate::model::mode::Modes;
use crate::model::trace::TraceContext;
use crate::model::verdict::Verdict;
use crate::model::violation::Side;
use crate::registry::LoadedContract;
use crate::validation::RequestJudgement;

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The upstream's response passed; its body says whether whole.
    Responded,
    /// The upstream gave no response; we answered in its place.
    UpstreamFailed,
    /// The downstream went away before the response's head.
    DownstreamGone,
    /// The connection became another protocol.
    Upgraded,
    /// The request broke the contract, or could not be enforced, and the upstream saw nothing.
    Rejected,
}

/// What is known of an exchange before it reaches the judging threads, because traffic waited
/// for it; they do not judge it again.
#[derive(Debug, Default)]
pub struct Known {
    /// The verdict on the request.
    pub request: Option<RequestJudgement>,
    /// The verdict on the response.
    pub response: Option<Verdict>,
    /// What was seen of the request.
    pub request_sketch: Option<Sketch>,
    /// What was seen of the response.
    pub response_sketch: Option<Sketch>,
}

/// One exchange, whole, as traffic saw it.
#[derive(Debug)]
pub struct Exchange {
    /// The contract that judges both halves, pinned when the request arrived.
    pub contract: Option<Arc<LoadedContract>>,
    /// The trace it belongs to, when traces are taken up.
    pub trace: Option<TraceContext>,
    /// Its id, where one was needed while it was under way; else its record draws one.
    pub id: Option<Uuid>,
    /// The modes in force.
    pub modes: Modes,
    /// Address of the downstream.
    pub client_ip: Option<IpAddr>,
    /// Subject of the certificate that the downstream showed, verified.
    pub client_subject: Option<Arc<str>>,
    /// The request's head.
    pub request: RequestHead,
    /// The request's body.
    pub request_body: Captured,
    /// The response's head, when one came.
    pub response: Option<ResponseHead>,
    /// The response's body.
    pub response_body: Captured,
    /// How it ended.
    pub ending: Ending,
    /// The half that was answered by us instead of passed on, if one was.
    pub rejected: Option<Side>,
    /// What was judged while it was under way.
    pub known: Known,
    /// When the request's head arrived.
    pub arrived_at: Timestamp,
    /// From the request's head to the end of the exchange.
    pub duration: Duration,
    /// From forwarding the head to the response's head.
    pub upstream_duration: Option<Duration>,
    /// From the request's head to forwarding it.
    pub forwarded_after: Duration,
    /// Memory that it holds.
    pub reservation: Reservation,
}

/// Which body of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

/// The exchange while it is under way. Whoever has part in it holds a clone; when the last
/// clone goes, however the exchange ended, the exchange is offered to the queue: exactly once.
#[derive(Clone)]
pub struct Pending(Arc<Inner>);

struct Inner {
    exchange: Mutex<Option<Box<Exchange>>>,
    started: Instant,
    clock: Arc<dyn Clock>,
    queue: Arc<Queue>,
}

// === impl Known ===

impl Known {
    /// Notes the verdict on the request, and what the judge had before it.
    pub fn judged_request(&mut self, judged: RequestJudgement, sketch: Option<Sketch>) {
        (self.request, self.request_sketch) = (Some(judged), sketch);
    }

    /// Notes the verdict on the response, and what the judge had before it.
    pub fn judged_response(&mut self, verdict: Verdict, sketch: Option<Sketch>) {
        (self.response, self.response_sketch) = (Some(verdict), sketch);
    }
}

// === impl Pending ===

impl Pending {
    /// Starts the exchange.
    pub fn new(
        exchange: Box<Exchange>,
        started: Instant,
        clock: Arc<dyn Clock>,
        queue: Arc<Queue>,
    ) -> Self {
        Self(Arc::new(Inner { exchange: Mutex::new(Some(exchange)), started, clock, queue }))
    }

    /// Changes the exchange, or looks something up in it.
    pub fn update<T>(&self, change: impl FnOnce(&mut Exchange) -> T) -> Option<T> {
        // The exchange is there until the last clone goes.
        self.0.exchange.lock().as_mut().map(|exchange| change(exchange))
    }

    /// Hands over what was captured of one body.
    pub fn deposit(&self, half: Half, captured: Captured) {
        self.update(|exchange| match half {
            Half::Request => exchange.request_body = captured,
            Half::Response => exchange.response_body = captured,
        });
    }

    /// Sets memory aside for `bytes` more of a body; false when there is none left.
    pub fn reserve(&self, bytes: usize) -> bool {
        let mut slot = self.0.exchange.lock();
        slot.as_mut().is_some_and(|exchange| exchange.reservation.grow(bytes))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(mut exchange) = self.exchange.get_mut().take() {
            exchange.duration = self.clock.instant().saturating_duration_since(self.started);
            self.queue.offer(exchange);
        }
    }
}
