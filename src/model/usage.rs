//! Usage: which consumer uses which operation, and what of it, with counts.

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::fault::Fault;

/// What part of an operation a consumer used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageKind {
    /// The operation itself; the fact's name is empty.
    Operation,
    /// A field of the request body that was sent, in dot notation.
    RequestField,
    /// A parameter that was sent, as `query:limit`.
    Parameter,
    /// A status that was received.
    Status,
    /// A field of the response body that was received, in dot notation.
    ResponseField,
    /// The verdict on an exchange: `conforms`, `violates` or `skipped`; and of those that violate,
    /// the fault, as [`fault_fact`] names it.
    Outcome,
    /// Something that was not validated, as `response:regex_budget`; `exchange:` of whole ones.
    #[serde(rename = "not_validated", alias = "unjudged")]
    Unvalidated,
    /// An operation that the document does not list, as `GET /books/{id}`; facts of this kind
    /// have an empty method and path.
    Undocumented,
}

/// The name of the fact of kind [`UsageKind::Outcome`] that counts the exchanges with a fault.
/// Releases before faults read only the names of verdicts.
pub const fn fault_fact(fault: Fault) -> &'static str {
    match fault {
        Fault::Service => "violates:service",
        Fault::Accepted => "violates:accepted",
        Fault::Stranger => "violates:stranger",
        Fault::Caller => "violates:caller",
    }
}

/// One thing a consumer was seen to use, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFact {
    /// What part of the operation.
    pub kind: UsageKind,
    /// Its name; a name never contains a value of a message.
    pub name: String,
    /// How often.
    pub count: u64,
    /// When it was seen first.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
}

/// What one consumer was seen to use of one operation.
///
/// To be merged, its counts are the increments; read from storage, they are the totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationUsage {
    /// The schema that lists the operation.
    pub schema_id: String,
    /// The version last validated against.
    pub schema_version: String,
    /// The consumer.
    pub consumer_id: String,
    /// The consumer's version, empty when unknown.
    pub consumer_version: String,
    /// Environment of the sidecar that saw it.
    pub environment: String,
    /// Method, upper case.
    pub method: String,
    /// Path template; empty for what belongs to no documented operation.
    pub path: String,
    /// What was used, ordered by kind and name.
    pub facts: Vec<UsageFact>,
}

// === impl UsageKind ===

impl UsageKind {
    /// Every kind, in order.
    pub const ALL: [Self; 8] = [
        Self::Operation,
        Self::RequestField,
        Self::Parameter,
        Self::Status,
        Self::ResponseField,
        Self::Outcome,
        Self::Unvalidated,
        Self::Undocumented,
    ];

    /// The kind's name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::RequestField => "request_field",
            Self::Parameter => "parameter",
            Self::Status => "status",
            Self::ResponseField => "response_field",
            Self::Outcome => "outcome",
            Self::Unvalidated => "not_validated",
            Self::Undocumented => "undocumented",
        }
    }

    /// The kind's name in storage. One keeps the name by which the last release reads it.
    pub const fn stored_name(self) -> &'static str {
        match self {
            Self::Unvalidated => "unjudged",
            other => other.as_str(),
        }
    }

    /// The kind written as `text`, in an answer or in storage, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text || kind.stored_name() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_kinds_parse_back() {
        for kind in UsageKind::ALL {
            assert_eq!(UsageKind::parse(kind.as_str()), Some(kind));
            assert_eq!(UsageKind::parse(kind.stored_name()), Some(kind));
            let stored = serde_json::Value::from(kind.stored_name());
            assert_eq!(serde_json::from_value::<UsageKind>(stored).unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
