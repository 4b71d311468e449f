//! The document and the schema it becomes.

use std::path::PathBuf;

use super::{Problems, Setting, Source, Values, parse};
use crate::model::id::SchemaId;

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("spec", &["CVT_SPEC"]),
    Setting::new("schema_id", &["CVT_SCHEMA_ID"]),
    Setting::new("document_limit", &["CVT_DOCUMENT_LIMIT"]),
];

/// Which document is the contract.
#[derive(Debug, Clone)]
pub struct ContractSettings {
    /// Path of the document; `None` follows the latest version registered under the id.
    pub spec: Option<PathBuf>,
    /// The id it is registered under; made from the document's title when not given.
    pub schema_id: Option<SchemaId>,
    /// The largest document accepted, in bytes.
    pub document_limit: usize,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> ContractSettings {
    if values.get("spec").is_none() && values.get("schema_id").is_none() {
        problems.push(
            Source::Default,
            "spec: required; the OpenAPI document to judge by (--spec openapi.yaml or CVT_SPEC), \
             or the schema_id of one that is registered",
        );
    }
    ContractSettings {
        spec: values.read("spec", None, problems, |text| match text {
            "" => Err("expected a path".into()),
            path => Ok(Some(path.into())),
        }),
        schema_id: values.read("schema_id", None, problems, |text| {
            SchemaId::new(text).map(Some).map_err(|error| error.to_string())
        }),
        document_limit: values.read(
            "document_limit",
            64 << 20,
            problems,
            parse::bytes(1024..=1 << 30),
        ),
    }
}
