//! Where requests come in: what no reader may read twice and what is over a limit goes no
//! further; the rest goes through the gate.

use std::num::NonZeroU64;
use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::answer::AnswerBody;
use super::connection::{Objection, objection};
use super::gate::Gate;
use super::limits::{Excess, Limits, Turn};
use super::peer::{Line, Peer};
use super::reject::{self, Invented};
use super::route::Route;
use super::wire::BodyLimit;

/// The way in, in front of the gate.
pub struct Entrance {
    gate: Arc<Gate>,
    limits: Limits,
}

/// An answer, and what it holds until it has passed.
pub struct Answered {
    /// The answer.
    pub response: Response<AnswerBody>,
    /// What may pass of its body, if there is a limit.
    pub limit: Option<BodyLimit>,
    /// Its places among the exchanges that run at once, on all routes and on its own.
    pub turns: [Turn; 2],
}

// === impl Entrance ===

impl Entrance {
    /// The way into `gate` under `limits`.
    pub fn new(gate: Arc<Gate>, limits: Limits) -> Self {
        Self { gate, limits }
    }

    /// The gate behind.
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// Carries one exchange.
    pub async fn serve(&self, mut request: Request<Incoming>, line: &Line) -> Answered {
        let (route, turns) = match self.admit(&request, &line.peer).await {
            Ok(admitted) => admitted,
            Err(refused) => return self.refuse(refused),
        };
        line.interim.listen(&mut request, line.relay.waker());
        let response = self.gate.serve(request, &route, line).await;
        let Some(limit) = route.bodies.response.map(NonZeroU64::get) else {
            return Answered { response, limit: None, turns };
        };
        let metrics = self.gate.metrics();
        if response.body().size_hint().lower() > limit {
            metrics.refused("response_body_too_large");
            let response = reject::too_long_an_answer().map(AnswerBody::Invented);
            return Answered { response, limit: None, turns };
        }
        let limit = BodyLimit { left: limit, metrics: metrics.clone() };
        Answered { response, limit: Some(limit), turns }
    }

    async fn admit(
        &self,
        request: &Request<Incoming>,
        peer: &Peer,
    ) -> Result<(Arc<Route>, [Turn; 2]), Response<Invented>> {
        let metrics = self.gate.metrics();
        if let Some(objection) = objection(request) {
            metrics.refused(objection.as_str());
            let mut answer = objected(objection);
            if request.version() < Version::HTTP_2 {
                // What else this peer has sent is not to be trusted either.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            return Err(answer);
        }
        let excess = |excess: Excess| {
            metrics.refused(excess.as_str());
            reject::over_limit(excess)
        };
        let all = self.limits.admit(request, peer.ip).await.map_err(excess)?;
        let Some(route) = self.gate.route(request) else {
            metrics.unrouted.inc();
            return Err(reject::unrouted());
        };
        let length = request.body().size_hint().lower();
        if route.bodies.request.is_some_and(|limit| length > limit.get()) {
            return Err(excess(Excess::Body));
        }
        let own = match &route.limits {
            None => Turn::default(),
            Some(limits) => limits.admit(request, peer.ip).await.map_err(excess)?,
        };
        Ok((route, [all, own]))
    }

    fn refuse(&self, response: Response<Invented>) -> Answered {
        self.gate.metrics().answered(response.status());
        let response = response.map(AnswerBody::Invented);
        Answered { response, limit: None, turns: Default::default() }
    }
}

fn objected(objection: Objection) -> Response<Invented> {
    match objection {
        Objection::Host => reject::refused(
            StatusCode::BAD_REQUEST,
            "request.host",
            "Not one host",
            "A request names the host it is for exactly once, and without a user.",
        ),
        Objection::Length => reject::refused(
            StatusCode::BAD_REQUEST,
            "request.length",
            "Several lengths",
            "A request says at most once how long its body is.",
        ),
        Objection::TransferCoding => reject::refused(
            StatusCode::NOT_IMPLEMENTED,
            "request.transfer_coding",
            "Unknown transfer coding",
            "The only transfer coding there is between hops is chunked, once.",
        ),
    }
}
