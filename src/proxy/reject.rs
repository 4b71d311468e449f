//! Responses that we invent: the only place that writes them.
//!
//! Each is an RFC 9457 problem; none says anything about the message that caused it beyond
//! its request id.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;

use super::metrics::UpstreamFailure;

/// The body of an invented response.
pub type Invented = Full<Bytes>;

/// The upstream gave no response: 502, or 504 when it took too long.
pub fn upstream_failed(kind: UpstreamFailure) -> Response<Invented> {
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

/// No route takes the request: 404.
pub fn unrouted() -> Response<Invented> {
    problem(
        StatusCode::NOT_FOUND,
        "unrouted",
        "No route",
        "The sidecar has no route for this host and path.",
    )
}

/// The request asks for something a reverse proxy does not do.
pub fn refused(status: StatusCode, kind: &str, title: &str, detail: &str) -> Response<Invented> {
    problem(status, kind, title, detail)
}

fn problem(status: StatusCode, kind: &str, title: &str, detail: &str) -> Response<Invented> {
    let body = serde_json::json!({
        "type": format!("urn:cvt:problem:{kind}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowness_is_504_and_everything_else_502() {
        for (kind, status) in [
            (UpstreamFailure::Connect, 502),
            (UpstreamFailure::ConnectTimeout, 504),
            (UpstreamFailure::Timeout, 504),
            (UpstreamFailure::Broken, 502),
        ] {
            let response = upstream_failed(kind);
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }
}
