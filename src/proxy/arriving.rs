//! The body of an upstream's response, and the connection that it comes on.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::metrics::Raised;
use super::pool::Lease;

/// A response's body on its way. Holds the exchange's connection until it has passed whole, then
/// gives it back; where it is dropped half-way, so is an HTTP/1.1 connection.
pub struct Arriving {
    body: Incoming,
    held: Option<(Lease, Raised)>,
}

// === impl Arriving ===

impl Arriving {
    /// `body` as it comes on the connection of `lease`, for an exchange that counts as
    /// `in_flight` until then.
    pub fn new(body: Incoming, lease: Lease, in_flight: Raised) -> Self {
        Self { body, held: Some((lease, in_flight)) }
    }

    fn give_back(&mut self) {
        if let Some((lease, _in_flight)) = self.held.take() {
            lease.give_back();
        }
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, held } = &mut *self;
        let driver = held.as_mut().and_then(|(lease, _)| lease.driver());
        let frame = match driver {
            None => Pin::new(&mut *body).poll_frame(cx),
            // What has come goes first: it makes room for more.
            Some(driver) => match driver.take(cx, |cx| Pin::new(&mut *body).poll_frame(cx)) {
                Poll::Ready(frame) => Poll::Ready(frame),
                Poll::Pending => {
                    driver.poll(cx);
                    driver.take(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
                }
            },
        };
        match &frame {
            Poll::Ready(None) => self.give_back(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.give_back(),
            Poll::Ready(Some(Err(_))) => self.held = None,
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

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }
}

impl std::fmt::Debug for Arriving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arriving").field("body", &self.body).finish_non_exhaustive()
    }
}
