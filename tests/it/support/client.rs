//! A downstream that sends exactly what the test wrote.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::Message;

/// One connection; responses are read as they are asked for.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

// === impl Client ===

impl Client {
    /// Connects to `address`.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect(address).expect("the address accepts connections"))
    }

    /// Speaks on a connection that exists.
    #[track_caller]
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a read timeout");
        stream.set_nodelay(true).expect("no delay");
        Self { stream: BufReader::with_capacity(64 * 1024, stream) }
    }

    /// Sends one request on a connection of its own and reads the response.
    #[track_caller]
    pub(crate) fn once(address: SocketAddr, request: impl AsRef<[u8]>) -> Message {
        Self::connect(address).ask(request)
    }

    /// Fetches `path` of `address`.
    #[track_caller]
    pub(crate) fn get(address: SocketAddr, path: &str) -> Message {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        Self::once(address, request)
    }

    /// Posts `body` as JSON.
    #[track_caller]
    pub(crate) fn post_json(address: SocketAddr, path: &str, body: &str) -> Message {
        let length = body.len();
        Self::once(
            address,
            format!(
                "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
                 Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        )
    }

    /// Sends a request and reads its response.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Message {
        let request = request.as_ref();
        let method = request.split(|byte| *byte == b' ').next().unwrap_or_default();
        let method = String::from_utf8_lossy(method).into_owned();
        self.send(request);
        self.read(&method)
    }

    /// Sends bytes.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.get_mut().write_all(bytes.as_ref()).expect("the other side reads");
    }

    /// Sends bytes, or says why it cannot.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.stream.get_mut().write_all(bytes.as_ref())
    }

    /// Reads the next response, which answers a request with `method`.
    #[track_caller]
    pub(crate) fn read(&mut self, method: &str) -> Message {
        self.try_read(method).expect("a whole response")
    }

    /// Reads the next response, or says how it broke off.
    pub(crate) fn try_read(&mut self, method: &str) -> std::io::Result<Message> {
        Message::read_response(&mut self.stream, method)
    }

    /// Reads the head of the next response and leaves its body on the wire.
    #[track_caller]
    pub(crate) fn read_head(&mut self) -> Message {
        Message::read_response_head(&mut self.stream).expect("a response's head")
    }

    /// Reads exactly `n` bytes.
    #[track_caller]
    pub(crate) fn read_exact(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.stream.read_exact(&mut bytes).expect("bytes in time");
        bytes
    }
}
