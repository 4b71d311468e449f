//! Bodies that are held until they have been judged.
//!
//! What must hold: never more is kept than the limit and the budget allow, and one frame; what
//! was held leaves as it came, with the length it was announced with, in chunks where it came in
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

use super::tap::EndObserver;
use crate::model::exchange::{BodyEnd, Captured};
use crate::model::verdict::SkipReason;
use crate::observer::budget::Reservation;
use crate::observer::exchange::Pending;

/// What a chunk costs beside its bytes.
const CHUNK_OVERHEAD: usize = 64;

/// A body on its way through the proxy.
#[derive(Debug)]
pub enum Payload<B = Incoming> {
    /// It passes as it arrives.
    Live(B),
    /// It was held, whole or in part.
    Held(Box<Held<B>>),
}

/// A body that was held, and what of it had not arrived when holding ended.
#[derive(Debug)]
pub struct Held<B> {
    chunks: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    rest: Option<B>,
    /// Bytes still to come, where the sender announced a length.
    exact: Option<u64>,
    over: bool,
    /// Given back once everything that was held has been passed on.
    memory: Option<Reservation>,
}

/// How much may be held, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct HoldLimits {
    /// Bytes of one body.
    pub bytes: usize,
    /// From the first look at it to its end.
    pub time: Duration,
}

/// What came of holding a body.
#[derive(Debug)]
pub enum Holding<B> {
    /// All of it is here.
    Whole(Payload<B>, Captured),
    /// It cannot be held; nothing of it is lost.
    Cut(Payload<B>, Captured, SkipReason),
    /// The sender broke off.
    Broken(Captured),
}

/// Keeps an exchange open until a body that is already judged has passed on.
pub struct Witness(#[allow(dead_code, reason = "it is held, not looked at")] Pending);

enum Filled {
    Whole,
    Broken,
    Full(SkipReason),
}

/// Collects `body`. What it holds is drawn from `memory`.
pub async fn hold<B>(body: B, limits: HoldLimits, memory: Reservation) -> Holding<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.bytes as u64 {
        return Holding::Cut(Payload::Live(body), Captured::unread(), SkipReason::BodyOverLimit);
    }
    let mut held = Held::new(body, memory);
    let mut captured = Captured::default();
    let filled = {
        let mut filling = std::pin::pin!(held.fill(&mut captured, limits.bytes));
        // A short body came with its head, and needs no timer.
        match poll_fn(|cx| Poll::Ready(filling.as_mut().poll(cx))).await {
            Poll::Ready(filled) => Ok(filled),
            Poll::Pending => tokio::time::timeout(limits.time, filling).await,
        }
    };
    captured.close();
    let reason = match filled {
        Ok(Filled::Whole) => return Holding::Whole(Payload::Held(Box::new(held)), captured),
        Ok(Filled::Broken) => {
            captured.end = BodyEnd::Reset;
            return Holding::Broken(captured);
        }
        Ok(Filled::Full(reason)) => reason,
        Err(_) => {
            captured.end = BodyEnd::Cancelled;
            SkipReason::HoldTimeout
        }
    };
    Holding::Cut(Payload::Held(Box::new(held)), captured, reason)
}

// === impl Held ===

impl<B: Body<Data = Bytes> + Unpin> Held<B> {
    fn new(body: B, memory: Reservation) -> Self {
        let exact = body.size_hint().exact();
        let over = body.is_end_stream();
        let rest = (!over).then_some(body);
        let (chunks, trailers) = (VecDeque::new(), None);
        Self { chunks, trailers, rest, exact, over, memory: Some(memory) }
    }

    async fn fill(&mut self, captured: &mut Captured, limit: usize) -> Filled {
        while let Some(rest) = &mut self.rest {
            match rest.frame().await {
                None => self.rest = None,
                Some(Err(_)) => return Filled::Broken,
                Some(Ok(frame)) => {
                    if rest.is_end_stream() {
                        self.rest = None;
                    }
                    if let Some(reason) = self.keep(frame, captured, limit) {
                        return Filled::Full(reason);
                    }
                }
            }
        }
        Filled::Whole
    }

    /// Keeps a frame; says why the body cannot be held, if this frame shows it.
    fn keep(
        &mut self,
        frame: Frame<Bytes>,
        captured: &mut Captured,
        limit: usize,
    ) -> Option<SkipReason> {
        let data = match frame.into_data() {
            // An empty frame says nothing, and a flood of them would cost memory.
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
        let paid = fits && memory.is_some_and(|memory| memory.grow(data.len() + CHUNK_OVERHEAD));
        captured.push(&data, if paid { limit } else { captured.kept() });
        self.chunks.push_back(data);
        if !fits {
            return Some(SkipReason::BodyOverLimit);
        }
        if !paid {
            captured.cut_short();
            return Some(SkipReason::CaptureMemory);
        }
        None
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Held<B> {
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
            // What was held has gone; the rest passes without being kept.
            self.memory = None;
            frame
        } else {
            self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))
        };
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                self.exact = self.exact.map(|exact| exact.saturating_sub(length));
            }
            _ => self.over = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let nothing_held = self.chunks.is_empty() && self.trailers.is_none();
        nothing_held
            && match &self.rest {
                Some(rest) => rest.is_end_stream(),
                None => self.over || self.exact == Some(0),
            }
    }

    fn size_hint(&self) -> SizeHint {
        // Without an announced length it stays unknown: the framing is to be that of the sender.
        self.exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

// === impl Payload ===

impl<B: Body<Data = Bytes> + Unpin> Body for Payload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Live(body) => Pin::new(body).poll_frame(cx),
            Self::Held(held) => Pin::new(held).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Live(body) => body.is_end_stream(),
            Self::Held(held) => held.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Live(body) => body.size_hint(),
            Self::Held(held) => held.size_hint(),
        }
    }
}

// === impl Witness ===

impl Witness {
    /// Keeps `pending` open.
    pub fn new(pending: Pending) -> Self {
        Self(pending)
    }
}

impl EndObserver for Witness {
    fn ended(self: Box<Self>, _whole: bool) {}
}

impl std::fmt::Debug for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Witness").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::HeaderValue;
    use http_body_util::Full;
    use tokio::sync::mpsc;

    use super::*;
    use crate::observer::budget::Budget;

    const LIMITS: HoldLimits = HoldLimits { bytes: 10, time: Duration::from_hours(1) };

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
    async fn what_was_held_leaves_as_it_came() {
        let budget = Budget::new(1000);
        let (sender, body) = stream();
        for part in ["ab", "", "cd"] {
            sender.send(data(part)).unwrap();
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        sender.send(Frame::trailers(trailers)).unwrap();
        drop(sender);
        let held = hold(body, LIMITS, budget.reserve(0).unwrap()).await;
        let Holding::Whole(held, captured) = held else { panic!("{held:?}") };
        assert_eq!(&*captured.bytes(), b"abcd");
        assert_eq!(budget.used(), 4 + 2 * CHUNK_OVERHEAD, "empty frames cost nothing");
        assert_eq!(held.size_hint().exact(), None, "chunked stays chunked");
        assert!(!held.is_end_stream());
        assert_eq!(text(held).await, ("abcd".to_owned(), true));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_length_stays_a_length_and_an_empty_chunked_body_stays_chunked() {
        let budget = Budget::new(1000);
        let body = Full::new(Bytes::from_static(b"abc"));
        let held = hold(body, LIMITS, budget.reserve(0).unwrap()).await;
        let Holding::Whole(held, _) = held else { panic!("{held:?}") };
        assert_eq!(held.size_hint().exact(), Some(3));
        let (sender, body) = stream();
        drop(sender);
        let held = hold(body, LIMITS, budget.reserve(0).unwrap()).await;
        let Holding::Whole(held, captured) = held else { panic!("{held:?}") };
        assert_eq!((captured.seen(), captured.end), (0, BodyEnd::Complete));
        assert!(!held.is_end_stream() && held.size_hint().exact().is_none());
        assert_eq!(text(held).await, (String::new(), false));
    }

    #[tokio::test]
    async fn giving_up_loses_nothing() {
        for (limits, memory, expected) in [
            (LIMITS, 1000, SkipReason::BodyOverLimit),
            (HoldLimits { bytes: 99, ..LIMITS }, 100, SkipReason::CaptureMemory),
        ] {
            let budget = Budget::new(memory);
            let (sender, body) = stream();
            for part in ["0123456", "89abcdef", "tail"] {
                sender.send(data(part)).unwrap();
            }
            drop(sender);
            let held = hold(body, limits, budget.reserve(0).unwrap()).await;
            let Holding::Cut(payload, captured, reason) = held else { panic!("{held:?}") };
            assert_eq!(reason, expected);
            assert_eq!(captured.cut_reason(), Some(expected));
            assert_eq!(text(payload).await.0, "012345689abcdeftail");
            assert_eq!(budget.used(), 0);
        }
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_let_go() {
        let budget = Budget::new(1000);
        let (sender, body) = stream();
        sender.send(data("first")).unwrap();
        let limits = HoldLimits { time: Duration::ZERO, ..LIMITS };
        let held = hold(body, limits, budget.reserve(0).unwrap()).await;
        let Holding::Cut(payload, _, reason) = held else { panic!("{held:?}") };
        assert_eq!(reason, SkipReason::HoldTimeout);
        sender.send(data(" last")).unwrap();
        drop(sender);
        assert_eq!(text(payload).await.0, "first last");
    }

    #[tokio::test]
    async fn a_body_announced_too_long_is_not_read() {
        let budget = Budget::new(1000);
        let body = Full::new(Bytes::from_static(b"0123456789a"));
        let held = hold(body, LIMITS, budget.reserve(0).unwrap()).await;
        assert!(matches!(held, Holding::Cut(Payload::Live(_), _, SkipReason::BodyOverLimit)));
    }
}
