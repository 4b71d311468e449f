//! Interim responses (1xx) of the upstream on their way down.
//!
//! hyper's server has no way to send them, its client hands them out. Over HTTP/1.1 they are
//! written past hyper, between two whole messages of its own: the wire knows when hyper has
//! nothing half-written. What must hold: never a byte inside another message; where it cannot
//! be, the interim response is dropped, as RFC 9110 §15.2 lets a proxy do. Over HTTP/2 they are
//! dropped: hyper keeps the stream to itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use bytes::BytesMut;
use http::header::{CONNECTION, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Request, StatusCode, Version};
use parking_lot::Mutex;

/// Interim responses that wait to be written, at most; more are dropped.
const LIMIT: usize = 64 << 10;

/// Interim responses for one connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Interim(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    waits: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    connection: Option<Waker>,
}

// === impl Interim ===

impl Interim {
    /// Listens for interim responses to `request`, which `connection` is to be woken for.
    pub fn listen<B>(&self, request: &mut Request<B>, connection: &Waker) {
        if request.version() != Version::HTTP_11 {
            return;
        }
        self.wakes(connection);
        let interim = self.clone();
        hyper::ext::on_informational(request, move |response| {
            interim.push(response.status(), response.headers());
        });
    }

    /// Whether anything waits.
    pub fn waits(&self) -> bool {
        self.0.waits.load(Ordering::Relaxed)
    }

    /// Takes what waits.
    pub fn take(&self) -> BytesMut {
        self.0.waits.store(false, Ordering::Relaxed);
        std::mem::take(&mut self.0.state.lock().bytes)
    }

    fn wakes(&self, connection: &Waker) {
        let mut state = self.0.state.lock();
        if !state.connection.as_ref().is_some_and(|waker| waker.will_wake(connection)) {
            state.connection = Some(connection.clone());
        }
    }

    fn push(&self, status: StatusCode, headers: &HeaderMap) {
        // hyper says 100 itself, when it begins to read the body; 101 is no interim response.
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let mut state = self.0.state.lock();
        if state.bytes.len() > LIMIT {
            return;
        }
        write_head(&mut state.bytes, status, headers);
        self.0.waits.store(true, Ordering::Relaxed);
        if let Some(connection) = &state.connection {
            connection.wake_by_ref();
        }
    }
}

fn write_head(into: &mut BytesMut, status: StatusCode, headers: &HeaderMap) {
    let reason = status.canonical_reason().unwrap_or("");
    into.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in headers {
        // What concerns the upstream's connection alone.
        if [CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name) {
            continue;
        }
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            into.extend_from_slice(part);
        }
    }
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_wait_and_continue_does_not() {
        let interim = Interim::default();
        interim.push(StatusCode::CONTINUE, &HeaderMap::new());
        assert!(!interim.waits());
        let mut headers = HeaderMap::new();
        headers.append("link", "</a.css>".parse().unwrap());
        headers.append("connection", "close".parse().unwrap());
        interim.push(StatusCode::EARLY_HINTS, &headers);
        assert!(interim.waits());
        assert_eq!(interim.take(), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        assert!(!interim.waits());
    }
}
