//! Bodies that are buffered until they have been validated.
//!
//! Invariants: never more is kept than the limit and the budget allow, and one frame; what
//! was buffered leaves as it came, with the length it was announced with, in chunks where it came in
//! chunks, trailers included; giving up half-way loses nothing, the rest follows as it arrives.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::exchange::memory_budget::Reservation;
use crate::model::exchange::{BodyEnd, CapturedBody};
use crate::model::verdict::SkipReason;
use crate::proxy::body::capture::CaptureBody;

/// What a chunk costs beside its bytes.
const CHUNK_OVERHEAD: usize = 64;

/// A body on its way through the proxy.
#[derive(Debug)]
pub enum ProxyBody<B = Incoming> {
    /// It passes as it arrives.
    Streaming(B),
    /// It was buffered, whole or in part.
    Buffered(Box<BufferedBody<B>>),
}

/// The body of a request on its way to an upstream.
///
/// On the heap: a request is moved many times before it is written.
pub type OutgoingBody = Box<CaptureBody<ProxyBody>>;

/// A buffered body, and the rest of it that had not arrived when buffering ended.
#[derive(Debug)]
pub struct BufferedBody<B> {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Option<B>,
    /// Bytes still to come, where the sender announced a length.
    remaining: Option<u64>,
    ended: bool,
    /// Returned once every buffered byte has been passed on.
    memory: Option<Reservation>,
}

/// How much may be buffered, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct BufferLimits {
    /// Bytes of one body.
    pub bytes: usize,
    /// From the begin of buffering to its end.
    pub time: Duration,
}

/// The outcome of buffering a body.
#[derive(Debug)]
pub enum BufferOutcome<B> {
    /// All of it is here.
    Complete(ProxyBody<B>, CapturedBody),
    /// It cannot be buffered; nothing of it is lost.
    Partial(ProxyBody<B>, CapturedBody, SkipReason),
    /// The sender broke off.
    Aborted(CapturedBody),
}

enum FillOutcome {
    Complete,
    Aborted,
    Stopped(SkipReason),
}

/// Buffers `body` in memory that is drawn from `memory`.
pub async fn buffer_body<B>(body: B, limits: BufferLimits, memory: Reservation) -> BufferOutcome<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.bytes as u64 {
        return BufferOutcome::Partial(
            ProxyBody::Streaming(body),
            CapturedBody::unread(),
            SkipReason::BodyOverLimit,
        );
    }
    let mut buffered = BufferedBody::new(body, memory);
    let mut captured = CapturedBody::default();
    let filled = {
        let mut fill = std::pin::pin!(buffered.fill(&mut captured, limits.bytes));
        // A short body came with its head, and needs no timer.
        match poll_fn(|cx| Poll::Ready(fill.as_mut().poll(cx))).await {
            Poll::Ready(filled) => Ok(filled),
            Poll::Pending => tokio::time::timeout(limits.time, fill).await,
        }
    };
    captured.close();
    let reason = match filled {
        Ok(FillOutcome::Complete) => {
            return BufferOutcome::Complete(ProxyBody::Buffered(Box::new(buffered)), captured);
        }
        Ok(FillOutcome::Aborted) => {
            captured.end = BodyEnd::Reset;
            return BufferOutcome::Aborted(captured);
        }
        Ok(FillOutcome::Stopped(reason)) => reason,
        Err(_) => {
            captured.end = BodyEnd::Cancelled;
            SkipReason::BufferTimeout
        }
    };
    BufferOutcome::Partial(ProxyBody::Buffered(Box::new(buffered)), captured, reason)
}

// === impl BufferedBody ===

impl<B: Body<Data = Bytes> + Unpin> BufferedBody<B> {
    fn new(body: B, memory: Reservation) -> Self {
        let remaining = body.size_hint().exact();
        let ended = body.is_end_stream();
        let rest = (!ended).then_some(body);
        let (chunks, trailers) = (VecDeque::new(), None);
        Self { chunks, trailers, rest, remaining, ended, memory: Some(memory) }
    }

    async fn fill(&mut self, captured: &mut CapturedBody, limit: usize) -> FillOutcome {
        while let Some(rest) = &mut self.rest {
            match rest.frame().await {
                None => self.rest = None,
                Some(Err(_)) => return FillOutcome::Aborted,
                Some(Ok(frame)) => {
                    if rest.is_end_stream() {
                        self.rest = None;
                    }
                    if let Some(reason) = self.push_frame(frame, captured, limit) {
                        return FillOutcome::Stopped(reason);
                    }
                }
            }
        }
        FillOutcome::Complete
    }

    /// Buffers a frame; returns why the body cannot be buffered, if this frame shows it.
    fn push_frame(
        &mut self,
        frame: Frame<Bytes>,
        captured: &mut CapturedBody,
        limit: usize,
    ) -> Option<SkipReason> {
        let data = match frame.into_data() {
            // An empty frame has no meaning, and a flood of them would cost memory.
            Ok(data) if data.is_empty() => return None,
            Ok(data) => data,
            Err(frame) => {
                self.trailers = frame.into_trailers().ok();
                captured.trailers.clone_from(&self.trailers);
                return None;
            }
        };
        let fits = captured.kept() + data.len() <= limit;
        let memory = self.memory.as_mut();
        let reserved =
            fits && memory.is_some_and(|memory| memory.grow(data.len() + CHUNK_OVERHEAD));
        captured.push(&data, if reserved { limit } else { captured.kept() });
        self.chunks.push_back(data);
        if !fits {
            return Some(SkipReason::BodyOverLimit);
        }
        if !reserved {
            captured.stop_capturing();
            return Some(SkipReason::CaptureMemory);
        }
        None
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for BufferedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = if let Some(chunk) = self.chunks.pop_front() {
            Some(Ok(Frame::data(chunk)))
        } else if let Some(rest) = &mut self.rest {
            let frame = ready!(Pin::new(rest).poll_frame(cx));
            // What was buffered has left; the rest passes without being buffered.
            self.memory = None;
            frame
        } else {
            self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))
        };
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.remaining = self.remaining.map(|remaining| remaining.saturating_sub(length));
            }
            _ => self.ended = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let is_drained = self.chunks.is_empty() && self.trailers.is_none();
        is_drained
            && match &self.rest {
                Some(rest) => rest.is_end_stream(),
                None => self.ended || self.remaining == Some(0),
            }
    }

    fn size_hint(&self) -> SizeHint {
        // Without an announced length it stays unknown: the framing is to be that of the sender.
        self.remaining.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

// === impl ProxyBody ===

impl<B: Body<Data = Bytes> + Unpin> Body for ProxyBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Streaming(body) => Pin::new(body).poll_frame(cx),
            Self::Buffered(buffered) => Pin::new(buffered).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Streaming(body) => body.is_end_stream(),
            Self::Buffered(buffered) => buffered.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Streaming(body) => body.size_hint(),
            Self::Buffered(buffered) => buffered.size_hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::HeaderValue;
    use http_body_util::Full;
    use tokio::sync::mpsc;

    use super::*;
    use crate::exchange::memory_budget::Budget;

    const LIMITS: BufferLimits = BufferLimits { bytes: 10, time: Duration::from_hours(1) };

    /// The frames that a sender sends, without an announced length.
    #[derive(Debug)]
    struct Frames(mpsc::UnboundedReceiver<Frame<Bytes>>);

    impl Body for Frames {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            self.0.poll_recv(cx).map(|frame| frame.map(Ok))
        }
    }

    fn stream() -> (mpsc::UnboundedSender<Frame<Bytes>>, Frames) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Frames(receiver))
    }

    fn data(text: &'static str) -> Frame<Bytes> {
        Frame::data(Bytes::from_static(text.as_bytes()))
    }

    async fn text(body: impl Body<Data = Bytes, Error = Infallible>) -> (String, bool) {
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().is_some();
        (String::from_utf8(collected.to_bytes().to_vec()).unwrap(), trailers)
    }

    #[tokio::test]
    async fn a_buffered_body_leaves_with_its_framing_and_trailers() {
        let budget = Budget::new(1000);
        let (sender, body) = stream();
        for part in ["ab", "", "cd"] {
            sender.send(data(part)).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        sender.send(Frame::trailers(trailers)).unwrap();
        drop(sender);
        let buffered = buffer_body(body, LIMITS, budget.reserve(0).unwrap()).await;
        let BufferOutcome::Complete(buffered, captured) = buffered else { panic!("{buffered:?}") };
        assert_eq!(&*captured.bytes(), b"abcd");
        assert_eq!(budget.used(), 4 + 2 * CHUNK_OVERHEAD, "empty frames cost nothing");
        assert_eq!(buffered.size_hint().exact(), None, "chunked stays chunked");
        assert!(!buffered.is_end_stream());
        assert_eq!(text(buffered).await, ("abcd".to_owned(), true));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_length_stays_a_length_and_an_empty_chunked_body_stays_chunked() {
        let budget = Budget::new(1000);
        let body = Full::new(Bytes::from_static(b"abc"));
        let buffered = buffer_body(body, LIMITS, budget.reserve(0).unwrap()).await;
        let BufferOutcome::Complete(buffered, _) = buffered else { panic!("{buffered:?}") };
        assert_eq!(buffered.size_hint().exact(), Some(3));
        let (sender, body) = stream();
        drop(sender);
        let buffered = buffer_body(body, LIMITS, budget.reserve(0).unwrap()).await;
        let BufferOutcome::Complete(buffered, captured) = buffered else { panic!("{buffered:?}") };
        assert_eq!((captured.seen(), captured.end), (0, BodyEnd::Complete));
        assert!(!buffered.is_end_stream() && buffered.size_hint().exact().is_none());
        assert_eq!(text(buffered).await, (String::new(), false));
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_buffered_passes_whole() {
        for (limits, memory, expected) in [
            (LIMITS, 1000, SkipReason::BodyOverLimit),
            (BufferLimits { bytes: 99, ..LIMITS }, 100, SkipReason::CaptureMemory),
        ] {
            let budget = Budget::new(memory);
            let (sender, body) = stream();
            for part in ["0123456", "89abcdef", "tail"] {
                sender.send(data(part)).unwrap();
            }
            drop(sender);
            let buffered = buffer_body(body, limits, budget.reserve(0).unwrap()).await;
            let BufferOutcome::Partial(payload, captured, reason) = buffered else {
                panic!("{buffered:?}")
            };
            assert_eq!(reason, expected);
            assert_eq!(captured.truncation_reason(), Some(expected));
            assert_eq!(text(payload).await.0, "012345689abcdeftail");
            assert_eq!(budget.used(), 0);
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_in_time_is_passed_on() {
        let budget = Budget::new(1000);
        let (sender, body) = stream();
        sender.send(data("first")).unwrap();
        let limits = BufferLimits { time: Duration::ZERO, ..LIMITS };
        let buffered = buffer_body(body, limits, budget.reserve(0).unwrap()).await;
        let BufferOutcome::Partial(payload, _, reason) = buffered else { panic!("{buffered:?}") };
        assert_eq!(reason, SkipReason::BufferTimeout);
        sender.send(data(" last")).unwrap();
        drop(sender);
        assert_eq!(text(payload).await.0, "first last");
    }

    #[tokio::test]
    async fn a_body_announced_too_long_is_not_read() {
        let budget = Budget::new(1000);
        let body = Full::new(Bytes::from_static(b"0123456789a"));
        let buffered = buffer_body(body, LIMITS, budget.reserve(0).unwrap()).await;
        assert!(matches!(
            buffered,
            BufferOutcome::Partial(ProxyBody::Streaming(_), _, SkipReason::BodyOverLimit)
        ));
    }
}
