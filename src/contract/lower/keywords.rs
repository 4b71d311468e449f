//! One schema, keyword by keyword.

use serde_json::{Map, Value, json};

use super::limits::{is_excluded, is_pointer};
use super::plan::Planner;
use super::{
    Dialect, Direction, EXACT_CONST, EXACT_ENUM, READ_ONLY, UNENFORCEABLE, UnitKey, WRITE_ONLY,
};
use crate::contract::document::{REMOTE, is_remote, pointer};
use crate::contract::error::ContractError;

/// A keyword that holds schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::contract) enum Applicator {
    /// One schema.
    One,
    /// A list of schemas.
    List,
    /// Schemas by name.
    Map,
}

/// The schema being lowered.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) direction: Option<Direction>,
    /// Properties that need not be there, found in the schemas around this one.
    pub(super) exempt: &'p [String],
    /// Inside a schema with an `$id`: its references and unknown keywords are left as they are.
    pub(super) embedded: bool,
}

/// How a keyword holds schemas, if it does.
pub(in crate::contract) fn applicator(
    dialect: Dialect,
    keyword: &str,
    value: &Value,
) -> Option<Applicator> {
    use Applicator::{List, Map, One};
    let found = match keyword {
        "properties" => Map,
        "allOf" | "anyOf" | "oneOf" => List,
        "items" if value.is_array() => List,
        "not" | "additionalProperties" | "items" => One,
        _ if dialect == Dialect::OpenApi => return None,
        "patternProperties" | "$defs" | "definitions" | "dependentSchemas" | "dependencies" => Map,
        "prefixItems" => List,
        "if"
        | "then"
        | "else"
        | "contains"
        | "propertyNames"
        | "unevaluatedProperties"
        | "unevaluatedItems"
        | "additionalItems"
        | "contentSchema" => One,
        _ => return None,
    };
    let fits = match found {
        One => value.is_object() || value.is_boolean(),
        List => value.is_array(),
        Map => value.is_object(),
    };
    fits.then_some(found)
}

impl Planner<'_> {
    /// Lowers the schema at `at`.
    pub(super) fn schema(
        &mut self,
        schema: &Value,
        at: &mut String,
        place: Place<'_>,
    ) -> Result<Value, ContractError> {
        let members = match schema {
            Value::Object(members) => members,
            Value::Bool(_) if self.dialect == Dialect::JsonSchema => return Ok(schema.clone()),
            // 2.0 and 3.0 allow booleans for `additionalProperties` only, where it is common.
            Value::Bool(_) if at.ends_with("/additionalProperties") => return Ok(schema.clone()),
            _ => {
                let message = "a schema is an object here";
                return Err(ContractError::Schema(self.document.source().problem(at, message)));
            }
        };
        if self.dialect == Dialect::OpenApi
            && let Some(Value::String(target)) = members.get("$ref")
        {
            return Ok(json!({ "$ref": self.reference(target, at, place)? }));
        }
        let embedded = place.embedded || members.get("$id").is_some_and(Value::is_string);
        let own_exempt = self.exempt_in(schema, at, place);
        let place = Place { exempt: &own_exempt, embedded, ..place };
        let mut lowered = Map::new();
        for (keyword, value) in members {
            let len = at.len();
            pointer::push_token(at, keyword);
            self.keyword(keyword, value, at, place, members, &mut lowered)?;
            at.truncate(len);
        }
        self.combine(members, &mut lowered);
        Ok(Value::Object(lowered))
    }

    /// Lowers one keyword into `lowered`.
    fn keyword(
        &mut self,
        keyword: &str,
        value: &Value,
        at: &mut String,
        place: Place<'_>,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) -> Result<(), ContractError> {
        if let Some(kind) = applicator(self.dialect, keyword, value) {
            let value = self.applicator(kind, keyword, value, at, place, lowered)?;
            lowered.insert(keyword.to_owned(), value);
            return Ok(());
        }
        let kept = match keyword {
            "exclusiveMinimum" | "exclusiveMaximum"
                if value.is_boolean() && self.dialect == Dialect::JsonSchema =>
            {
                self.boolean_bound(keyword, value, at, schema, lowered);
                return Ok(());
            }
            "minimum" | "maximum" if self.is_draft_4 && is_excluded(keyword, schema) => {
                return Ok(());
            }
            // A pointer has no dynamic anchor to look for: the reference is a plain one.
            "$dynamicRef" if !schema.contains_key("$ref") && is_pointer(value, place) => {
                let target = value.as_str().unwrap_or_default();
                let target = json!(self.reference(target, at, place)?);
                lowered.insert("$ref".to_owned(), target);
                return Ok(());
            }
            "$ref" => match value {
                Value::String(target) => json!(self.reference(target, at, place)?),
                other => other.clone(),
            },
            "required" => match required(value, place.exempt) {
                Some(required) => required,
                None => return Ok(()),
            },
            "pattern" => {
                self.pattern(value, at, lowered);
                return Ok(());
            }
            "format" => {
                self.format(value, schema, at, lowered);
                return Ok(());
            }
            "const" | "enum" if holds_number(value) => {
                let keyword = if keyword == "const" { EXACT_CONST } else { EXACT_ENUM };
                lowered.insert(keyword.to_owned(), value.clone());
                return Ok(());
            }
            "multipleOf" => return self.multiple_of(value, at, lowered),
            "minimum" | "maximum" | "type" | "nullable" | "x-nullable" | "exclusiveMinimum"
            | "exclusiveMaximum"
                if self.dialect == Dialect::OpenApi =>
            {
                // Two keywords that depend on each other: see `combine`.
                return Ok(());
            }
            "$schema" => match self.meta_schema(value, at) {
                Some(dialect) => json!(dialect),
                None => return Ok(()),
            },
            _ if place.embedded || judges(self.dialect, keyword) => value.clone(),
            "discriminator" => {
                let parent = pointer::split_last(at).map_or("", |(parent, _)| parent);
                self.discriminator(schema, parent);
                return Ok(());
            }
            _ => {
                self.left_out(keyword, at);
                return Ok(());
            }
        };
        lowered.insert(keyword.to_owned(), kept);
        Ok(())
    }

    fn applicator(
        &mut self,
        kind: Applicator,
        keyword: &str,
        value: &Value,
        at: &mut String,
        place: Place<'_>,
        lowered: &mut Map<String, Value>,
    ) -> Result<Value, ContractError> {
        let in_place = matches!(
            keyword,
            "allOf" | "anyOf" | "oneOf" | "if" | "then" | "else" | "dependentSchemas"
        );
        let inner = Place { exempt: if in_place { place.exempt } else { &[] }, ..place };
        match (kind, value) {
            (Applicator::List, Value::Array(items)) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let len = at.len();
                    pointer::push_token(at, &index.to_string());
                    list.push(self.schema(item, at, inner)?);
                    at.truncate(len);
                }
                Ok(Value::Array(list))
            }
            (Applicator::Map, Value::Object(members)) => {
                let mut map = Map::with_capacity(members.len());
                for (name, member) in members {
                    let len = at.len();
                    pointer::push_token(at, name);
                    let member = self.member(keyword, name, member, at, inner, lowered)?;
                    at.truncate(len);
                    if let Some(member) = member {
                        map.insert(name.clone(), member);
                    }
                }
                Ok(Value::Object(map))
            }
            _ => self.schema(value, at, inner),
        }
    }

    /// One schema of a map of schemas; none when it cannot be enforced.
    fn member(
        &mut self,
        keyword: &str,
        name: &str,
        member: &Value,
        at: &mut String,
        place: Place<'_>,
        lowered: &mut Map<String, Value>,
    ) -> Result<Option<Value>, ContractError> {
        match keyword {
            // A list of names stands in the place of a schema in `dependencies`.
            "dependencies" if member.is_array() => return Ok(Some(member.clone())),
            "properties" => {
                self.names.insert(name.into());
                if self.refuses(member, place.direction) {
                    let keyword = match place.direction {
                        Some(Direction::Response) => WRITE_ONLY,
                        _ => READ_ONLY,
                    };
                    return Ok(Some(json!({ keyword: true })));
                }
            }
            "patternProperties" if !self.patterns.can_run(name) => {
                self.unusable_pattern(at);
                lowered.insert(UNENFORCEABLE.to_owned(), json!(keyword));
                return Ok(None);
            }
            _ => {}
        }
        self.schema(member, at, place).map(Some)
    }

    /// The unit that a reference leads to, as a reference into the lowered root.
    fn reference(
        &mut self,
        target: &str,
        at: &str,
        place: Place<'_>,
    ) -> Result<String, ContractError> {
        let Some(pointer) = self.local_target(target, place.embedded) else {
            if is_remote(target) && !self.knows_id(target) {
                let problem = self.document.source().problem(at, REMOTE);
                return Err(ContractError::Reference(problem));
            }
            return Ok(target.to_owned());
        };
        let Some(schema) = pointer::lookup(self.document.root(), &pointer) else {
            let message = "the reference leads nowhere";
            return Err(ContractError::Reference(self.document.source().problem(at, message)));
        };
        let exempt = self.exempt_for(schema, &pointer, place);
        let unit = self.unit(UnitKey { direction: place.direction, exempt, pointer });
        Ok(format!("#/$defs/{unit}"))
    }

    /// Keywords of OpenAPI's own dialect that depend on one another.
    fn combine(&mut self, schema: &Map<String, Value>, lowered: &mut Map<String, Value>) {
        let unusable_patterns = lowered.get(UNENFORCEABLE).and_then(Value::as_str);
        if unusable_patterns == Some("patternProperties") {
            // Which properties are additional cannot be told any more.
            lowered.remove("additionalProperties");
            lowered.remove("unevaluatedProperties");
        }
        if self.dialect == Dialect::JsonSchema {
            return;
        }
        for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")]
        {
            match (schema.get(bound), schema.get(exclusive)) {
                (Some(limit), Some(Value::Bool(true))) => {
                    lowered.insert(exclusive.to_owned(), limit.clone());
                }
                (limit, exclusive_limit) => {
                    if let Some(limit) = limit {
                        lowered.insert(bound.to_owned(), limit.clone());
                    }
                    // A number here is how 3.1 writes it; its meaning is plain.
                    if let Some(limit @ Value::Number(_)) = exclusive_limit {
                        lowered.insert(exclusive.to_owned(), limit.clone());
                    }
                }
            }
        }
        let Some(types) = schema.get("type") else { return };
        let nullable = ["nullable", "x-nullable"]
            .iter()
            .any(|keyword| schema.get(*keyword) == Some(&Value::Bool(true)));
        let types = match types {
            // A file is a body of bytes: nothing to judge in it.
            Value::String(name) if name == "file" => return,
            Value::String(name) if nullable => json!([name, "null"]),
            other => other.clone(),
        };
        lowered.insert("type".to_owned(), types);
    }
}

/// `required` without the names that need not be there; none when nothing is left.
fn required(value: &Value, exempt: &[String]) -> Option<Value> {
    let Value::Array(names) = value else {
        // Draft 4 of a property had a boolean here; the meta-schema says so where it must.
        return value.is_boolean().then_some(()).map_or_else(|| Some(value.clone()), |()| None);
    };
    let kept: Vec<Value> = names
        .iter()
        .filter(|name| !name.as_str().is_some_and(|name| exempt.iter().any(|e| e == name)))
        .cloned()
        .collect();
    (!kept.is_empty()).then_some(Value::Array(kept))
}

fn holds_number(value: &Value) -> bool {
    match value {
        // What an `i64` holds in its shortest form is compared exactly as it is.
        Value::Number(number) => {
            number.as_i64().is_none_or(|value| value.to_string() != number.as_str())
        }
        Value::Array(items) => items.iter().any(holds_number),
        Value::Object(members) => members.values().any(holds_number),
        _ => false,
    }
}

/// Whether a keyword without schemas in it judges anything.
fn judges(dialect: Dialect, keyword: &str) -> bool {
    EVERYWHERE.contains(&keyword)
        || (dialect == Dialect::JsonSchema
            && (JSON_SCHEMA.contains(&keyword) || MISSHAPEN.contains(&keyword)))
}

/// Keywords of both dialects.
const EVERYWHERE: [&str; 8] = [
    "enum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// Keywords that only JSON Schema has, or has with one meaning.
const JSON_SCHEMA: [&str; 19] = [
    "type",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "dependentRequired",
    "minContains",
    "maxContains",
    "contentEncoding",
    "contentMediaType",
    "$id",
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$recursiveAnchor",
    "$recursiveRef",
    "$vocabulary",
    "id",
];

/// Keywords that hold schemas, come here in another shape, and are for the meta-schema to refuse.
const MISSHAPEN: [&str; 16] = [
    "properties",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "items",
    "prefixItems",
    "if",
    "then",
    "else",
    "contains",
    "propertyNames",
    "additionalProperties",
    "patternProperties",
    "dependentSchemas",
    "unevaluatedProperties",
];
