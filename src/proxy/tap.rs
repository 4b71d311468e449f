//! A body that passes through and is kept up to a limit.
//!
//! What must hold: every frame is passed on as it came, at once; the end is noted exactly
//! once, however the body ends, also when it is dropped half-way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::progress::{Fault, Interrupted, Progress};
use super::relay::Relay;
use crate::model::exchange::{BodyEnd, Captured};
use crate::observer::exchange::{Half, Pending};

/// A body on its way, watched.
#[derive(Debug)]
pub struct Tap<B: Body> {
    /// `None` for a body that never was.
    inner: Option<B>,
    capture: Option<Capture>,
    progress: Option<Progress>,
    on_end: Option<OnEnd>,
    relay: Option<Relay>,
}

/// What is done with a body as it passes.
pub struct Capture {
    captured: Captured,
    limit: usize,
    half: Half,
    pending: Pending,
}

/// Runs once when the body has ended; told whether every byte passed.
type OnEnd = Box<dyn EndObserver>;

/// Somebody who wants to know that a body has ended.
pub trait EndObserver: Send + std::fmt::Debug {
    /// The body has ended; `whole` when every byte passed.
    fn ended(self: Box<Self>, whole: bool);
}

// === impl Tap ===

impl<B: Body> Tap<B> {
    /// Passes `inner` on, keeping what `capture` asks for.
    #[inline]
    pub fn new(inner: B, capture: Option<Capture>) -> Self {
        Self { inner: Some(inner), capture, progress: None, on_end: None, relay: None }
    }

    /// No body at all.
    pub fn empty() -> Self {
        Self { inner: None, capture: None, progress: None, on_end: None, relay: None }
    }

    fn is_over(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Also tells how it comes along, and ends where it is longer than may pass.
    pub fn report_to(&mut self, progress: Progress) {
        self.progress = Some(progress);
    }

    /// Also holds back what its taking rings on `relay`, which wakes the connection it comes
    /// on, where nothing more is to come and the ring means nothing.
    pub fn comes_on(&mut self, relay: Relay) {
        self.relay = Some(relay);
    }

    /// Also tells `observer` about the end.
    #[must_use]
    #[inline]
    pub fn with_end(mut self, observer: impl EndObserver + 'static) -> Self {
        self.on_end = Some(Box::new(observer));
        self
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(progress) = &self.progress {
            progress.ended();
        }
        if let Some(capture) = self.capture.take() {
            capture.finish(end);
        }
        if let Some(observer) = self.on_end.take() {
            observer.ended(end == BodyEnd::Complete);
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Tap<B> {
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let Some(relay) = &self.relay else { return Pin::new(inner).poll_frame(cx) };
        let frame = relay.hold(|| Pin::new(&mut *inner).poll_frame(cx));
        if inner.is_end_stream() {
            relay.forget();
        } else {
            relay.pass_on();
        }
        frame
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Tap<B> {
    type Data = Bytes;
    type Error = Interrupted<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = self.poll_inner(cx) else {
            if let Some(progress) = &self.progress {
                progress.waits();
            }
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(progress) = &self.progress
                    && !progress.passed(frame.data_ref().map_or(0, Bytes::len))
                {
                    progress.blame(Fault::TooLong);
                    self.end(BodyEnd::Cancelled);
                    return Poll::Ready(Some(Err(Interrupted::TooLong)));
                }
                if let Some(capture) = &mut self.capture {
                    capture.keep(frame);
                }
                if self.is_over() {
                    self.end(BodyEnd::Complete);
                }
            }
            Some(Err(_)) => {
                if let Some(progress) = &self.progress {
                    progress.blame(Fault::Broken);
                }
                self.end(BodyEnd::Reset);
            }
            None => self.end(BodyEnd::Complete),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Interrupted::Sender)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body> Drop for Tap<B> {
    fn drop(&mut self) {
        let whole = self.is_over();
        self.end(if whole { BodyEnd::Complete } else { BodyEnd::Cancelled });
    }
}

// === impl Capture ===

impl Capture {
    /// Keeps up to `limit` bytes of one half of the exchange.
    pub fn new(pending: Pending, half: Half, limit: usize) -> Self {
        Self { captured: Captured::default(), limit, half, pending }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            let wanted = self.limit.saturating_sub(self.captured.kept()).min(data.len());
            if wanted > 0 && !self.pending.reserve(wanted) {
                self.captured.cut_short();
                self.limit = self.captured.kept();
            }
            self.captured.push(data, self.limit);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.captured.trailers = Some(trailers.clone());
        }
    }

    fn finish(mut self, end: BodyEnd) {
        self.captured.end = end;
        self.captured.close();
        self.pending.deposit(self.half, self.captured);
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("half", &self.half).finish_non_exhaustive()
    }
}
