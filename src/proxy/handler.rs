//! One exchange from head to end.
//!
//! The handler finds the route and keeps it to the end, opens the exchange, pins the contract,
//! forwards the request with its body captured, and returns the response the same way. No step
//! waits for anything but the two peers.
//!
//! Long because `forward` shows the way of a request in one ordered function.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;

use super::body::buffer::ProxyBody;
use super::body::capture::{Capture, CaptureBody};
use super::body::progress::BodyProgress;
use super::downstream::ResponseBody;
use super::downstream::connection::DownstreamConnection;
use super::downstream::connection::tunnel;
use super::enforce::{AdmittedBody, Enforcement, EnforcementDecision, Replacement};
use super::forwarded;
use super::hop_by_hop::{head_weight, is_upgrade, strip_hop_by_hop};
use super::metrics::{GaugeGuard, ProxyMetrics, UpstreamFailure};
use super::problem::{self, BoxedResponse, SyntheticBody};
use super::routes::{Route, RoutingTable};
use super::trace::{self, Tracer};
use super::upstream::body::UpstreamBody;
use super::upstream::pool::{WorkerId, WorkerIds};
use crate::config::limits::MinRate;
use crate::exchange::memory_budget::Budget;
use crate::exchange::queue::Queue;
use crate::exchange::{Ending, Exchange, InlineResults, PendingExchange};
use crate::model::clock::Clock;
use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead, detached_headers};
use crate::model::mode::Mode;
use crate::model::trace::TraceContext;
use crate::model::verdict::SkipReason;
use crate::model::violation::Side;

/// Handles exchanges: routes, validates or observes, forwards.
pub struct ExchangeHandler {
    routes: Arc<ArcSwap<RoutingTable>>,
    workers: WorkerIds,
    pace: MinRate,
    queue: Arc<Queue>,
    budget: Budget,
    metrics: ProxyMetrics,
    clock: Arc<dyn Clock>,
    tracer: Option<Tracer>,
}

/// An exchange that is observed or enforced.
struct TrackedExchange {
    pending: PendingExchange,
    decision: EnforcementDecision,
    trace: Option<TraceContext>,
}

/// Where one exchange comes from, and its route.
#[derive(Clone, Copy)]
struct ExchangeContext<'a> {
    connection: &'a DownstreamConnection,
    route: &'a Route,
}

// === impl ExchangeHandler ===

impl ExchangeHandler {
    /// A handler for `routes`; the table may be replaced at any time.
    pub fn new(
        routes: Arc<ArcSwap<RoutingTable>>,
        queue: Arc<Queue>,
        budget: Budget,
        metrics: ProxyMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            routes,
            workers: WorkerIds::default(),
            pace: MinRate::default(),
            queue,
            budget,
            metrics,
            clock,
            tracer: None,
        }
    }

    /// The id of the calling worker thread. Asked once per downstream connection.
    pub fn worker(&self) -> WorkerId {
        self.workers.current()
    }

    /// Sets the least rate at which callers must send bodies.
    #[must_use]
    pub fn with_min_rate(mut self, pace: MinRate) -> Self {
        self.pace = pace;
        self
    }

    /// Continues the callers' traces.
    #[must_use]
    pub fn with_tracer(mut self, tracer: Option<Tracer>) -> Self {
        self.tracer = tracer;
        self
    }

    /// The source of times.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The counters of the traffic side.
    pub fn metrics(&self) -> &ProxyMetrics {
        &self.metrics
    }

    /// The route of a request, if any takes it.
    pub fn route<B>(&self, request: &Request<B>) -> Option<Arc<Route>> {
        self.routes.load().find(request).cloned()
    }

    /// Handles one exchange. Never fails: whatever goes wrong becomes a response.
    pub async fn handle(
        &self,
        mut request: Request<Incoming>,
        route: &Route,
        connection: &DownstreamConnection,
    ) -> Response<ResponseBody> {
        let started = self.clock.instant();
        let in_flight = GaugeGuard::new(&self.metrics.in_flight);
        if let Some(target) = route.target(request.uri()) {
            *request.uri_mut() = target;
        }
        let context = ExchangeContext { connection, route };
        let answer = match self.begin_exchange(context, &request, started) {
            Ok(tracked) => self.forward(request, tracked, context, in_flight, started).await,
            Err(response) => Err(*response),
        };
        let answer = answer.unwrap_or_else(|synthetic| synthetic.map(ResponseBody::Synthetic));
        self.metrics.record_response(answer.status());
        answer
    }

    /// Begins the exchange, unless nothing is to be kept or there is no memory to keep it in.
    fn begin_exchange(
        &self,
        ExchangeContext { connection, route }: ExchangeContext<'_>,
        request: &Request<Incoming>,
        started: Instant,
    ) -> Result<Option<TrackedExchange>, BoxedResponse> {
        let enforcement = &route.enforcement;
        if enforcement.is_off() {
            return Ok(None);
        }
        let contract = route.contract.load_full();
        let (method, uri) = (request.method(), request.uri());
        let head = (request.headers(), !request.body().is_end_stream());
        let mut decision = enforcement.decide(contract.as_ref(), method, uri, head);
        if decision.modes.is_off() {
            return Ok(None);
        }
        let weight = head_weight(request.headers());
        let reservation =
            self.budget.reserve(weight).or_else(|| enforcement.reserve(&decision, weight));
        let Some(reservation) = reservation else {
            self.queue.count_uncaptured(SkipReason::CaptureMemory);
            return enforcement.reject_without_memory(&mut decision).map_or(Ok(None), Err);
        };
        let trace = self.tracer.as_ref().and_then(|tracer| tracer.begin(request.headers()));
        let exchange = Exchange {
            contract,
            trace,
            id: decision.id,
            modes: decision.modes,
            client_ip: connection.peer.ip,
            client_subject: connection.peer.subject.clone(),
            request: RequestHead::of(request),
            request_body: CapturedBody::unread(),
            response: None,
            response_body: CapturedBody::unread(),
            ending: Ending::DownstreamGone,
            rejected: None,
            inline: InlineResults::default(),
            arrived_at: self.clock.now(),
            duration: Duration::ZERO,
            upstream_duration: None,
            forwarded_after: Duration::ZERO,
            reservation,
        };
        let queue = self.queue.clone();
        let pending = PendingExchange::new(Box::new(exchange), started, self.clock.clone(), queue);
        Ok(Some(TrackedExchange { pending, decision, trace }))
    }

    async fn forward(
        &self,
        mut request: Request<Incoming>,
        mut tracked: Option<TrackedExchange>,
        context: ExchangeContext<'_>,
        in_flight: GaugeGuard,
        started: Instant,
    ) -> Result<Response<ResponseBody>, Response<SyntheticBody>> {
        if request.method() == Method::CONNECT {
            return Err(problem::invalid_request(
                StatusCode::METHOD_NOT_ALLOWED,
                "connect",
                "CONNECT is not proxied",
                "The sidecar stands in front of one service and opens no tunnels.",
            ));
        }
        let upgrade = is_upgrade(&request).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        let AdmittedBody { body, captured } =
            Self::admit_request(context, &parts, body, tracked.as_mut(), upgrade.is_some()).await?;
        let uncaptured = tracked.as_ref().filter(|_| !captured);
        let capture = uncaptured.map(|tracked| context.capture(tracked, Side::Request));
        // A body that is over before it began cannot make progress, and needs no watching.
        let progress =
            (!body.is_end_stream()).then(|| self.progress(context.route, &parts.headers));
        let mut body = Box::new(CaptureBody::new(body, capture));
        if let Some(progress) = &progress {
            body.report_to(progress.clone());
        }
        if parts.version < Version::HTTP_2 {
            body.wakes_connection(context.connection.waker.clone());
        }
        if let Some(trace_context) = tracked.as_ref().and_then(|tracked| tracked.trace) {
            trace::inject(&trace_context, &mut parts.headers);
        }
        strip_hop_by_hop(&mut parts.headers, upgrade.is_some());
        forwarded::set_fields(
            &context.route.forwarded,
            &context.connection.peer,
            &parts.uri,
            &mut parts.headers,
        );
        let request = Request::from_parts(parts, body);
        let sent = self.clock.instant();
        let (mut response, lease) = context
            .route
            .upstream
            .send(request, context.connection.worker, progress.as_ref(), sent)
            .await
            .map_err(|failure| {
                let pending = tracked.as_ref().map(|tracked| &tracked.pending);
                self.upstream_failure_response(failure, progress.as_ref(), pending)
            })?;
        self.record_response_head(
            &response,
            tracked.as_ref().map(|one| &one.pending),
            started,
            sent,
        );
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            if let Some(downstream) = upgrade {
                let switched =
                    Self::switch_protocols(context, response, downstream, tracked, in_flight);
                return switched.map_err(|response| *response);
            }
            return Err(problem::upstream_failure(UpstreamFailure::Broken));
        }
        strip_hop_by_hop(response.headers_mut(), false);
        let response = response.map(|body| UpstreamBody::new(body, lease, in_flight));
        self.release_response(context, response, tracked).await
    }

    /// Admits a request: at once, or after it was buffered and validated.
    async fn admit_request(
        context: ExchangeContext<'_>,
        parts: &http::request::Parts,
        body: Incoming,
        tracked: Option<&mut TrackedExchange>,
        upgrading: bool,
    ) -> Result<AdmittedBody<Incoming>, Response<SyntheticBody>> {
        let Some(TrackedExchange { pending, decision, .. }) =
            tracked.filter(|tracked| tracked.decision.modes.request == Mode::Strict)
        else {
            return Ok(AdmittedBody { body: ProxyBody::Streaming(body), captured: false });
        };
        let enforcement = &context.route.enforcement;
        // On the heap, so that the exchanges that are only observed do not carry its size.
        Box::pin(async move {
            let headers = &parts.headers;
            let outcome =
                enforcement.enforce_request(pending, decision, headers, body, upgrading).await;
            match outcome {
                Ok(admitted) => Ok(admitted),
                Err(mut answer) => {
                    enforcement.add_verdict_header(pending, decision, answer.headers_mut()).await;
                    Err(answer)
                }
            }
        })
        .await
    }

    /// Releases a response: at once, or after it was buffered and validated.
    async fn release_response(
        &self,
        context: ExchangeContext<'_>,
        response: Response<UpstreamBody>,
        tracked: Option<TrackedExchange>,
    ) -> Result<Response<ResponseBody>, Response<SyntheticBody>> {
        let enforcement = &context.route.enforcement;
        let capture = match tracked {
            None => None,
            Some(tracked) if tracked.needs_verdict(enforcement) => {
                return Box::pin(self.release_validated(context, response, tracked)).await;
            }
            Some(tracked) => {
                if tracked.decision.modes.enforces() {
                    enforcement.record_passed();
                }
                Some(context.capture(&tracked, Side::Response))
            }
        };
        Ok(response.map(|body| {
            ResponseBody::Upstream(Box::new(CaptureBody::new(ProxyBody::Streaming(body), capture)))
        }))
    }

    async fn release_validated(
        &self,
        context: ExchangeContext<'_>,
        response: Response<UpstreamBody>,
        mut tracked: TrackedExchange,
    ) -> Result<Response<ResponseBody>, Response<SyntheticBody>> {
        let enforcement = &context.route.enforcement;
        let (mut parts, body) = response.into_parts();
        let TrackedExchange { pending, decision, .. } = &mut tracked;
        let admitted = if decision.modes.response == Mode::Strict {
            enforcement.enforce_response(pending, decision, &parts.headers, body).await
        } else {
            if decision.modes.enforces() {
                enforcement.record_passed();
            }
            Ok(AdmittedBody { body: ProxyBody::Streaming(body), captured: false })
        };
        match admitted {
            Err(Replacement { mut answer, failure }) => {
                if let Some(failure) = failure {
                    self.metrics.record_upstream_failure(failure);
                }
                enforcement.add_verdict_header(pending, decision, answer.headers_mut()).await;
                Err(answer)
            }
            Ok(AdmittedBody { body, captured }) => {
                enforcement.add_verdict_header(pending, decision, &mut parts.headers).await;
                let tap = if captured {
                    CaptureBody::new(body, None).retaining(tracked.pending)
                } else {
                    CaptureBody::new(body, Some(context.capture(&tracked, Side::Response)))
                };
                Ok(Response::from_parts(parts, ResponseBody::Upstream(Box::new(tap))))
            }
        }
    }

    /// Tracks the progress of a body. A gRPC body has no least rate: its messages come at any time.
    fn progress(&self, route: &Route, headers: &HeaderMap) -> BodyProgress {
        let grpc = |value: &HeaderValue| value.as_bytes().starts_with(b"application/grpc");
        let mut pace = self.pace;
        if headers.get(CONTENT_TYPE).is_some_and(grpc) {
            pace.bytes_per_second = 0;
        }
        let limit = route.bodies.request.map_or(u64::MAX, NonZeroU64::get);
        BodyProgress::new(pace, limit)
    }

    /// The response where the upstream gave none; depends on whose fault that is.
    fn upstream_failure_response(
        &self,
        failure: UpstreamFailure,
        progress: Option<&BodyProgress>,
        pending: Option<&PendingExchange>,
    ) -> Response<SyntheticBody> {
        if let Some(fault) = progress.and_then(BodyProgress::fault) {
            self.metrics.record_refused(fault.as_str());
            return problem::for_body_fault(fault);
        }
        self.metrics.record_upstream_failure(failure);
        if let Some(pending) = pending {
            pending.update(|exchange| exchange.ending = Ending::UpstreamFailed);
        }
        problem::upstream_failure(failure)
    }

    fn record_response_head<B>(
        &self,
        response: &Response<B>,
        pending: Option<&PendingExchange>,
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
                headers: detached_headers(response.headers()),
            });
        });
    }

    fn switch_protocols(
        context: ExchangeContext<'_>,
        mut response: Response<Incoming>,
        downstream: hyper::upgrade::OnUpgrade,
        tracked: Option<TrackedExchange>,
        in_flight: GaugeGuard,
    ) -> Result<Response<ResponseBody>, BoxedResponse> {
        if let Some(TrackedExchange { pending, mut decision, .. }) = tracked {
            context.route.enforcement.check_upgrade(&pending, &mut decision)?;
            pending.update(|exchange| exchange.ending = Ending::Upgraded);
        }
        let upstream = hyper::upgrade::on(&mut response);
        tokio::spawn(tunnel(downstream, upstream, in_flight));
        strip_hop_by_hop(response.headers_mut(), true);
        Ok(response.map(|_| ResponseBody::Synthetic(Full::default())))
    }
}

// === impl ExchangeContext ===

impl ExchangeContext<'_> {
    /// Captures one side as it passes; nothing of it where it is not validated.
    fn capture(&self, tracked: &TrackedExchange, side: Side) -> Capture {
        let mode = match side {
            Side::Request => tracked.decision.modes.request,
            Side::Response => tracked.decision.modes.response,
        };
        let limit = if mode == Mode::Off { 0 } else { self.route.body_limit };
        Capture::new(tracked.pending.clone(), side, limit)
    }
}

// === impl TrackedExchange ===

impl TrackedExchange {
    /// Whether the response waits for a verdict.
    fn needs_verdict(&self, enforcement: &Enforcement) -> bool {
        self.decision.modes.response == Mode::Strict || enforcement.shows_verdict()
    }
}
