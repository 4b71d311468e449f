//! Enforcement on one route: which exchanges are buffered, and what is done with them.
//!
//! Invariants: a request that breaks the contract is answered before the upstream is
//! contacted at all, and no byte of a response that does reaches the downstream; whatever
//! should be enforced and is not is counted with the reason; exchanges that are only observed
//! pay one branch. A new reason not to enforce is a [`SkipReason`] and a branch in
//! `check_verdict` here.

mod breaker;
mod breaker_state;
mod inline;
mod message;
pub mod metrics;
mod plan;
mod preflight;
mod validate;
mod verdict_header;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};
use http_body::Body;
use smallvec::SmallVec;
use uuid::Uuid;

use super::body::buffer::{BufferLimits, BufferOutcome, ProxyBody, buffer_body};
use super::metrics::UpstreamFailure;
use super::problem::{self, BoxedResponse, Rejection, SyntheticBody};
use crate::config::enforcement::{EnforcementSettings, OnUnenforceable};
use crate::contract::{OperationIndex, RouteMatch};
use crate::exchange::memory_budget::{Budget, Reservation};
use crate::exchange::{Ending, Exchange, PendingExchange};
use crate::model::clock::Clock;
use crate::model::exchange::{CapturedBody, request_id};
use crate::model::id::IdSource;
use crate::model::mode::{Mode, Modes};
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::Side;
use crate::registry::LoadedContract;
use crate::validation::RequestValidation;

use breaker_state::BreakerState;
use message::{hash, is_stream};
use metrics::{EnforcementMetrics, EnforcementSkip};
use plan::{EnforcementPlan, PlannedOperation};
use preflight::is_known_preflight;

pub use inline::InlineValidators;
pub use plan::unknown_operations;

/// Enforcement on one route.
pub struct Enforcement {
    parts: EnforcementParts,
    limits: BufferLimits,
    plan: ArcSwapOption<EnforcementPlan>,
    breaker: Option<Arc<BreakerState>>,
    /// Whether every exchange has the modes of the route, and none is enforced or shown.
    observes_only: bool,
    off: bool,
}

/// What an [`Enforcement`] is made of.
pub struct EnforcementParts {
    /// The route's name in metrics and log lines.
    pub route: String,
    /// What the settings say.
    pub settings: EnforcementSettings,
    /// Bytes of one body that may be buffered.
    pub body_limit: usize,
    /// The validators that traffic waits for.
    pub validators: Arc<InlineValidators>,
    /// Memory of buffered bodies, apart from that of exchanges queued for validation.
    pub budget: Budget,
    /// Counters.
    pub metrics: EnforcementMetrics,
    /// The source of times.
    pub clock: Arc<dyn Clock>,
    /// Ids of exchanges.
    pub ids: Arc<dyn IdSource>,
}

/// How one exchange is treated.
#[derive(Debug, Clone)]
pub struct EnforcementDecision {
    /// The modes in force for it.
    pub modes: Modes,
    /// Its id, where one was needed to decide.
    pub id: Option<Uuid>,
    operation: Option<(Arc<EnforcementPlan>, OperationIndex)>,
}

/// A body that is passed on.
#[derive(Debug)]
pub struct AdmittedBody<B> {
    /// The body, byte for byte as it came.
    pub body: ProxyBody<B>,
    /// Whether it is captured already; otherwise it is captured as it passes.
    pub captured: bool,
}

/// A response in the place of the upstream's.
#[derive(Debug)]
pub struct Replacement {
    /// The answer.
    pub answer: Response<SyntheticBody>,
    /// The upstream's failure, if that is the cause.
    pub failure: Option<UpstreamFailure>,
}

/// Why a side is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RejectCause {
    Violates,
    Unenforceable(SkipReason),
}

// === impl Enforcement ===

impl Enforcement {
    /// Enforcement made of `parts`.
    pub fn new(parts: EnforcementParts) -> Self {
        let settings = &parts.settings;
        let limits = BufferLimits { bytes: parts.body_limit, time: settings.buffer_timeout };
        let breaker = settings.breaker;
        let breaker = breaker.map(|it| Arc::new(BreakerState::new(it, parts.clock.instant())));
        let observes_only = settings.operations.is_empty() && !settings.modes.enforces();
        let off = settings.is_off();
        Self { limits, plan: ArcSwapOption::empty(), breaker, observes_only, off, parts }
    }

    /// Whether nothing on this route is ever validated.
    pub fn is_off(&self) -> bool {
        self.off
    }

    /// Whether any exchange on this route may be enforced.
    pub fn enforces(&self) -> bool {
        self.parts.settings.enforces()
    }

    /// Decides how an exchange is treated; `has_body` says whether bytes may follow its head.
    pub fn decide(
        self: &Arc<Self>,
        contract: Option<&Arc<LoadedContract>>,
        method: &Method,
        uri: &Uri,
        (headers, has_body): (&HeaderMap, bool),
    ) -> EnforcementDecision {
        let modes = self.parts.settings.modes;
        let mut decision = EnforcementDecision { modes, id: None, operation: None };
        if self.observes_only {
            return decision;
        }
        decision.operation =
            contract.and_then(|contract| self.find_operation(contract, method, uri));
        decision.modes = decision.planned().map_or(modes, |planned| planned.modes);
        if !has_body && is_known_preflight(contract, method, uri, headers) {
            decision.modes = decision.modes.unenforced();
        }
        if decision.modes.enforces()
            && let Some(why) = self.skip_enforcement(&mut decision, headers)
        {
            self.parts.metrics.record_skipped(why);
            decision.modes = decision.modes.unenforced();
        }
        decision
    }

    fn find_operation(
        &self,
        contract: &Arc<LoadedContract>,
        method: &Method,
        uri: &Uri,
    ) -> Option<(Arc<EnforcementPlan>, OperationIndex)> {
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        let found = contract.contract.find(method, path, uri.query());
        let RouteMatch::Found { operation, .. } = found else {
            return None;
        };
        let plan = self.plan.load_full().filter(|plan| plan.is_for(contract));
        let plan = plan.unwrap_or_else(|| {
            for problem in unknown_operations(&self.parts.settings, &contract.contract) {
                let route = self.parts.route.as_str();
                tracing::warn!(event = "unknown_operation", route, "{problem}; it has no mode");
            }
            let plan = Arc::new(EnforcementPlan::new(&self.parts.settings, contract.clone()));
            self.plan.store(Some(plan.clone()));
            plan
        });
        Some((plan, operation))
    }

    /// Why this exchange is not enforced although its operation is.
    fn skip_enforcement(
        self: &Arc<Self>,
        decision: &mut EnforcementDecision,
        headers: &HeaderMap,
    ) -> Option<EnforcementSkip> {
        if self.breaker_is_open() {
            return Some(EnforcementSkip::Breaker);
        }
        let share = self.parts.settings.share;
        if share.is_all() {
            return None;
        }
        let hash = match request_id(headers) {
            Some(id) => hash(id.as_bytes()),
            None => hash(decision.id(&*self.parts.ids).as_bytes()),
        };
        (!share.includes(hash)).then_some(EnforcementSkip::Share)
    }

    /// Buffers a request, validates it, and passes it on or rejects it.
    pub async fn enforce_request<B>(
        self: &Arc<Self>,
        pending: &PendingExchange,
        decision: &mut EnforcementDecision,
        headers: &HeaderMap,
        body: B,
        upgrading: bool,
    ) -> Result<AdmittedBody<B>, Response<SyntheticBody>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let started = self.parts.clock.instant();
        // A stream without a length may wait for its response before it goes on.
        let endless = is_stream(headers) && body.size_hint().exact().is_none();
        let (body, captured, cut) = match self.buffer(body, endless).await {
            BufferOutcome::Complete(body, captured) => (body, captured, None),
            BufferOutcome::Partial(body, captured, reason) => (body, captured, Some(reason)),
            BufferOutcome::Aborted(captured) => {
                pending.set_body(Side::Request, captured);
                return Err(problem::incomplete_request());
            }
        };
        let complete = cut.is_none();
        let cut = cut.or(upgrading.then_some(SkipReason::Upgraded));
        let validated = self.validate_request(pending, decision, headers, &captured).await;
        let verdict =
            validated.as_ref().map(|(validated, _)| &validated.verdict).map_err(|reason| *reason);
        let outcome = self.check_verdict(Side::Request, verdict, cut);
        let took = self.parts.clock.instant().saturating_duration_since(started);
        self.parts.metrics.record_buffered(Side::Request, took.as_secs_f64());
        match outcome {
            Ok(()) => {
                if complete {
                    store_body(pending, captured, |exchange, captured| {
                        exchange.request_body = captured;
                        if let Ok((validated, fingerprint)) = validated {
                            exchange.inline.set_request(validated, fingerprint);
                        }
                    });
                }
                Ok(AdmittedBody { body, captured: complete })
            }
            Err(cause) => {
                let operation = decision.operation.as_ref().map(|(_, index)| *index);
                let (mut validated, fingerprint) = validated.unwrap_or_else(|reason| {
                    (RequestValidation { operation, verdict: Verdict::skipped(reason) }, None)
                });
                replace_cut_reason(&mut validated.verdict, cut);
                let answer =
                    self.reject(Side::Request, pending, decision, cause, &validated.verdict);
                store_body(pending, captured, |exchange, captured| {
                    exchange.request_body = captured;
                    exchange.ending = Ending::Rejected;
                    exchange.inline.set_request(validated, fingerprint);
                });
                Err(answer)
            }
        }
    }

    /// Buffers a response, validates it, and passes it on or replaces it.
    pub async fn enforce_response<B>(
        self: &Arc<Self>,
        pending: &PendingExchange,
        decision: &mut EnforcementDecision,
        headers: &HeaderMap,
        body: B,
    ) -> Result<AdmittedBody<B>, Replacement>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let started = self.parts.clock.instant();
        let (body, captured, cut) = match self.buffer(body, is_stream(headers)).await {
            BufferOutcome::Complete(body, captured) => (body, captured, None),
            BufferOutcome::Partial(body, captured, reason) => (body, captured, Some(reason)),
            BufferOutcome::Aborted(captured) => {
                pending.set_body(Side::Response, captured);
                let failure = UpstreamFailure::Broken;
                let answer = problem::upstream_failure(failure);
                return Err(Replacement { answer, failure: Some(failure) });
            }
        };
        let validated = self.validate_response(pending, decision, headers, &captured).await;
        let verdict = validated.as_ref().map(|(verdict, _)| verdict).map_err(|reason| *reason);
        let outcome = self.check_verdict(Side::Response, verdict, cut);
        let took = self.parts.clock.instant().saturating_duration_since(started);
        self.parts.metrics.record_buffered(Side::Response, took.as_secs_f64());
        let complete = cut.is_none();
        match outcome {
            Ok(()) => {
                if complete {
                    store_body(pending, captured, |exchange, captured| {
                        exchange.response_body = captured;
                        if let Ok((verdict, fingerprint)) = validated {
                            exchange.inline.set_response(verdict, fingerprint);
                        }
                    });
                }
                self.record_passed();
                Ok(AdmittedBody { body, captured: complete })
            }
            Err(cause) => {
                let (mut verdict, fingerprint) =
                    validated.unwrap_or_else(|reason| (Verdict::skipped(reason), None));
                replace_cut_reason(&mut verdict, cut);
                let answer = self.reject(Side::Response, pending, decision, cause, &verdict);
                store_body(pending, captured, |exchange, captured| {
                    exchange.response_body = captured;
                    exchange.inline.set_response(verdict, fingerprint);
                });
                Err(Replacement { answer, failure: None })
            }
        }
    }

    async fn buffer<B>(&self, body: B, endless: bool) -> BufferOutcome<B>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if endless {
            return BufferOutcome::Partial(
                ProxyBody::Streaming(body),
                CapturedBody::unread(),
                SkipReason::Stream,
            );
        }
        let Some(memory) = self.parts.budget.reserve(0) else {
            let reason = SkipReason::CaptureMemory;
            return BufferOutcome::Partial(
                ProxyBody::Streaming(body),
                CapturedBody::unread(),
                reason,
            );
        };
        buffer_body(body, self.limits, memory).await
    }

    /// Whether a side is passed on, and if not, why. Everything that was not enforced is counted.
    fn check_verdict(
        &self,
        side: Side,
        validated: Result<&Verdict, SkipReason>,
        cut: Option<SkipReason>,
    ) -> Result<(), RejectCause> {
        let metrics = &self.parts.metrics;
        if validated.is_ok_and(|verdict| !verdict.violations.is_empty()) {
            metrics.record_enforced(side);
            metrics.record_rejected(side, "violation");
            return Err(RejectCause::Violates);
        }
        let reasons: SmallVec<[SkipReason; 2]> = match (cut, validated) {
            (Some(reason), _) | (None, Err(reason)) => [reason].into_iter().collect(),
            (None, Ok(verdict)) => verdict.skipped.iter().copied().collect(),
        };
        let Some(first) = reasons.first().copied() else {
            metrics.record_enforced(side);
            return Ok(());
        };
        let action = self.parts.settings.on_unenforceable;
        for reason in reasons {
            metrics.record_unenforceable(side, reason, action);
        }
        match action {
            OnUnenforceable::Forward => Ok(()),
            OnUnenforceable::Reject => {
                metrics.record_rejected(side, "unenforceable");
                Err(RejectCause::Unenforceable(first))
            }
        }
    }

    fn reject(
        self: &Arc<Self>,
        side: Side,
        pending: &PendingExchange,
        decision: &mut EnforcementDecision,
        cause: RejectCause,
        verdict: &Verdict,
    ) -> Response<SyntheticBody> {
        let id = decision.id(&*self.parts.ids);
        let request_id = pending.update(|exchange| {
            exchange.id = Some(id);
            exchange.rejected = Some(side);
            exchange.request.request_id().map(str::to_owned)
        });
        let request_id = request_id.flatten().unwrap_or_else(|| id.to_string());
        self.record_outcome(true);
        let rejection = Rejection { side, id, request_id: &request_id };
        match cause {
            RejectCause::Violates => {
                rejection.violation_response(self.parts.settings.status, verdict)
            }
            RejectCause::Unenforceable(reason) => rejection.unenforceable_response(reason),
        }
    }

    /// Memory for an exchange that is enforced even if the pipeline has none left.
    pub fn reserve(&self, decision: &EnforcementDecision, bytes: usize) -> Option<Reservation> {
        if decision.modes.enforces() { self.parts.budget.reserve(bytes) } else { None }
    }

    /// Answers an exchange for which there is no memory, where the settings ask for that.
    pub fn reject_without_memory(
        &self,
        decision: &mut EnforcementDecision,
    ) -> Option<BoxedResponse> {
        if !decision.modes.enforces() {
            return None;
        }
        let side =
            if decision.modes.request == Mode::Strict { Side::Request } else { Side::Response };
        let cause = self.check_verdict(side, Err(SkipReason::CaptureMemory), None).err()?;
        let id = decision.id(&*self.parts.ids);
        let rejection = Rejection { side: Side::Request, id, request_id: &id.to_string() };
        match cause {
            RejectCause::Unenforceable(reason) => {
                Some(rejection.unenforceable_response(reason).into())
            }
            RejectCause::Violates => None,
        }
    }

    /// Decides about a response that turns the connection into another protocol.
    pub fn check_upgrade(
        self: &Arc<Self>,
        pending: &PendingExchange,
        decision: &mut EnforcementDecision,
    ) -> Result<(), BoxedResponse> {
        if decision.modes.response != Mode::Strict {
            return Ok(());
        }
        let verdict = Verdict::skipped(SkipReason::Upgraded);
        self.check_verdict(Side::Response, Ok(&verdict), None)
            .map_err(|cause| self.reject(Side::Response, pending, decision, cause, &verdict).into())
    }

    /// Records an enforced exchange that was passed on.
    pub fn record_passed(self: &Arc<Self>) {
        self.record_outcome(false);
    }
}

// === impl EnforcementDecision ===

impl EnforcementDecision {
    fn planned(&self) -> Option<&PlannedOperation> {
        self.operation.as_ref().and_then(|(plan, index)| plan.operation(*index))
    }

    fn id(&mut self, ids: &dyn IdSource) -> Uuid {
        *self.id.get_or_insert_with(|| ids.next_id())
    }
}

/// Stores the result of one side in the exchange. Its body is validated already: where the
/// pipeline has no memory for it, the body is discarded.
fn store_body(
    pending: &PendingExchange,
    mut captured: CapturedBody,
    change: impl FnOnce(&mut Exchange, CapturedBody),
) {
    pending.update(|exchange| {
        if !exchange.reservation.grow(captured.kept()) {
            captured.discard();
        }
        change(exchange, captured);
    });
}

/// The validator takes a body that was not buffered to its end for incomplete; here the reason
/// is known.
fn replace_cut_reason(verdict: &mut Verdict, cut: Option<SkipReason>) {
    if let Some(reason) = cut {
        verdict.skipped.retain(|one| *one != SkipReason::BodyIncomplete);
        verdict.skip(reason);
    }
}

#[cfg(test)]
mod tests;
