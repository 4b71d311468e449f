//! Which version of OpenAPI a document is written in.

use std::fmt;

use serde_json::Value;

use super::SourceMap;
use crate::contract::error::{ContractError, Diagnostic};
use crate::contract::lint::{Lint, LintCode};

/// A version of OpenAPI, patch releases left out: they change no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpenApiVersion {
    /// Swagger 2.0.
    V2,
    /// OpenAPI 3.0.
    V3_0,
    /// OpenAPI 3.1.
    V3_1,
    /// OpenAPI 3.2, read as 3.1 with what it adds named in lints.
    V3_2,
}

// === impl OpenApiVersion ===

impl OpenApiVersion {
    /// The version that a document names. Versions are strings, but a YAML author easily writes
    /// `swagger: 2.0` without quotes, which is a number with the same digits.
    pub(super) fn of(root: &Value) -> Result<Self, ContractError> {
        let Some(members) = root.as_object() else {
            return Err(ContractError::Syntax(Diagnostic::new("the document is not an object")));
        };
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let diagnostic = |name: &str, message: String| {
            let pointer = format!("/{name}");
            ContractError::Version(Diagnostic { pointer, position: None, message })
        };
        if let Some(version) = text("openapi") {
            return Self::parse(&version).ok_or_else(|| {
                let message = "OpenAPI 3.0, 3.1 and 3.2 are understood, and Swagger 2.0";
                diagnostic("openapi", message.to_owned())
            });
        }
        match text("swagger").as_deref() {
            Some("2.0" | "2") => Ok(Self::V2),
            Some(version) if version.starts_with("2.0.") => Ok(Self::V2),
            // The name of before, with a version of after.
            Some(version) if Self::parse(version).is_some() => {
                Ok(Self::parse(version).unwrap_or(Self::V3_0))
            }
            Some(_) => Err(diagnostic("swagger", "of Swagger only 2.0 is understood".to_owned())),
            None => Err(ContractError::Version(Diagnostic::new(
                "neither \"openapi\" nor \"swagger\" names a version",
            ))),
        }
    }

    fn parse(version: &str) -> Option<Self> {
        let mut parts = version.trim().trim_start_matches('v').splitn(3, '.');
        // A version without a minor one is the first of its kind; patch versions change no meaning.
        let (major, minor) = (parts.next()?, parts.next().unwrap_or("0"));
        match (major, minor) {
            ("3", "0") => Some(Self::V3_0),
            ("3", "1") => Some(Self::V3_1),
            ("3", "2") => Some(Self::V3_2),
            _ => None,
        }
    }

    /// Whether schemas are JSON Schema 2020-12 rather than OpenAPI's own dialect.
    pub fn has_json_schema(self) -> bool {
        self >= Self::V3_1
    }

    /// Whether a version is written as the specification wants it.
    fn is_proper(version: &str) -> bool {
        let plain = version.split(['-', '+']).next().unwrap_or_default();
        let parts: Vec<&str> = plain.split('.').collect();
        let are_numbers = parts
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
        version == "2.0" || (parts.len() == 3 && are_numbers)
    }

    /// Adds lints for what this version has and the engine does not validate.
    pub(super) fn lint(self, root: &Value, source: &SourceMap, lints: &mut Vec<Lint>) {
        if self.has_json_schema() && root.get("webhooks").is_some() {
            let message = "webhooks are calls by the service, not to it: they are not validated";
            lints.push(source.lint(LintCode::WebhooksIgnored, "/webhooks", message));
        }
        let written = root.get("openapi").or_else(|| root.get("swagger"));
        if written.and_then(Value::as_str).is_none_or(|written| !Self::is_proper(written)) {
            let name = if root.get("openapi").is_some() { "/openapi" } else { "/swagger" };
            let message =
                format!("this is no version of OpenAPI as it is written; {self} is meant");
            lints.push(source.lint(LintCode::Misspelt, name, message));
        }
        if self == Self::V3_2 {
            let message = "OpenAPI 3.2 is read as 3.1; what only 3.2 has is not enforced";
            lints.push(source.lint(LintCode::NewerFeature, "/openapi", message));
        }
    }
}

impl fmt::Display for OpenApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "2.0",
            Self::V3_0 => "3.0",
            Self::V3_1 => "3.1",
            Self::V3_2 => "3.2",
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_known_versions_pass() {
        for (root, expected) in [
            (json!({"swagger": "2.0"}), Some(OpenApiVersion::V2)),
            (json!({"openapi": "3.0.3"}), Some(OpenApiVersion::V3_0)),
            (json!({"openapi": "3.0.0-rc1"}), Some(OpenApiVersion::V3_0)),
            (json!({"openapi": "3.1.1"}), Some(OpenApiVersion::V3_1)),
            (json!({"openapi": "3.2.0"}), Some(OpenApiVersion::V3_2)),
            (json!({"openapi": "3.3.0"}), None),
            (json!({"openapi": "4.0.0"}), None),
            (json!({"openapi": "3.0.x"}), Some(OpenApiVersion::V3_0)),
            (json!({"openapi": "3"}), Some(OpenApiVersion::V3_0)),
            (json!({"openapi": 3.1}), Some(OpenApiVersion::V3_1)),
            (json!({"swagger": "3.0.0"}), Some(OpenApiVersion::V3_0)),
            (json!({"swagger": "1.2"}), None),
            (json!({"openapi": true}), None),
            (json!({}), None),
            (json!([]), None),
        ] {
            assert_eq!(OpenApiVersion::of(&root).ok(), expected, "{root}");
        }
    }
}
