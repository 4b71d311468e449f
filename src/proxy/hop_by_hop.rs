//! What belongs to a connection and not to the exchange: hop-by-hop fields and targets.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Request, Uri, Version};
use http_body::Body;

use super::body::buffer::OutgoingBody;
use super::body::capture::CaptureBody;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// A head that two parsers may read differently, although hyper accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MalformedRequest {
    /// No host where there must be one, several, or one with a user.
    Host,
    /// Another transfer coding than `chunked`, or `chunked` twice.
    TransferCoding,
    /// Several lengths, which HTTP/2 lets through.
    Length,
}

/// Whether the request asks to become another protocol (RFC 9110 §7.8). HTTP/2 is none: in a
/// tunnel that speaks it, requests would pass unvalidated.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let http2 = |value: &HeaderValue| value.to_str().is_ok_and(|it| it.contains("h2"));
    request.version() == Version::HTTP_11
        && headers.contains_key(UPGRADE)
        && connection_options(headers).any(|option| option == "upgrade")
        && !headers.get_all(UPGRADE).iter().any(http2)
}

/// Removes the fields that concern one connection only (RFC 9110 §7.6.1): those that
/// `Connection` names, and those that always do. hyper frames the message anew.
pub fn strip_hop_by_hop(headers: &mut HeaderMap, upgrading: bool) {
    // One look along the names costs less than a look-up for each that could be there.
    let (mut connection, mut others) = (false, false);
    for name in headers.keys() {
        match name.as_str() {
            "connection" => connection = true,
            "keep-alive" | "proxy-connection" | "te" | "transfer-encoding" | "upgrade" => {
                others = true;
            }
            _ => {}
        }
    }
    if connection {
        strip_named(headers, upgrading);
        headers.remove(CONNECTION);
    }
    if others {
        for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING] {
            headers.remove(name);
        }
        if let Some(te) = headers.get(TE)
            && !te.to_str().is_ok_and(|te| te.eq_ignore_ascii_case("trailers"))
        {
            headers.remove(TE);
        }
        if !upgrading {
            headers.remove(UPGRADE);
        }
    }
    if upgrading {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Removes the fields that `Connection` names.
fn strip_named(headers: &mut HeaderMap, upgrading: bool) {
    let mut values = headers.get_all(CONNECTION).iter().map(HeaderValue::as_bytes);
    // Nearly always it names nothing else, and that one is removed anyway.
    if values.all(|value| value.eq_ignore_ascii_case(b"keep-alive")) {
        return;
    }
    let named: Vec<HeaderName> = connection_options(headers)
        .filter_map(|option| HeaderName::try_from(option).ok())
        // A sender must not have end-to-end framing or routing stripped this way.
        .filter(|name| *name != CONTENT_LENGTH && *name != HOST && *name != TE)
        .filter(|name| !(upgrading && *name == UPGRADE))
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Gives a request the form of HTTP/1.1: target in origin form, host in `Host`. In its place: a
/// request is large, and every exchange comes through here.
pub fn convert_to_http1<B>(request: &mut Request<B>) {
    if let Some(authority) = request.uri().authority() {
        // RFC 9112 §3.2.2: the authority of an absolute target replaces Host; HTTP/2 has no
        // other place for it.
        let host = HeaderValue::from_str(authority.as_str());
        let target = request.uri().path_and_query().cloned();
        if let Ok(host) = host {
            request.headers_mut().insert(HOST, host);
        }
        *request.uri_mut() = target.map_or_else(|| Uri::from_static("/"), Uri::from);
    }
    *request.version_mut() = Version::HTTP_11;
}

/// Gives a request the form of HTTP/2: host in the target's authority, no upgrade.
pub fn convert_to_http2<B>(request: &mut Request<B>, encrypted: bool) {
    let host = request.headers_mut().remove(HOST);
    request.headers_mut().remove(UPGRADE);
    request.headers_mut().remove(CONNECTION);
    let mut parts = request.uri().clone().into_parts();
    if parts.authority.is_none() {
        parts.authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    }
    let scheme = if encrypted { Scheme::HTTPS } else { Scheme::HTTP };
    parts.scheme = parts.authority.as_ref().map(|_| scheme);
    if let Ok(target) = Uri::from_parts(parts) {
        *request.uri_mut() = target;
    }
    *request.version_mut() = Version::HTTP_2;
}

/// Why a request must not be passed on, if there is a reason (RFC 9112 §3.2, §6.1). hyper has
/// refused the rest: lengths that differ, folded lines, codings that do not end in `chunked`.
pub fn check_head<B>(request: &Request<B>) -> Option<MalformedRequest> {
    let headers = request.headers();
    let mut hosts = headers.get_all(HOST).iter();
    let missing = hosts.next().is_none() && request.version() == Version::HTTP_11;
    let user = request.uri().authority().is_some_and(|it| it.as_str().contains('@'));
    if missing || user || hosts.next().is_some() {
        return Some(MalformedRequest::Host);
    }
    if request.version() == Version::HTTP_2
        && headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some()
    {
        return Some(MalformedRequest::Length);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let chunked = |it: &HeaderValue| it.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !codings.next().is_some_and(chunked) || codings.next().is_some() {
            return Some(MalformedRequest::TransferCoding);
        }
    }
    None
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|option| option.trim().to_ascii_lowercase())
}

// === impl MalformedRequest ===

impl MalformedRequest {
    /// Its name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::TransferCoding => "transfer_coding",
            Self::Length => "length",
        }
    }
}

/// A copy of a request that may be sent twice, if it is one.
pub fn retry_copy(request: &Request<OutgoingBody>) -> Option<Request<OutgoingBody>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Box::new(CaptureBody::empty()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    // hyper keeps the case of header names here.
    *copy.extensions_mut() = request.extensions().clone();
    Some(copy)
}

/// About how many bytes a head holds. What does not depend on the fields (their table, the
/// exchange around them, what the allocator rounds up) was measured under a flood.
pub fn head_weight(headers: &HeaderMap) -> usize {
    const FIXED: usize = 2048;
    let bytes: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum();
    FIXED + bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
            })
            .collect()
    }

    #[test]
    fn fields_named_by_connection_are_removed_and_others_kept() {
        let mut map = headers(&[
            ("connection", "close, X-Hop, content-length"),
            ("x-hop", "1"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("trailer", "x-sum"),
        ]);
        strip_hop_by_hop(&mut map, false);
        let left: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
        assert_eq!(left.len(), 2, "{left:?}");
        assert!(map.contains_key("content-length") && map.contains_key("trailer"));
    }

    #[test]
    fn an_upgrade_keeps_its_two_fields() {
        let mut map = headers(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")]);
        strip_hop_by_hop(&mut map, true);
        assert_eq!(map[CONNECTION], "upgrade");
        assert_eq!(map[UPGRADE], "websocket");
    }

    #[test]
    fn absolute_targets_become_origin_form_with_their_host() {
        let mut request =
            Request::get("http://a.example/x?y=1").header("host", "b").body(()).unwrap();
        convert_to_http1(&mut request);
        assert_eq!(request.uri(), "/x?y=1");
        assert_eq!(request.headers()[HOST], "a.example");
    }

    #[test]
    fn http1_and_http2_forms_convert_into_each_other() {
        let mut request = Request::get("/x?y=1").header("host", "a.example:81").body(()).unwrap();
        convert_to_http2(&mut request, false);
        assert_eq!(request.uri(), "http://a.example:81/x?y=1");
        assert!(!request.headers().contains_key(HOST));
        convert_to_http2(&mut request, false);
        assert_eq!(request.uri(), "http://a.example:81/x?y=1", "once is enough");
        convert_to_http1(&mut request);
        assert_eq!(
            (request.uri().to_string().as_str(), request.version()),
            ("/x?y=1", Version::HTTP_11)
        );
        assert_eq!(request.headers()[HOST], "a.example:81");
    }
}
