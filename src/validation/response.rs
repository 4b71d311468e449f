//! Responses: status, header fields, body.

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};

use super::body::{self, BodyContext};
use super::findings::{Findings, Place};
use super::judge::{Judge, incomplete};
use super::media_type::Chosen;
use super::witness::Witness;
use super::{header, media_type};
use crate::contract::Contract;
use crate::contract::encoding::MediaPlan;
use crate::contract::media_type::{BodyKind, MediaTable, MediaTypeRef};
use crate::contract::operation::OperationIndex;
use crate::contract::response::ResponsePlan;
use crate::model::exchange::{Captured, RequestHead, ResponseHead};
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Location, Rule, Side};

// === impl Judge ===

impl Judge {
    /// Judges a response by the operation that its request belongs to.
    pub fn response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        head: &ResponseHead,
        body: &Captured,
    ) -> Verdict {
        self.response_before(contract, operation, request, (head, body), &mut ())
    }

    /// The same before a witness.
    pub fn response_before(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        (head, body): (&ResponseHead, &Captured),
        witness: &mut dyn Witness,
    ) -> Verdict {
        let mut findings = Findings::new(contract, Side::Response, self.options.violation_cap);
        let Some(operation) = operation.map(|index| contract.operation(index)) else {
            return Verdict::skipped(SkipReason::NoOperation);
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Verdict::skipped(SkipReason::Upgraded);
        }
        if head.status.is_informational() {
            return Verdict::default();
        }
        match operation.responses.find(head.status.as_u16()) {
            Some(plan) => self.judge_response(&mut findings, plan, request, head, body),
            // A document without any response says nothing about them.
            None if operation.responses.is_empty() => {}
            // The answer to a conditional request belongs to HTTP, not to the document.
            None if head.status == StatusCode::NOT_MODIFIED => {}
            None => {
                let pointer = &operation.responses.pointer;
                let place = Place { location: Location::Status, name: None, pointer };
                findings.add(place, Rule::Undocumented, "the document does not list this status");
            }
        }
        findings.testify(Side::Response, operation.index, &self.arena, witness);
        self.tidy();
        findings.into_verdict()
    }

    fn judge_response(
        &mut self,
        findings: &mut Findings<'_>,
        plan: &ResponsePlan,
        request: &RequestHead,
        head: &ResponseHead,
        body: &Captured,
    ) {
        for header in &plan.headers {
            header::judge_header(&mut self.arena, findings, header, &head.headers);
        }
        if findings.contract.strict_fields() {
            let pointer = &plan.pointer;
            header::undeclared_response(findings, &plan.headers, pointer, &head.headers);
        }
        if has_no_body(&request.method, head.status) {
            return;
        }
        if body.seen() == 0 {
            match incomplete(body) {
                Some(reason) => findings.skip(reason),
                None => judge_empty(findings, plan, head),
            }
            return;
        }
        let place = Place { location: Location::MediaType, name: None, pointer: &plan.pointer };
        let content_type = head.headers.get(CONTENT_TYPE);
        let chosen = media_type::choose(findings, &plan.content, content_type, place);
        let Some(Chosen { media, kind, guessed, charset, boundary }) = chosen else { return };
        if let Some(reason) = incomplete(body) {
            findings.skip(reason);
            return;
        }
        let context = BodyContext { media, kind, guessed, charset, boundary, missing: place };
        let limit = self.options.decoded_limit;
        body::judge(&mut self.arena, findings, &context, &head.headers, body, limit);
    }
}

/// Responses that carry no body whatever their fields say (RFC 9110 §6.4.1, §15.3.6).
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
        )
}

/// An empty body is a text, a sequence of no items or no bytes; it is no JSON and no XML.
fn judge_empty(findings: &mut Findings<'_>, plan: &ResponsePlan, head: &ResponseHead) {
    if plan.content.is_empty() {
        return;
    }
    let sent = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let may_be_empty = match sent.and_then(MediaTypeRef::parse) {
        Some(actual) => can_be_empty(actual.kind()),
        None => any_can_be_empty(&plan.content),
    };
    if !may_be_empty {
        let place = Place { location: Location::Body, name: None, pointer: &plan.pointer };
        findings.add(place, Rule::Missing, "the document lists a body and there is none");
    }
}

fn can_be_empty(kind: BodyKind) -> bool {
    !matches!(kind, BodyKind::Json | BodyKind::Xml | BodyKind::Multipart)
}

fn any_can_be_empty(content: &MediaTable<MediaPlan>) -> bool {
    content.iter().any(|(range, _)| can_be_empty(range.kind()))
}
