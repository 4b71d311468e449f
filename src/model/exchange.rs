//! One request and its response, as seen on the wire.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, ORIGIN, TRANSFER_ENCODING};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version};
use smallvec::SmallVec;

use super::verdict::SkipReason;

const ACCESS_CONTROL_REQUEST_METHOD: HeaderName =
    HeaderName::from_static("access-control-request-method");

/// The longest request id accepted from the downstream, in bytes.
const MAX_REQUEST_ID: usize = 128;
/// Chunks up to this length are copied: one that is shared keeps the whole buffer that it was read
/// into, which has twice this length or more, and whose reader then needs another one.
const COPY_LIMIT: usize = 4 << 10;

/// Start line and headers of a request, as the downstream sent them.
#[derive(Debug, Clone)]
pub struct RequestHead {
    /// Method token, case kept.
    pub method: Method,
    /// Request target; its path and query are undecoded.
    pub target: Uri,
    /// Protocol version of the downstream connection.
    pub version: Version,
    /// Header fields in order, repeated ones included.
    pub headers: HeaderMap,
}

/// Start line and headers of a response, as the upstream sent them.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    /// Status code.
    pub status: StatusCode,
    /// Header fields in order, repeated ones included.
    pub headers: HeaderMap,
}

/// How a body came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BodyEnd {
    /// Every byte passed.
    #[default]
    Complete,
    /// The sender broke off.
    Reset,
    /// The receiver went away, or the body was never asked for.
    Cancelled,
}

/// The bytes of one body that were kept while it passed, up to the capture limit.
#[derive(Debug, Clone, Default)]
pub struct CapturedBody {
    chunks: SmallVec<[Bytes; 2]>,
    /// Copies of short chunks that came after those.
    tail: Vec<u8>,
    kept: usize,
    seen: u64,
    cut: Option<SkipReason>,
    /// How the body ended.
    pub end: BodyEnd,
    /// Trailer fields, when any were sent.
    pub trailers: Option<HeaderMap>,
}

/// `x-request-id` of a request, where it is valid: visible ASCII and not too long.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (1..=MAX_REQUEST_ID).contains(&id.len()).then_some(id)
}

/// Whether a head is that of a pre-flight of the CORS protocol (Fetch §3.2.2), which has no body.
/// Browsers send it; documents seldom list it.
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    let has_body = || {
        let length = headers.get(CONTENT_LENGTH);
        headers.contains_key(TRANSFER_ENCODING) || length.is_some_and(|length| length != "0")
    };
    *method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && !has_body()
}

/// A copy of header fields with memory of its own: fields as read share the buffer of the
/// connection, and would keep all of it alive.
pub fn detached_headers(headers: &HeaderMap) -> HeaderMap {
    let mut text = BytesMut::with_capacity(headers.values().map(HeaderValue::len).sum());
    let mut own = headers.clone();
    for value in own.values_mut() {
        text.extend_from_slice(value.as_bytes());
        // A copy of a valid value is valid.
        if let Ok(mut copy) = HeaderValue::from_maybe_shared(text.split().freeze()) {
            copy.set_sensitive(value.is_sensitive());
            *value = copy;
        }
    }
    own
}

/// A copy of a target with memory of its own.
fn detached_target(target: &Uri) -> Uri {
    let copy = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let mut parts = target.clone().into_parts();
    if let Some(path) = &mut parts.path_and_query
        && let Ok(own) = PathAndQuery::from_maybe_shared(copy(path.as_str()))
    {
        *path = own;
    }
    if let Some(authority) = &mut parts.authority
        && let Ok(own) = Authority::from_maybe_shared(copy(authority.as_str()))
    {
        *authority = own;
    }
    Uri::from_parts(parts).unwrap_or_else(|_| target.clone())
}

// === impl RequestHead ===

impl RequestHead {
    /// A copy of the head of `request` in memory of its own.
    pub fn of<B>(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            target: detached_target(request.uri()),
            version: request.version(),
            headers: detached_headers(request.headers()),
        }
    }

    /// The path as sent, percent-encoding kept; `/` where the target has none.
    pub fn path(&self) -> &str {
        match self.target.path() {
            "" => "/",
            path => path,
        }
    }

    /// `x-request-id`, where it is valid.
    pub fn request_id(&self) -> Option<&str> {
        request_id(&self.headers)
    }

    /// The query as sent, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }
}

// === impl CapturedBody ===

impl CapturedBody {
    /// A complete body in memory.
    pub fn complete(body: &Bytes) -> Self {
        let mut captured = Self::default();
        let len = body.len();
        captured.push(body, len);
        captured
    }

    /// A body of which nothing was read yet.
    pub fn unread() -> Self {
        Self { end: BodyEnd::Cancelled, ..Self::default() }
    }

    /// Counts a chunk that passed and keeps as much of it as fits under `limit` kept bytes in
    /// total. Shares the memory of a long chunk and copies a short one. Returns the bytes newly
    /// kept.
    pub fn push(&mut self, chunk: &Bytes, limit: usize) -> usize {
        self.seen += chunk.len() as u64;
        let room = limit.saturating_sub(self.kept).min(chunk.len());
        if room > COPY_LIMIT {
            self.close();
            self.chunks.push(chunk.slice(..room));
        } else if room > 0 {
            self.tail.extend_from_slice(&chunk[..room]);
        }
        self.kept += room;
        room
    }

    /// Ends the capture: what was kept can be shared from now on.
    pub fn close(&mut self) {
        if !self.tail.is_empty() {
            self.chunks.push(std::mem::take(&mut self.tail).into());
        }
    }

    /// Bytes that passed, kept or not.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Bytes that were kept.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Whether bytes passed that were not kept.
    pub fn truncated(&self) -> bool {
        self.seen > self.kept as u64
    }

    /// Stops capturing, because the memory budget is used up.
    pub fn stop_capturing(&mut self) {
        self.cut = Some(SkipReason::CaptureMemory);
    }

    /// Discards what was kept, because the memory budget is used up.
    pub fn discard(&mut self) {
        self.chunks.clear();
        self.tail = Vec::new();
        self.kept = 0;
        self.stop_capturing();
    }

    /// Why bytes that passed were not kept, when any were not.
    pub fn truncation_reason(&self) -> Option<SkipReason> {
        self.truncated().then(|| self.cut.unwrap_or(SkipReason::BodyOverLimit))
    }

    /// The kept bytes in one piece: borrowed when they are in one, else joined.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match (self.chunks.as_slice(), self.tail.as_slice()) {
            ([], tail) => Cow::Borrowed(tail),
            ([one], []) => Cow::Borrowed(one),
            (many, tail) => {
                let mut joined = Vec::with_capacity(self.kept);
                for chunk in many {
                    joined.extend_from_slice(chunk);
                }
                joined.extend_from_slice(tail);
                Cow::Owned(joined)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preflight_names_an_origin_and_a_method_and_has_no_body() {
        let fields = [("origin", "https://a.test"), ("access-control-request-method", "POST")];
        let is_one = |method: &Method, fields: &[(&'static str, &'static str)]| {
            let fields = fields.iter().map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_static(value))
            });
            is_preflight(method, &fields.collect())
        };
        let options = Method::OPTIONS;
        assert!(is_one(&options, &fields));
        assert!(is_one(&options, &[fields[0], fields[1], ("content-length", "0")]));
        assert!(!is_one(&Method::GET, &fields));
        assert!(!is_one(&options, &fields[..1]));
        assert!(!is_one(&options, &fields[1..]));
        assert!(!is_one(&options, &[fields[0], fields[1], ("content-length", "1")]));
        assert!(!is_one(&options, &[fields[0], fields[1], ("transfer-encoding", "chunked")]));
    }

    #[test]
    fn capturing_keeps_up_to_the_limit_and_counts_the_rest() {
        let mut captured = CapturedBody::default();
        assert_eq!(captured.push(&Bytes::from_static(b"abc"), 5), 3);
        assert_eq!(captured.push(&Bytes::from_static(b"defg"), 5), 2);
        assert_eq!(captured.push(&Bytes::from_static(b"h"), 5), 0);
        assert_eq!(&*captured.bytes(), b"abcde");
        assert_eq!((captured.seen(), captured.kept()), (8, 5));
        assert_eq!(captured.truncation_reason(), Some(SkipReason::BodyOverLimit));
        captured.discard();
        assert_eq!((captured.seen(), captured.kept()), (8, 0));
        assert_eq!(captured.truncation_reason(), Some(SkipReason::CaptureMemory));
    }

    #[test]
    fn long_chunks_are_shared_and_short_ones_are_not() {
        let long = Bytes::from(vec![7; COPY_LIMIT + 1]);
        let captured = CapturedBody::complete(&long);
        assert_eq!(captured.bytes().as_ptr(), long.as_ptr());
        assert!(!captured.truncated());
        let short = long.slice(..COPY_LIMIT);
        let mut captured = CapturedBody::complete(&short);
        assert_ne!(captured.bytes().as_ptr(), short.as_ptr());
        captured.close();
        assert!(matches!(captured.bytes(), Cow::Borrowed(bytes) if bytes == short));
    }

    #[test]
    fn short_and_long_chunks_stay_in_order() {
        let (short, long) = (Bytes::from_static(b"ab"), Bytes::from(vec![b'-'; COPY_LIMIT + 1]));
        let mut captured = CapturedBody::default();
        for chunk in [&short, &short, &long, &short] {
            captured.push(chunk, usize::MAX);
        }
        let expected = [&b"abab"[..], &long, b"ab"].concat();
        assert_eq!(&*captured.bytes(), expected);
        captured.close();
        assert_eq!((&*captured.bytes(), captured.kept()), (&*expected, expected.len()));
    }

    #[test]
    fn a_request_head_shares_no_memory_with_the_read_buffer() {
        let read = Bytes::from_static(b"/a/b?c=d first second");
        let value = |range| HeaderValue::from_maybe_shared(read.slice(range)).unwrap();
        let mut secret = value(9..14);
        secret.set_sensitive(true);
        let request = Request::builder()
            .uri(Uri::from_maybe_shared(read.slice(..8)).unwrap())
            .header("x-one", secret)
            .header("x-one", value(15..21))
            .body(())
            .unwrap();
        let head = RequestHead::of(&request);
        assert_eq!((&head.target, &head.headers), (request.uri(), request.headers()));
        assert!(head.headers["x-one"].is_sensitive());
        let place = read.as_ptr_range();
        assert!(!place.contains(&head.path().as_ptr()));
        assert!(head.headers.values().all(|value| !place.contains(&value.as_bytes().as_ptr())));
        let whole: Uri = "http://user@host:1/p?q#f".parse().unwrap();
        assert_eq!(detached_target(&whole), whole);
        for odd in ["*", "host:443"] {
            let odd: Uri = odd.parse().unwrap();
            assert_eq!(detached_target(&odd), odd);
        }
    }
}
