//! The shop on a socket.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use super::shop::{Shop, ShopRequest};

/// Bytes of a request body that the shop reads.
const BODY_LIMIT: usize = 64 * 1024;
/// The rest after a connection could not be accepted, as when descriptors have run out.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// A running bookshop on a loopback port of its own; closes when stopped or dropped.
#[derive(Debug)]
pub struct Bookshop {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

// === impl Bookshop ===

impl Bookshop {
    /// Opens a shop on a free loopback port. Fails when no port can be had.
    pub async fn start() -> io::Result<Self> {
        let shop = Arc::new(Shop::open()?);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, serving: tokio::spawn(serve(listener, shop)) })
    }

    /// Where the shop listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the shop and every connection to it.
    pub async fn stop(mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

impl Drop for Bookshop {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Accepts until aborted; the connections end with it, because it owns them.
async fn serve(listener: TcpListener, shop: Arc<Shop>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                };
                let shop = Arc::clone(&shop);
                connections.spawn(async move {
                    let answer = service_fn(move |request| answer(Arc::clone(&shop), request));
                    // A consumer that hangs up half-way is its own affair.
                    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn answer(
    shop: Arc<Shop>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_LIMIT).collect().await else {
        return Ok(Shop::unreadable());
    };
    let body = body.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    Ok(shop.answer(&ShopRequest {
        method: head.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        accept: header("accept").unwrap_or_default(),
        body: &body,
    }))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_on_a_socket_and_closes() {
        let shop = Bookshop::start().await.unwrap();
        let address = shop.address();
        let get = "GET /health HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
        let answer = ask(address, get).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with(r#"{"status":"open"}"#), "{answer}");
        shop.stop().await;
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused() {
        let shop = Bookshop::start().await.unwrap();
        let length = BODY_LIMIT + 1;
        let head = format!(
            "POST /orders HTTP/1.1\r\nhost: shop\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        let answer = ask(shop.address(), &(head + &" ".repeat(length))).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
}
