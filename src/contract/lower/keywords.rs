//! One schema, keyword by keyword.

use serde_json::{Map, Value, json};

use super::limits::{is_excluded, is_pointer};
use super::units::Lowerer;
use super::{
    Applicator, Direction, EXACT_CONST, EXACT_ENUM, READ_ONLY, SchemaContext, SchemaDialect,
    UNENFORCEABLE, UnitKey, WRITE_ONLY, applicator,
};
use crate::contract::document::{REMOTE, is_remote};
use crate::contract::error::ContractError;
use crate::json::pointer;

impl Lowerer<'_> {
    /// Lowers the schema at `at`.
    pub(super) fn schema(
        &mut self,
        schema: &Value,
        at: &mut String,
        context: SchemaContext<'_>,
    ) -> Result<Value, ContractError> {
        let members = match schema {
            Value::Object(members) => members,
            Value::Bool(_) if self.dialect == SchemaDialect::JsonSchema => {
                return Ok(schema.clone());
            }
            // 2.0 and 3.0 allow booleans for `additionalProperties` only, where it is common.
            Value::Bool(_) if at.ends_with("/additionalProperties") => return Ok(schema.clone()),
            _ => {
                let message = "a schema is an object here";
                return Err(ContractError::Schema(self.document.source().diagnostic(at, message)));
            }
        };
        if self.dialect == SchemaDialect::OpenApi
            && let Some(Value::String(target)) = members.get("$ref")
        {
            return Ok(json!({ "$ref": self.reference(target, at, context)? }));
        }
        let embedded = context.embedded || members.get("$id").is_some_and(Value::is_string);
        let own_exempt = self.exempt_in(schema, at, context);
        let context = SchemaContext { exempt: &own_exempt, embedded, ..context };
        let mut lowered = Map::new();
        for (keyword, value) in members {
            let len = at.len();
            pointer::push_token(at, keyword);
            self.keyword(keyword, value, at, context, members, &mut lowered)?;
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
        context: SchemaContext<'_>,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) -> Result<(), ContractError> {
        if let Some(kind) = applicator(self.dialect, keyword, value) {
            let value = self.applicator(kind, keyword, value, at, context, lowered)?;
            lowered.insert(keyword.to_owned(), value);
            return Ok(());
        }
        if self.special(keyword, value, at, schema, lowered)? {
            return Ok(());
        }
        let kept = match keyword {
            // A pointer has no dynamic anchor to look for: the reference is a plain one.
            "$dynamicRef" if !schema.contains_key("$ref") && is_pointer(value, context) => {
                let target = value.as_str().unwrap_or_default();
                let target = json!(self.reference(target, at, context)?);
                lowered.insert("$ref".to_owned(), target);
                return Ok(());
            }
            "$ref" => match value {
                Value::String(target) => json!(self.reference(target, at, context)?),
                other => other.clone(),
            },
            "required" => match required(value, context.exempt) {
                Some(required) => required,
                None => return Ok(()),
            },
            "$schema" => match self.meta_schema(value, at) {
                Some(dialect) => json!(dialect),
                None => return Ok(()),
            },
            _ if context.embedded || is_assertion(self.dialect, keyword) => value.clone(),
            _ => {
                self.lint_ignored_keyword(keyword, at);
                return Ok(());
            }
        };
        lowered.insert(keyword.to_owned(), kept);
        Ok(())
    }

    /// Lowers a keyword that becomes another one, or depends on others; whether it is one of those.
    fn special(
        &mut self,
        keyword: &str,
        value: &Value,
        at: &str,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) -> Result<bool, ContractError> {
        let is_open_api = self.dialect == SchemaDialect::OpenApi;
        match keyword {
            // Keywords that depend on each other: see `combine`.
            "minimum" | "maximum" | "type" | "nullable" | "x-nullable" | "exclusiveMinimum"
            | "exclusiveMaximum"
                if is_open_api => {}
            "exclusiveMinimum" | "exclusiveMaximum" if value.is_boolean() => {
                self.boolean_bound(keyword, value, at, schema, lowered);
            }
            "minimum" | "maximum" if self.is_draft_4 && is_excluded(keyword, schema) => {}
            "pattern" => self.pattern(value, at, lowered),
            "format" => self.format(value, schema, at, lowered),
            "multipleOf" => self.multiple_of(value, at, lowered)?,
            "const" | "enum" if holds_number(value) => {
                let exact = if keyword == "const" { EXACT_CONST } else { EXACT_ENUM };
                // 3.0 has no `const`: what it says there has no meaning.
                if keyword == "enum" || !is_open_api {
                    lowered.insert(exact.to_owned(), value.clone());
                } else {
                    self.lint_ignored_keyword(keyword, at);
                }
            }
            "discriminator" => {
                let parent = pointer::split_last(at).map_or("", |(parent, _)| parent);
                self.discriminator(schema, parent);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn applicator(
        &mut self,
        kind: Applicator,
        keyword: &str,
        value: &Value,
        at: &mut String,
        context: SchemaContext<'_>,
        lowered: &mut Map<String, Value>,
    ) -> Result<Value, ContractError> {
        let in_place = matches!(
            keyword,
            "allOf" | "anyOf" | "oneOf" | "if" | "then" | "else" | "dependentSchemas"
        );
        let inner =
            SchemaContext { exempt: if in_place { context.exempt } else { &[] }, ..context };
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
        context: SchemaContext<'_>,
        lowered: &mut Map<String, Value>,
    ) -> Result<Option<Value>, ContractError> {
        match keyword {
            // A list of names may replace a schema in `dependencies`.
            "dependencies" if member.is_array() => return Ok(Some(member.clone())),
            "properties" => {
                self.names.insert(name.into());
                if self.refuses(member, context.direction) {
                    let keyword = match context.direction {
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
        self.schema(member, at, context).map(Some)
    }

    /// The unit that a reference leads to, as a reference into the lowered root.
    fn reference(
        &mut self,
        target: &str,
        at: &str,
        context: SchemaContext<'_>,
    ) -> Result<String, ContractError> {
        let Some(pointer) = self.local_target(target, context.embedded) else {
            if is_remote(target) && !self.may_know_id(target) {
                let diagnostic = self.document.source().diagnostic(at, REMOTE);
                return Err(ContractError::Reference(diagnostic));
            }
            return Ok(target.to_owned());
        };
        let Some(schema) = pointer::lookup(self.document.root(), &pointer) else {
            let message = "the reference leads nowhere";
            return Err(ContractError::Reference(self.document.source().diagnostic(at, message)));
        };
        let exempt = self.exempt_for(schema, &pointer, context);
        let unit = self.unit(UnitKey { direction: context.direction, exempt, pointer });
        Ok(format!("#/$defs/{unit}"))
    }

    /// Keywords of OpenAPI's own dialect that depend on one another.
    fn combine(&mut self, schema: &Map<String, Value>, lowered: &mut Map<String, Value>) {
        let unusable_patterns = lowered.get(UNENFORCEABLE).and_then(Value::as_str);
        if unusable_patterns == Some("patternProperties") {
            // Which properties are additional is no longer known.
            lowered.remove("additionalProperties");
            lowered.remove("unevaluatedProperties");
        }
        if self.dialect == SchemaDialect::JsonSchema {
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
            // A file is a body of bytes: nothing to validate in it.
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

/// Whether a keyword without schemas in it is an assertion.
fn is_assertion(dialect: SchemaDialect, keyword: &str) -> bool {
    EVERYWHERE.contains(&keyword)
        || (dialect == SchemaDialect::JsonSchema
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
