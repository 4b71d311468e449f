//! A downstream that speaks HTTP/2 with prior knowledge.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::runtime::Runtime;

/// One connection; a test uses it like [`super::Client`], one exchange after the other.
pub(crate) struct Http2 {
    sender: SendRequest<Frames>,
    runtime: Runtime,
}

/// A body in pieces.
struct Frames(VecDeque<Frame<Bytes>>);

/// A whole answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

// === impl Http2 ===

impl Http2 {
    /// Connects to `address`.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
            let (sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.expect("HTTP/2");
            tokio::spawn(connection);
            sender
        });
        Self { sender, runtime }
    }

    /// Sends `request` with `body` in pieces and `trailers`, and reads the whole answer.
    #[track_caller]
    pub(crate) fn ask(
        &mut self,
        request: http::request::Builder,
        body: &[u8],
        trailers: Option<HeaderMap>,
    ) -> Answer {
        let request = request.body(Frames::new(body, trailers)).expect("a request");
        self.try_ask(request).expect("an answer")
    }

    fn try_ask(&mut self, request: Request<Frames>) -> Result<Answer, hyper::Error> {
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let response: Response<Incoming> = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            let collected = body.collect().await?;
            let trailers = collected.trailers().cloned().unwrap_or_default();
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: collected.to_bytes().to_vec(),
                trailers,
            })
        })
    }
}

// === impl Frames ===

impl Frames {
    fn new(body: &[u8], trailers: Option<HeaderMap>) -> Self {
        let pieces = body.chunks(7000).map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
        Self(pieces.chain(trailers.map(Frame::trailers)).collect())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}
