//! Synthetic responses, as RFC 9457 problems: the only place that writes them.
//!
//! None carries a value of the message that caused it beyond its
//! request id.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;
use uuid::Uuid;

use super::body::progress::BodyFault;
use super::limits::LimitExceeded;
use super::metrics::UpstreamFailure;
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Location, Side, Violation};

const CVT_VIOLATIONS: HeaderName = HeaderName::from_static("cvt-violations");

/// Codes named in a header field; the body names all.
const MAX_CODES: usize = 8;

/// The body of a synthetic response.
pub type SyntheticBody = Full<Bytes>;

/// A synthetic response, boxed: it is large and rare.
pub type BoxedResponse = Box<Response<SyntheticBody>>;

/// An exchange that is answered because one side of it is rejected.
#[derive(Debug, Clone, Copy)]
pub struct Rejection<'a> {
    /// Which side.
    pub side: Side,
    /// Id of the exchange, and of its record if one is kept.
    pub id: Uuid,
    /// What the downstream calls it, else the id again.
    pub request_id: &'a str,
}

/// A problem of RFC 9457, with extensions for violations.
#[derive(Debug, Serialize)]
struct ProblemDetails<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<ViolationDetails<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    more_violations: u32,
}

#[derive(Debug, Serialize)]
struct ViolationDetails<'a> {
    location: Location,
    #[serde(flatten)]
    violation: &'a Violation,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// The upstream gave no response: 502, or 504 when it took too long.
pub fn upstream_failure(kind: UpstreamFailure) -> Response<SyntheticBody> {
    let (status, title, detail) = match kind {
        UpstreamFailure::Connect => (
            StatusCode::BAD_GATEWAY,
            "Upstream unreachable",
            "The sidecar could not connect to the service behind it.",
        ),
        UpstreamFailure::ConnectTimeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "Upstream unreachable in time",
            "Connecting to the service behind the sidecar took too long.",
        ),
        UpstreamFailure::Tls => (
            StatusCode::BAD_GATEWAY,
            "Upstream not trusted",
            "The sidecar and the service behind it did not agree on an encrypted connection.",
        ),
        UpstreamFailure::Timeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "Upstream too slow",
            "The service behind the sidecar did not answer in time.",
        ),
        UpstreamFailure::Broken => (
            StatusCode::BAD_GATEWAY,
            "Upstream failed",
            "The service behind the sidecar broke off, or did not answer in HTTP.",
        ),
    };
    let kind = format!("upstream.{}", kind.as_str());
    problem(status, &kind, title, detail)
}

/// The downstream broke off in the middle of a request that was buffered.
pub fn incomplete_request() -> Response<SyntheticBody> {
    problem(
        StatusCode::BAD_REQUEST,
        "request.incomplete",
        "Request incomplete",
        "The body of the request broke off before its end.",
    )
}

/// The downstream did not send a body as it should have.
pub fn for_body_fault(fault: BodyFault) -> Response<SyntheticBody> {
    match fault {
        BodyFault::Broken => incomplete_request(),
        BodyFault::TooLong => over_limit(LimitExceeded::Body),
        BodyFault::Slow => problem(
            StatusCode::REQUEST_TIMEOUT,
            "limit.slow_body",
            "Request too slow",
            "The body of the request came more slowly than the sidecar waits for.",
        ),
    }
}

/// No route takes the request: 404.
pub fn no_route() -> Response<SyntheticBody> {
    problem(
        StatusCode::NOT_FOUND,
        "unrouted",
        "No route",
        "The sidecar has no route for this host and path.",
    )
}

/// The request asks for something a reverse proxy does not do.
pub fn invalid_request(
    status: StatusCode,
    kind: &str,
    title: &str,
    detail: &str,
) -> Response<SyntheticBody> {
    problem(status, kind, title, detail)
}

/// The request is over a limit; says when to come back where that helps.
pub fn over_limit(exceeded: LimitExceeded) -> Response<SyntheticBody> {
    let (status, title, detail) = match exceeded {
        LimitExceeded::Target => (
            StatusCode::URI_TOO_LONG,
            "Target too long",
            "The target of the request is longer than the sidecar accepts.",
        ),
        LimitExceeded::Body => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "Body too large",
            "The body of the request is larger than the sidecar accepts.",
        ),
        LimitExceeded::Rate(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many requests",
            "The service takes no more requests at this rate.",
        ),
        LimitExceeded::ClientRate(_) => (
            StatusCode::TOO_MANY_REQUESTS,
            "Too many requests",
            "This address sends more requests than it may.",
        ),
        LimitExceeded::Busy | LimitExceeded::QueueTimeout => (
            StatusCode::SERVICE_UNAVAILABLE,
            "Too busy",
            "The service is busy with other requests.",
        ),
    };
    let mut response = problem(status, &format!("limit.{}", exceeded.as_str()), title, detail);
    let after = match exceeded {
        LimitExceeded::Target | LimitExceeded::Body => return response,
        LimitExceeded::Rate(after) | LimitExceeded::ClientRate(after) => {
            after.as_secs_f64().ceil().max(1.0)
        }
        LimitExceeded::Busy | LimitExceeded::QueueTimeout => 1.0,
    };
    if let Ok(after) = HeaderValue::from_str(&format!("{after:.0}")) {
        response.headers_mut().insert(RETRY_AFTER, after);
    }
    response
}

/// The upstream's answer is over a limit.
pub fn response_too_large() -> Response<SyntheticBody> {
    problem(
        StatusCode::BAD_GATEWAY,
        "limit.response_body_too_large",
        "Answer too large",
        "The service's answer is larger than the sidecar accepts.",
    )
}

// === impl Rejection ===

impl Rejection<'_> {
    /// The answer to a message that breaks the contract. The status is for requests; a response
    /// is replaced by a 502.
    pub fn violation_response(
        &self,
        status: StatusCode,
        verdict: &Verdict,
    ) -> Response<SyntheticBody> {
        let (status, title) = match self.side {
            Side::Request => (status, "The request breaks its contract"),
            Side::Response => (StatusCode::BAD_GATEWAY, "The response broke its contract"),
        };
        let first = verdict.violations.first();
        let code = first.map_or("unknown", |violation| violation.code.as_str());
        let mut body = self.body(status, code, title, &detail_of(verdict));
        let violations = verdict.violations.iter().map(|violation| {
            let location = violation.code.location;
            ViolationDetails { location, violation }
        });
        body.violations = violations.collect();
        body.more_violations = verdict.more_violations;
        let mut response = respond(status, &body);
        response.headers_mut().insert(CVT_VIOLATIONS, violations_field(verdict));
        response
    }

    /// The answer to a message that cannot be enforced, where the settings ask for one.
    pub fn unenforceable_response(&self, reason: SkipReason) -> Response<SyntheticBody> {
        let status = match (self.side, reason) {
            (Side::Response, _) => StatusCode::BAD_GATEWAY,
            (_, SkipReason::BodyOverLimit | SkipReason::DecodedOverLimit) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            (
                _,
                SkipReason::UnknownContentEncoding
                | SkipReason::UnknownCharset
                | SkipReason::UnsupportedMediaType,
            ) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            (_, SkipReason::BufferTimeout) => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        let side = self.side.as_str();
        let kind = format!("{side}.unenforceable.{reason}");
        let title = format!("The {side} cannot be checked against its contract");
        let detail =
            format!("It was not validated ({reason}), and what is not validated does not pass.");
        respond(status, &self.body(status, &kind, &title, &detail))
    }

    fn body(
        &self,
        status: StatusCode,
        kind: &str,
        title: &str,
        detail: &str,
    ) -> ProblemDetails<'_> {
        ProblemDetails {
            kind: format!("urn:cvt:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.to_owned(),
            instance: Some(format!("urn:uuid:{}", self.id)),
            request_id: Some(self.request_id),
            violations: Vec::new(),
            more_violations: 0,
        }
    }
}

/// The first violation in a sentence, and how many there are.
fn detail_of(verdict: &Verdict) -> String {
    let line = verdict.violations.first().map(Violation::to_sentence).unwrap_or_default();
    match count(verdict) {
        1 => line,
        all => format!("{line}; {all} violations in all"),
    }
}

fn count(verdict: &Verdict) -> usize {
    verdict.violations.len() + verdict.more_violations as usize
}

/// How many violations there are, and their codes: an item of RFC 9651 with a parameter.
fn violations_field(verdict: &Verdict) -> HeaderValue {
    let codes: BTreeSet<&str> = verdict.violations.iter().map(|one| one.code.as_str()).collect();
    let codes: Vec<&str> = codes.into_iter().take(MAX_CODES).collect();
    let text = format!("{};codes=\"{}\"", count(verdict), codes.join(" "));
    // Codes are tokens of our own: the text is a field value.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("1"))
}

fn problem(status: StatusCode, kind: &str, title: &str, detail: &str) -> Response<SyntheticBody> {
    let body = ProblemDetails {
        kind: format!("urn:cvt:problem:{kind}"),
        title: title.to_owned(),
        status: status.as_u16(),
        detail: detail.to_owned(),
        instance: None,
        request_id: None,
        violations: Vec::new(),
        more_violations: 0,
    };
    respond(status, &body)
}

fn respond(status: StatusCode, body: &ProblemDetails<'_>) -> Response<SyntheticBody> {
    // Texts and numbers alone: writing them as JSON cannot fail.
    let body = serde_json::to_vec(body).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::violation::ViolationCode;

    #[test]
    fn upstream_timeouts_are_504_and_other_failures_502() {
        for (kind, status) in [
            (UpstreamFailure::Connect, 502),
            (UpstreamFailure::ConnectTimeout, 504),
            (UpstreamFailure::Tls, 502),
            (UpstreamFailure::Timeout, 504),
            (UpstreamFailure::Broken, 502),
        ] {
            let response = upstream_failure(kind);
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }

    #[test]
    fn the_header_counts_every_violation_and_names_each_code_once() {
        let violation = |code| Violation {
            code,
            name: None,
            instance_pointer: "/a".into(),
            schema_pointer: "/x".into(),
            keyword: "type".into(),
            found: String::new(),
            position: None,
            message: "expected an integer".into(),
        };
        let code = ViolationCode::REQUEST_BODY_SCHEMA;
        let verdict = Verdict {
            violations: vec![violation(code), violation(code)],
            more_violations: 3,
            ..Verdict::default()
        };
        let rejection = Rejection { side: Side::Request, id: Uuid::nil(), request_id: "r" };
        let response = rejection.violation_response(StatusCode::UNPROCESSABLE_ENTITY, &verdict);
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(response.headers()[CVT_VIOLATIONS], "5;codes=\"request.body.schema\"");
        let replaced = Rejection { side: Side::Response, ..rejection };
        let response = replaced.violation_response(StatusCode::BAD_REQUEST, &verdict);
        assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    }

    #[test]
    fn an_unenforceable_message_is_answered_with_the_status_of_its_reason() {
        let rejection = Rejection { side: Side::Request, id: Uuid::nil(), request_id: "r" };
        for (reason, status) in [
            (SkipReason::BodyOverLimit, 413),
            (SkipReason::UnknownContentEncoding, 415),
            (SkipReason::BufferTimeout, 408),
            (SkipReason::CaptureMemory, 503),
        ] {
            assert_eq!(rejection.unenforceable_response(reason).status().as_u16(), status);
        }
        let replaced = Rejection { side: Side::Response, ..rejection };
        assert_eq!(replaced.unenforceable_response(SkipReason::Stream).status().as_u16(), 502);
    }
}
