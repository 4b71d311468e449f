//! What is asked: method, URL, headers, body.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri};
use url::Url;

use super::error::EgressError;

/// One request. Credentials stand in its headers, never in its URL.
#[derive(Debug, Clone)]
pub struct EgressRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

// === impl EgressRequest ===

impl EgressRequest {
    /// Asks for what is at `url`.
    pub fn get(url: &str) -> Result<Self, EgressError> {
        Self::new(Method::GET, url, Bytes::new())
    }

    /// Sends `body` to `url`.
    pub fn post(
        url: &str,
        content_type: HeaderValue,
        body: impl Into<Bytes>,
    ) -> Result<Self, EgressError> {
        let request = Self::new(Method::POST, url, body.into())?;
        Ok(request.with_header(CONTENT_TYPE, content_type))
    }

    /// Sets a header. A value that is marked as sensitive is not sent on to another origin.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    fn new(method: Method, url: &str, body: Bytes) -> Result<Self, EgressError> {
        let url = Url::parse(url).map_err(|error| EgressError::Url(error.to_string()))?;
        check(&url).map_err(|reason| EgressError::Url(reason.into()))?;
        Ok(Self { method, url, headers: HeaderMap::new(), body })
    }

    /// Scheme, host and port, as errors name them.
    pub(super) fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    pub(super) fn uri(&self) -> Result<Uri, EgressError> {
        let mut url = self.url.clone();
        url.set_fragment(None);
        url.as_str()
            .parse()
            .map_err(|error: http::uri::InvalidUri| EgressError::Url(error.to_string()))
    }
}

/// Says what keeps `url` from being called.
pub(super) fn check(url: &Url) -> Result<(), &'static str> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme is neither http nor https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds credentials");
    }
    if url.host_str().is_none_or(str::is_empty) { Err("it names no host") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_urls_without_credentials_are_taken() {
        for bad in ["ftp://a/", "a:1", "/x", "http://", "http://user:secret@a/", "file:///etc"] {
            let error = EgressRequest::get(bad).unwrap_err();
            assert!(matches!(error, EgressError::Url(_)), "{bad}: {error:?}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
        let request = EgressRequest::get("https://Service.example:443/a?b=c#d").unwrap();
        assert_eq!(request.origin(), "https://service.example");
        assert_eq!(request.uri().unwrap(), "https://service.example/a?b=c");
    }
}
