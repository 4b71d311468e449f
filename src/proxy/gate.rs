//! One exchange from head to end.
//!
//! The gate finds the route and keeps it to the end, opens the exchange, pins the contract,
//! forwards the request with its body tapped, and hands the response down the same way. Each step is a small function; none of them
//! waits for anything but the two peers.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;

use super::answer::AnswerBody;
use super::arriving::Arriving;
use super::connection::{head_weight, is_upgrade, strip_hop_by_hop};
use super::enforce::{Enforcement, Passage, Replacement, Stance};
use super::forwarded;
use super::hold::{Payload, Witness};
use super::metrics::{ProxyMetrics, Raised, UpstreamFailure};
use super::peer::Line;
use super::pool::{Lane, Lanes};
use super::progress::Progress;
use super::reject::{self, Invented, Refusal};
use super::route::{Route, RouteTable};
use super::tap::{Capture, Tap};
use super::trace::{self, Tracer};
use super::upgrade;
use crate::config::limits::Pace;
use crate::model::clock::Clock;
use crate::model::exchange::{Captured, RequestHead, ResponseHead, own_headers};
use crate::model::mode::Mode;
use crate::model::trace::TraceContext;
use crate::model::verdict::SkipReason;
use crate::observer::budget::Budget;
use crate::observer::exchange::{Ending, Exchange, Half, Known, Pending};
use crate::observer::queue::Queue;

/// The way through the proxy.
pub struct Gate {
    routes: Arc<ArcSwap<RouteTable>>,
    lanes: Lanes,
    pace: Pace,
    queue: Arc<Queue>,
    budget: Budget,
    metrics: ProxyMetrics,
    clock: Arc<dyn Clock>,
    tracer: Option<Tracer>,
}

/// An exchange of which something is kept.
struct Opened {
    pending: Pending,
    stance: Stance,
    trace: Option<TraceContext>,
}

/// The way of one exchange: where it comes from, and its route.
#[derive(Clone, Copy)]
struct Way<'a> {
    line: &'a Line,
    route: &'a Route,
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
        Self {
            routes,
            lanes: Lanes::default(),
            pace: Pace::default(),
            queue,
            budget,
            metrics,
            clock,
            tracer: None,
        }
    }

    /// The lane of the calling thread. Asked once per downstream connection.
    pub fn lane(&self) -> Lane {
        self.lanes.mine()
    }

    /// Holds callers to `pace`.
    #[must_use]
    pub fn at_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Takes up the callers' traces.
    #[must_use]
    pub fn tracing(mut self, tracer: Option<Tracer>) -> Self {
        self.tracer = tracer;
        self
    }

    /// Where times come from.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What this edge counts.
    pub fn metrics(&self) -> &ProxyMetrics {
        &self.metrics
    }

    /// The route of a request, if any takes it.
    pub fn route<B>(&self, request: &Request<B>) -> Option<Arc<Route>> {
        self.routes.load().find(request).cloned()
    }

    /// Carries one exchange. Never fails: whatever goes wrong becomes an answer.
    pub async fn serve(
        &self,
        mut request: Request<Incoming>,
        route: &Route,
        line: &Line,
    ) -> Response<AnswerBody> {
        let started = self.clock.instant();
        let in_flight = Raised::new(&self.metrics.in_flight);
        if let Some(target) = route.target(request.uri()) {
            *request.uri_mut() = target;
        }
        let way = Way { line, route };
        let answer = match self.open(way, &request, started) {
            Ok(opened) => self.forward(request, opened, way, in_flight, started).await,
            Err(refusal) => Err(*refusal),
        };
        let answer = answer.unwrap_or_else(|invented| invented.map(AnswerBody::Invented));
        self.metrics.answered(answer.status());
        answer
    }

    /// Opens the exchange, unless nothing is to be kept or there is no memory to keep it in.
    fn open(
        &self,
        Way { line, route }: Way<'_>,
        request: &Request<Incoming>,
        started: Instant,
    ) -> Result<Option<Opened>, Refusal> {
        let enforcement = &route.enforcement;
        if enforcement.is_off() {
            return Ok(None);
        }
        let contract = route.contract.load_full();
        let (method, path) = (request.method(), request.uri().path());
        let mut stance = enforcement.stance(contract.as_ref(), method, path, request.headers());
        if stance.modes.is_off() {
            return Ok(None);
        }
        let weight = head_weight(request.headers());
        let reservation =
            self.budget.reserve(weight).or_else(|| enforcement.reserve(&stance, weight));
        let Some(reservation) = reservation else {
            self.queue.refuse(SkipReason::CaptureMemory);
            return enforcement.without_memory(&mut stance).map_or(Ok(None), Err);
        };
        let trace = self.tracer.as_ref().and_then(|tracer| tracer.begin(request.headers()));
        let exchange = Exchange {
            contract,
            trace,
            id: stance.id,
            modes: stance.modes,
            client_ip: line.peer.ip,
            client_subject: line.peer.subject.clone(),
            request: RequestHead::of(request),
            request_body: Captured::unread(),
            response: None,
            response_body: Captured::unread(),
            ending: Ending::DownstreamGone,
            rejected: None,
            known: Known::default(),
            arrived_at: self.clock.now(),
            duration: Duration::ZERO,
            upstream_duration: None,
            forwarded_after: Duration::ZERO,
            reservation,
        };
        let queue = self.queue.clone();
        let pending = Pending::new(Box::new(exchange), started, self.clock.clone(), queue);
        Ok(Some(Opened { pending, stance, trace }))
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        mut opened: Option<Opened>,
        way: Way<'_>,
        in_flight: Raised,
        started: Instant,
    ) -> Result<Response<AnswerBody>, Response<Invented>> {
        if request.method() == Method::CONNECT {
            return Err(reject::refused(
                StatusCode::METHOD_NOT_ALLOWED,
                "connect",
                "CONNECT is not proxied",
                "The sidecar stands in front of one service and opens no tunnels.",
            ));
        }
        let upgrade = is_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        let Passage { body, captured } =
            Self::admit(way, &parts, body, opened.as_mut(), upgrade.is_some()).await?;
        let watched = opened.as_ref().filter(|_| !captured);
        let capture = watched.map(|opened| way.capture(opened, Half::Request));
        // A body that is over before it began cannot make progress, and needs no watching.
        let progress = (!body.is_end_stream()).then(|| self.progress(way.route, &parts.headers));
        let mut body = Box::new(Tap::new(body, capture));
        if let Some(progress) = &progress {
            body.report_to(progress.clone());
        }
        if parts.version < Version::HTTP_2 {
            body.comes_on(way.line.relay.clone());
        }
        if let Some(context) = opened.as_ref().and_then(|opened| opened.trace) {
            trace::pass_on(&context, &mut parts.headers);
        }
        strip_hop_by_hop(&mut parts.headers, upgrade.is_some());
        forwarded::tell(&way.route.forwarded, &way.line.peer, &parts.uri, &mut parts.headers);
        let request = Request::from_parts(parts, body);
        let sent = self.clock.instant();
        let (mut response, lease) = way
            .route
            .upstream
            .send(request, way.line.lane, progress.as_ref(), sent)
            .await
            .map_err(|failure| {
                let pending = opened.as_ref().map(|opened| &opened.pending);
                self.unanswered(failure, progress.as_ref(), pending)
            })?;
        self.note_head(&response, opened.as_ref().map(|one| &one.pending), started, sent);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(downstream) = upgrade {
                let switched = Self::switch(way, response, downstream, opened, in_flight);
                return switched.map_err(|refusal| *refusal);
            }
            return Err(reject::upstream_failed(UpstreamFailure::Broken));
        }
        strip_hop_by_hop(response.headers_mut(), false);
        let response = response.map(|body| Arriving::new(body, lease, in_flight));
        self.release(way, response, opened).await
    }

    /// Lets a request in: at once, or when it was held and judged.
    async fn admit(
        way: Way<'_>,
        parts: &http::request::Parts,
        body: Incoming,
        opened: Option<&mut Opened>,
        upgrading: bool,
    ) -> Result<Passage<Incoming>, Response<Invented>> {
        let Some(Opened { pending, stance, .. }) =
            opened.filter(|opened| opened.stance.modes.request == Mode::Strict)
        else {
            return Ok(Passage { body: Payload::Live(body), captured: false });
        };
        let enforcement = &way.route.enforcement;
        // On the heap, so that the exchanges that are only observed do not carry its size.
        Box::pin(async move {
            let headers = &parts.headers;
            let admitted = enforcement.request(pending, stance, headers, body, upgrading).await;
            match admitted {
                Ok(passage) => Ok(passage),
                Err(mut answer) => {
                    enforcement.show(pending, stance, answer.headers_mut()).await;
                    Err(answer)
                }
            }
        })
        .await
    }

    /// Hands a response down: at once, or when it was held and judged.
    async fn release(
        &self,
        way: Way<'_>,
        response: Response<Arriving>,
        opened: Option<Opened>,
    ) -> Result<Response<AnswerBody>, Response<Invented>> {
        let enforcement = &way.route.enforcement;
        let capture = match opened {
            None => None,
            Some(opened) if opened.waits(enforcement) => {
                return Box::pin(self.release_judged(way, response, opened)).await;
            }
            Some(opened) => {
                if opened.stance.modes.enforces() {
                    enforcement.passed();
                }
                Some(way.capture(&opened, Half::Response))
            }
        };
        Ok(response
            .map(|body| AnswerBody::Upstream(Box::new(Tap::new(Payload::Live(body), capture)))))
    }

    async fn release_judged(
        &self,
        way: Way<'_>,
        response: Response<Arriving>,
        mut opened: Opened,
    ) -> Result<Response<AnswerBody>, Response<Invented>> {
        let enforcement = &way.route.enforcement;
        let (mut parts, body) = response.into_parts();
        let Opened { pending, stance, .. } = &mut opened;
        let passage = if stance.modes.response == Mode::Strict {
            enforcement.response(pending, stance, &parts.headers, body).await
        } else {
            if stance.modes.enforces() {
                enforcement.passed();
            }
            Ok(Passage { body: Payload::Live(body), captured: false })
        };
        match passage {
            Err(Replacement { mut answer, failure }) => {
                if let Some(failure) = failure {
                    self.metrics.upstream_failed(failure);
                }
                enforcement.show(pending, stance, answer.headers_mut()).await;
                Err(answer)
            }
            Ok(Passage { body, captured }) => {
                enforcement.show(pending, stance, &mut parts.headers).await;
                let tap = if captured {
                    Tap::new(body, None).with_end(Witness::new(opened.pending))
                } else {
                    Tap::new(body, Some(way.capture(&opened, Half::Response)))
                };
                Ok(Response::from_parts(parts, AnswerBody::Upstream(Box::new(tap))))
            }
        }
    }

    /// How a body comes along. One of gRPC may rest: its messages come when they come.
    fn progress(&self, route: &Route, headers: &HeaderMap) -> Progress {
        let grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        let mut pace = self.pace;
        if headers.get(CONTENT_TYPE).is_some_and(grpc) {
            pace.min_rate = 0;
        }
        let limit = route.bodies.request.map_or(u64::MAX, NonZeroU64::get);
        Progress::new(pace, limit)
    }

    /// The answer to a request that has none: by whose fault it is.
    fn unanswered(
        &self,
        failure: UpstreamFailure,
        progress: Option<&Progress>,
        pending: Option<&Pending>,
    ) -> Response<Invented> {
        if let Some(fault) = progress.and_then(Progress::fault) {
            self.metrics.refused(fault.as_str());
            return reject::unfinished(fault);
        }
        self.metrics.upstream_failed(failure);
        if let Some(pending) = pending {
            pending.update(|exchange| exchange.ending = Ending::UpstreamFailed);
        }
        reject::upstream_failed(failure)
    }

    fn note_head<B>(
        &self,
        response: &Response<B>,
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
            exchange.forwarded_after = sent.saturating_duration_since(started);
            // Heads are small and bounded by hyper: kept even when the budget is used up.
            exchange.reservation.grow(weight);
            exchange.response = Some(ResponseHead {
                status: response.status(),
                headers: own_headers(response.headers()),
            });
        });
    }

    fn switch(
        way: Way<'_>,
        mut response: Response<Incoming>,
        downstream: hyper::upgrade::OnUpgrade,
        opened: Option<Opened>,
        in_flight: Raised,
    ) -> Result<Response<AnswerBody>, Refusal> {
        if let Some(Opened { pending, mut stance, .. }) = opened {
            way.route.enforcement.upgrade(&pending, &mut stance)?;
            pending.update(|exchange| exchange.ending = Ending::Upgraded);
        }
        let upstream = hyper::upgrade::on(&mut response);
        tokio::spawn(upgrade::tunnel(downstream, upstream, in_flight));
        strip_hop_by_hop(response.headers_mut(), true);
        Ok(response.map(|_| AnswerBody::Invented(Full::default())))
    }
}

// === impl Way ===

impl Way<'_> {
    /// Captures one half as it passes; nothing of it where it is not judged.
    fn capture(&self, opened: &Opened, half: Half) -> Capture {
        let mode = match half {
            Half::Request => opened.stance.modes.request,
            Half::Response => opened.stance.modes.response,
        };
        let limit = if mode == Mode::Off { 0 } else { self.route.body_limit };
        Capture::new(opened.pending.clone(), half, limit)
    }
}

// === impl Opened ===

impl Opened {
    /// Whether the response has to wait for a verdict.
    fn waits(&self, enforcement: &Enforcement) -> bool {
        self.stance.modes.response == Mode::Strict || enforcement.shows()
    }
}
