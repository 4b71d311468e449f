//! What was answered. The body is read as it arrives, within the limits of the call.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use super::error::EgressError;

/// The answer to a request, whatever its status.
#[derive(Debug)]
pub struct EgressResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    pub(super) body: Incoming,
    pub(super) limits: ResponseLimits,
}

/// How much of a body is read, and until when.
#[derive(Debug)]
pub(super) struct ResponseLimits {
    pub(super) origin: String,
    pub(super) max_bytes: usize,
    pub(super) read: usize,
    pub(super) deadline: Instant,
    pub(super) timeout: Duration,
}

// === impl EgressResponse ===

impl EgressResponse {
    /// The next part of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        let Self { body, limits, .. } = self;
        // What is announced as too large is not read at all.
        limits.check(body.size_hint().lower())?;
        loop {
            let Ok(frame) = timeout_at(limits.deadline, body.frame()).await else {
                let origin = limits.origin.clone();
                return Err(EgressError::Timeout { origin, limit: limits.timeout });
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| EgressError::find(&error, &limits.origin))?;
            if let Ok(data) = frame.into_data() {
                limits.check(data.len() as u64)?;
                limits.read += data.len();
                return Ok(Some(data));
            }
        }
    }

    /// The whole body.
    pub async fn bytes(mut self) -> Result<Bytes, EgressError> {
        let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
        let Some(second) = self.chunk().await? else { return Ok(first) };
        let mut whole = BytesMut::from(first);
        whole.extend_from_slice(&second);
        while let Some(next) = self.chunk().await? {
            whole.extend_from_slice(&next);
        }
        Ok(whole.freeze())
    }
}

// === impl ResponseLimits ===

impl ResponseLimits {
    fn check(&self, more: u64) -> Result<(), EgressError> {
        let left = (self.max_bytes - self.read) as u64;
        if more <= left {
            return Ok(());
        }
        Err(EgressError::TooLarge { origin: self.origin.clone(), limit: self.max_bytes })
    }
}
