//! Which redirects are followed, and with what.
//!
//! Invariants: only to http and https, never from https to http; to another origin no credentials
//! are carried along; a request that changes something is repeated only where the answer says
//! that it must be repeated as it is (307, 308). Any other redirect of such a request is the
//! caller's to see: turned into a GET it would look like success.

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, LOCATION, PROXY_AUTHORIZATION};
use http::{Method, StatusCode};

use super::error::EgressError;
use super::request::{self, EgressRequest};

/// The request that `status` and `headers` lead to, if they are a redirect to follow.
pub(super) fn next(
    asked: &EgressRequest,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<EgressRequest>, EgressError> {
    let reads = matches!(asked.method, Method::GET | Method::HEAD);
    let follows = match status.as_u16() {
        301..=303 => reads,
        307 | 308 => true,
        _ => false,
    };
    let Some(location) = headers.get(LOCATION).filter(|_| follows) else { return Ok(None) };
    let refused = |reason| EgressError::Redirect { origin: asked.origin(), reason };
    let text = location.to_str().map_err(|_| refused("its target is malformed"))?;
    let url = asked.url.join(text).map_err(|_| refused("its target is malformed"))?;
    request::check(&url).map_err(refused)?;
    if asked.url.scheme() == "https" && url.scheme() != "https" {
        return Err(refused("it leads from https to http"));
    }
    let mut next = EgressRequest { url, ..asked.clone() };
    if next.url.origin() != asked.url.origin() {
        next.headers = without_credentials(&asked.headers);
    }
    Ok(Some(next))
}

fn without_credentials(headers: &HeaderMap) -> HeaderMap {
    let kept = headers.iter().filter(|(name, value)| {
        !value.is_sensitive() && ![AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name)
    });
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{ACCEPT, HeaderValue};

    fn led_to(
        asked: &EgressRequest,
        status: u16,
        location: &str,
    ) -> Result<Option<String>, EgressError> {
        let headers = [(LOCATION, location.parse().unwrap())].into_iter().collect();
        let next = next(asked, StatusCode::from_u16(status).unwrap(), &headers)?;
        Ok(next.map(|next| next.url.to_string()))
    }

    #[test]
    fn targets_are_resolved_and_less_safe_ones_refused() {
        let get = EgressRequest::get("https://a.example/b/c?d").unwrap();
        for (location, target) in [
            ("e", "https://a.example/b/e"),
            ("/e", "https://a.example/e"),
            ("//b.example", "https://b.example/"),
            ("https://b.example:1/", "https://b.example:1/"),
        ] {
            assert_eq!(led_to(&get, 302, location).unwrap().unwrap(), target);
        }
        for bad in
            ["http://a.example/", "file:///etc/passwd", "https://u:p@a.example/", "https://["]
        {
            assert!(matches!(led_to(&get, 301, bad), Err(EgressError::Redirect { .. })), "{bad}");
        }
        assert_eq!(led_to(&get, 200, "/e").unwrap(), None);
        assert_eq!(led_to(&get, 304, "/e").unwrap(), None);
    }

    #[test]
    fn a_post_is_repeated_only_as_it_is() {
        let json = HeaderValue::from_static("application/json");
        let post = EgressRequest::post("http://a.example/", json, "{}").unwrap();
        for status in [301, 302, 303] {
            assert_eq!(led_to(&post, status, "/e").unwrap(), None);
        }
        for status in [307, 308] {
            assert_eq!(led_to(&post, status, "/e").unwrap().unwrap(), "http://a.example/e");
        }
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let mut key = HeaderValue::from_static("secret");
        key.set_sensitive(true);
        let asked = EgressRequest::get("https://a.example/").unwrap();
        let asked = asked
            .with_header(AUTHORIZATION, HeaderValue::from_static("Bearer a"))
            .with_header("x-key".parse().unwrap(), key)
            .with_header(ACCEPT, HeaderValue::from_static("*/*"));
        let kept = |location: &str| {
            let headers = [(LOCATION, location.parse().unwrap())].into_iter().collect();
            next(&asked, StatusCode::FOUND, &headers).unwrap().unwrap().headers.len()
        };
        assert_eq!(kept("/b"), 3);
        assert_eq!(kept("https://a.example:444/"), 1);
        assert_eq!(kept("https://b.example/"), 1);
    }
}
