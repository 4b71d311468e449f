//! One schema, keyword by keyword.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::arguments::{
    self, Argument, ArgumentContext, disabled, is_older_draft, mark_unenforceable,
};
use super::limits::{holds_number, is_excluded, is_pointer};
use super::types::{self, TypeArgument};
use super::units::Lowerer;
use super::{EXACT_CONST, EXACT_ENUM, SchemaContext, SchemaDialect, UnitForm, UnitKey, applicator};
use crate::contract::LintCode;
use crate::contract::document::OpenApiVersion;
use crate::json::pointer;

impl Lowerer<'_> {
    /// Lowers the schema at `at`. One that cannot be enforced becomes one that only counts.
    pub(super) fn schema(
        &mut self,
        schema: &Value,
        at: &mut String,
        context: SchemaContext<'_>,
    ) -> Value {
        let Value::Object(members) = schema else { return self.not_an_object(schema, at) };
        if let Some(either) = self.nullable_composition(members, at, context) {
            return either;
        }
        if self.dialect == SchemaDialect::OpenApi
            && let Some(Value::String(target)) = members.get("$ref")
        {
            let target = self.reference(target, at, context);
            return target.map_or_else(disabled, |target| json!({ "$ref": target }));
        }
        let Some(members) = self.with_known_type(members, at) else { return disabled() };
        if let (UnitForm::OneOf, Some(branches)) = (context.form, members.get("oneOf")) {
            let len = at.len();
            pointer::push_token(at, "oneOf");
            let whole = SchemaContext { form: UnitForm::Whole, ..context };
            let branches = self.applicator("oneOf", branches, at, whole, &members, &mut Map::new());
            at.truncate(len);
            return json!({ "oneOf": branches });
        }
        let is_text = |keyword: &str| members.get(keyword).is_some_and(Value::is_string);
        let embedded = context.embedded || is_text("$id");
        let older = context.older || members.get("$schema").is_some_and(is_older_draft);
        let own_exempt = self.exempt_in(schema, at, context);
        let form = UnitForm::Whole;
        let context = SchemaContext { exempt: &own_exempt, embedded, older, form, ..context };
        let mut lowered = Map::new();
        for (keyword, value) in &*members {
            let len = at.len();
            pointer::push_token(at, keyword);
            if let Some(value) = self.argument(keyword, value, at, context, &mut lowered) {
                self.keyword(keyword, &value, at, context, &members, &mut lowered);
            }
            at.truncate(len);
        }
        self.combine(&members, &mut lowered);
        self.nullable_enum(&members, at, &mut lowered);
        self.closed(&members, at);
        Value::Object(lowered)
    }

    /// What stands for a schema and is no object.
    fn not_an_object(&mut self, schema: &Value, at: &str) -> Value {
        match schema {
            Value::Bool(_) if self.dialect == SchemaDialect::JsonSchema => schema.clone(),
            // 2.0 and 3.0 allow booleans for `additionalProperties` only, where it is common.
            Value::Bool(_) if at.ends_with("/additionalProperties") => schema.clone(),
            Value::Bool(_) => {
                let message = "a schema is an object in this version of OpenAPI; it is read as \
                               OpenAPI 3.1 reads it";
                self.lint(LintCode::Misspelt, at, message);
                schema.clone()
            }
            Value::Array(items) if items.is_empty() => {
                let message = "an empty list stands for an empty schema, and is read as one";
                self.lint(LintCode::EmptyPart, at, message);
                json!({})
            }
            Value::Null => {
                let message = "the schema is null, and is not enforced; write {} for one that \
                               accepts every value";
                self.lint(LintCode::InvalidSchema, at, message);
                disabled()
            }
            _ => {
                let message = "a schema is an object; this one is not enforced";
                self.lint(LintCode::InvalidSchema, at, message);
                disabled()
            }
        }
    }

    /// The members of a schema with a `type` that exists; none where it has another, and nothing
    /// of it is enforced.
    fn with_known_type<'m>(
        &mut self,
        members: &'m Map<String, Value>,
        at: &str,
    ) -> Option<Cow<'m, Map<String, Value>>> {
        let Some(value) = members.get("type") else { return Some(Cow::Borrowed(members)) };
        let is_upgraded = self.document.version() == OpenApiVersion::V2;
        let is_branch = pointer::split_last(at)
            .and_then(|(parent, _)| pointer::split_last(parent))
            .is_some_and(|(_, keyword)| keyword == "oneOf" || keyword == "anyOf");
        match types::read(value, self.dialect, is_upgraded, is_branch) {
            TypeArgument::Valid => Some(Cow::Borrowed(members)),
            TypeArgument::Unknown(message) => {
                self.lint(LintCode::UnknownType, &pointer::join(at, "type"), &message);
                None
            }
            TypeArgument::Corrected(value, message) => {
                self.lint(LintCode::Misspelt, &pointer::join(at, "type"), &message);
                let mut members = members.clone();
                match value {
                    Value::Null => _ = members.remove("type"),
                    value => _ = members.insert("type".to_owned(), value),
                }
                Some(Cow::Owned(members))
            }
        }
    }

    /// The argument of a keyword as it can be used; none where it cannot.
    fn argument<'v>(
        &mut self,
        keyword: &str,
        value: &'v Value,
        at: &str,
        context: SchemaContext<'_>,
        lowered: &mut Map<String, Value>,
    ) -> Option<Cow<'v, Value>> {
        let context = ArgumentContext {
            dialect: self.dialect,
            tuples: context.embedded || context.older,
            flags: self.is_draft_4 || context.embedded,
        };
        match arguments::read(keyword, value, context) {
            Argument::Valid => Some(Cow::Borrowed(value)),
            Argument::Corrected(value, message) => {
                let code =
                    if keyword == "required" { LintCode::Lenient } else { LintCode::Misspelt };
                self.lint(code, at, &message);
                Some(value)
            }
            Argument::Empty(message) => {
                self.lint(LintCode::EmptyPart, at, message);
                None
            }
            Argument::Unusable(message) => {
                self.lint(LintCode::UnenforceableKeyword, at, &message);
                mark_unenforceable(lowered, keyword);
                None
            }
        }
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
    ) {
        if applicator(self.dialect, keyword, value).is_some() {
            self.schemas_of(keyword, value, at, context, schema, lowered);
            return;
        }
        if self.special(keyword, value, at, schema, lowered) {
            return;
        }
        let is_json_schema = self.dialect == SchemaDialect::JsonSchema;
        let kept = match keyword {
            "$ref" | "$dynamicRef" if is_json_schema || context.embedded => {
                let target = value.as_str().unwrap_or_default();
                // A pointer has no dynamic anchor to look for: the reference is a plain one.
                let is_plain = keyword == "$ref"
                    || (!schema.contains_key("$ref") && is_pointer(value, context));
                let found = if is_plain {
                    self.reference(target, at, context).map(|found| ("$ref", found))
                } else {
                    self.dynamic_reference(target, at, context).map(|found| (keyword, found))
                };
                match found {
                    Some((keyword, target)) => {
                        lowered.insert(keyword.to_owned(), json!(target));
                    }
                    None => mark_unenforceable(lowered, "schema"),
                }
                return;
            }
            "$recursiveAnchor" | "$recursiveRef"
                if is_json_schema && !context.embedded && !context.older =>
            {
                let message = "JSON Schema 2020-12 has no such keyword; $dynamicAnchor and \
                               $dynamicRef took its place";
                return self.lint(LintCode::IgnoredKeyword, at, message);
            }
            "required" => match required(value, context.exempt) {
                Some(required) => required,
                None => return,
            },
            "$schema" => match self.meta_schema(value, at) {
                Some(dialect) => json!(dialect),
                None => return,
            },
            _ if context.embedded || is_assertion(self.dialect, keyword) => value.clone(),
            _ => return self.lint_ignored_keyword(keyword, at),
        };
        lowered.insert(keyword.to_owned(), kept);
    }

    /// Lowers a keyword that becomes another one, or depends on others; whether it is one of those.
    fn special(
        &mut self,
        keyword: &str,
        value: &Value,
        at: &str,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) -> bool {
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
            "multipleOf" => self.multiple_of(value, at, lowered),
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
                if !["oneOf", "anyOf"].iter().any(|keyword| schema.contains_key(*keyword)) {
                    let message = "a discriminator without oneOf or anyOf beside it chooses nothing; \
                                   values are validated by this schema alone";
                    self.lint(LintCode::IgnoredPart, at, message);
                }
            }
            _ => return false,
        }
        true
    }

    /// The unit that a reference leads to, as a reference into the lowered root; none where it
    /// leads nowhere.
    fn reference(&mut self, target: &str, at: &str, context: SchemaContext<'_>) -> Option<String> {
        let pointer = self.local_target(target, context.embedded);
        if pointer.is_none() && (context.embedded || self.may_know_id(target)) {
            return Some(target.to_owned());
        }
        let found = pointer.as_ref().and_then(|pointer| self.document.lookup(pointer));
        let (Some(schema), Some(pointer)) = (found, pointer) else {
            self.broken_reference(target, at);
            return None;
        };
        let exempt = self.exempt_for(schema, &pointer, context);
        let unit = self.unit(UnitKey {
            direction: context.direction,
            exempt,
            pointer,
            neutral: context.neutral,
            form: UnitForm::Whole,
        });
        Some(format!("#/$defs/{unit}"))
    }

    /// A reference to an anchor; none where there is no such anchor.
    fn dynamic_reference(
        &mut self,
        target: &str,
        at: &str,
        context: SchemaContext<'_>,
    ) -> Option<String> {
        let is_known = match target.strip_prefix('#') {
            Some(anchor) => self.has_anchor(anchor),
            None => self.may_know_id(target),
        };
        if !context.embedded && !is_known {
            self.broken_reference(target, at);
            return None;
        }
        Some(target.to_owned())
    }

    fn broken_reference(&mut self, target: &str, at: &str) {
        let message = format!("{}; the schema is not enforced", self.document.why_broken(target));
        let at = if at.ends_with("Ref") || at.ends_with("/$ref") {
            at.to_owned()
        } else {
            pointer::join(at, "$ref")
        };
        self.lint(LintCode::BrokenReference, &at, &message);
    }

    /// Keywords of OpenAPI's own dialect that depend on one another.
    fn combine(&mut self, schema: &Map<String, Value>, lowered: &mut Map<String, Value>) {
        let patterns = |schema: &Map<String, Value>| {
            schema.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len)
        };
        if patterns(lowered) < patterns(schema) {
            // Which properties are additional is no longer known.
            lowered.remove("additionalProperties");
            lowered.remove("unevaluatedProperties");
        }
        if self.dialect == SchemaDialect::JsonSchema {
            return;
        }
        for (bound, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")]
        {
            match (limit_of(schema, bound), schema.get(exclusive)) {
                (Some(limit), Some(Value::Bool(true))) => {
                    lowered.insert(exclusive.to_owned(), limit);
                }
                (limit, _) => {
                    if let Some(limit) = limit {
                        lowered.insert(bound.to_owned(), limit);
                    }
                    // A number here is how 3.1 writes it; its meaning is plain.
                    if let Some(limit) = limit_of(schema, exclusive) {
                        lowered.insert(exclusive.to_owned(), limit);
                    }
                }
            }
        }
        let Some(types) = schema.get("type") else { return };
        let nullable = ["nullable", "x-nullable"]
            .iter()
            .any(|keyword| schema.get(*keyword).is_some_and(is_true));
        let types = match types {
            // A file is a body of bytes: nothing to validate in it.
            Value::String(name) if name == "file" => return,
            Value::String(name) if nullable => json!([name, "null"]),
            other => other.clone(),
        };
        lowered.insert("type".to_owned(), types);
    }
}

/// The limit that a schema sets, a number written as text included.
fn limit_of(schema: &Map<String, Value>, keyword: &str) -> Option<Value> {
    match schema.get(keyword)? {
        limit @ Value::Number(_) => Some(limit.clone()),
        Value::String(text) => arguments::number_in(text).map(Value::Number),
        _ => None,
    }
}

/// Whether a flag is set, one written as text included.
fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str().is_some_and(|text| text.trim() == "true"))
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

/// Whether a keyword without schemas in it is an assertion.
fn is_assertion(dialect: SchemaDialect, keyword: &str) -> bool {
    EVERYWHERE.contains(&keyword)
        || (dialect == SchemaDialect::JsonSchema && JSON_SCHEMA.contains(&keyword))
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
