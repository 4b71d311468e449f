//! One request and its response, as seen on the wire.

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use smallvec::SmallVec;

use super::verdict::SkipReason;

/// The longest request id taken over from the downstream, in bytes.
const LONGEST_REQUEST_ID: usize = 128;

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
pub struct Captured {
    chunks: SmallVec<[Bytes; 2]>,
    kept: usize,
    seen: u64,
    cut: Option<SkipReason>,
    /// How the body ended.
    pub end: BodyEnd,
    /// Trailer fields, when any were sent.
    pub trailers: Option<HeaderMap>,
}

/// `x-request-id` of a request, where it is one that we take over: readable and not too long.
pub fn request_id(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    (1..=LONGEST_REQUEST_ID).contains(&id.len()).then_some(id)
}

// === impl RequestHead ===

impl RequestHead {
    /// The path as sent, percent-encoding kept; `/` where the target has none.
    pub fn path(&self) -> &str {
        match self.target.path() {
            "" => "/",
            path => path,
        }
    }

    /// `x-request-id`, where it is one that we take over.
    pub fn request_id(&self) -> Option<&str> {
        request_id(&self.headers)
    }

    /// The query as sent, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }
}

// === impl Captured ===

impl Captured {
    /// A complete body held in memory.
    pub fn complete(body: &Bytes) -> Self {
        let mut captured = Self::default();
        let len = body.len();
        captured.push(body, len);
        captured
    }

    /// A body of which nobody has seen anything yet.
    pub fn unread() -> Self {
        Self { end: BodyEnd::Cancelled, ..Self::default() }
    }

    /// Notes a chunk that passed and keeps as much of it as fits under `limit` kept bytes in
    /// total. Shares the chunk's memory, copies nothing. Returns the bytes newly kept.
    pub fn push(&mut self, chunk: &Bytes, limit: usize) -> usize {
        self.seen += chunk.len() as u64;
        let room = limit.saturating_sub(self.kept).min(chunk.len());
        if room > 0 {
            self.chunks.push(chunk.slice(..room));
            self.kept += room;
        }
        room
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

    /// Stops keeping: the memory set aside for capturing is used up.
    pub fn cut_short(&mut self) {
        self.cut = Some(SkipReason::CaptureMemory);
    }

    /// Gives up what was kept, for want of memory.
    pub fn let_go(&mut self) {
        self.chunks.clear();
        self.kept = 0;
        self.cut_short();
    }

    /// Why bytes that passed were not kept, when any were not.
    pub fn cut_reason(&self) -> Option<SkipReason> {
        self.truncated().then(|| self.cut.unwrap_or(SkipReason::BodyOverLimit))
    }

    /// The kept bytes in one piece: borrowed when they arrived in one chunk, else joined.
    pub fn bytes(&self) -> Cow<'_, [u8]> {
        match self.chunks.as_slice() {
            [] => Cow::Borrowed(&[]),
            [one] => Cow::Borrowed(one),
            many => Cow::Owned(many.concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_up_to_the_limit_and_counts_the_rest() {
        let mut captured = Captured::default();
        assert_eq!(captured.push(&Bytes::from_static(b"abc"), 5), 3);
        assert_eq!(captured.push(&Bytes::from_static(b"defg"), 5), 2);
        assert_eq!(captured.push(&Bytes::from_static(b"h"), 5), 0);
        assert_eq!(&*captured.bytes(), b"abcde");
        assert_eq!((captured.seen(), captured.kept()), (8, 5));
        assert_eq!(captured.cut_reason(), Some(SkipReason::BodyOverLimit));
        captured.let_go();
        assert_eq!((captured.seen(), captured.kept()), (8, 0));
        assert_eq!(captured.cut_reason(), Some(SkipReason::CaptureMemory));
    }

    #[test]
    fn one_chunk_is_not_copied() {
        let captured = Captured::complete(&Bytes::from_static(b"abc"));
        assert!(matches!(captured.bytes(), Cow::Borrowed(b"abc")));
        assert!(!captured.truncated());
    }
}
