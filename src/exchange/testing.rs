//! Exchanges for tests.

use std::time::Duration;

use http::{HeaderMap, Method, Uri, Version};

use super::memory_budget::Budget;
use super::{Ending, Exchange, InlineResults};
use crate::model::clock::Timestamp;
use crate::model::exchange::{CapturedBody, RequestHead};
use crate::model::mode::{Mode, Modes};

/// An exchange without a contract, drawing on `budget`.
pub(crate) fn exchange(budget: &Budget) -> Box<Exchange> {
    Box::new(Exchange {
        contract: None,
        trace: None,
        id: None,
        modes: Modes::both(Mode::Warn),
        client_ip: None,
        client_subject: None,
        request: RequestHead {
            method: Method::GET,
            target: Uri::from_static("/"),
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
        },
        request_body: CapturedBody::default(),
        response: None,
        response_body: CapturedBody::default(),
        ending: Ending::UpstreamFailed,
        rejected: None,
        inline: InlineResults::default(),
        arrived_at: Timestamp::default(),
        duration: Duration::ZERO,
        upstream_duration: None,
        forwarded_after: Duration::ZERO,
        reservation: budget.reserve(100).unwrap(),
    })
}
