//! Capture of a body while it passes, up to a limit.
//!
//! Invariants: every frame is passed on as it came, at once; the end is reported exactly
//! once, however the body ends, even if it is dropped half-way.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::exchange::PendingExchange;
use crate::model::exchange::{BodyEnd, CapturedBody};
use crate::model::violation::Side;
use crate::proxy::body::progress::{BodyError, BodyFault, BodyProgress};
use crate::proxy::waker::TrackedWaker;

/// A body that is captured as it passes.
pub struct CaptureBody<B: Body> {
    /// `None` for no body.
    inner: Option<B>,
    capture: Option<Capture>,
    progress: Option<BodyProgress>,
    /// Keeps the exchange open until a body that is already validated has passed.
    retain: Option<PendingExchange>,
    waker: Option<TrackedWaker>,
}

/// Where the bytes of a body are captured.
pub struct Capture {
    captured: CapturedBody,
    limit: usize,
    side: Side,
    pending: PendingExchange,
}

// === impl CaptureBody ===

impl<B: Body> CaptureBody<B> {
    /// Passes `inner` on, keeping what `capture` asks for.
    #[inline]
    pub fn new(inner: B, capture: Option<Capture>) -> Self {
        Self { inner: Some(inner), capture, progress: None, retain: None, waker: None }
    }

    /// No body at all.
    pub fn empty() -> Self {
        Self { inner: None, capture: None, progress: None, retain: None, waker: None }
    }

    fn is_over(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Also reports to `progress`, and ends the body where it exceeds its limit.
    pub fn report_to(&mut self, progress: BodyProgress) {
        self.progress = Some(progress);
    }

    /// Reading may wake `waker`, which is that of the body's connection. Discards this wake where
    /// the body has ended, because it means nothing then.
    pub fn wakes_connection(&mut self, waker: TrackedWaker) {
        self.waker = Some(waker);
    }

    /// Also keeps `pending` open until the body has ended.
    #[must_use]
    #[inline]
    pub fn retaining(mut self, pending: PendingExchange) -> Self {
        self.retain = Some(pending);
        self
    }

    fn end(&mut self, end: BodyEnd) {
        if let Some(progress) = &self.progress {
            progress.mark_ended();
        }
        if let Some(capture) = self.capture.take() {
            capture.finish(end);
        }
        drop(self.retain.take());
    }
}

impl<B: Body<Data = Bytes> + Unpin> CaptureBody<B> {
    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let Some(waker) = &self.waker else { return Pin::new(inner).poll_frame(cx) };
        let frame = waker.defer_wakes(|| Pin::new(&mut *inner).poll_frame(cx));
        if inner.is_end_stream() {
            waker.discard_deferred();
        } else {
            waker.wake_deferred();
        }
        frame
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for CaptureBody<B> {
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = self.poll_inner(cx) else {
            if let Some(progress) = &self.progress {
                progress.mark_waiting();
            }
            return Poll::Pending;
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(progress) = &self.progress
                    && !progress.record_bytes(frame.data_ref().map_or(0, Bytes::len))
                {
                    progress.record_fault(BodyFault::TooLong);
                    self.end(BodyEnd::Cancelled);
                    return Poll::Ready(Some(Err(BodyError::TooLong)));
                }
                if let Some(capture) = &mut self.capture {
                    capture.record_frame(frame);
                }
                if self.is_over() {
                    self.end(BodyEnd::Complete);
                }
            }
            Some(Err(_)) => {
                if let Some(progress) = &self.progress {
                    progress.record_fault(BodyFault::Broken);
                }
                self.end(BodyEnd::Reset);
            }
            None => self.end(BodyEnd::Complete),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Sender)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body> Drop for CaptureBody<B> {
    fn drop(&mut self) {
        let complete = self.is_over();
        self.end(if complete { BodyEnd::Complete } else { BodyEnd::Cancelled });
    }
}

impl<B: Body> std::fmt::Debug for CaptureBody<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureBody").field("capture", &self.capture).finish_non_exhaustive()
    }
}

// === impl Capture ===

impl Capture {
    /// Captures up to `limit` bytes of one side of the exchange.
    pub fn new(pending: PendingExchange, side: Side, limit: usize) -> Self {
        Self { captured: CapturedBody::default(), limit, side, pending }
    }

    fn record_frame(&mut self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            let wanted = self.limit.saturating_sub(self.captured.kept()).min(data.len());
            if wanted > 0 && !self.pending.reserve(wanted) {
                self.captured.stop_capturing();
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
        self.pending.set_body(self.side, self.captured);
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Capture").field("side", &self.side).finish_non_exhaustive()
    }
}
