//! One request on its way up: which connection it takes, and when it goes out again.
//!
//! What must hold: a request that the upstream may have acted on is never sent twice, unless
//! repeating it is harmless (RFC 9110 §9.2.2) and it has no body; one that was never sent may
//! go to another address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::Upstream;
use super::connect::Connected;
use super::peers::Occupied;
use crate::proxy::connection::repeatable;
use crate::proxy::link::Patience;
use crate::proxy::metrics::UpstreamFailure;
use crate::proxy::pool::{Lane, Lease, Outgoing, Pool, Sender};
use crate::proxy::progress::Progress;

/// Where a request stands.
struct Trip<'a> {
    /// The request, while it is not on a connection.
    request: Option<Request<Outgoing>>,
    /// A copy, where the request may be repeated.
    spare: Option<Request<Outgoing>>,
    tried: SmallVec<[SocketAddr; 4]>,
    retries: u32,
    /// When making connections has taken too long; set by the first attempt.
    deadline: Option<Instant>,
    progress: Option<&'a Progress>,
    /// When it set out, on this attempt.
    began: Instant,
}

/// How one attempt ended that brought no response.
enum Missed {
    /// The request may go out again.
    Again(UpstreamFailure),
    /// It may not.
    Over(UpstreamFailure),
}

type Answered = (Response<Incoming>, Lease);

// === impl Upstream ===

impl Upstream {
    /// Sends a request on an open connection or a new one, and waits for the response's head.
    pub async fn send(
        &self,
        request: Request<Outgoing>,
        lane: Lane,
        progress: Option<&Progress>,
        now: Instant,
    ) -> Result<Answered, UpstreamFailure> {
        let shared = &self.shared;
        let mut trip = Trip {
            request: Some(request),
            spare: None,
            tried: SmallVec::new(),
            retries: shared.settings.retries,
            deadline: None,
            progress,
            began: now,
        };
        if shared.peers.is_empty() {
            shared.resolve().await;
        }
        let mut failure = None;
        while let Some((pool, occupied)) = shared.peers.pick(lane, &trip.tried) {
            if let Some(failure) = failure {
                shared.metrics.retried(failure);
            }
            match self.attempt(&mut trip, pool, occupied).await {
                Ok(answered) => return Ok(answered),
                Err(Missed::Over(failure)) => return Err(failure),
                Err(Missed::Again(why)) => failure = Some(why),
            }
        }
        Err(failure.unwrap_or(UpstreamFailure::Connect))
    }

    /// Tries one address.
    async fn attempt(
        &self,
        trip: &mut Trip<'_>,
        pool: Arc<Pool>,
        mut occupied: Option<Occupied>,
    ) -> Result<Answered, Missed> {
        let headers = trip.request.as_ref().map(Request::headers);
        let only_http1 = headers.is_some_and(|headers| self.shared.connector.needs_http1(headers));
        // The upstream may close an idle connection at the moment of its use.
        while let Some(sender) = pool.take(only_http1, trip.began) {
            let mut lease = Lease::new(sender, pool.clone(), occupied.take());
            match self.ask(&mut lease, trip, true).await? {
                Some(response) => return Ok((response, lease)),
                None => occupied = lease.into_occupied(),
            }
        }
        let sender = match self.open(&pool, trip, only_http1).await {
            Ok(sender) => sender,
            Err(failure) => {
                self.shared.refused(pool.target(), failure);
                trip.tried.push(pool.target().address);
                return Err(Missed::Again(failure));
            }
        };
        // How long it took to get here is not the upstream's time to answer.
        trip.began = self.shared.clock.instant();
        let mut lease = Lease::new(sender, pool, occupied);
        let repeat = trip.retries > 0;
        match self.ask(&mut lease, trip, repeat).await? {
            Some(response) => Ok((response, lease)),
            None if repeat => {
                trip.retries -= 1;
                Err(Missed::Again(UpstreamFailure::Broken))
            }
            None => Err(Missed::Over(UpstreamFailure::Broken)),
        }
    }

    /// Sends the request on one connection; nothing when the connection broke and the request
    /// may go out again, which takes a copy to be kept where it is not certain that the
    /// upstream saw nothing of it.
    async fn ask(
        &self,
        lease: &mut Lease,
        trip: &mut Trip<'_>,
        repeat: bool,
    ) -> Result<Option<Response<Incoming>>, Missed> {
        let Some(request) = trip.request.take() else {
            return Err(Missed::Over(UpstreamFailure::Broken));
        };
        if repeat && trip.spare.is_none() {
            trip.spare = repeatable(&request);
        }
        let timeout = self.shared.settings.timeout;
        let patience = Patience { timeout, progress: trip.progress, since: trip.began };
        match lease.send(request, patience).await? {
            Ok(response) => Ok(Some(response)),
            Err(mut error) => {
                trip.request = error.take_message().or_else(|| trip.spare.take());
                trip.began = self.shared.clock.instant();
                match trip.request {
                    Some(_) => Ok(None),
                    None => Err(Missed::Over(UpstreamFailure::Broken)),
                }
            }
        }
    }

    /// Opens a connection, or waits for one that another exchange is opening and that has room.
    async fn open(
        &self,
        pool: &Arc<Pool>,
        trip: &mut Trip<'_>,
        only_http1: bool,
    ) -> Result<Sender, UpstreamFailure> {
        let shared = &self.shared;
        let now = shared.clock.instant();
        let deadline = *trip.deadline.get_or_insert(now + shared.settings.connect_timeout);
        let left = deadline.saturating_duration_since(now);
        // Where there are other addresses, this one gets half of what is left.
        let others = shared.peers.len() > trip.tried.len() + 1;
        let left = if others { left / 2 } else { left };
        let target = pool.target().clone();
        let connecting = async {
            let _opening = if shared.connector.may_share(&target) && !only_http1 {
                let opening = pool.opening().await;
                if let Some(sender) = pool.take(only_http1, now) {
                    return Ok(sender);
                }
                Some(opening)
            } else {
                None
            };
            Ok(match shared.connector.connect(&target, only_http1).await? {
                Connected::Http1(link) => Sender::Http1(link),
                Connected::Http2(sender) => pool.share(sender),
            })
        };
        match tokio::time::timeout(left, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(UpstreamFailure::ConnectTimeout),
        }
    }
}

impl From<UpstreamFailure> for Missed {
    fn from(failure: UpstreamFailure) -> Self {
        Self::Over(failure)
    }
}
