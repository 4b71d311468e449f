//! Admission of requests: rejects what is malformed and what is over a limit; the rest goes to
//! the handler.

use std::num::NonZeroU64;
use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

use crate::proxy::downstream::ResponseBody;
use crate::proxy::downstream::connection::{DownstreamConnection, DownstreamPeer};
use crate::proxy::downstream::stream::ResponseBodyLimit;
use crate::proxy::handler::ExchangeHandler;
use crate::proxy::hop_by_hop::{MalformedRequest, check_head};
use crate::proxy::limits::{ConcurrencyPermit, ExchangeLimiter, LimitExceeded};
use crate::proxy::problem::{self, SyntheticBody};
use crate::proxy::routes::Route;

/// Admits requests to the handler.
pub struct RequestAdmission {
    handler: Arc<ExchangeHandler>,
    limits: ExchangeLimiter,
}

/// A response, with the limits and permits that end with it.
pub struct LimitedResponse {
    /// The response.
    pub response: Response<ResponseBody>,
    /// The limit of its body, if there is one.
    pub limit: Option<ResponseBodyLimit>,
    /// Its permits to run, of all routes and of its own.
    pub permits: [ConcurrencyPermit; 2],
}

// === impl RequestAdmission ===

impl RequestAdmission {
    /// Admits to `handler` what is within `limits`.
    pub fn new(handler: Arc<ExchangeHandler>, limits: ExchangeLimiter) -> Self {
        Self { handler, limits }
    }

    /// The handler.
    pub fn handler(&self) -> &Arc<ExchangeHandler> {
        &self.handler
    }

    /// Serves one exchange.
    pub async fn serve(
        &self,
        mut request: Request<Incoming>,
        connection: &DownstreamConnection,
    ) -> LimitedResponse {
        let (route, permits) = match self.admit(&request, &connection.peer).await {
            Ok(admitted) => admitted,
            Err(rejected) => return self.reject(rejected),
        };
        connection.interim.subscribe(&mut request, connection.waker.waker());
        let response = self.handler.handle(request, &route, connection).await;
        let Some(limit) = route.bodies.response.map(NonZeroU64::get) else {
            return LimitedResponse { response, limit: None, permits };
        };
        let metrics = self.handler.metrics();
        if response.body().size_hint().lower() > limit {
            metrics.record_refused("response_body_too_large");
            let response = problem::response_too_large().map(ResponseBody::Synthetic);
            return LimitedResponse { response, limit: None, permits };
        }
        let limit = ResponseBodyLimit { remaining: limit, metrics: metrics.clone() };
        LimitedResponse { response, limit: Some(limit), permits }
    }

    async fn admit(
        &self,
        request: &Request<Incoming>,
        peer: &DownstreamPeer,
    ) -> Result<(Arc<Route>, [ConcurrencyPermit; 2]), Response<SyntheticBody>> {
        let metrics = self.handler.metrics();
        if let Some(malformed) = check_head(request) {
            metrics.record_refused(malformed.as_str());
            let mut answer = malformed_response(malformed);
            if request.version() < Version::HTTP_2 {
                // What else this peer has sent is not to be trusted either.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return Err(answer);
        }
        let exceeded = |exceeded: LimitExceeded| {
            metrics.record_refused(exceeded.as_str());
            problem::over_limit(exceeded)
        };
        let all = self.limits.admit(request, peer.ip).await.map_err(exceeded)?;
        let Some(route) = self.handler.route(request) else {
            metrics.unrouted.inc();
            return Err(problem::no_route());
        };
        let length = request.body().size_hint().lower();
        if route.bodies.request.is_some_and(|limit| length > limit.get()) {
            return Err(exceeded(LimitExceeded::Body));
        }
        let own = match &route.limits {
            None => ConcurrencyPermit::default(),
            Some(limits) => limits.admit(request, peer.ip).await.map_err(exceeded)?,
        };
        Ok((route, [all, own]))
    }

    fn reject(&self, response: Response<SyntheticBody>) -> LimitedResponse {
        self.handler.metrics().record_response(response.status());
        let response = response.map(ResponseBody::Synthetic);
        LimitedResponse { response, limit: None, permits: Default::default() }
    }
}

fn malformed_response(malformed: MalformedRequest) -> Response<SyntheticBody> {
    match malformed {
        MalformedRequest::Host => problem::invalid_request(
            StatusCode::BAD_REQUEST,
            "request.host",
            "Not one host",
            "A request names the host it is for exactly once, and without a user.",
        ),
        MalformedRequest::Length => problem::invalid_request(
            StatusCode::BAD_REQUEST,
            "request.length",
            "Several lengths",
            "A request says at most once how long its body is.",
        ),
        MalformedRequest::TransferCoding => problem::invalid_request(
            StatusCode::NOT_IMPLEMENTED,
            "request.transfer_coding",
            "Unknown transfer coding",
            "The only transfer coding there is between hops is chunked, once.",
        ),
    }
}
