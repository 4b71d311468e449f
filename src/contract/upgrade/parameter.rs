//! Parameters, form fields and headers: in 2.0 each carries its own small schema.

use serde_json::{Map, Value, json};

use super::Upgrade;

/// A parameter after upgrading.
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) role: ParameterRole,
    /// Its `in`, to tell parameters apart.
    location: String,
    pub(super) required: bool,
    pub(super) is_file: bool,
    /// The parameter as OpenAPI 3 has it; for bodies and form fields its `schema` counts.
    pub(super) upgraded: Value,
    /// Its pointer before the upgrade.
    pub(super) from: String,
}

/// Which part of the upgraded operation a parameter belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParameterRole {
    /// Path, query and header.
    Head,
    Body,
    Form,
}

/// Keywords of a parameter that belong to the parameter; all others are its schema's.
const PARAMETER_KEYS: [&str; 6] =
    ["name", "in", "description", "required", "allowEmptyValue", "collectionFormat"];

const FORMATS: [&str; 5] = ["csv", "ssv", "tsv", "pipes", "multi"];

impl Upgrade {
    /// The parameters of a path or an operation that were at `from`.
    pub(super) fn parameters(&mut self, parameters: Value, from: &str) -> Vec<Parameter> {
        let Value::Array(parameters) = parameters else { return Vec::new() };
        let upgraded = parameters.into_iter().enumerate().filter_map(|(index, parameter)| {
            let (parameter, from) = self.follow_references(parameter, &format!("{from}/{index}"));
            Parameter::upgrade(&parameter, from)
        });
        upgraded.collect()
    }
}

// === impl Parameter ===

impl Parameter {
    fn upgrade(old: &Value, from: String) -> Option<Self> {
        let old = old.as_object()?;
        let text = |name: &str| old.get(name).and_then(Value::as_str).unwrap_or_default();
        let (name, location) = (text("name").to_owned(), text("in").to_owned());
        let flag = |name: &str| old.get(name).and_then(Value::as_bool).unwrap_or(false);
        let role = match location.as_str() {
            "body" => ParameterRole::Body,
            "formData" => ParameterRole::Form,
            _ => ParameterRole::Head,
        };
        let upgraded = if role == ParameterRole::Body {
            json!({ "schema": old.get("schema").cloned().unwrap_or_else(|| json!({})) })
        } else {
            upgrade_head(old, &location)
        };
        Some(Self {
            name,
            role,
            required: flag("required"),
            is_file: text("type") == "file",
            upgraded,
            from,
            location,
        })
    }

    /// Whether this parameter of an operation replaces one of its path.
    pub(super) fn replaces(&self, shared: &Self) -> bool {
        let same_body = self.role == ParameterRole::Body && shared.role == ParameterRole::Body;
        same_body || (self.name == shared.name && self.location == shared.location)
    }

    /// How a form field is written, as an `encoding` entry.
    pub(super) fn encoding(&self) -> Value {
        let members = ["style", "explode", "x-cvt-collection-format"];
        let kept = members
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), self.upgraded.get(*name)?.clone())));
        Value::Object(kept.collect())
    }
}

/// A header of a response.
pub(super) fn header(old: Value) -> Value {
    match old {
        Value::Object(old) => upgrade_head(&old, "header"),
        other => other,
    }
}

fn upgrade_head(old: &Map<String, Value>, location: &str) -> Value {
    let mut new = Map::new();
    for key in ["name", "in", "description", "required", "allowEmptyValue"] {
        if let Some(value) = old.get(key) {
            new.insert(key.to_owned(), value.clone());
        }
    }
    let format = old.get("collectionFormat").and_then(Value::as_str);
    let format = format.filter(|format| FORMATS.contains(format)).unwrap_or("csv");
    let in_pairs = matches!(location, "query" | "formData");
    let (style, explode) = match (in_pairs, format) {
        (true, "multi") => ("form", true),
        (true, "ssv") => ("spaceDelimited", false),
        (true, "pipes") => ("pipeDelimited", false),
        (true, _) => ("form", false),
        (false, _) => ("simple", false),
    };
    new.insert("style".to_owned(), json!(style));
    new.insert("explode".to_owned(), json!(explode));
    new.insert("x-cvt-collection-format".to_owned(), json!(format));
    let schema = old.iter().filter(|(key, _)| !PARAMETER_KEYS.contains(&key.as_str()));
    let mut schema: Map<String, Value> =
        schema.map(|(key, value)| (key.clone(), value.clone())).collect();
    if schema.get("type").and_then(Value::as_str) == Some("file") {
        schema.insert("type".to_owned(), json!("string"));
        schema.insert("format".to_owned(), json!("binary"));
    }
    if location == "formData" {
        schema = with_empty_value(schema, old.get("allowEmptyValue"));
    }
    new.insert("schema".to_owned(), Value::Object(schema));
    Value::Object(new)
}

/// The schema of a form field, `allowEmptyValue` taken into it, which OpenAPI 3 has for query
/// parameters only. A field without the keyword is validated against its schema alone: browsers send
/// every field of a form, filled or not.
fn with_empty_value(mut schema: Map<String, Value>, allow: Option<&Value>) -> Map<String, Value> {
    match allow {
        Some(Value::Bool(true)) => {
            let empty = json!({ "type": "string", "maxLength": 0 });
            let mut either = Map::new();
            either.insert("anyOf".to_owned(), json!([schema, empty]));
            either
        }
        Some(Value::Bool(false)) => {
            if schema.get("type").and_then(Value::as_str) == Some("string") {
                schema.entry("minLength").or_insert_with(|| json!(1));
            }
            schema
        }
        _ => schema,
    }
}
