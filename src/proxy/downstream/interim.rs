//! Interim responses (1xx) of the upstream on their way down.
//!
//! hyper's server has no way to send them, its client hands them out. Over HTTP/1.1 they are
//! written past hyper, between two whole messages of its own: the stream knows when hyper has
//! nothing half-written. Invariants: never a byte inside another message; where it cannot
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
const MAPENDING: usize = 64 << 10;

/// Interim responses for one connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct InterimResponses(Arc<InterimQueue>);

#[derive(Debug, Default)]
struct InterimQueue {
    pending: AtomicBool,
    state: Mutex<InterimState>,
}

#[derive(Debug, Default)]
struct InterimState {
    bytes: BytesMut,
    waker: Option<Waker>,
}

// === impl InterimResponses ===

impl InterimResponses {
    /// Subscribes to interim responses to `request`, which `connection` is to be woken for.
    pub fn subscribe<B>(&self, request: &mut Request<B>, connection: &Waker) {
        if request.version() != Version::HTTP_11 {
            return;
        }
        self.set_waker(connection);
        let interim = self.clone();
        hyper::ext::on_informational(request, move |response| {
            interim.push(response.status(), response.headers());
        });
    }

    /// Whether anything is pending.
    pub fn has_pending(&self) -> bool {
        self.0.pending.load(Ordering::Relaxed)
    }

    /// Takes what is pending.
    pub fn take(&self) -> BytesMut {
        self.0.pending.store(false, Ordering::Relaxed);
        std::mem::take(&mut self.0.state.lock().bytes)
    }

    fn set_waker(&self, connection: &Waker) {
        let mut state = self.0.state.lock();
        if !state.waker.as_ref().is_some_and(|waker| waker.will_wake(connection)) {
            state.waker = Some(connection.clone());
        }
    }

    fn push(&self, status: StatusCode, headers: &HeaderMap) {
        // hyper says 100 itself, when it begins to read the body; 101 is no interim response.
        if matches!(status, StatusCode::CONTINUE | StatusCode::SWITCHING_PROTOCOLS) {
            return;
        }
        let mut state = self.0.state.lock();
        if state.bytes.len() > MAPENDING {
            return;
        }
        write_head(&mut state.bytes, status, headers);
        self.0.pending.store(true, Ordering::Relaxed);
        if let Some(connection) = &state.waker {
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
    fn early_hints_are_queued_and_continue_is_not() {
        let interim = InterimResponses::default();
        interim.push(StatusCode::CONTINUE, &HeaderMap::new());
        assert!(!interim.has_pending());
        let mut headers = HeaderMap::new();
        headers.append("link", "</a.css>".parse().unwrap());
        headers.append("connection", "close".parse().unwrap());
        interim.push(StatusCode::EARLY_HINTS, &headers);
        assert!(interim.has_pending());
        assert_eq!(interim.take(), "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n");
        assert!(!interim.has_pending());
    }
}
