//! Lenient readings, and branches that must not be decided by what is lenient.
//!
//! Invariants: a lowered alternative never takes the place of a keyword that errors are reported
//! for; it refers to a unit with the same pointer, so that every error still leads back to the
//! document. A reading that a document makes use of is a lint, one per kind with a count.

use serde_json::{Map, Value, json};

use super::discriminator::Discriminator;
use super::lenient_reading::LenientReading;
use super::units::Lowerer;
use super::{Direction, NAMED, SchemaContext, SchemaDialect, UnitForm, UnitKey};
use crate::json::pointer;
use crate::model::rule::Rule;

// === impl Lowerer ===

impl Lowerer<'_> {
    /// Whether conditions may be added to a schema: not where its dialect has none, and not where
    /// a copy of a part would define a name twice.
    fn takes_conditions(&self, schema: &Map<String, Value>, context: SchemaContext<'_>) -> bool {
        self.dialect == SchemaDialect::OpenApi
            || !(context.embedded
                || context.older
                || self.has_dynamic_scope()
                || schema.contains_key("$schema"))
    }

    /// A reference to the unit of the schema at `at`.
    fn unit_reference(
        &mut self,
        at: &str,
        context: SchemaContext<'_>,
        neutral: bool,
        form: UnitForm,
    ) -> Value {
        let unit = self.unit(UnitKey {
            pointer: at.to_owned(),
            direction: context.direction,
            exempt: context.exempt.to_vec(),
            neutral,
            form,
        });
        json!({ "$ref": format!("#/$defs/{unit}") })
    }

    /// A schema whose `nullable` is beside more than a type: `null`, or what else it asks for.
    pub(super) fn nullable_composition(
        &mut self,
        schema: &Map<String, Value>,
        at: &str,
        context: SchemaContext<'_>,
    ) -> Option<Value> {
        let composed = ["$ref", "allOf", "oneOf", "anyOf"];
        if context.form != UnitForm::Whole
            || !self.is_leniently_nullable(schema)
            || !composed.iter().any(|keyword| schema.contains_key(*keyword))
        {
            return None;
        }
        self.count_use(LenientReading::Nullable, at);
        let rest = self.unit_reference(at, context, context.neutral, UnitForm::WithoutNull);
        Some(or_null(rest))
    }

    /// Adds `null` to the values of a nullable schema.
    pub(super) fn nullable_enum(
        &mut self,
        schema: &Map<String, Value>,
        at: &str,
        lowered: &mut Map<String, Value>,
    ) {
        if !self.is_leniently_nullable(schema) {
            return;
        }
        for keyword in ["enum", super::EXACT_ENUM] {
            let Some(Value::Array(values)) = lowered.get_mut(keyword) else { continue };
            if !values.contains(&Value::Null) {
                values.push(Value::Null);
                self.count_use(LenientReading::Nullable, at);
            }
        }
    }

    fn is_leniently_nullable(&self, schema: &Map<String, Value>) -> bool {
        let marked = |keyword: &str| schema.get(keyword) == Some(&Value::Bool(true));
        self.dialect == SchemaDialect::OpenApi
            && (marked("nullable") || marked("x-nullable"))
            && !self.options.rules.is_strict(Rule::Nullable)
    }

    /// An optional property, which may be `null` where the rule is lenient.
    pub(super) fn optional_property(
        &mut self,
        name: &str,
        property: Value,
        at: &str,
        context: SchemaContext<'_>,
        schema: &Map<String, Value>,
    ) -> Value {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = required.is_some_and(|names| names.iter().any(|one| one == name));
        if is_required
            || property.is_boolean()
            || self.options.rules.is_strict(Rule::Nulls)
            || !self.takes_conditions(schema, context)
        {
            return property;
        }
        or_null(self.unit_reference(at, context, context.neutral, UnitForm::Whole))
    }

    /// Lets the branch of a `oneOf` that the discriminator names decide alone. Whether the keyword
    /// is dealt with.
    pub(super) fn named_branch(
        &mut self,
        branches: &[Value],
        at: &mut String,
        context: SchemaContext<'_>,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) -> bool {
        if context.form != UnitForm::Whole
            || self.options.rules.is_strict(Rule::Discriminator)
            || !self.takes_conditions(schema, context)
        {
            return false;
        }
        let Some(discriminator) = Discriminator::read(schema) else { return false };
        let neutral = context.neutral || self.refuses_in(context.direction);
        let inner = SchemaContext { neutral, ..context };
        let mut named = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let values = discriminator.names_of(index);
            if values.is_empty() {
                continue;
            }
            let len = at.len();
            pointer::push_token(at, &index.to_string());
            let branch = self.schema(branch, at, inner);
            at.truncate(len);
            let Value::Object(mut branch) = branch else { continue };
            branch.insert(
                NAMED.to_owned(),
                json!({ "property": discriminator.property, "values": values }),
            );
            named.push(Value::Object(branch));
        }
        if named.is_empty() {
            return false;
        }
        let schema_at = pointer::split_last(at).map_or("", |(parent, _)| parent).to_owned();
        if !branches.iter().all(|branch| self.tells_apart(branch, &discriminator.property)) {
            self.count_use(LenientReading::Discriminator, &schema_at);
        }
        let rest = self.unit_reference(&schema_at, context, neutral, UnitForm::OneOf);
        add_condition(lowered, json!({ "if": { "anyOf": named }, "else": rest }));
        true
    }

    /// Whether a branch names the values of a property that tells it from others.
    fn tells_apart(&self, branch: &Value, property: &str) -> bool {
        let mut todo = vec![branch];
        let mut left = 64;
        while let Some(schema) = todo.pop() {
            left -= 1;
            if left == 0 {
                return false;
            }
            let declared = schema.get("properties").and_then(|all| all.get(property));
            if declared.is_some_and(|one| one.get("const").or_else(|| one.get("enum")).is_some()) {
                return true;
            }
            let target = schema.get("$ref").and_then(Value::as_str);
            let target = target.and_then(|target| self.local_target(target, false));
            todo.extend(target.and_then(|target| self.document.lookup(&target)));
            todo.extend(schema.get("allOf").and_then(Value::as_array).into_iter().flatten());
        }
        false
    }

    /// Whether properties that do not travel a direction are refused in it.
    pub(super) fn refuses_in(&self, direction: Option<Direction>) -> bool {
        direction.is_some_and(|direction| {
            self.options.rules.is_strict(match direction {
                Direction::Request => Rule::ReadOnly,
                Direction::Response => Rule::WriteOnly,
            })
        })
    }

    /// Refuses properties that do not travel this way in those branches of a `oneOf` or `anyOf`
    /// that hold without regard to them.
    pub(super) fn refuse_in_branches(
        &mut self,
        branches: &[Value],
        at: &str,
        context: SchemaContext<'_>,
        schema: &Map<String, Value>,
        lowered: &mut Map<String, Value>,
    ) {
        if context.neutral
            || context.form != UnitForm::Whole
            || !self.refuses_in(context.direction)
            || !self.takes_conditions(schema, context)
        {
            return;
        }
        for (index, branch) in branches.iter().enumerate() {
            if !self.branch_differs_by_direction(branch) {
                continue;
            }
            let at = pointer::join(at, &index.to_string());
            let holds = self.unit_reference(&at, context, true, UnitForm::Whole);
            let refuses = self.unit_reference(&at, context, false, UnitForm::Whole);
            add_condition(lowered, json!({ "if": holds, "then": refuses }));
        }
    }
}

fn or_null(rest: Value) -> Value {
    let mut condition = Map::new();
    condition.insert("if".to_owned(), json!({ "type": "null" }));
    condition.insert("else".to_owned(), rest);
    Value::Object(condition)
}

/// Adds a condition behind the schemas of `allOf`, whose pointers stay as they are.
fn add_condition(lowered: &mut Map<String, Value>, condition: Value) {
    let all = lowered.entry("allOf").or_insert_with(|| json!([]));
    if let Value::Array(all) = all {
        all.push(condition);
    }
}
