//! Identifiers: what a schema is called, and the ids we invent.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The id a schema is registered under: 1 to 255 bytes, not blank, no control characters
/// (CVT's limits). Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SchemaId(Arc<str>);

/// Why a text is no schema id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a schema id has 1 to 255 bytes, is not blank and holds no control characters")]
pub struct InvalidSchemaId;

/// Where ids come from; a test passes its own.
pub trait IdSource: Send + Sync + 'static {
    /// A fresh id that sorts by the time it was made (UUID version 7, RFC 9562).
    fn next_id(&self) -> Uuid;
}

/// Version 7 UUIDs from the system's clock and random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemIds;

// === impl SchemaId ===

impl SchemaId {
    /// Checks and keeps `text`.
    pub fn new(text: &str) -> Result<Self, InvalidSchemaId> {
        let fits = (1..=255).contains(&text.len());
        if !fits || text.trim().is_empty() || text.chars().any(char::is_control) {
            return Err(InvalidSchemaId);
        }
        Ok(Self(text.into()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SchemaId {
    type Error = InvalidSchemaId;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<SchemaId> for String {
    fn from(id: SchemaId) -> Self {
        id.0.to_string()
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

// === impl SystemIds ===

impl IdSource for SystemIds {
    #[allow(clippy::disallowed_methods, reason = "the one place that draws ids")]
    fn next_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_ids_are_checked() {
        for bad in ["", "   ", "a\nb", &"x".repeat(256)] {
            assert!(SchemaId::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "user-api", "Überweisung", &"x".repeat(255)] {
            assert!(SchemaId::new(good).is_ok(), "{good:?}");
        }
    }
}
