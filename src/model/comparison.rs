//! Comparisons of two versions of a schema (CVT's words).

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;
use super::id::SchemaId;

/// What kind of change breaks consumers; the numbers are CVT's on the wire.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(i32)]
pub enum BreakingChangeType {
    /// None of the kinds below.
    #[default]
    BreakingChangeUnspecified = 0,
    /// An operation is gone.
    EndpointRemoved = 1,
    /// A request field became required.
    RequiredFieldAdded = 2,
    /// A type got narrower.
    TypeChanged = 3,
    /// A parameter became required.
    RequiredParameterAdded = 4,
    /// A response may now say something it could not say before.
    ResponseSchemaChanged = 5,
    /// A value of an enumeration is gone.
    EnumValueRemoved = 6,
}

/// One change that breaks consumers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakingChange {
    /// The kind of change.
    #[serde(rename = "type")]
    pub change_type: BreakingChangeType,
    /// Path template of the operation, empty when it concerns all.
    pub path: String,
    /// Method of the operation, empty when it concerns all.
    pub method: String,
    /// A sentence for people.
    pub description: String,
    /// The value in the old document.
    pub old_value: String,
    /// The value in the new document.
    pub new_value: String,
}

/// The stored outcome of comparing two versions; one row per (schema, old, new).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonRecord {
    /// Internal id.
    pub id: Uuid,
    /// The schema compared.
    pub schema_id: SchemaId,
    /// The older version.
    pub old_version: String,
    /// The newer version.
    pub new_version: String,
    /// Whether nothing breaks.
    pub compatible: bool,
    /// What breaks.
    pub breaking_changes: Vec<BreakingChange>,
    /// When they were compared.
    pub compared_at: Timestamp,
}

// === impl BreakingChangeType ===

impl BreakingChangeType {
    /// CVT's name of the kind.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BreakingChangeUnspecified => "BREAKING_CHANGE_UNSPECIFIED",
            Self::EndpointRemoved => "ENDPOINT_REMOVED",
            Self::RequiredFieldAdded => "REQUIRED_FIELD_ADDED",
            Self::TypeChanged => "TYPE_CHANGED",
            Self::RequiredParameterAdded => "REQUIRED_PARAMETER_ADDED",
            Self::ResponseSchemaChanged => "RESPONSE_SCHEMA_CHANGED",
            Self::EnumValueRemoved => "ENUM_VALUE_REMOVED",
        }
    }
}

impl fmt::Display for BreakingChangeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaking_change_types_serialize_under_cvt_names() {
        let kind = BreakingChangeType::EnumValueRemoved;
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        assert_eq!(
            serde_json::to_value(BreakingChangeType::default()).unwrap(),
            "BREAKING_CHANGE_UNSPECIFIED"
        );
    }
}
