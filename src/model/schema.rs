//! A schema: a document registered under an id, with a version (CVT's word).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;
use super::id::SchemaId;

/// Who answers for a schema.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ownership {
    /// Owner, empty when unknown.
    pub owner: String,
    /// Team, empty when unknown.
    pub team: String,
    /// Where to reach them, empty when unknown.
    pub contact_email: String,
    /// Whether the schema may be changed through the API.
    pub read_only: bool,
}

/// A schema as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaRecord {
    /// Internal id.
    pub id: Uuid,
    /// The id users know.
    pub schema_id: SchemaId,
    /// `info.version` of the document.
    pub version: String,
    /// The document as registered, byte for byte.
    pub content: String,
    /// Hex SHA-256 of the trimmed text.
    pub content_hash: String,
    /// `openapi` or `swagger` of the document.
    pub openapi_version: String,
    /// Number of operations.
    pub endpoint_count: u32,
    /// Whether this version was registered last.
    pub is_latest: bool,
    /// When this version was first registered.
    pub registered_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// Who answers for it.
    pub ownership: Ownership,
    /// Environment it was registered for.
    pub environment: String,
}

/// A schema without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaMetadata {
    /// The id users know.
    pub schema_id: SchemaId,
    /// `info.version` of the document.
    pub schema_version: String,
    /// Hex SHA-256 of the trimmed text.
    pub schema_hash: String,
    /// When this version was first registered.
    pub registered_at: Timestamp,
    /// When it was last written.
    pub updated_at: Timestamp,
    /// Who answers for it.
    pub ownership: Ownership,
    /// `openapi` or `swagger` of the document.
    pub openapi_version: String,
    /// Number of operations.
    pub endpoint_count: u32,
}

// === impl SchemaRecord ===

impl SchemaRecord {
    /// The record without its content.
    pub fn metadata(&self) -> SchemaMetadata {
        SchemaMetadata {
            schema_id: self.schema_id.clone(),
            schema_version: self.version.clone(),
            schema_hash: self.content_hash.clone(),
            registered_at: self.registered_at,
            updated_at: self.updated_at,
            ownership: self.ownership.clone(),
            openapi_version: self.openapi_version.clone(),
            endpoint_count: self.endpoint_count,
        }
    }
}
