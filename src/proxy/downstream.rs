//! The side of the caller: listener, connections, and how a request is admitted.
//!
//! `listener` accepts and serves connections, `admission` refuses what is malformed or over a
//! limit, `monitor` closes connections that idle or abuse us. Invariants: nothing here knows a
//! contract or an upstream; each connection is counted from its accept to its end.

pub mod admission;
pub mod connection;
pub mod interim;
pub mod listener;
mod monitor;
mod stream;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::body::buffer::ProxyBody;
use super::body::capture::CaptureBody;
use super::body::progress::BodyError;
use super::upstream::body::UpstreamBody;

/// The body of a response sent downstream: the upstream's, or ours.
#[derive(Debug)]
pub enum ResponseBody {
    /// The upstream's, passing through.
    Upstream(Box<CaptureBody<ProxyBody<UpstreamBody>>>),
    /// Made by the proxy itself.
    Synthetic(Full<Bytes>),
}

// === impl ResponseBody ===

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError<hyper::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Upstream(body) => Pin::new(body).poll_frame(cx),
            Self::Synthetic(body) => {
                Pin::new(body).poll_frame(cx).map_err(|never: Infallible| match never {})
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream(body) => body.is_end_stream(),
            Self::Synthetic(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Upstream(body) => body.size_hint(),
            Self::Synthetic(body) => body.size_hint(),
        }
    }
}
