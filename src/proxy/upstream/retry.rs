//! One request on its way up: which connection it takes, and when it goes out again.
//!
//! Invariants: a request that the upstream may have acted on is never sent twice, unless
//! repeating it is harmless (RFC 9110 §9.2.2) and it has no body; one that was never sent may
//! go to another address.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{Request, Response};
use hyper::body::Incoming;
use smallvec::SmallVec;

use super::Upstream;
use super::connector::NewConnection;
use super::peers::InFlightGuard;
use crate::proxy::body::buffer::OutgoingBody;
use crate::proxy::body::progress::BodyProgress;
use crate::proxy::hop_by_hop::retry_copy;
use crate::proxy::metrics::UpstreamFailure;
use crate::proxy::upstream::connection::ResponseTimeout;
use crate::proxy::upstream::pool::{ConnectionLease, ConnectionPool, RequestSender, WorkerId};

/// The state of one request, over all attempts.
struct SendAttempt<'a> {
    /// The request, while it is not on a connection.
    request: Option<Request<OutgoingBody>>,
    /// A copy, where the request may be repeated.
    copy: Option<Request<OutgoingBody>>,
    tried: SmallVec<[SocketAddr; 4]>,
    retries: u32,
    /// When making connections has taken too long; set by the first attempt.
    deadline: Option<Instant>,
    progress: Option<&'a BodyProgress>,
    /// When this attempt began.
    sent_at: Instant,
}

/// Why one attempt brought no response.
enum AttemptError {
    /// The request may go out again.
    Retry(UpstreamFailure),
    /// It may not.
    Final(UpstreamFailure),
}

type UpstreamResponse = (Response<Incoming>, ConnectionLease);

// === impl Upstream ===

impl Upstream {
    /// Sends a request on an open connection or a new one, and waits for the response's head.
    pub async fn send(
        &self,
        request: Request<OutgoingBody>,
        worker: WorkerId,
        progress: Option<&BodyProgress>,
        now: Instant,
    ) -> Result<UpstreamResponse, UpstreamFailure> {
        let state = &self.state;
        let mut attempt = SendAttempt {
            request: Some(request),
            copy: None,
            tried: SmallVec::new(),
            retries: state.settings.retries,
            deadline: None,
            progress,
            sent_at: now,
        };
        if state.peers.is_empty() {
            state.resolve().await;
        }
        let mut failure = None;
        while let Some((pool, in_flight)) = state.peers.pick(worker, &attempt.tried) {
            if let Some(failure) = failure {
                state.metrics.record_retry(failure);
            }
            match self.try_endpoint(&mut attempt, pool, in_flight).await {
                Ok(response) => return Ok(response),
                Err(AttemptError::Final(failure)) => return Err(failure),
                Err(AttemptError::Retry(why)) => failure = Some(why),
            }
        }
        Err(failure.unwrap_or(UpstreamFailure::Connect))
    }

    /// Tries one address.
    async fn try_endpoint(
        &self,
        attempt: &mut SendAttempt<'_>,
        pool: Arc<ConnectionPool>,
        mut in_flight: Option<InFlightGuard>,
    ) -> Result<UpstreamResponse, AttemptError> {
        let headers = attempt.request.as_ref().map(Request::headers);
        let only_http1 = headers.is_some_and(|headers| self.state.connector.needs_http1(headers));
        // The upstream may close an idle connection at the moment of its use.
        while let Some(sender) = pool.take(only_http1, attempt.sent_at) {
            let mut lease = ConnectionLease::new(sender, pool.clone(), in_flight.take());
            match self.send_on(&mut lease, attempt, true).await? {
                Some(response) => return Ok((response, lease)),
                None => in_flight = lease.into_in_flight(),
            }
        }
        let sender = match self.open(&pool, attempt, only_http1).await {
            Ok(sender) => sender,
            Err(failure) => {
                self.state.eject(pool.endpoint(), failure);
                attempt.tried.push(pool.endpoint().address);
                return Err(AttemptError::Retry(failure));
            }
        };
        // How long it took to get here is not the upstream's time to answer.
        attempt.sent_at = self.state.clock.instant();
        let mut lease = ConnectionLease::new(sender, pool, in_flight);
        let repeat = attempt.retries > 0;
        match self.send_on(&mut lease, attempt, repeat).await? {
            Some(response) => Ok((response, lease)),
            None if repeat => {
                attempt.retries -= 1;
                Err(AttemptError::Retry(UpstreamFailure::Broken))
            }
            None => Err(AttemptError::Final(UpstreamFailure::Broken)),
        }
    }

    /// Sends the request on one connection; nothing when the connection broke and the request
    /// may go out again, which takes a copy to be kept where it is not certain that the
    /// upstream saw nothing of it.
    async fn send_on(
        &self,
        lease: &mut ConnectionLease,
        attempt: &mut SendAttempt<'_>,
        repeat: bool,
    ) -> Result<Option<Response<Incoming>>, AttemptError> {
        let Some(request) = attempt.request.take() else {
            return Err(AttemptError::Final(UpstreamFailure::Broken));
        };
        if repeat && attempt.copy.is_none() {
            attempt.copy = retry_copy(&request);
        }
        let timeout = self.state.settings.timeout;
        let wait = ResponseTimeout { timeout, progress: attempt.progress, since: attempt.sent_at };
        match lease.send(request, wait).await? {
            Ok(response) => Ok(Some(response)),
            Err(mut error) => {
                attempt.request = error.take_message().or_else(|| attempt.copy.take());
                attempt.sent_at = self.state.clock.instant();
                match attempt.request {
                    Some(_) => Ok(None),
                    None => Err(AttemptError::Final(UpstreamFailure::Broken)),
                }
            }
        }
    }

    /// Opens a connection, or waits for one that another exchange is opening and that has room.
    async fn open(
        &self,
        pool: &Arc<ConnectionPool>,
        attempt: &mut SendAttempt<'_>,
        only_http1: bool,
    ) -> Result<RequestSender, UpstreamFailure> {
        let state = &self.state;
        let now = state.clock.instant();
        let deadline = *attempt.deadline.get_or_insert(now + state.settings.connect_timeout);
        let left = deadline.saturating_duration_since(now);
        // Where there are other addresses, this one gets half of what is left.
        let others = state.peers.len() > attempt.tried.len() + 1;
        let left = if others { left / 2 } else { left };
        let endpoint = pool.endpoint().clone();
        let connecting = async {
            let _opening = if state.connector.may_share(&endpoint) && !only_http1 {
                let opening = pool.lock_opening().await;
                if let Some(sender) = pool.take(only_http1, now) {
                    return Ok(sender);
                }
                Some(opening)
            } else {
                None
            };
            Ok(match state.connector.connect(&endpoint, only_http1).await? {
                NewConnection::Http1(connection) => RequestSender::Http1(connection),
                NewConnection::Http2(sender) => pool.share(sender),
            })
        };
        match tokio::time::timeout(left, connecting).await {
            Ok(outcome) => outcome,
            Err(_) => Err(UpstreamFailure::ConnectTimeout),
        }
    }
}

impl From<UpstreamFailure> for AttemptError {
    fn from(failure: UpstreamFailure) -> Self {
        Self::Final(failure)
    }
}
