//! Whether a document is what the OpenAPI specification says it is.

use serde_json::Value;

use super::document::{Source, Version};
use super::error::ContractError;
use super::lint::Lint;

/// Checks the document as registered, before any upgrade.
pub(super) fn check(
    _version: Version,
    root: &Value,
    source: &Source,
    _lints: &mut Vec<Lint>,
) -> Result<(), ContractError> {
    let broken =
        |pointer: &str, message: &str| ContractError::Structure(source.problem(pointer, message));
    match root.get("paths") {
        None | Some(Value::Object(_)) => Ok(()),
        Some(_) => Err(broken("/paths", "the paths are not an object")),
    }
}
