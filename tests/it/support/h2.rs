//! A downstream that speaks HTTP/2 with prior knowledge.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::deadline::Deadline;

/// A response, whole.
#[derive(Debug)]
pub(crate) struct H2Response {
    /// Its status.
    pub(crate) status: u16,
    /// Its header fields.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

/// Sends one request on a connection of its own. The body has no announced length when
/// `streamed`.
#[track_caller]
pub(crate) fn ask(address: SocketAddr, request: Request<Vec<u8>>, streamed: bool) -> H2Response {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        let request = request.map(|body| {
            let body = Full::new(Bytes::from(body));
            if streamed { Unsized(body).boxed() } else { body.boxed() }
        });
        let response = sender.send_request(request).await.expect("a response");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        H2Response { status: parts.status.as_u16(), headers: parts.headers, body }
    })
}

/// Sends `request` again and again on one connection until `stop` turns true; says how often it
/// was answered with 200. Anything else fails.
#[track_caller]
pub(crate) fn ask_until(address: SocketAddr, request: &Request<()>, stop: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        let mut answered = 0;
        while !stop.load(Ordering::SeqCst) {
            let request = request.clone().map(|()| Empty::<Bytes>::new());
            let response = sender.send_request(request).await.expect("a response");
            assert_eq!(response.status(), 200, "after {answered} answers");
            response.into_body().collect().await.expect("a whole body");
            answered += 1;
        }
        answered
    })
}

/// Asks for something large, takes its beginning and makes no room for the rest; returns when the
/// other side has ended the connection.
#[track_caller]
pub(crate) fn withhold(address: SocketAddr, request: Request<Vec<u8>>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.expect("a connection");
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = request.map(|body| Full::new(Bytes::from(body)));
        let response = sender.send_request(request).await.expect("a response");
        let ended = tokio::time::timeout(Deadline::patient().left(), connection).await;
        assert!(ended.is_ok(), "the connection stays open");
        drop((response, sender));
    });
}

/// A body that does not say how long it is.
struct Unsized<B>(B);

impl<B: http_body::Body + Unpin> http_body::Body for Unsized<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<B::Data>, B::Error>>> {
        std::pin::Pin::new(&mut self.0).poll_frame(cx)
    }
}

// === impl H2Response ===

impl H2Response {
    /// The body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}
