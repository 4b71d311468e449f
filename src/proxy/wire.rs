//! The bytes of one downstream connection, in plain text or encrypted, counted as they pass.
//!
//! The counts cost two relaxed stores a read or write, and replace a timer that hyper would make
//! and drop for every request.

use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pingora_core::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::interim::Interim;
use super::limits::Turn;
use super::metrics::ProxyMetrics;
use super::server::Counted;

/// A downstream connection.
pub struct Wire {
    transport: Transport,
    tally: Arc<Tally>,
    interim: Interim,
    /// What is being written past hyper.
    beside: BytesMut,
    /// Whether hyper has nothing half-written.
    between: bool,
    // Also while the connection is another protocol's, long after HTTP has let go of it.
    _counted: Counted,
}

/// How the bytes travel.
pub enum Transport {
    /// As they are.
    Plain(Stream),
    /// Encrypted.
    Tls(Box<TlsStream<Stream>>),
}

/// What has passed on one connection.
#[derive(Debug, Default)]
pub struct Tally {
    read: AtomicU64,
    written: AtomicU64,
    /// Whether the peer has yet to take what was written.
    blocked: AtomicBool,
    started: AtomicU32,
    open: AtomicU32,
    given_up: AtomicU32,
    /// Bodies over HTTP/2 of which the peer has yet to make room for more.
    stalled: AtomicU32,
    multiplexed: AtomicBool,
}

/// A tally as it stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
    /// Whether the peer has yet to take what was written.
    pub blocked: bool,
    /// Exchanges begun; wraps.
    pub started: u32,
    /// Exchanges under way.
    pub open: u32,
    /// Exchanges given up by the peer since the last snapshot.
    pub given_up: u32,
    /// Bodies over HTTP/2 of which the peer has yet to make room for more: one that takes part of
    /// an answer and withholds room for the rest does not block the connection itself.
    pub stalled: u32,
    /// Whether the connection speaks HTTP/2.
    pub multiplexed: bool,
}

/// An exchange under way on the connection; ends when it is dropped.
pub struct Open {
    tally: Arc<Tally>,
    answered: bool,
}

/// The body of an answer, which holds its exchange open until it has passed.
pub struct Held<B> {
    body: B,
    limit: Option<BodyLimit>,
    /// Whether it is among the tally's stalled ones.
    stalled: bool,
    open: Open,
    _turns: [Turn; 2],
}

/// What may still pass of a body.
pub struct BodyLimit {
    /// Bytes.
    pub left: u64,
    /// Where it is counted that a body is longer.
    pub metrics: ProxyMetrics,
}

/// A body that is longer than may pass.
#[derive(Debug, thiserror::Error)]
#[error("the body is longer than may pass")]
struct TooLong;

// === impl Wire ===

impl Wire {
    /// The connection `transport`, counted in `tally`.
    pub fn new(
        transport: Transport,
        tally: Arc<Tally>,
        interim: Interim,
        counted: Counted,
    ) -> Self {
        let beside = BytesMut::new();
        Self { transport, tally, interim, beside, between: true, _counted: counted }
    }

    /// Writes the interim responses that wait, if it can be done between two messages.
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.waits() {
            let waiting = self.interim.take();
            if self.between {
                self.beside.unsplit(waiting);
            }
        }
        while self.beside.has_remaining() {
            let result = match &mut self.transport {
                Transport::Plain(stream) => Pin::new(stream).poll_write(cx, &self.beside),
                Transport::Tls(stream) => Pin::new(stream).poll_write(cx, &self.beside),
            };
            self.wrote(&result);
            match ready!(result)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.beside.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn has_beside(&self) -> bool {
        self.interim.waits() || self.beside.has_remaining()
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.tally.written.fetch_add(*bytes as u64, Ordering::Relaxed);
                self.tally.blocked.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.tally.blocked.store(true, Ordering::Relaxed),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        let before = buffer.filled().len();
        let result = match &mut wire.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        };
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            wire.tally.read.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if wire.has_beside() {
            ready!(wire.poll_beside(cx))?;
        }
        wire.between = false;
        let result = match &mut wire.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        wire.wrote(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        if wire.has_beside() {
            ready!(wire.poll_beside(cx))?;
        }
        wire.between = false;
        let result = match &mut wire.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        wire.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    /// hyper flushes when its own buffer is empty, and whenever it is woken.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        wire.between = true;
        if wire.has_beside() {
            ready!(wire.poll_beside(cx))?;
        }
        match &mut wire.transport {
            Transport::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

// === impl Tally ===

impl Tally {
    /// Notes that an exchange has begun.
    pub fn open(self: &Arc<Self>, multiplexed: bool) -> Open {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        if multiplexed {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        Open { tally: self.clone(), answered: false }
    }

    /// Exchanges given up by the peer since the last snapshot.
    pub fn given_up(&self) -> usize {
        self.given_up.load(Ordering::Relaxed) as usize
    }

    /// What has passed by now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            read: self.read.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            blocked: self.blocked.load(Ordering::Relaxed),
            started: self.started.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
            given_up: self.given_up.swap(0, Ordering::Relaxed),
            stalled: self.stalled.load(Ordering::Relaxed),
            multiplexed: self.multiplexed.load(Ordering::Relaxed),
        }
    }
}

// === impl Open ===

impl Open {
    /// The exchange is answered; it is over when `body` has passed.
    pub fn hold<B>(mut self, body: B, limit: Option<BodyLimit>, turns: [Turn; 2]) -> Held<B> {
        self.answered = true;
        Held { body, limit, stalled: false, open: self, _turns: turns }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.tally.open.fetch_sub(1, Ordering::Relaxed);
        if !self.answered {
            self.tally.given_up.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl Held ===

impl<B> Held<B> {
    /// Notes whether what passed last still waits to be taken. Over HTTP/1.1 the connection
    /// itself shows that.
    fn stall(&mut self, stalled: bool) {
        let tally = &self.open.tally;
        if self.stalled == stalled || !tally.multiplexed.load(Ordering::Relaxed) {
            return;
        }
        self.stalled = stalled;
        if stalled {
            tally.stalled.fetch_add(1, Ordering::Relaxed);
        } else {
            tally.stalled.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<B> Drop for Held<B> {
    fn drop(&mut self) {
        self.stall(false);
    }
}

impl<B> Body for Held<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.stall(false);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.stall(frame.is_some());
        if let (Some(limit), Some(Ok(frame))) = (&mut self.limit, &frame)
            && let Some(data) = frame.data_ref()
        {
            let Some(left) = limit.left.checked_sub(data.len() as u64) else {
                limit.metrics.refused("response_body_too_large");
                return Poll::Ready(Some(Err(TooLong.into())));
            };
            limit.left = left;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
