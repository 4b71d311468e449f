//! The engine as the judging threads use it.

use crate::model::verdict::{SkipReason, Verdict};
use crate::observer::exchange::{Ending, Exchange};
use crate::observer::worker::{Judged, Judging};
use crate::validation::{Judge, JudgeOptions};

/// Judges exchanges with the engine; one per thread, its scratch memory reused.
pub(super) struct EngineJudge(Judge);

// === impl EngineJudge ===

impl EngineJudge {
    pub(super) fn new(options: JudgeOptions) -> Self {
        Self(Judge::new(options))
    }
}

impl Judging for EngineJudge {
    fn judge(&mut self, exchange: &Exchange) -> Option<Judged> {
        let contract = &exchange.contract.as_ref()?.contract;
        let head = &exchange.request;
        let request = self.0.request(contract, head, &exchange.request_body);
        let response = match (&exchange.response, exchange.ending) {
            (_, Ending::Upgraded) => Some(Verdict::skipped(SkipReason::Upgraded)),
            (Some(response), _) => {
                let body = &exchange.response_body;
                Some(self.0.response(contract, request.operation, head, response, body))
            }
            (None, _) => Some(Verdict::skipped(SkipReason::NoResponse)),
        };
        Some(Judged { operation: request.operation, request: request.verdict, response })
    }
}
