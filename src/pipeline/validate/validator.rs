//! Validates what is not validated yet of an exchange, and says what was used of the contract.

use std::sync::Arc;

use crate::contract::{Contract, OperationIndex};
use crate::exchange::fingerprint::MessageFingerprint;
use crate::exchange::{Ending, Exchange};
use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use crate::model::mode::Mode;
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::Side;
use crate::pipeline::usage::UsageAggregator;
use crate::pipeline::validate::ExchangeValidation;
use crate::validation::{RequestValidation, ValidationObserver, Validator};

/// Validates messages, one after the other, so it may keep scratch memory.
pub trait ValidateExchange: Send {
    /// Validates a request before an observer.
    fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &CapturedBody,
        observer: &mut dyn ValidationObserver,
    ) -> RequestValidation;

    /// Validates a response, by the operation that its request belongs to, before an observer.
    fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        answer: (&ResponseHead, &CapturedBody),
        observer: &mut dyn ValidationObserver,
    ) -> Verdict;

    /// Validates what is not known yet of `exchange`, by the contract pinned to it; `None` when
    /// there is none. What is known is read again only where its fingerprint does not tell `usage`
    /// what was used.
    fn validate(
        &mut self,
        exchange: &Exchange,
        usage: &mut UsageAggregator,
    ) -> Option<ExchangeValidation> {
        let contract = &exchange.contract.as_ref()?.contract;
        let known = &exchange.inline;
        let (head, body) = (&exchange.request, &exchange.request_body);
        let RequestValidation { operation, verdict } = match &known.request {
            Some(validation) => {
                if let Some(operation) = validation.operation
                    && !recall_usage(
                        usage,
                        operation,
                        Side::Request,
                        known.request_fingerprint.as_ref(),
                    )
                {
                    self.request(contract, head, body, usage);
                }
                validation.clone()
            }
            None if exchange.modes.request == Mode::Off => RequestValidation {
                operation: Validator::find_operation(contract, head),
                verdict: Verdict::skipped(SkipReason::Off),
            },
            None => self.request(contract, head, body, usage),
        };
        let response = match (&known.response, &exchange.response) {
            (Some(validation), Some(response)) => {
                if let Some(operation) = operation
                    && !recall_usage(
                        usage,
                        operation,
                        Side::Response,
                        known.response_fingerprint.as_ref(),
                    )
                {
                    let answer = (response, &exchange.response_body);
                    self.response(contract, Some(operation), head, answer, usage);
                }
                validation.clone()
            }
            (Some(validation), None) => validation.clone(),
            _ if exchange.modes.response == Mode::Off => Verdict::skipped(SkipReason::Off),
            _ if exchange.ending == Ending::Upgraded => Verdict::skipped(SkipReason::Upgraded),
            (None, Some(response)) => {
                let answer = (response, &exchange.response_body);
                self.response(contract, operation, head, answer, usage)
            }
            (None, None) => Verdict::skipped(SkipReason::NoResponse),
        };
        Some(ExchangeValidation { operation, request: verdict, response: Some(response) })
    }
}

fn recall_usage(
    usage: &mut UsageAggregator,
    operation: OperationIndex,
    side: Side,
    fingerprint: Option<&MessageFingerprint>,
) -> bool {
    fingerprint.is_some_and(|fingerprint| usage.recall(operation, side, fingerprint))
}

/// Makes a validator for each worker, and a new one after a panic.
pub type MakeValidator = Arc<dyn Fn() -> Box<dyn ValidateExchange> + Send + Sync>;

// === impl Validator ===

impl ValidateExchange for Validator {
    fn request(
        &mut self,
        contract: &Contract,
        head: &RequestHead,
        body: &CapturedBody,
        observer: &mut dyn ValidationObserver,
    ) -> RequestValidation {
        self.validate_request_with(contract, head, body, observer)
    }

    fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        answer: (&ResponseHead, &CapturedBody),
        observer: &mut dyn ValidationObserver,
    ) -> Verdict {
        self.validate_response_with(contract, operation, request, answer, observer)
    }
}
