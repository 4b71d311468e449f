//! The header that shows a verdict to testers: `CVT-Verdict: request=conforms`.
//!
//! A dictionary of RFC 9651 with a word for each side that is known when the head goes out, and
//! the codes of what it breaks or the reasons why it was not validated.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Enforcement, EnforcementDecision};
use crate::exchange::PendingExchange;
use crate::model::verdict::{Outcome, Verdict};

const CVT_VERDICT: HeaderName = HeaderName::from_static("cvt-verdict");

/// Codes or reasons shown of one side.
const MASHOWN: usize = 8;

// === impl Enforcement ===

impl Enforcement {
    /// Adds the known verdicts to the head of the response, if the settings say so. A
    /// request that was only observed is validated for it now; the response waits for that.
    pub async fn add_verdict_header(
        self: &Arc<Self>,
        pending: &PendingExchange,
        decision: &EnforcementDecision,
        headers: &mut HeaderMap,
    ) {
        if !self.shows_verdict() {
            return;
        }
        self.validate_request_early(pending, decision).await;
        let text = pending.update(|exchange| {
            let known = &exchange.inline;
            let request = known.request.as_ref().map(|validated| &validated.verdict);
            describe(request, known.response.as_ref())
        });
        if let Some(value) = text.and_then(|text| HeaderValue::try_from(text).ok()) {
            headers.insert(CVT_VERDICT, value);
        }
    }

    /// Whether verdicts are shown.
    pub fn shows_verdict(&self) -> bool {
        self.parts.settings.verdict_header
    }
}

fn describe(request: Option<&Verdict>, response: Option<&Verdict>) -> String {
    let mut text =
        format!("request={}", request.map_or_else(|| "unknown".to_owned(), describe_side));
    if let Some(verdict) = response {
        text.push_str(", response=");
        text.push_str(&describe_side(verdict));
    }
    text
}

/// One side: a word, then what explains it. All of it is made of our own tokens.
fn describe_side(verdict: &Verdict) -> String {
    let outcome = verdict.outcome();
    let word = outcome.as_str();
    let (name, parts): (_, BTreeSet<&str>) = match outcome {
        Outcome::Conforms => return word.to_owned(),
        Outcome::Violates => {
            ("codes", verdict.violations.iter().map(|one| one.code.as_str()).collect())
        }
        Outcome::Skipped => ("why", verdict.skipped.iter().map(|why| why.as_str()).collect()),
    };
    let parts: Vec<&str> = parts.into_iter().take(MASHOWN).collect();
    format!("{word};{name}=\"{}\"", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::SkipReason;
    use crate::model::violation::{Violation, ViolationCode};

    #[test]
    fn a_side_is_an_outcome_and_its_codes_or_reasons() {
        let conforms = Verdict::default();
        let skipped = Verdict::skipped(SkipReason::RegexBudget);
        let mut violates = Verdict::default();
        for code in [ViolationCode::REQUEST_QUERY_MISSING, ViolationCode::REQUEST_BODY_SCHEMA] {
            violates.violations.push(Violation {
                code,
                name: None,
                instance_pointer: String::new(),
                schema_pointer: "".into(),
                keyword: "".into(),
                found: String::new(),
                position: None,
                message: String::new(),
            });
        }
        assert_eq!(describe(None, None), "request=unknown");
        assert_eq!(
            describe(Some(&conforms), Some(&skipped)),
            "request=conforms, response=skipped;why=\"regex_budget\""
        );
        assert_eq!(
            describe(Some(&violates), None),
            "request=violates;codes=\"request.body.schema request.query.missing\""
        );
    }
}
