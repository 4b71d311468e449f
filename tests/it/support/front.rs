//! What stands in front of a service in tests of calls to others: TLS, and a proxy.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::Message;

/// Encrypts a service that speaks plain text. Lives as long as the test.
pub(crate) struct TlsFront {
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// A proxy that leads every call to one service, whatever its name is.
pub(crate) struct TestProxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Message>>>,
}

// === impl TlsFront ===

impl TlsFront {
    /// TLS as in `config` in front of `service`.
    pub(crate) fn start(config: Arc<ServerConfig>, service: SocketAddr) -> Self {
        let address = listen(move |stream| {
            let session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
            let mut stream = StreamOwned::new(session, stream);
            while let Some(request) = Message::read_request(&mut stream)? {
                let mut service = TcpStream::connect(service)?;
                service.write_all(&[request.head, request.body].concat())?;
                let answer = Message::read_response(&mut service, "GET")?;
                stream.write_all(&[answer.head, answer.body].concat())?;
                stream.flush()?;
            }
            Ok(())
        });
        Self { address }
    }
}

// === impl TestProxy ===

impl TestProxy {
    /// A proxy that connects with `service` alone; without one it refuses.
    pub(crate) fn start(service: Option<SocketAddr>) -> Self {
        let asked: Arc<Mutex<Vec<Message>>> = Arc::default();
        let all = asked.clone();
        let address = listen(move |mut stream| {
            let Some(request) = Message::read_request(&mut stream)? else { return Ok(()) };
            all.lock().expect("what was asked").push(request.clone());
            let Some(service) = service else {
                return stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
            };
            let mut service = TcpStream::connect(service)?;
            if request.start_line().starts_with("CONNECT ") {
                stream.write_all(b"HTTP/1.1 200 Connected\r\n\r\n")?;
            } else {
                service.write_all(&[request.head, request.body].concat())?;
            }
            let (mut from, mut to) = (stream.try_clone()?, service.try_clone()?);
            thread::spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
            io::copy(&mut service, &mut stream).map(drop)
        });
        Self { address, asked }
    }

    /// Everything that was asked of it.
    pub(crate) fn asked(&self) -> Vec<Message> {
        self.asked.lock().expect("what was asked").clone()
    }
}

/// A service that takes connections and says nothing.
pub(crate) fn silent_service() -> SocketAddr {
    listen(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop))
}

/// Serves each connection on a thread of its own.
fn listen(serve: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let address = listener.local_addr().expect("a bound address");
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || {
                stream.set_read_timeout(Some(Duration::from_secs(20)))?;
                serve(stream)
            });
        }
    });
    address
}
