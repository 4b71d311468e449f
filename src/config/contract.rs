//! The document and the schema it becomes.

use std::path::PathBuf;

use super::{Problems, Setting, Values};
use crate::model::id::SchemaId;

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("spec", &["CVT_SPEC"]).per_route(),
    Setting::new("schema_id", &["CVT_SCHEMA_ID"]).per_route(),
    Setting::new("schema_version", &["CVT_SCHEMA_VERSION"]).per_route(),
];

/// Which document is the contract.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContractSettings {
    /// Path of the document; `None` follows the latest version registered under the id.
    pub spec: Option<PathBuf>,
    /// The id it is registered under; made from the document's title when not given.
    pub schema_id: Option<SchemaId>,
    /// The version of it that holds; the latest one when not given.
    pub version: Option<String>,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> ContractSettings {
    if values.get("spec").is_none() && values.get("schema_id").is_none() {
        problems.push(
            values.origin(),
            "spec: required; the OpenAPI document to validate against (--spec openapi.yaml or CVT_SPEC), \
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
        version: values.read("schema_version", None, problems, |text| {
            if values.get("spec").is_some() {
                values.notice("schema_version has no effect beside spec: the document has one");
                return Ok(None);
            }
            match text {
                "" => Err("expected a version such as 1.2.0".into()),
                version => Ok(Some(version.to_owned())),
            }
        }),
    }
}
