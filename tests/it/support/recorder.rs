//! A service that keeps every byte that ever reached it, also of requests that never ended.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use super::Message;

/// A running service. Its threads end with the connections and the process.
pub(crate) struct ByteRecorder {
    address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
}

/// Copies what is read.
struct RecordingReader {
    stream: TcpStream,
    bytes: Arc<Mutex<Vec<u8>>>,
}

// === impl ByteRecorder ===

impl ByteRecorder {
    /// Answers each whole request with `answer`.
    pub(crate) fn start(answer: &'static str) -> Self {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(any).expect("a free port");
        let address = listener.local_addr().expect("a bound address");
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let kept = Arc::clone(&bytes);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut connection = RecordingReader { stream, bytes: Arc::clone(&kept) };
                thread::spawn(move || {
                    while let Ok(Some(_)) = Message::read_request(&mut connection) {
                        if connection.stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, bytes }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every byte so far.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().expect("bytes").clone()
    }
}

// === impl RecordingReader ===

impl Read for RecordingReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.stream.read(buffer)?;
        self.bytes.lock().expect("bytes").extend_from_slice(&buffer[..length]);
        Ok(length)
    }
}
