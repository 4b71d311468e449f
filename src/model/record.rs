//! A validation record: the row kept of one exchange.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;
use super::fault::Fault;
use super::mode::Mode;
use super::verdict::SkipReason;
use super::violation::{Side, Violation};

/// Header fields in the order they came; a repeated name is listed repeatedly.
pub type HeaderList = Vec<(String, String)>;

/// What is recorded of one validated exchange: CVT's fields, then ours.
///
/// Paths, headers and bodies are redacted before they come here; `redaction` is the only
/// place that does so, and storage takes nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// UUID version 7; writing the same id twice keeps one row.
    pub id: Uuid,
    /// The schema validated against, empty when no contract was loaded.
    pub schema_id: String,
    /// Its version.
    pub schema_version: String,
    /// Hex SHA-256 of its text.
    pub schema_hash: String,
    /// Method as sent.
    pub request_method: String,
    /// Path and query as sent, redacted.
    pub request_path: String,
    /// Request headers, redacted.
    pub request_headers: HeaderList,
    /// Request body as text, redacted; `None` when it was not kept.
    pub request_body: Option<String>,
    /// Status, `None` when no response came.
    pub response_status: Option<u16>,
    /// Response headers, redacted.
    pub response_headers: HeaderList,
    /// Response body as text, redacted; `None` when it was not kept.
    pub response_body: Option<String>,
    /// Whether no rule was found broken.
    pub valid: bool,
    /// One plain sentence per violation (CVT's list).
    pub errors: Vec<String>,
    /// From the request's head to the end of the response, in milliseconds (CVT's field).
    pub duration_ms: i64,
    /// When the exchange ended; it may be validated later (CVT's field).
    pub validated_at: Timestamp,
    /// Environment of this sidecar.
    pub environment: String,
    /// The consumer's id again, under CVT's name.
    pub client_id: String,
    /// Address the downstream connected from.
    pub client_ip: String,

    /// Path template of the operation, `None` when the document lists no such operation.
    #[serde(alias = "operation")]
    pub path_template: Option<String>,
    /// Every violation, structured.
    pub violations: Vec<Violation>,
    /// Why parts were not validated.
    pub skipped: Vec<SkipReason>,
    /// The consumer that called.
    pub consumer_id: String,
    /// The consumer's version, empty when unknown.
    pub consumer_version: String,
    /// The mode in force.
    pub mode: Mode,
    /// `x-request-id` as sent, or one of ours.
    pub request_id: String,
    /// Trace id of `traceparent`, when one was sent.
    pub trace_id: Option<String>,
    /// From forwarding the request's head to the response's head, in microseconds.
    pub upstream_us: Option<i64>,
    /// From the request's head to the end of the response, in microseconds.
    pub duration_us: i64,
    /// Bytes of the request body that passed.
    pub request_size: i64,
    /// Bytes of the response body that passed.
    pub response_size: i64,
    /// The side that was rejected, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Side>,
    /// Whose fault the violations are; `None` where there are none, and in records of releases
    /// before this field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
}
