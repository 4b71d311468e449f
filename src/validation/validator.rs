//! The validator: one exchange against one contract.
//!
//! Invariants:
//! - never panics and never blocks;
//! - memory and time are linear in the message;
//! - a valid JSON message allocates next to nothing, because the arena keeps its memory from
//!   message to message.
//!
//! A [`Validator`] belongs to one worker.

use std::sync::Arc;

use crate::contract::Contract;
use crate::contract::OperationIndex;
use crate::contract::route::RouteMatch;
use crate::json::Arena;
use crate::model::exchange::{BodyEnd, CapturedBody, RequestHead, ResponseHead};
use crate::model::verdict::{SkipReason, Verdict};
use crate::redaction::Redactor;

/// Settings of a validator.
#[derive(Debug, Clone)]
pub struct ValidatorOptions {
    /// Whether credentials are looked for.
    pub security: bool,
    /// Violations kept per side; further ones are counted.
    pub violation_cap: usize,
    /// Bytes a body may have after its content codings are undone.
    pub decoded_limit: usize,
    /// Decides which names that callers invent are shown in violations.
    pub redactor: Arc<Redactor>,
}

/// Validates exchanges, one after the other, reusing its memory.
#[derive(Debug, Default)]
pub struct Validator {
    pub(super) options: ValidatorOptions,
    pub(super) arena: Arena,
}

/// The verdict on a request, and the operation it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestValidation {
    /// The operation; `None` where the document lists none for the request.
    pub operation: Option<OperationIndex>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdicts on both sides of an exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeVerdicts {
    /// The operation; `None` where the document lists none for the request.
    pub operation: Option<OperationIndex>,
    /// The verdict on the request.
    pub request: Verdict,
    /// The verdict on the response; `None` where there was no response.
    pub response: Option<Verdict>,
}

/// Bytes of arena memory that a validator keeps between messages.
const KEPT_MEMORY: usize = 4 << 20;

// === impl ValidatorOptions ===

impl Default for ValidatorOptions {
    fn default() -> Self {
        Self { security: true, violation_cap: 50, decoded_limit: 8 << 20, redactor: Arc::default() }
    }
}

// === impl Validator ===

impl Validator {
    /// A validator with the given options. It gets a redactor of its own, so that workers do not
    /// count references to a shared one.
    pub fn new(mut options: ValidatorOptions) -> Self {
        options.redactor = Arc::new(Redactor::clone(&options.redactor));
        Self { options, arena: Arena::default() }
    }

    /// Validates a whole exchange; a response that was not received is `None`.
    pub fn validate_exchange(
        &mut self,
        contract: &Contract,
        request: &RequestHead,
        request_body: &CapturedBody,
        response: Option<(&ResponseHead, &CapturedBody)>,
    ) -> ExchangeVerdicts {
        let validated = self.validate_request(contract, request, request_body);
        let response = response.map(|(head, body)| {
            self.validate_response(contract, validated.operation, request, head, body)
        });
        ExchangeVerdicts { operation: validated.operation, request: validated.verdict, response }
    }

    /// Finds the operation of a request without validating it.
    pub fn find_operation(contract: &Contract, request: &RequestHead) -> Option<OperationIndex> {
        match contract.find(&request.method, request.path(), request.query()) {
            RouteMatch::Found { operation, .. } => Some(operation),
            _ => None,
        }
    }

    /// Frees the memory that one huge message needed.
    pub(super) fn release_memory(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEPT_MEMORY);
    }
}

/// Why a captured body cannot be validated, or `None` where it is complete.
pub(super) fn incomplete_reason(body: &CapturedBody) -> Option<SkipReason> {
    let broken = || (body.end != BodyEnd::Complete).then_some(SkipReason::BodyIncomplete);
    body.truncation_reason().or_else(broken)
}
