//! Consumers: who uses a schema, and what of it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::clock::Timestamp;
use super::id::SchemaId;

/// The id of a consumer that could not be identified.
pub const UNKNOWN_CONSUMER: &str = "unknown";

/// One operation that a consumer uses, in the seed's form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointUsage {
    /// Method, upper case.
    pub method: String,
    /// Path template, never a concrete path.
    pub path: String,
    /// Response fields in dot notation, arrays by their elements, sorted.
    pub used_fields: Vec<String>,
}

/// A consumer's registration for one schema in one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerRecord {
    /// Internal id.
    pub id: Uuid,
    /// For example `order-service`.
    pub consumer_id: String,
    /// For example `2.1.0`; empty when unknown.
    pub consumer_version: String,
    /// The schema depended on.
    pub schema_id: SchemaId,
    /// Its version; empty when unknown.
    pub schema_version: String,
    /// For example `prod`.
    pub environment: String,
    /// When it was first registered.
    pub registered_at: Timestamp,
    /// When an exchange of it was last validated.
    pub last_validated_at: Timestamp,
    /// What it uses.
    pub used_endpoints: Vec<EndpointUsage>,
}
