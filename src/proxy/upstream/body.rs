//! The body of an upstream's response, and the connection that it comes on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::proxy::metrics::GaugeGuard;
use crate::proxy::upstream::pool::ConnectionLease;

/// A response's body on its way. Holds the exchange's connection until it has passed whole, then
/// returns it to the pool; where it is dropped half-way, so is an HTTP/1.1 connection.
pub struct UpstreamBody {
    body: Incoming,
    guards: Option<(ConnectionLease, GaugeGuard)>,
}

// === impl UpstreamBody ===

impl UpstreamBody {
    /// `body` as it comes on the connection of `lease`, for an exchange that counts as
    /// `in_flight` until then.
    pub fn new(body: Incoming, lease: ConnectionLease, in_flight: GaugeGuard) -> Self {
        Self { body, guards: Some((lease, in_flight)) }
    }

    fn return_to_pool(&mut self) {
        if let Some((lease, _in_flight)) = self.guards.take() {
            lease.return_to_pool();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, guards } = &mut *self;
        let driver = guards.as_mut().and_then(|(lease, _)| lease.driver());
        let frame = match driver {
            None => Pin::new(&mut *body).poll_frame(cx),
            // What has come goes first: it makes room for more.
            Some(driver) => {
                match driver.poll_received(cx, |cx| Pin::new(&mut *body).poll_frame(cx)) {
                    Poll::Ready(frame) => Poll::Ready(frame),
                    Poll::Pending => {
                        driver.poll(cx);
                        driver.poll_received(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
                    }
                }
            }
        };
        match &frame {
            Poll::Ready(None) => self.return_to_pool(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.return_to_pool(),
            Poll::Ready(Some(Err(_))) => self.guards = None,
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.return_to_pool();
        }
    }
}

impl std::fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamBody").field("body", &self.body).finish_non_exhaustive()
    }
}
