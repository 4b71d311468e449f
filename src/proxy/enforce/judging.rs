//! Where a held message is judged: here or elsewhere.

use std::sync::Arc;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::inline::{Seat, Sketched};
use super::plan::{Pace, Plan};
use super::{Enforcement, Stance};
use crate::contract::OperationIndex;
use crate::model::exchange::{BodyEnd, Captured};
use crate::model::verdict::{SkipReason, Verdict};
use crate::observer::exchange::Pending;
use crate::validation::RequestJudgement;

/// Bodies up to this size are judged on the traffic thread: some ten microseconds at most.
const QUICK: usize = 16 << 10;

/// The pace of operations that the document does not list: nothing is read of their bodies.
struct Paces(Option<(Arc<Plan>, OperationIndex)>, Pace);

// === impl Enforcement ===

impl Enforcement {
    /// Judges a request that is held.
    pub(super) async fn judge_request(
        &self,
        pending: &Pending,
        stance: &Stance,
        headers: &HeaderMap,
        captured: &Captured,
    ) -> Result<Sketched<RequestJudgement>, SkipReason> {
        let paces = Paces::of(stance);
        let judges = &self.parts.judges;
        if paces.are_quick(headers, captured) {
            let verdict = pending.update(|exchange| {
                let contract = exchange.contract.as_ref().ok_or(SkipReason::NoContract)?;
                judges.here(paces.pace(), |seat: &mut Seat| {
                    seat.request(&contract.contract, &exchange.request, captured)
                })
            });
            return verdict.unwrap_or(Err(SkipReason::Stopping));
        }
        // The other thread may go on after this exchange has ended, so it takes copies; those
        // of bodies share their memory.
        let copies = pending.update(|e| e.contract.clone().map(|c| (c, e.request.clone())));
        let (contract, head) = copies.flatten().ok_or(SkipReason::NoContract)?;
        let captured = captured.clone();
        let work = move |inline: &super::Inline| {
            inline.here(paces.pace(), |seat| seat.request(&contract.contract, &head, &captured))
        };
        judges.elsewhere(self.parts.settings.judging_budget, work).await
    }

    /// Judges a response that is held.
    pub(super) async fn judge_response(
        &self,
        pending: &Pending,
        stance: &Stance,
        headers: &HeaderMap,
        captured: &Captured,
    ) -> Result<Sketched<Verdict>, SkipReason> {
        let paces = Paces::of(stance);
        let judges = &self.parts.judges;
        let operation = stance.operation.as_ref().map(|(_, index)| *index);
        if paces.are_quick(headers, captured) {
            let verdict = pending.update(|exchange| {
                let contract = exchange.contract.as_ref().ok_or(SkipReason::NoContract)?;
                let response = exchange.response.as_ref().ok_or(SkipReason::NoResponse)?;
                judges.here(paces.pace(), |seat: &mut Seat| {
                    let (contract, request) = (&contract.contract, &exchange.request);
                    seat.response(contract, operation, request, (response, captured))
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
        let work = move |inline: &super::Inline| {
            inline.here(paces.pace(), |seat| {
                seat.response(&contract.contract, operation, &request, (&response, &captured))
            })
        };
        judges.elsewhere(self.parts.settings.judging_budget, work).await
    }

    /// Judges a request that was only observed, if its body has passed: for whoever wants to see
    /// the verdict before the response goes on. The judging threads do not judge it again.
    pub(super) async fn judge_ahead(&self, pending: &Pending, stance: &Stance) {
        let passed = pending.update(|exchange| {
            let body = &exchange.request_body;
            let unknown = exchange.known.request.is_none() && body.end == BodyEnd::Complete;
            unknown.then(|| (exchange.request.headers.clone(), body.clone()))
        });
        let Some((headers, body)) = passed.flatten() else { return };
        if let Ok((judged, sketch)) = self.judge_request(pending, stance, &headers, &body).await {
            pending.update(|exchange| exchange.known.judged_request(judged, sketch));
        }
    }
}

// === impl Paces ===

impl Paces {
    fn of(stance: &Stance) -> Self {
        Self(stance.operation.clone(), Pace::default())
    }

    fn pace(&self) -> &Pace {
        let planned = self.0.as_ref().and_then(|(plan, index)| plan.operation(*index));
        planned.map_or(&self.1, |planned| &planned.pace)
    }

    /// Whether judging will hardly be noticed by the other exchanges of the thread.
    fn are_quick(&self, headers: &HeaderMap, captured: &Captured) -> bool {
        // A coded body says nothing of what it decodes to.
        let coded = || captured.kept() > 0 && headers.contains_key(CONTENT_ENCODING);
        captured.kept() <= QUICK && !self.pace().is_slow() && !coded()
    }
}
