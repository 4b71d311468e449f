//! Header fields of requests, responses and parts.

use std::borrow::Cow;

use http::HeaderMap;
use smallvec::{SmallVec, smallvec};

use super::decode::utf8_or_latin1;
use super::parameter::{SentValue, SentValues};
use super::value::{rule_of, validate_parameter};
use super::verdict_builder::{RuleLocation, VerdictBuilder};
use crate::contract::operation::CompiledOperation;
use crate::contract::parameter::ParameterPlan;
use crate::contract::security::CredentialKind;
use crate::json::Arena;
use crate::model::violation::{Location, ViolationKind};

/// Fields that HTTP, its extensions and other proxies add to any message: never undeclared.
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
pub(super) fn validate_header(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    plan: &ParameterPlan,
    headers: &HeaderMap,
) {
    // Field values were once ISO 8859-1 (RFC 9110 §5.5).
    let values: SmallVec<[&[u8]; 2]> =
        headers.get_all(&*plan.name).iter().map(http::HeaderValue::as_bytes).collect();
    let text = match values.as_slice() {
        [] => None,
        [one] => Some(utf8_or_latin1(one)),
        many => {
            let texts: Vec<_> = many.iter().map(|value| utf8_or_latin1(value)).collect();
            Some(Cow::Owned(texts.join(",")))
        }
    };
    validate_field(arena, verdict, plan, text.as_deref());
}

/// One header whose text is known.
pub(super) fn validate_field(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    plan: &ParameterPlan,
    text: Option<&str>,
) {
    match text {
        Some(text) => {
            let value = text.trim();
            let fields: SentValues<'_> = smallvec![SentValue { key: (&*plan.name).into(), value }];
            validate_parameter(arena, verdict, plan, &fields);
        }
        None if plan.required => {
            let rule = rule_of(plan);
            let message = format!("{} is required and is not there", rule.label());
            verdict.add(rule, ViolationKind::Missing, message);
        }
        None => {}
    }
}

/// Request fields that the operation does not declare (`rules.undeclared_fields`).
pub(super) fn undeclared_request(
    verdict: &mut VerdictBuilder<'_>,
    operation: &CompiledOperation,
    headers: &HeaderMap,
) {
    let key = |name: &str| {
        operation.security.credentials().any(|one| match &one.kind {
            CredentialKind::HeaderKey(key) => key.eq_ignore_ascii_case(name),
            _ => false,
        })
    };
    undeclared(verdict, &operation.headers, &operation.pointer, headers, key);
}

/// Response fields that the document does not declare (`rules.undeclared_fields`).
pub(super) fn undeclared_response(
    verdict: &mut VerdictBuilder<'_>,
    declared: &[ParameterPlan],
    pointer: &str,
    headers: &HeaderMap,
) {
    undeclared(verdict, declared, pointer, headers, |_| false);
}

fn undeclared(
    verdict: &mut VerdictBuilder<'_>,
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
    let names: Vec<&str> = unknown.collect();
    let rule = RuleLocation { location: Location::Header, name: None, pointer };
    verdict.add_undeclared(rule, String::new(), names.into_iter());
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
    fn common_header_fields_are_sorted() {
        assert!(COMMON.is_sorted());
        assert!(is_common("user-agent") && is_common("sec-fetch-mode") && is_common("traceparent"));
        assert!(!is_common("x-tenant"));
    }
}
