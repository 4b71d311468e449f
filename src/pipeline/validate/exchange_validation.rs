//! What validation found out about one exchange.

use crate::contract::OperationIndex;
use crate::exchange::Exchange;
use crate::model::fault::Fault;
use crate::model::verdict::{Outcome, Verdict};

/// What the validator found out about one exchange.
#[derive(Debug, Clone, Default)]
pub struct ExchangeValidation {
    /// The operation it belongs to, when the document lists one.
    pub operation: Option<OperationIndex>,
    /// The verdict on the request.
    pub request: Verdict,
    /// The verdict on the response; `None` when none came.
    pub response: Option<Verdict>,
}

// === impl ExchangeValidation ===

impl ExchangeValidation {
    /// Both verdicts.
    pub fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        std::iter::once(&self.request).chain(self.response.as_ref())
    }

    /// Both verdicts in one word.
    pub fn outcome(&self) -> Outcome {
        if !self.valid() {
            Outcome::Violates
        } else if self.verdicts().all(|verdict| verdict.skipped.is_empty()) {
            Outcome::Conforms
        } else {
            Outcome::Skipped
        }
    }

    /// Whose fault it is that `exchange` breaks the contract; `None` where it does not.
    pub fn fault(&self, exchange: &Exchange) -> Option<Fault> {
        Fault::of(&self.request, self.response.as_ref(), exchange.request_end())
    }

    /// Whether no rule was found broken.
    pub fn valid(&self) -> bool {
        self.verdicts().all(|verdict| verdict.violations.is_empty())
    }
}
