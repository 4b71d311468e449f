//! Enforcement on one route: which exchanges are held, and what becomes of them.
//!
//! What must hold: a request that breaks the contract is answered before the upstream is
//! contacted at all, and no byte of a response that does reaches the downstream; whatever
//! should be enforced and is not is counted with the reason; exchanges that are only observed
//! pay one branch. A new reason not to enforce is a [`SkipReason`] and a line in `request` or
//! `response` here.

mod breaker;
mod fallback;
mod inline;
mod judging;
pub mod metrics;
mod plan;
mod shown;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Response};
use http_body::Body;
use smallvec::SmallVec;
use uuid::Uuid;

use super::hold::{HoldLimits, Holding, Payload, hold};
use super::metrics::UpstreamFailure;
use super::reject::{self, Invented, Refusal, Rejection};
use crate::config::enforcement::{EnforcementSettings, OnUnenforceable};
use crate::contract::media_type::{BodyKind, MediaTypeRef};
use crate::contract::{OperationIndex, RouteMatch};
use crate::model::clock::Clock;
use crate::model::exchange::{Captured, request_id};
use crate::model::id::IdSource;
use crate::model::mode::{Mode, Modes};
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::Side;
use crate::observer::budget::{Budget, Reservation};
use crate::observer::exchange::{Ending, Exchange, Half, Pending};
use crate::registry::LoadedContract;
use crate::validation::RequestJudgement;

use fallback::Fallback;
use metrics::{EnforcementMetrics, Waived};
use plan::{Plan, Planned};

pub use inline::Inline;
pub use plan::unknown_operations;

/// Enforcement on one route.
pub struct Enforcement {
    parts: EnforcementParts,
    limits: HoldLimits,
    plan: ArcSwapOption<Plan>,
    fallback: Option<Arc<Fallback>>,
    /// Whether every exchange has the modes of the route, and none is enforced or shown.
    plain: bool,
    off: bool,
}

/// What an [`Enforcement`] is made of.
pub struct EnforcementParts {
    /// The route's name in metrics and log lines.
    pub route: String,
    /// What the settings say.
    pub settings: EnforcementSettings,
    /// Bytes of one body that may be held.
    pub body_limit: usize,
    /// Who judges while traffic waits.
    pub judges: Arc<Inline>,
    /// Memory of what is held, apart from that of what waits to be judged.
    pub budget: Budget,
    /// Counters.
    pub metrics: EnforcementMetrics,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of exchanges.
    pub ids: Arc<dyn IdSource>,
}

/// What is to be done with one exchange.
#[derive(Debug, Clone)]
pub struct Stance {
    /// The modes in force for it.
    pub modes: Modes,
    /// Its id, where one was needed to decide.
    pub id: Option<Uuid>,
    operation: Option<(Arc<Plan>, OperationIndex)>,
}

/// A body that may go on.
#[derive(Debug)]
pub struct Passage<B> {
    /// The body, byte for byte as it came.
    pub body: Payload<B>,
    /// Whether it is captured already; otherwise it is captured as it passes.
    pub captured: bool,
}

/// An answer in the place of a response.
#[derive(Debug)]
pub struct Replacement {
    /// The answer.
    pub answer: Response<Invented>,
    /// The upstream's failure, if that is the cause.
    pub failure: Option<UpstreamFailure>,
}

/// Why a half does not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Violates,
    Unenforceable(SkipReason),
}

// === impl Enforcement ===

impl Enforcement {
    /// Enforcement made of `parts`.
    pub fn new(parts: EnforcementParts) -> Self {
        let settings = &parts.settings;
        let limits = HoldLimits { bytes: parts.body_limit, time: settings.hold_timeout };
        let breaker = settings.breaker;
        let fallback = breaker.map(|it| Arc::new(Fallback::new(it, parts.clock.instant())));
        let plain = settings.operations.is_empty() && !settings.modes.enforces();
        let off = settings.is_off();
        Self { limits, plan: ArcSwapOption::empty(), fallback, plain, off, parts }
    }

    /// Whether nothing on this route is ever judged.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Decides what is to be done with an exchange.
    pub fn stance(
        self: &Arc<Self>,
        contract: Option<&Arc<LoadedContract>>,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
    ) -> Stance {
        let modes = self.parts.settings.modes;
        let mut stance = Stance { modes, id: None, operation: None };
        if self.plain {
            return stance;
        }
        stance.operation = contract.and_then(|contract| self.find(contract, method, path));
        stance.modes = stance.planned().map_or(modes, |planned| planned.modes);
        if stance.modes.enforces()
            && let Some(why) = self.waives(&mut stance, headers)
        {
            self.parts.metrics.waived(why);
            stance.modes = stance.modes.unenforced();
        }
        stance
    }

    fn find(
        &self,
        contract: &Arc<LoadedContract>,
        method: &Method,
        path: &str,
    ) -> Option<(Arc<Plan>, OperationIndex)> {
        let path = if path.is_empty() { "/" } else { path };
        let RouteMatch::Found { operation, .. } = contract.contract.find(method, path) else {
            return None;
        };
        let plan = self.plan.load_full().filter(|plan| plan.is_for(contract));
        let plan = plan.unwrap_or_else(|| {
            for problem in unknown_operations(&self.parts.settings, &contract.contract) {
                let route = self.parts.route.as_str();
                tracing::warn!(event = "unknown_operation", route, "{problem}; it has no mode");
            }
            let plan = Arc::new(Plan::new(&self.parts.settings, contract.clone()));
            self.plan.store(Some(plan.clone()));
            plan
        });
        Some((plan, operation))
    }

    /// Why this exchange is not enforced although its operation is.
    fn waives(self: &Arc<Self>, stance: &mut Stance, headers: &HeaderMap) -> Option<Waived> {
        if self.has_fallen_back() {
            return Some(Waived::Breaker);
        }
        let share = self.parts.settings.share;
        if share.is_whole() {
            return None;
        }
        let hash = match request_id(headers) {
            Some(id) => hash(id.as_bytes()),
            None => hash(stance.id(&*self.parts.ids).as_bytes()),
        };
        (!share.includes(hash)).then_some(Waived::Share)
    }

    /// Holds a request, judges it, and lets it pass or answers it.
    pub async fn request<B>(
        self: &Arc<Self>,
        pending: &Pending,
        stance: &mut Stance,
        headers: &HeaderMap,
        body: B,
        upgrading: bool,
    ) -> Result<Passage<B>, Response<Invented>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let started = self.parts.clock.instant();
        // A stream without a length may wait for its response before it goes on.
        let endless = is_stream(headers) && body.size_hint().exact().is_none();
        let (body, captured, cut) = match self.hold(body, endless).await {
            Holding::Whole(body, captured) => (body, captured, None),
            Holding::Cut(body, captured, reason) => (body, captured, Some(reason)),
            Holding::Broken(captured) => {
                pending.deposit(Half::Request, captured);
                return Err(reject::broken_off());
            }
        };
        let complete = cut.is_none();
        let cut = cut.or(upgrading.then_some(SkipReason::Upgraded));
        let judged = self.judge_request(pending, stance, headers, &captured).await;
        let verdict = judged.as_ref().map(|(judged, _)| &judged.verdict).map_err(|reason| *reason);
        let ruling = self.rule(Side::Request, verdict, cut);
        let took = self.parts.clock.instant().saturating_duration_since(started);
        self.parts.metrics.held(Side::Request, took.as_secs_f64());
        match ruling {
            Ok(()) => {
                if complete {
                    settle(pending, captured, |exchange, captured| {
                        exchange.request_body = captured;
                        if let Ok((judged, sketch)) = judged {
                            exchange.known.judged_request(judged, sketch);
                        }
                    });
                }
                Ok(Passage { body, captured: complete })
            }
            Err(cause) => {
                let operation = stance.operation.as_ref().map(|(_, index)| *index);
                let (mut judged, sketch) = judged.unwrap_or_else(|reason| {
                    (RequestJudgement { operation, verdict: Verdict::skipped(reason) }, None)
                });
                say_why_cut(&mut judged.verdict, cut);
                let answer = self.reject(Side::Request, pending, stance, cause, &judged.verdict);
                settle(pending, captured, |exchange, captured| {
                    exchange.request_body = captured;
                    exchange.ending = Ending::Rejected;
                    exchange.known.judged_request(judged, sketch);
                });
                Err(answer)
            }
        }
    }

    /// Holds a response, judges it, and lets it pass or replaces it.
    pub async fn response<B>(
        self: &Arc<Self>,
        pending: &Pending,
        stance: &mut Stance,
        headers: &HeaderMap,
        body: B,
    ) -> Result<Passage<B>, Replacement>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let started = self.parts.clock.instant();
        let (body, captured, cut) = match self.hold(body, is_stream(headers)).await {
            Holding::Whole(body, captured) => (body, captured, None),
            Holding::Cut(body, captured, reason) => (body, captured, Some(reason)),
            Holding::Broken(captured) => {
                pending.deposit(Half::Response, captured);
                let failure = UpstreamFailure::Broken;
                let answer = reject::upstream_failed(failure);
                return Err(Replacement { answer, failure: Some(failure) });
            }
        };
        let judged = self.judge_response(pending, stance, headers, &captured).await;
        let verdict = judged.as_ref().map(|(verdict, _)| verdict).map_err(|reason| *reason);
        let ruling = self.rule(Side::Response, verdict, cut);
        let took = self.parts.clock.instant().saturating_duration_since(started);
        self.parts.metrics.held(Side::Response, took.as_secs_f64());
        let whole = cut.is_none();
        match ruling {
            Ok(()) => {
                if whole {
                    settle(pending, captured, |exchange, captured| {
                        exchange.response_body = captured;
                        if let Ok((verdict, sketch)) = judged {
                            exchange.known.judged_response(verdict, sketch);
                        }
                    });
                }
                self.passed();
                Ok(Passage { body, captured: whole })
            }
            Err(cause) => {
                let (mut verdict, sketch) =
                    judged.unwrap_or_else(|reason| (Verdict::skipped(reason), None));
                say_why_cut(&mut verdict, cut);
                let answer = self.reject(Side::Response, pending, stance, cause, &verdict);
                settle(pending, captured, |exchange, captured| {
                    exchange.response_body = captured;
                    exchange.known.judged_response(verdict, sketch);
                });
                Err(Replacement { answer, failure: None })
            }
        }
    }

    async fn hold<B>(&self, body: B, endless: bool) -> Holding<B>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if endless {
            return Holding::Cut(Payload::Live(body), Captured::unread(), SkipReason::Stream);
        }
        let Some(memory) = self.parts.budget.reserve(0) else {
            let reason = SkipReason::CaptureMemory;
            return Holding::Cut(Payload::Live(body), Captured::unread(), reason);
        };
        hold(body, self.limits, memory).await
    }

    /// Whether a half passes, and if not, why. Everything that was not enforced is counted.
    fn rule(
        &self,
        side: Side,
        judged: Result<&Verdict, SkipReason>,
        cut: Option<SkipReason>,
    ) -> Result<(), Cause> {
        let metrics = &self.parts.metrics;
        if judged.is_ok_and(|verdict| !verdict.violations.is_empty()) {
            metrics.enforced(side);
            metrics.rejected(side, "violation");
            return Err(Cause::Violates);
        }
        let reasons: SmallVec<[SkipReason; 2]> = match (cut, judged) {
            (Some(reason), _) | (None, Err(reason)) => [reason].into_iter().collect(),
            // A pre-flight belongs to the browser; no document lists it, and it always passes.
            (None, Ok(verdict)) => {
                let counts = |reason: &SkipReason| *reason != SkipReason::Preflight;
                verdict.skipped.iter().copied().filter(counts).collect()
            }
        };
        let Some(first) = reasons.first().copied() else {
            metrics.enforced(side);
            return Ok(());
        };
        let action = self.parts.settings.on_unenforceable;
        for reason in reasons {
            metrics.unenforceable(side, reason, action);
        }
        match action {
            OnUnenforceable::Forward => Ok(()),
            OnUnenforceable::Reject => {
                metrics.rejected(side, "unenforceable");
                Err(Cause::Unenforceable(first))
            }
        }
    }

    fn reject(
        self: &Arc<Self>,
        side: Side,
        pending: &Pending,
        stance: &mut Stance,
        cause: Cause,
        verdict: &Verdict,
    ) -> Response<Invented> {
        let id = stance.id(&*self.parts.ids);
        let request_id = pending.update(|exchange| {
            exchange.id = Some(id);
            exchange.rejected = Some(side);
            exchange.request.request_id().map(str::to_owned)
        });
        let request_id = request_id.flatten().unwrap_or_else(|| id.to_string());
        self.note(true);
        let rejection = Rejection { side, id, request_id: &request_id };
        match cause {
            Cause::Violates => rejection.violating(self.parts.settings.status, verdict),
            Cause::Unenforceable(reason) => rejection.unenforceable(reason),
        }
    }

    /// Memory for an exchange that is enforced even when the observer has none left.
    pub fn reserve(&self, stance: &Stance, bytes: usize) -> Option<Reservation> {
        if stance.modes.enforces() { self.parts.budget.reserve(bytes) } else { None }
    }

    /// Answers an exchange for which there is no memory, where the settings ask for that.
    pub fn without_memory(&self, stance: &mut Stance) -> Option<Refusal> {
        if !stance.modes.enforces() {
            return None;
        }
        let side =
            if stance.modes.request == Mode::Strict { Side::Request } else { Side::Response };
        let cause = self.rule(side, Err(SkipReason::CaptureMemory), None).err()?;
        let id = stance.id(&*self.parts.ids);
        let rejection = Rejection { side: Side::Request, id, request_id: &id.to_string() };
        match cause {
            Cause::Unenforceable(reason) => Some(rejection.unenforceable(reason).into()),
            Cause::Violates => None,
        }
    }

    /// Decides about a response that turns the connection into another protocol.
    pub fn upgrade(
        self: &Arc<Self>,
        pending: &Pending,
        stance: &mut Stance,
    ) -> Result<(), Refusal> {
        if stance.modes.response != Mode::Strict {
            return Ok(());
        }
        let verdict = Verdict::skipped(SkipReason::Upgraded);
        self.rule(Side::Response, Ok(&verdict), None)
            .map_err(|cause| self.reject(Side::Response, pending, stance, cause, &verdict).into())
    }

    /// Notes that an exchange passed that might have been rejected.
    pub fn passed(self: &Arc<Self>) {
        self.note(false);
    }
}

// === impl Stance ===

impl Stance {
    fn planned(&self) -> Option<&Planned> {
        self.operation.as_ref().and_then(|(plan, index)| plan.operation(*index))
    }

    fn id(&mut self, ids: &dyn IdSource) -> Uuid {
        *self.id.get_or_insert_with(|| ids.next_id())
    }
}

/// Gives the exchange what is known of a half. Its body is judged already: where the observer has
/// no memory for it, it goes without.
fn settle(pending: &Pending, mut captured: Captured, change: impl FnOnce(&mut Exchange, Captured)) {
    pending.update(|exchange| {
        if !exchange.reservation.grow(captured.kept()) {
            captured.let_go();
        }
        change(exchange, captured);
    });
}

/// To the judge a body that was not held to its end broke off; we know why it did.
fn say_why_cut(verdict: &mut Verdict, cut: Option<SkipReason>) {
    if let Some(reason) = cut {
        verdict.skipped.retain(|one| *one != SkipReason::BodyIncomplete);
        verdict.skip(reason);
    }
}

/// Whether a body may go on without end, item by item.
fn is_stream(headers: &HeaderMap) -> bool {
    let Some(sent) = headers.get(CONTENT_TYPE) else { return false };
    if sent.as_bytes() == b"application/json" {
        return false;
    }
    let Some(media) = sent.to_str().ok().and_then(MediaTypeRef::parse) else { return false };
    let grpc = media.main.eq_ignore_ascii_case("application")
        && media.sub.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("grpc"));
    let replaced = media.sub.eq_ignore_ascii_case("x-mixed-replace");
    grpc || replaced || matches!(media.kind(), BodyKind::JsonSequence | BodyKind::EventStream)
}

/// The same for every process: FNV-1a, its bits mixed.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ fnv >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ mixed >> 33
}

#[cfg(test)]
mod tests;
