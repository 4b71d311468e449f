//! Keywords that hold schemas.

use serde_json::{Map, Value, json};

use super::arguments::mark_unenforceable;
use super::units::Lowerer;
use super::{Applicator, Direction, READ_ONLY, SchemaContext, WRITE_ONLY, applicator};
use crate::contract::LintCode;
use crate::json::pointer;

impl Lowerer<'_> {
    /// Lowers a keyword that holds schemas.
    pub(super) fn schemas_of(
        &mut self,
        keyword: &str,
        value: &Value,
        at: &mut String,
        context: SchemaContext<'_>,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) {
        if keyword == "additionalProperties"
            && value == &Value::Bool(false)
            && schema.contains_key("allOf")
        {
            let message = "additionalProperties sees only the properties declared beside it, none of \
                           those in allOf";
            self.lint(LintCode::MisleadingRule, at, message);
        }
        if let ("oneOf" | "anyOf", Value::Array(branches)) = (keyword, value) {
            self.refuse_in_branches(branches, at, context, schema, lowered);
            if keyword == "oneOf" && self.named_branch(branches, at, context, schema, lowered) {
                return;
            }
        }
        let value = self.applicator(keyword, value, at, context, schema, lowered);
        match lowered.get_mut(keyword) {
            // Conditions that stand for other keywords go behind the document's own.
            Some(Value::Array(conditions)) if keyword == "allOf" => {
                let Value::Array(own) = value else { return };
                conditions.splice(..0, own);
            }
            _ => _ = lowered.insert(keyword.to_owned(), value),
        }
    }

    pub(super) fn applicator(
        &mut self,
        keyword: &str,
        value: &Value,
        at: &mut String,
        context: SchemaContext<'_>,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) -> Value {
        let decides = matches!(keyword, "oneOf" | "anyOf" | "not" | "if");
        let neutral = context.neutral || decides && self.refuses_in(context.direction);
        let in_place = matches!(
            keyword,
            "allOf" | "anyOf" | "oneOf" | "if" | "then" | "else" | "dependentSchemas"
        );
        let inner = SchemaContext {
            exempt: if in_place { context.exempt } else { &[] },
            neutral,
            ..context
        };
        match (applicator(self.dialect, keyword, value), value) {
            (Some(Applicator::List), Value::Array(items)) => {
                let mut list = Vec::with_capacity(items.len());
                for (index, item) in items.iter().enumerate() {
                    let len = at.len();
                    pointer::push_token(at, &index.to_string());
                    list.push(self.schema(item, at, inner));
                    at.truncate(len);
                }
                Value::Array(list)
            }
            (Some(Applicator::Map), Value::Object(members)) => {
                let mut map = Map::with_capacity(members.len());
                for (name, member) in members {
                    let len = at.len();
                    pointer::push_token(at, name);
                    let mut member = self.member(keyword, name, member, at, inner, lowered);
                    if keyword == "properties" {
                        member =
                            member.map(|one| self.optional_property(name, one, at, inner, schema));
                    }
                    at.truncate(len);
                    if let Some(member) = member {
                        map.insert(name.clone(), member);
                    }
                }
                Value::Object(map)
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
    ) -> Option<Value> {
        match keyword {
            // A list of names may replace a schema in `dependencies`.
            "dependencies" if member.is_array() => return Some(member.clone()),
            "properties" => {
                self.names.insert(name.into());
                if !context.neutral && self.refuses(member, context.direction) {
                    let keyword = match context.direction {
                        Some(Direction::Response) => WRITE_ONLY,
                        _ => READ_ONLY,
                    };
                    return Some(json!({ keyword: true }));
                }
            }
            "patternProperties" if !self.patterns.can_run(name) => {
                self.unusable_pattern(at);
                mark_unenforceable(lowered, keyword);
                return None;
            }
            _ => {}
        }
        Some(self.schema(member, at, context))
    }
}
