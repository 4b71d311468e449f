//! Header fields of requests, responses and parts.

use std::borrow::Cow;

use http::HeaderMap;
use smallvec::{SmallVec, smallvec};

use super::findings::{Findings, Place};
use super::parameter::{Field, Fields};
use super::value::{judge_parameter, place_of};
use crate::contract::instance::Arena;
use crate::contract::operation::CompiledOperation;
use crate::contract::parameter::ParameterPlan;
use crate::contract::security::CredentialKind;
use crate::model::violation::{Location, Rule};

/// Fields that HTTP, its extensions and the way to us add to any message: never undeclared.
const COMMON: [&str; 72] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "access-control-request-headers",
    "access-control-request-method",
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "baggage",
    "cache-control",
    "connection",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-security-policy",
    "content-type",
    "cookie",
    "cross-origin-opener-policy",
    "cross-origin-resource-policy",
    "date",
    "dnt",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "nel",
    "origin",
    "pragma",
    "priority",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "referrer-policy",
    "report-to",
    "retry-after",
    "server",
    "server-timing",
    "set-cookie",
    "strict-transport-security",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
];

/// The same for whole families.
const COMMON_PREFIXES: [&str; 8] =
    ["sec-", "x-forwarded-", "x-b3-", "cf-", "x-amzn-", "x-envoy-", "trace", "www-"];

/// And single ones that begin with `x-`.
const COMMON_EXTENSIONS: [&str; 9] = [
    "warning",
    "x-content-type-options",
    "x-frame-options",
    "x-powered-by",
    "x-real-ip",
    "x-request-id",
    "x-correlation-id",
    "x-requested-with",
    "x-xss-protection",
];

/// One header: all its fields together, in order (RFC 9110 §5.3).
pub(super) fn judge_header(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    plan: &ParameterPlan,
    headers: &HeaderMap,
) {
    let values: SmallVec<[&[u8]; 2]> =
        headers.get_all(&*plan.name).iter().map(http::HeaderValue::as_bytes).collect();
    let text = match values.as_slice() {
        [] => None,
        [one] => Some(text_of(one)),
        many => {
            let texts: Vec<_> = many.iter().map(|value| text_of(value)).collect();
            Some(Cow::Owned(texts.join(",")))
        }
    };
    judge_field(arena, findings, plan, text.as_deref());
}

/// One header whose text is known.
pub(super) fn judge_field(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    plan: &ParameterPlan,
    text: Option<&str>,
) {
    match text {
        Some(text) => {
            let value = text.trim();
            let fields: Fields<'_> = smallvec![Field { key: (&*plan.name).into(), value }];
            judge_parameter(arena, findings, plan, &fields);
        }
        None if plan.required => {
            findings.add(place_of(plan), Rule::Missing, "the header is required and is not there");
        }
        None => {}
    }
}

/// UTF-8 where it is, else ISO 8859-1, which field values once were (RFC 9110 §5.5).
fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Request fields that the operation does not declare (`strict_fields`).
pub(super) fn undeclared_request(
    findings: &mut Findings<'_>,
    operation: &CompiledOperation,
    headers: &HeaderMap,
) {
    let key = |name: &str| {
        operation.security.credentials().any(|one| match &one.kind {
            CredentialKind::HeaderKey(key) => key.eq_ignore_ascii_case(name),
            _ => false,
        })
    };
    undeclared(findings, &operation.headers, &operation.pointer, headers, key);
}

/// Response fields that the document does not declare (`strict_fields`).
pub(super) fn undeclared_response(
    findings: &mut Findings<'_>,
    declared: &[ParameterPlan],
    pointer: &str,
    headers: &HeaderMap,
) {
    undeclared(findings, declared, pointer, headers, |_| false);
}

fn undeclared(
    findings: &mut Findings<'_>,
    declared: &[ParameterPlan],
    pointer: &str,
    headers: &HeaderMap,
    is_key: impl Fn(&str) -> bool,
) {
    let unknown = headers.keys().map(http::HeaderName::as_str).filter(|name| {
        !is_common(name)
            && !is_key(name)
            && !declared.iter().any(|plan| plan.name.eq_ignore_ascii_case(name))
    });
    let count = unknown.count();
    if count > 0 {
        let place = Place { location: Location::Header, name: None, pointer };
        let message = format!("{count} sent that the document does not declare");
        findings.add_at(place, Rule::Undeclared, "/*".to_owned(), message);
    }
}

fn is_common(name: &str) -> bool {
    COMMON.binary_search(&name).is_ok()
        || COMMON_EXTENSIONS.contains(&name)
        || COMMON_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_fields_are_sorted() {
        assert!(COMMON.is_sorted());
        assert!(is_common("user-agent") && is_common("sec-fetch-mode") && is_common("traceparent"));
        assert!(!is_common("x-tenant"));
    }
}
