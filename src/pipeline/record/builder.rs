//! From a validated exchange to the record that is kept of it.

use std::collections::BTreeSet;

use http::HeaderMap;
use uuid::Uuid;

use crate::exchange::Exchange;
use crate::model::clock::Timestamp;
use crate::model::exchange::CapturedBody;
use crate::model::record::{HeaderList, ValidationRecord};
use crate::model::verdict::{SkipReason, Verdict};
use crate::pipeline::record::spans;
use crate::pipeline::usage::consumer::ConsumerIdentity;
use crate::pipeline::validate::ExchangeValidation;

/// What a record says beyond the exchange itself.
pub struct RecordContext<'a> {
    /// Id of the record.
    pub id: Uuid,
    /// When it was validated.
    pub now: Timestamp,
    /// Environment of this sidecar.
    pub environment: &'a str,
    /// Who called.
    pub consumer: ConsumerIdentity,
    /// Bytes kept of each body.
    pub body_limit: usize,
}

/// Builds the record. It holds payload and must go through redaction before anything else.
pub fn build(
    exchange: &Exchange,
    validation: &ExchangeValidation,
    about: RecordContext<'_>,
) -> ValidationRecord {
    let contract = exchange.contract.as_deref();
    let head = &exchange.request;
    let verdicts = [Some(&validation.request), validation.response.as_ref()];
    let violations: Vec<_> =
        verdicts.iter().flatten().flat_map(|verdict| verdict.violations.clone()).collect();
    let target = head.target.path_and_query().map_or("/", |target| target.as_str());
    ValidationRecord {
        id: about.id,
        schema_id: contract.map_or_else(String::new, |c| c.schema_id.to_string()),
        schema_version: contract.map_or_else(String::new, |c| c.contract.version().to_owned()),
        schema_hash: contract.map_or_else(String::new, |c| c.contract.hash().to_owned()),
        request_method: head.method.to_string(),
        request_path: target.to_owned(),
        request_headers: header_list(&head.headers),
        request_body: body_text(&exchange.request_body, about.body_limit),
        response_status: exchange.response.as_ref().map(|head| head.status.as_u16()),
        response_headers: exchange
            .response
            .as_ref()
            .map_or_else(Vec::new, |head| header_list(&head.headers)),
        response_body: body_text(&exchange.response_body, about.body_limit),
        valid: violations.is_empty(),
        errors: violations.iter().map(crate::model::violation::Violation::to_sentence).collect(),
        duration_ms: i64::try_from(exchange.duration.as_millis()).unwrap_or(i64::MAX),
        validated_at: about.now,
        environment: about.environment.to_owned(),
        client_id: about.consumer.id.clone(),
        client_ip: exchange.client_ip.map_or_else(String::new, |ip| ip.to_string()),
        path_template: contract
            .zip(validation.operation)
            .map(|(loaded, index)| loaded.contract.operation(index))
            .map(|operation| operation.template.to_string()),
        violations,
        skipped: skipped(&verdicts),
        consumer_id: about.consumer.id,
        consumer_version: about.consumer.version,
        mode: exchange.modes.stricter(),
        request_id: head.request_id().map_or_else(|| about.id.to_string(), str::to_owned),
        trace_id: spans::trace_id(exchange).map(|trace| trace.to_string()),
        upstream_us: exchange
            .upstream_duration
            .map(|duration| i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)),
        duration_us: i64::try_from(exchange.duration.as_micros()).unwrap_or(i64::MAX),
        request_size: i64::try_from(exchange.request_body.seen()).unwrap_or(i64::MAX),
        response_size: i64::try_from(exchange.response_body.seen()).unwrap_or(i64::MAX),
        rejected: exchange.rejected,
        fault: validation.fault(exchange),
    }
}

fn skipped(verdicts: &[Option<&Verdict>]) -> Vec<SkipReason> {
    let reasons = verdicts.iter().flatten().flat_map(|verdict| &verdict.skipped);
    reasons.copied().collect::<BTreeSet<_>>().into_iter().collect()
}

/// Values that are not text are kept as text with the foreign bytes replaced.
fn header_list(headers: &HeaderMap) -> HeaderList {
    headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

/// A body as text, cut at `limit` bytes; nothing for an empty one and for one that is no text.
fn body_text(body: &CapturedBody, limit: usize) -> Option<String> {
    if body.kept() == 0 || limit == 0 {
        return None;
    }
    let bytes = body.bytes();
    let end = bytes.len().min(limit);
    let kept = &bytes[..end];
    match std::str::from_utf8(kept) {
        Ok(text) => Some(text.to_owned()),
        // Cut inside a character: what stands before it is text.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&kept[..error.valid_up_to()]).ok().map(str::to_owned)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn bodies_are_cut_between_characters() {
        let body = CapturedBody::complete(&Bytes::from_static("aé".as_bytes()));
        assert_eq!(body_text(&body, 2).as_deref(), Some("a"));
        assert_eq!(body_text(&body, 3).as_deref(), Some("aé"));
        assert_eq!(body_text(&body, 0), None);
        assert_eq!(body_text(&CapturedBody::complete(&Bytes::from_static(&[0xff, 0])), 9), None);
        assert_eq!(body_text(&CapturedBody::default(), 9), None);
    }
}
