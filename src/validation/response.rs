//! Responses: status, header fields, body.

use http::header::CONTENT_TYPE;
use http::{Method, StatusCode};

use super::body;
use super::media_type::{BodyContext, ChosenMediaType};
use super::observation::ValidationObserver;
use super::undocumented::{self, list_media_types, ranges};
use super::validator::{Validator, incomplete_reason};
use super::verdict_builder::{RuleLocation, VerdictBuilder};
use super::{header, media_type};
use crate::contract::Contract;
use crate::contract::OperationIndex;
use crate::contract::encoding::MediaPlan;
use crate::contract::media_type::{BodyKind, MediaTable, MediaTypeRef};
use crate::contract::response::ResponsePlan;
use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use crate::model::rule::Rule;
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Location, Side, ViolationKind};

// === impl Validator ===

impl Validator {
    /// Validates a response against the operation that its request belongs to.
    pub fn validate_response(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        head: &ResponseHead,
        body: &CapturedBody,
    ) -> Verdict {
        self.validate_response_with(contract, operation, request, (head, body), &mut ())
    }

    /// As `validate_response`, and shows `observer` what was read.
    pub fn validate_response_with(
        &mut self,
        contract: &Contract,
        operation: Option<OperationIndex>,
        request: &RequestHead,
        (head, body): (&ResponseHead, &CapturedBody),
        observer: &mut dyn ValidationObserver,
    ) -> Verdict {
        let mut verdict = VerdictBuilder::new(contract, Side::Response, &self.options);
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
            _ if operation.defect => verdict.skip(SkipReason::Document),
            Some(plan) if plan.defect => verdict.skip(SkipReason::Document),
            Some(plan) => {
                self.validate_documented_response(&mut verdict, plan, request, head, body);
            }
            // A document without any response says nothing about them.
            None if operation.responses.is_empty() => {}
            // The answer to a conditional request belongs to HTTP, not to the document.
            None if head.status == StatusCode::NOT_MODIFIED => {}
            None => {
                let pointer = &operation.responses.pointer;
                let rule = RuleLocation { location: Location::Status, name: None, pointer };
                let found = undocumented::status(operation, head.status);
                verdict.add_undocumented(rule, String::new(), found);
            }
        }
        verdict.notify_observer(Side::Response, operation.index, &self.arena, observer);
        self.release_memory();
        verdict.finish()
    }

    fn validate_documented_response(
        &mut self,
        verdict: &mut VerdictBuilder<'_>,
        plan: &ResponsePlan,
        request: &RequestHead,
        head: &ResponseHead,
        body: &CapturedBody,
    ) {
        if plan.header_defect {
            verdict.skip(SkipReason::Document);
        }
        for header in &plan.headers {
            header::validate_header(&mut self.arena, verdict, header, &head.headers);
        }
        if verdict.contract.is_strict(Rule::UndeclaredFields) && !plan.header_defect {
            let pointer = &plan.pointer;
            header::undeclared_response(verdict, &plan.headers, pointer, &head.headers);
        }
        if has_no_body(&request.method, head.status) {
            return;
        }
        if body.seen() == 0 {
            match incomplete_reason(body) {
                Some(reason) => verdict.skip(reason),
                None => validate_empty_body(verdict, plan, head),
            }
            return;
        }
        let rule =
            RuleLocation { location: Location::MediaType, name: None, pointer: &plan.pointer };
        let content_type = head.headers.get(CONTENT_TYPE);
        let chosen = media_type::choose(verdict, &plan.content, content_type, rule);
        let Some(ChosenMediaType { media, kind, assumed_json, charset, boundary }) = chosen else {
            return;
        };
        if media.defect {
            return verdict.skip(SkipReason::Document);
        }
        if let Some(reason) = incomplete_reason(body) {
            verdict.skip(reason);
            return;
        }
        let context = BodyContext { media, kind, assumed_json, charset, boundary, missing: rule };
        let limit = self.options.decoded_limit;
        body::validate(&mut self.arena, verdict, &context, &head.headers, body, limit);
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
fn validate_empty_body(verdict: &mut VerdictBuilder<'_>, plan: &ResponsePlan, head: &ResponseHead) {
    if plan.content.is_empty() {
        return;
    }
    let sent = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let may_be_empty = match sent.and_then(MediaTypeRef::parse) {
        Some(actual) => can_be_empty(actual.kind()),
        None => any_can_be_empty(&plan.content),
    };
    if !may_be_empty {
        let rule = RuleLocation { location: Location::Body, name: None, pointer: &plan.pointer };
        let message = format!(
            "the response with status {} has no body; the document lists {}",
            head.status.as_u16(),
            list_media_types(ranges(&plan.content))
        );
        verdict.add(rule, ViolationKind::Missing, message);
    }
}

fn can_be_empty(kind: BodyKind) -> bool {
    !matches!(kind, BodyKind::Json | BodyKind::Xml | BodyKind::Multipart)
}

fn any_can_be_empty(content: &MediaTable<MediaPlan>) -> bool {
    content.iter().any(|(range, _)| can_be_empty(range.kind()))
}
