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

use crate::proxy::downstream::connection::CountedConnection;
use crate::proxy::downstream::interim::InterimResponses;
use crate::proxy::limits::ConcurrencyPermit;
use crate::proxy::metrics::ProxyMetrics;

/// A downstream connection.
pub struct DownstreamStream {
    transport: Transport,
    stats: Arc<ConnectionStats>,
    interim: InterimResponses,
    /// Interim responses, written past hyper.
    interim_bytes: BytesMut,
    /// Whether hyper has nothing half-written.
    between_messages: bool,
    // Also while the connection is another protocol's, long after HTTP has ended on it.
    _guard: CountedConnection,
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
pub struct ConnectionStats {
    read: AtomicU64,
    written: AtomicU64,
    /// Whether the peer has yet to take what was written.
    blocked: AtomicBool,
    started: AtomicU32,
    open: AtomicU32,
    abandoned: AtomicU32,
    /// Bodies over HTTP/2 of which the peer has yet to make room for more.
    stalled: AtomicU32,
    multiplexed: AtomicBool,
}

/// Statistics at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatsSnapshot {
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
    pub abandoned: u32,
    /// Bodies over HTTP/2 of which the peer has yet to make room for more: one that takes part of
    /// a response and withholds room for the rest does not block the connection itself.
    pub stalled: u32,
    /// Whether the connection speaks HTTP/2.
    pub multiplexed: bool,
}

/// An exchange under way on the connection; ends when it is dropped.
pub struct ExchangeGuard {
    stats: Arc<ConnectionStats>,
    responded: bool,
}

/// The body of a response; keeps its exchange open until it has passed.
pub struct ResponseBodyGuard<B> {
    body: B,
    limit: Option<ResponseBodyLimit>,
    /// Whether it is counted as stalled.
    stalled: bool,
    exchange: ExchangeGuard,
    _permits: [ConcurrencyPermit; 2],
}

/// How much of a body may still pass.
pub struct ResponseBodyLimit {
    /// Bytes.
    pub remaining: u64,
    /// Where it is counted that a body is longer.
    pub metrics: ProxyMetrics,
}

/// A body that is longer than may pass.
#[derive(Debug, thiserror::Error)]
#[error("the body is longer than may pass")]
struct ResponseTooLong;

// === impl DownstreamStream ===

impl DownstreamStream {
    /// The connection `transport`, counted in `stats`.
    pub fn new(
        transport: Transport,
        stats: Arc<ConnectionStats>,
        interim: InterimResponses,
        guard: CountedConnection,
    ) -> Self {
        let interim_bytes = BytesMut::new();
        Self { transport, stats, interim, interim_bytes, between_messages: true, _guard: guard }
    }

    /// Writes the interim responses that wait, if it can be done between two messages.
    fn poll_write_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.interim.has_pending() {
            let waiting = self.interim.take();
            if self.between_messages {
                self.interim_bytes.unsplit(waiting);
            }
        }
        while self.interim_bytes.has_remaining() {
            let result = match &mut self.transport {
                Transport::Plain(inner) => Pin::new(inner).poll_write(cx, &self.interim_bytes),
                Transport::Tls(inner) => Pin::new(inner).poll_write(cx, &self.interim_bytes),
            };
            self.record_write(&result);
            match ready!(result)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.interim_bytes.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn has_interim(&self) -> bool {
        self.interim.has_pending() || self.interim_bytes.has_remaining()
    }

    fn record_write(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Ready(Ok(bytes)) => {
                self.stats.written.fetch_add(*bytes as u64, Ordering::Relaxed);
                self.stats.blocked.store(false, Ordering::Relaxed);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.stats.blocked.store(true, Ordering::Relaxed),
        }
    }
}

impl AsyncRead for DownstreamStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        let before = buffer.filled().len();
        let result = match &mut stream.transport {
            Transport::Plain(inner) => Pin::new(inner).poll_read(cx, buffer),
            Transport::Tls(inner) => Pin::new(inner).poll_read(cx, buffer),
        };
        let bytes = buffer.filled().len() - before;
        if bytes > 0 {
            stream.stats.read.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        result
    }
}

impl AsyncWrite for DownstreamStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.has_interim() {
            ready!(stream.poll_write_interim(cx))?;
        }
        stream.between_messages = false;
        let result = match &mut stream.transport {
            Transport::Plain(inner) => Pin::new(inner).poll_write(cx, bytes),
            Transport::Tls(inner) => Pin::new(inner).poll_write(cx, bytes),
        };
        stream.record_write(&result);
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let stream = self.get_mut();
        if stream.has_interim() {
            ready!(stream.poll_write_interim(cx))?;
        }
        stream.between_messages = false;
        let result = match &mut stream.transport {
            Transport::Plain(inner) => Pin::new(inner).poll_write_vectored(cx, slices),
            Transport::Tls(inner) => Pin::new(inner).poll_write_vectored(cx, slices),
        };
        stream.record_write(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(inner) => inner.is_write_vectored(),
            Transport::Tls(inner) => inner.is_write_vectored(),
        }
    }

    /// hyper flushes when its own buffer is empty, and whenever it is woken.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        stream.between_messages = true;
        if stream.has_interim() {
            ready!(stream.poll_write_interim(cx))?;
        }
        match &mut stream.transport {
            Transport::Plain(inner) => Pin::new(inner).poll_flush(cx),
            Transport::Tls(inner) => Pin::new(inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(inner) => Pin::new(inner).poll_shutdown(cx),
            Transport::Tls(inner) => Pin::new(inner).poll_shutdown(cx),
        }
    }
}

// === impl ConnectionStats ===

impl ConnectionStats {
    /// Records the begin of an exchange.
    pub fn begin_exchange(self: &Arc<Self>, multiplexed: bool) -> ExchangeGuard {
        self.started.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        if multiplexed {
            self.multiplexed.store(true, Ordering::Relaxed);
        }
        ExchangeGuard { stats: self.clone(), responded: false }
    }

    /// Exchanges given up by the peer since the last snapshot.
    pub fn abandoned(&self) -> usize {
        self.abandoned.load(Ordering::Relaxed) as usize
    }

    /// What has passed by now.
    pub fn snapshot(&self) -> StatsSnapshot {
        StatsSnapshot {
            read: self.read.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            blocked: self.blocked.load(Ordering::Relaxed),
            started: self.started.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
            abandoned: self.abandoned.swap(0, Ordering::Relaxed),
            stalled: self.stalled.load(Ordering::Relaxed),
            multiplexed: self.multiplexed.load(Ordering::Relaxed),
        }
    }
}

// === impl ExchangeGuard ===

impl ExchangeGuard {
    /// The exchange is answered; it is over when `body` has passed.
    pub fn guard_body<B>(
        mut self,
        body: B,
        limit: Option<ResponseBodyLimit>,
        permits: [ConcurrencyPermit; 2],
    ) -> ResponseBodyGuard<B> {
        self.responded = true;
        ResponseBodyGuard { body, limit, stalled: false, exchange: self, _permits: permits }
    }
}

impl Drop for ExchangeGuard {
    fn drop(&mut self) {
        self.stats.open.fetch_sub(1, Ordering::Relaxed);
        if !self.responded {
            self.stats.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl ResponseBodyGuard ===

impl<B> ResponseBodyGuard<B> {
    /// Records whether the last frame still waits for the peer. Over HTTP/1.1 the connection
    /// itself shows that.
    fn set_stalled(&mut self, stalled: bool) {
        let stats = &self.exchange.stats;
        if self.stalled == stalled || !stats.multiplexed.load(Ordering::Relaxed) {
            return;
        }
        self.stalled = stalled;
        if stalled {
            stats.stalled.fetch_add(1, Ordering::Relaxed);
        } else {
            stats.stalled.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<B> Drop for ResponseBodyGuard<B> {
    fn drop(&mut self) {
        self.set_stalled(false);
    }
}

impl<B> Body for ResponseBodyGuard<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.set_stalled(false);
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.set_stalled(frame.is_some());
        if let (Some(limit), Some(Ok(frame))) = (&mut self.limit, &frame)
            && let Some(data) = frame.data_ref()
        {
            let Some(remaining) = limit.remaining.checked_sub(data.len() as u64) else {
                limit.metrics.record_refused("response_body_too_large");
                return Poll::Ready(Some(Err(ResponseTooLong.into())));
            };
            limit.remaining = remaining;
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
