//! One exchange, whole, as traffic saw it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::exchange::fingerprint::MessageFingerprint;
use crate::exchange::memory_budget::Reservation;
use crate::model::clock::Timestamp;
use crate::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use crate::model::fault::RequestEnd;
use crate::model::mode::Modes;
use crate::model::trace::TraceContext;
use crate::model::verdict::Verdict;
use crate::model::violation::Side;
use crate::registry::LoadedContract;
use crate::validation::RequestValidation;

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// The upstream's response passed; its body says whether whole.
    Responded,
    /// The upstream gave no response; we answered in its place.
    UpstreamFailed,
    /// The downstream went away before the response's head.
    DownstreamGone,
    /// The connection became another protocol.
    Upgraded,
    /// The request broke the contract, or could not be enforced, and the upstream saw nothing.
    Rejected,
}

/// What is known of an exchange before it reaches the validator threads, because traffic waited
/// for it; they do not validate it again.
#[derive(Debug, Default)]
pub struct InlineResults {
    /// The verdict on the request.
    pub request: Option<RequestValidation>,
    /// The verdict on the response.
    pub response: Option<Verdict>,
    /// What was seen of the request.
    pub request_fingerprint: Option<MessageFingerprint>,
    /// What was seen of the response.
    pub response_fingerprint: Option<MessageFingerprint>,
}

/// One exchange, whole, as traffic saw it.
#[derive(Debug)]
pub struct Exchange {
    /// The contract that validates both sides, pinned when the request arrived.
    pub contract: Option<Arc<LoadedContract>>,
    /// The trace it belongs to, when traces are taken up.
    pub trace: Option<TraceContext>,
    /// Its id, where one was needed while it was under way; else its record draws one.
    pub id: Option<Uuid>,
    /// The modes in force.
    pub modes: Modes,
    /// Address of the downstream.
    pub client_ip: Option<IpAddr>,
    /// Subject of the certificate that the downstream showed, verified.
    pub client_subject: Option<Arc<str>>,
    /// The request's head.
    pub request: RequestHead,
    /// The request's body.
    pub request_body: CapturedBody,
    /// The response's head, when one came.
    pub response: Option<ResponseHead>,
    /// The response's body.
    pub response_body: CapturedBody,
    /// How it ended.
    pub ending: Ending,
    /// The side that was answered by us instead of passed on, if one was.
    pub rejected: Option<Side>,
    /// What was validated while it was under way.
    pub inline: InlineResults,
    /// When the request's head arrived.
    pub arrived_at: Timestamp,
    /// From the request's head to the end of the exchange.
    pub duration: Duration,
    /// From forwarding the head to the response's head.
    pub upstream_duration: Option<Duration>,
    /// From the request's head to forwarding it.
    pub forwarded_after: Duration,
    /// Memory that it holds.
    pub reservation: Reservation,
}

// === impl Exchange ===

impl Exchange {
    /// What became of the request. Where no response came and the upstream did not fail, the
    /// sidecar answered by itself or the downstream went away.
    pub fn request_end(&self) -> RequestEnd {
        match (self.rejected, &self.response) {
            (Some(Side::Request), _) => RequestEnd::Refused,
            (_, Some(head)) => RequestEnd::Answered(head.status.as_u16()),
            (_, None) if self.ending == Ending::UpstreamFailed => RequestEnd::Unanswered,
            (_, None) => RequestEnd::Refused,
        }
    }
}

// === impl InlineResults ===

impl InlineResults {
    /// Sets the verdict on the request, and what was seen of its contents.
    pub fn set_request(
        &mut self,
        validation: RequestValidation,
        fingerprint: Option<MessageFingerprint>,
    ) {
        (self.request, self.request_fingerprint) = (Some(validation), fingerprint);
    }

    /// Sets the verdict on the response, and what was seen of its contents.
    pub fn set_response(&mut self, verdict: Verdict, fingerprint: Option<MessageFingerprint>) {
        (self.response, self.response_fingerprint) = (Some(verdict), fingerprint);
    }
}
