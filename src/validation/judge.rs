//! One exchange against one contract.
//!
//! What must hold: never panics and never blocks; memory and time linear in the message; a
//! valid JSON message allocates next to nothing, for the arena keeps its memory from message to
//! message. A [`Judge`] belongs to one worker.

use crate::contract::operation::OperationIndex;
use crate::contract::route::RouteMatch;
use crate::contract::{Contract, instance::Arena};
use crate::model::exchange::{BodyEnd, Captured, RequestHead, ResponseHead};
use crate::model::verdict::{SkipReason, Verdict};

/// What a judge may be told.
#[derive(Debug, Clone)]
pub struct JudgeOptions {
    /// Whether credentials are looked for.
    pub security: bool,
    /// Violations kept per side; further ones are counted.
    pub violation_cap: usize,
    /// Bytes a body may have after its content codings are undone.
    pub decoded_limit: usize,
}

/// Judges exchanges, one after the other, reusing its memory.
#[derive(Debug, Default)]
pub struct Judge {
    pub(super) options: JudgeOptions,
    pub(super) arena: Arena,
}

/// The verdict on a request, and the operation it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestJudgement {
    /// The operation; `None` where the document lists none for the request.
    pub operation: Option<OperationIndex>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdicts on both halves of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The operation; `None` where the document lists none for the request.
    pub operation: Option<OperationIndex>,
    /// The verdict on the request.
    pub request: Verdict,
    /// The verdict on the response; `None` where there was none to judge.
    pub response: Option<Verdict>,
}

/// Bytes of arena memory that a judge keeps between messages.
const KEPT_MEMORY: usize = 4 << 20;

// === impl JudgeOptions ===

impl Default for JudgeOptions {
    fn default() -> Self {
        Self { security: true, violation_cap: 50, decoded_limit: 8 << 20 }
    }
}

// === impl Judge ===

impl Judge {
    /// A judge with the given options.
    pub fn new(options: JudgeOptions) -> Self {
        Self { options, arena: Arena::default() }
    }

    /// Judges a whole exchange; a response that was not received is `None`.
    pub fn exchange(
        &mut self,
        contract: &Contract,
        request: &RequestHead,
        request_body: &Captured,
        response: Option<(&ResponseHead, &Captured)>,
    ) -> Judgement {
        let judged = self.request(contract, request, request_body);
        let response = response
            .map(|(head, body)| self.response(contract, judged.operation, request, head, body));
        Judgement { operation: judged.operation, request: judged.verdict, response }
    }

    /// Finds the operation of a request without judging it.
    pub fn operation(contract: &Contract, request: &RequestHead) -> Option<OperationIndex> {
        match contract.find(&request.method, request.path()) {
            RouteMatch::Found { operation, .. } => Some(operation),
            _ => None,
        }
    }

    /// Gives memory back that one huge message took.
    pub(super) fn tidy(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEPT_MEMORY);
    }
}

/// Why a captured body cannot be judged, if so.
pub(super) fn incomplete(body: &Captured) -> Option<SkipReason> {
    let broken = || (body.end != BodyEnd::Complete).then_some(SkipReason::BodyIncomplete);
    body.cut_reason().or_else(broken)
}
