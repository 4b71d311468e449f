//! Validation of a buffered message: on the traffic thread or on another.

use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::inline::{ValidatorSlot, WithFingerprint};
use super::plan::{EnforcementPlan, LatencyScore};
use super::{Enforcement, EnforcementDecision};
use crate::contract::OperationIndex;
use crate::exchange::PendingExchange;
use crate::model::exchange::{BodyEnd, CapturedBody};
use crate::model::verdict::{SkipReason, Verdict};
use crate::validation::RequestValidation;

/// Bodies up to this size are validated on the traffic thread: some ten microseconds at most.
const MAINLINE_BODY: usize = 16 << 10;

/// The latency score of an operation. One that the document does not list has a fresh score:
/// nothing of its bodies is read.
struct OperationLatency(Option<(Arc<EnforcementPlan>, OperationIndex)>, LatencyScore);

// === impl Enforcement ===

impl Enforcement {
    /// Validates a buffered request.
    pub(super) async fn validate_request(
        &self,
        pending: &PendingExchange,
        decision: &EnforcementDecision,
        headers: &HeaderMap,
        captured: &CapturedBody,
    ) -> Result<WithFingerprint<RequestValidation>, SkipReason> {
        let latency = OperationLatency::of(decision);
        let validators = &self.parts.validators;
        if latency.is_quick(headers, captured) {
            let verdict = pending.update(|exchange| {
                let contract = exchange.contract.as_ref().ok_or(SkipReason::NoContract)?;
                validators.run_local(latency.score(), |slot: &mut ValidatorSlot| {
                    slot.request(&contract.contract, &exchange.request, captured)
                })
            });
            return verdict.unwrap_or(Err(SkipReason::Stopping));
        }
        // The other thread may go on after this exchange has ended, so it takes copies; those
        // of bodies share their memory.
        let copies = pending.update(|e| e.contract.clone().map(|c| (c, e.request.clone())));
        let (contract, head) = copies.flatten().ok_or(SkipReason::NoContract)?;
        let captured = captured.clone();
        let work = move |inline: &super::InlineValidators| {
            inline.run_local(latency.score(), |slot| {
                slot.request(&contract.contract, &head, &captured)
            })
        };
        validators.run_blocking(self.parts.settings.validation_budget, work).await
    }

    /// Validates a buffered response.
    pub(super) async fn validate_response(
        &self,
        pending: &PendingExchange,
        decision: &EnforcementDecision,
        headers: &HeaderMap,
        captured: &CapturedBody,
    ) -> Result<WithFingerprint<Verdict>, SkipReason> {
        let latency = OperationLatency::of(decision);
        let validators = &self.parts.validators;
        let operation = decision.operation.as_ref().map(|(_, index)| *index);
        if latency.is_quick(headers, captured) {
            let verdict = pending.update(|exchange| {
                let contract = exchange.contract.as_ref().ok_or(SkipReason::NoContract)?;
                let response = exchange.response.as_ref().ok_or(SkipReason::NoResponse)?;
                validators.run_local(latency.score(), |slot: &mut ValidatorSlot| {
                    let (contract, request) = (&contract.contract, &exchange.request);
                    slot.response(contract, operation, request, (response, captured))
                })
            });
            return verdict.unwrap_or(Err(SkipReason::Stopping));
        }
        let copies = pending.update(|exchange| {
            let contract = exchange.contract.clone().ok_or(SkipReason::NoContract)?;
            let response = exchange.response.clone().ok_or(SkipReason::NoResponse)?;
            Ok((contract, exchange.request.clone(), response))
        });
        let (contract, request, response) = copies.unwrap_or(Err(SkipReason::Stopping))?;
        let captured = captured.clone();
        let work = move |inline: &super::InlineValidators| {
            inline.run_local(latency.score(), |slot| {
                slot.response(&contract.contract, operation, &request, (&response, &captured))
            })
        };
        validators.run_blocking(self.parts.settings.validation_budget, work).await
    }

    /// Validates a request that was only observed, if its body has passed, so that its verdict is
    /// known before the response goes on. The validator threads do not validate it again.
    pub(super) async fn validate_request_early(
        &self,
        pending: &PendingExchange,
        decision: &EnforcementDecision,
    ) {
        let passed = pending.update(|exchange| {
            let body = &exchange.request_body;
            let unknown = exchange.inline.request.is_none() && body.end == BodyEnd::Complete;
            unknown.then(|| (exchange.request.headers.clone(), body.clone()))
        });
        let Some((headers, body)) = passed.flatten() else { return };
        if let Ok((validated, fingerprint)) =
            self.validate_request(pending, decision, &headers, &body).await
        {
            pending.update(|exchange| exchange.inline.set_request(validated, fingerprint));
        }
    }
}

// === impl OperationLatency ===

impl OperationLatency {
    fn of(decision: &EnforcementDecision) -> Self {
        Self(decision.operation.clone(), LatencyScore::default())
    }

    fn score(&self) -> &LatencyScore {
        let planned = self.0.as_ref().and_then(|(plan, index)| plan.operation(*index));
        planned.map_or(&self.1, |planned| &planned.latency)
    }

    /// Whether validation is too short to delay the other exchanges of the thread.
    fn is_quick(&self, headers: &HeaderMap, captured: &CapturedBody) -> bool {
        // A coded body says nothing of what it decodes to.
        let coded = || captured.kept() > 0 && headers.contains_key(CONTENT_ENCODING);
        captured.kept() <= MAINLINE_BODY && !self.score().is_slow() && !coded()
    }
}
