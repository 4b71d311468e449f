//! One exchange from head to end.
//!
//! The gate finds the route and keeps it to the end, opens the exchange, pins the contract,
//! forwards the request with its body tapped, and hands the response down the same way. Each step is a small function; none of them
//! waits for anything but the two peers.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

use super::connection::{forwardable, is_upgrade, strip_hop_by_hop};
use super::metrics::{ProxyMetrics, Raised, UpstreamFailure};
use super::peer::Peer;
use super::pool::{Lane, Lanes, Pool, Return, Sender};
use super::route::{Route, RouteTable};
use super::tap::{Capture, Progress, Tap};
use super::{reject, upgrade};
use crate::model::clock::Clock;
use crate::model::exchange::{Captured, RequestHead, ResponseHead};
use crate::model::mode::{Mode, Modes};
use crate::model::verdict::SkipReason;
use crate::observer::budget::Budget;
use crate::observer::exchange::{Ending, Exchange, Half, Known, Pending};
use crate::observer::queue::Queue;

/// The way through the proxy.
pub struct Gate {
    routes: Arc<ArcSwap<RouteTable>>,
    lanes: Lanes,
    queue: Arc<Queue>,
    budget: Budget,
    metrics: ProxyMetrics,
    clock: Arc<dyn Clock>,
}

/// The way of one exchange: its route, and idle connections to its upstream.
#[derive(Clone, Copy)]
struct Way<'a> {
    route: &'a Route,
    pool: &'a Arc<Pool>,
}

/// The body of an answer: the upstream's, or ours.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly every body is the large one")]
pub enum AnswerBody {
    /// The upstream's, passing through.
    Upstream(Tap<Incoming>),
    /// Invented by us.
    Invented(Full<Bytes>),
}

// === impl Gate ===

impl Gate {
    /// A gate in front of `routes`; the table may be replaced at any time.
    pub fn new(
        routes: Arc<ArcSwap<RouteTable>>,
        queue: Arc<Queue>,
        budget: Budget,
        metrics: ProxyMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { routes, lanes: Lanes::default(), queue, budget, metrics, clock }
    }

    /// The lane of the calling thread. Asked once per downstream connection.
    pub fn lane(&self) -> Lane {
        self.lanes.mine()
    }

    /// Where times come from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What this edge counts.
    pub fn metrics(&self) -> &ProxyMetrics {
        &self.metrics
    }

    /// Carries one exchange. Never fails: whatever goes wrong becomes an answer.
    pub async fn serve(
        &self,
        mut request: Request<Incoming>,
        peer: &Peer,
        lane: Lane,
    ) -> Result<Response<AnswerBody>, Infallible> {
        let started = self.clock.instant();
        let in_flight = Raised::new(&self.metrics.in_flight);
        let Some(route) = self.routes.load().find(&request).cloned() else {
            self.metrics.unrouted.inc();
            let answer = reject::unrouted();
            self.metrics.answered(answer.status());
            return Ok(answer.map(AnswerBody::Invented));
        };
        if let Some(target) = route.target(request.uri()) {
            *request.uri_mut() = target;
        }
        let pending = self.open(&route, &request, peer, started);
        let way = Way { route: &route, pool: route.upstream.pool(lane) };
        let answer = match self.forward(request, pending, way, in_flight, started).await {
            Ok(answer) => answer,
            Err(invented) => invented.map(AnswerBody::Invented),
        };
        self.metrics.answered(answer.status());
        Ok(answer)
    }

    /// Opens the exchange, unless nothing is to be kept or there is no memory to keep it in.
    fn open(
        &self,
        route: &Route,
        request: &Request<Incoming>,
        peer: &Peer,
        started: Instant,
    ) -> Option<Pending> {
        if route.mode == Mode::Off {
            return None;
        }
        let Some(reservation) = self.budget.reserve(head_weight(request.headers())) else {
            self.queue.refuse(SkipReason::CaptureMemory);
            return None;
        };
        let exchange = Exchange {
            contract: route.contract.load_full(),
            id: None,
            modes: Modes::both(route.mode),
            client_ip: peer.ip,
            client_subject: peer.subject.clone(),
            request: RequestHead {
                method: request.method().clone(),
                target: request.uri().clone(),
                version: request.version(),
                headers: request.headers().clone(),
            },
            request_body: Captured::unread(),
            response: None,
            response_body: Captured::unread(),
            ending: Ending::DownstreamGone,
            rejected: None,
            known: Known::default(),
            arrived_at: self.clock.now(),
            duration: Duration::ZERO,
            upstream_duration: None,
            reservation,
        };
        let queue = self.queue.clone();
        Some(Pending::new(Box::new(exchange), started, self.clock.clone(), queue))
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        pending: Option<Pending>,
        way: Way<'_>,
        in_flight: Raised,
        started: Instant,
    ) -> Result<Response<AnswerBody>, Response<Full<Bytes>>> {
        if request.method() == Method::CONNECT {
            return Err(reject::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "connect",
                "CONNECT is not proxied",
                "The sidecar stands in front of one service and opens no tunnels.",
            ));
        }
        let upgrade = is_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
        let (parts, body) = request.into_parts();
        let capture = pending
            .clone()
            .map(|pending| Capture::new(pending, Half::Request, way.route.body_limit));
        // A body that is over before it began cannot make progress, and needs no watching.
        let progress = (!body.is_end_stream()).then(Progress::default);
        let mut body = Tap::new(body, capture);
        if let Some(progress) = &progress {
            body = body.with_progress(progress.clone());
        }
        let request = Request::from_parts(forwardable(parts, upgrade.is_some()), body);
        let sent = self.clock.instant();
        let (mut response, sender) =
            self.exchange(request, way, progress).await.map_err(|failure| {
                self.metrics.upstream_failed(failure);
                if let Some(pending) = &pending {
                    pending.update(|exchange| exchange.ending = Ending::UpstreamFailed);
                }
                reject::upstream_failed(failure)
            })?;
        self.note_head(&response, pending.as_ref(), started, sent);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(downstream) = upgrade {
                return Ok(Self::switch(response, downstream, pending, in_flight));
            }
            return Err(reject::upstream_failed(UpstreamFailure::Broken));
        }
        strip_hop_by_hop(response.headers_mut(), false);
        let limit = way.route.body_limit;
        let capture = pending.map(|pending| Capture::new(pending, Half::Response, limit));
        let back = Return::new(sender, way.pool.clone(), in_flight);
        Ok(response.map(|body| AnswerBody::Upstream(Tap::new(body, capture).with_end(back))))
    }

    /// Sends the request on an idle connection or a new one. The upstream may close an idle
    /// connection at the moment of its use: a request that it never took goes out again, and so
    /// does one that it may have taken if repeating it is harmless (RFC 9110 §9.2.2) and it has
    /// no body.
    async fn exchange(
        &self,
        mut request: Request<Tap<Incoming>>,
        way: Way<'_>,
        progress: Option<Progress>,
    ) -> Result<(Response<Incoming>, Sender), UpstreamFailure> {
        let mut spare = None;
        let upstream = &way.route.upstream;
        while let Some(mut sender) = way.pool.take() {
            spare = spare.or_else(|| repeatable(&request));
            let sending = sender.try_send_request(request);
            match in_time(upstream.timeout(), sending, progress.as_ref()).await? {
                Ok(response) => return Ok((response, sender)),
                Err(mut error) => match error.take_message().or_else(|| spare.take()) {
                    Some(again) => request = again,
                    None => return Err(UpstreamFailure::Broken),
                },
            }
        }
        let mut sender = upstream.connect().await?;
        let sending = sender.try_send_request(request);
        match in_time(upstream.timeout(), sending, progress.as_ref()).await? {
            Ok(response) => Ok((response, sender)),
            Err(_) => Err(UpstreamFailure::Broken),
        }
    }

    fn note_head(
        &self,
        response: &Response<Incoming>,
        pending: Option<&Pending>,
        started: Instant,
        sent: Instant,
    ) {
        let now = self.clock.instant();
        let upstream = now.saturating_duration_since(sent);
        self.metrics.upstream.observe(upstream.as_secs_f64());
        self.metrics.overhead.observe(sent.saturating_duration_since(started).as_secs_f64());
        let Some(pending) = pending else { return };
        let weight = head_weight(response.headers());
        pending.update(|exchange| {
            exchange.ending = Ending::Responded;
            exchange.upstream_duration = Some(upstream);
            // Heads are small and bounded by hyper: kept even when the budget is used up.
            exchange.reservation.grow(weight);
            exchange.response = Some(ResponseHead {
                status: response.status(),
                headers: response.headers().clone(),
            });
        });
    }

    fn switch(
        mut response: Response<Incoming>,
        downstream: hyper::upgrade::OnUpgrade,
        pending: Option<Pending>,
        in_flight: Raised,
    ) -> Response<AnswerBody> {
        if let Some(pending) = pending {
            pending.update(|exchange| exchange.ending = Ending::Upgraded);
        }
        let upstream = hyper::upgrade::on(&mut response);
        tokio::spawn(upgrade::tunnel(downstream, upstream, in_flight));
        strip_hop_by_hop(response.headers_mut(), true);
        response.map(|_| AnswerBody::Invented(Full::default()))
    }
}

/// Waits for a response's head, as long as the request's body still moves.
async fn in_time<T>(
    timeout: Duration,
    sending: impl Future<Output = T>,
    progress: Option<&Progress>,
) -> Result<T, UpstreamFailure> {
    let count = || progress.map_or(0, Progress::count);
    let mut sending = std::pin::pin!(sending);
    let mut before = count();
    loop {
        match tokio::time::timeout(timeout, sending.as_mut()).await {
            Ok(output) => return Ok(output),
            Err(_) if count() != before => before = count(),
            Err(_) => return Err(UpstreamFailure::Timeout),
        }
    }
}

/// A copy of a request that may be sent twice, if it is one.
fn repeatable(request: &Request<Tap<Incoming>>) -> Option<Request<Tap<Incoming>>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Tap::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    // hyper keeps the case of header names here.
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// About how many bytes a head holds.
fn head_weight(headers: &HeaderMap) -> usize {
    const FIXED: usize = 1024;
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
    FIXED + bytes
}

// === impl AnswerBody ===

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Upstream(body) => Pin::new(body).poll_frame(cx),
            Self::Invented(body) => {
                Pin::new(body).poll_frame(cx).map_err(|never: Infallible| match never {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream(body) => body.is_end_stream(),
            Self::Invented(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body) => body.size_hint(),
            Self::Invented(body) => body.size_hint(),
        }
    }
}
