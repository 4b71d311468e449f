//! `Forwarded` and `X-Forwarded-*`: the caller's address, host and scheme for the service.
//!
//! Invariants: with `headers: none` these fields are neither read nor written; otherwise nothing
//! reaches the service in any of them that a caller outside of the trusted networks made up, and
//! that caller cannot make us drop ours by naming them in `Connection` (they are set after that
//! has had its effect).

use std::fmt::Write as _;
use std::net::IpAddr;

use http::header::{FORWARDED, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use super::downstream::connection::DownstreamPeer;
use crate::config::forwarded::{ForwardedFields, ForwardedSettings};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// What one exchange adds to the fields.
struct ForwardedElement {
    /// The caller's address, where it has one.
    address: Option<IpAddr>,
    /// The host it asked for.
    host: Option<HeaderValue>,
    /// The scheme it used.
    scheme: &'static str,
}

/// Sets the fields that `settings` ask for in the head of a request on its way to the service.
/// `target` and `headers` are as they came, but for what concerns one connection alone.
pub fn set_fields(
    settings: &ForwardedSettings,
    peer: &DownstreamPeer,
    target: &Uri,
    headers: &mut HeaderMap,
) {
    if settings.fields == ForwardedFields::Untouched {
        return;
    }
    let address = peer.ip.map(|address| address.to_canonical());
    if !address.is_some_and(|address| settings.trusts(address)) {
        for field in [FORWARDED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO] {
            headers.remove(field);
        }
    }
    let authority = target.authority().map(http::uri::Authority::as_str);
    let named = authority.and_then(|host| HeaderValue::from_str(host).ok());
    let element = ForwardedElement {
        address,
        host: named.or_else(|| headers.get(HOST).cloned()),
        scheme: if peer.encrypted { "https" } else { "http" },
    };
    if matches!(settings.fields, ForwardedFields::XForwarded | ForwardedFields::Both) {
        element.set_x_forwarded(headers);
    }
    if matches!(settings.fields, ForwardedFields::Forwarded | ForwardedFields::Both) {
        append(headers, FORWARDED, &element.element());
    }
}

// === impl ForwardedElement ===

impl ForwardedElement {
    /// The list of addresses grows in `X-Forwarded-For`; host and scheme are the first
    /// caller's, so what a trusted proxy said of them stays.
    fn set_x_forwarded(&self, headers: &mut HeaderMap) {
        if let Some(address) = self.address {
            append(headers, X_FORWARDED_FOR, address.to_string().as_bytes());
        }
        if let Some(host) = &self.host {
            headers.entry(X_FORWARDED_HOST).or_insert_with(|| host.clone());
        }
        let scheme = HeaderValue::from_static(self.scheme);
        headers.entry(X_FORWARDED_PROTO).or_insert(scheme);
    }

    /// One element of `Forwarded` (RFC 7239 §4): an IPv6 address is quoted and in brackets, the
    /// host is quoted because of its port.
    fn element(&self) -> Vec<u8> {
        let mut start = String::from("for=");
        let _ = match self.address {
            Some(IpAddr::V4(address)) => write!(start, "{address}"),
            Some(IpAddr::V6(address)) => write!(start, "\"[{address}]\""),
            None => write!(start, "unknown"),
        };
        let mut element = start.into_bytes();
        if let Some(host) = &self.host {
            element.extend_from_slice(b";host=\"");
            for byte in host.as_bytes() {
                if matches!(byte, b'"' | b'\\') {
                    element.push(b'\\');
                }
                element.push(*byte);
            }
            element.push(b'"');
        }
        element.extend_from_slice(b";proto=");
        element.extend_from_slice(self.scheme.as_bytes());
        element
    }
}

/// Adds `element` to the list in a field, as one field line: many services read only the first.
fn append(headers: &mut HeaderMap, field: HeaderName, element: &[u8]) {
    let mut list = Vec::new();
    for value in headers.get_all(&field) {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element);
    if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(list)) {
        headers.insert(field, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(
        fields: ForwardedFields,
        trust: &[&str],
        ip: &str,
        sent: &[(&'static str, &str)],
    ) -> HeaderMap {
        let trust = trust.iter().map(|network| network.parse().unwrap()).collect();
        let peer = DownstreamPeer { ip: ip.parse().ok(), subject: None, encrypted: true };
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().unwrap());
        }
        let target = Uri::from_static("/x");
        set_fields(&ForwardedSettings { fields, trust }, &peer, &target, &mut headers);
        headers
    }

    #[test]
    fn fields_of_an_untrusted_caller_are_replaced() {
        let sent = [
            ("host", "a.example:8080"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-proto", "ftp"),
            ("forwarded", "for=1.2.3.4"),
        ];
        let headers = forwarded(ForwardedFields::XForwarded, &[], "192.0.2.7", &sent);
        assert_eq!(headers.get_all("x-forwarded-for").iter().count(), 1);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-host"], "a.example:8080");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert!(!headers.contains_key("forwarded"), "the family not asked for lies as well");
    }

    #[test]
    fn fields_of_a_trusted_proxy_are_extended() {
        let sent = [
            ("host", "inner"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-for", "5.6.7.8"),
            ("x-forwarded-host", "outer"),
            ("x-forwarded-proto", "http"),
            ("forwarded", "for=1.2.3.4"),
        ];
        let headers = forwarded(ForwardedFields::Both, &["10.0.0.0/8"], "::ffff:10.0.0.9", &sent);
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 5.6.7.8, 10.0.0.9");
        assert_eq!(headers["x-forwarded-host"], "outer");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["forwarded"], "for=1.2.3.4, for=10.0.0.9;host=\"inner\";proto=https");
    }

    #[test]
    fn elements_are_quoted_where_they_must_be() {
        let sent = [("host", "a\\\"b")];
        let headers = forwarded(ForwardedFields::Forwarded, &[], "2001:db8::1", &sent);
        let expected = r#"for="[2001:db8::1]";host="a\\\"b";proto=https"#;
        assert_eq!(headers["forwarded"], expected);
        let headers = forwarded(ForwardedFields::Forwarded, &[], "nowhere", &[]);
        assert_eq!(headers["forwarded"], "for=unknown;proto=https");
    }

    #[test]
    fn untouched_leaves_the_fields_as_sent() {
        let sent = [("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=x")];
        let headers = forwarded(ForwardedFields::Untouched, &[], "192.0.2.7", &sent);
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4");
    }
}
