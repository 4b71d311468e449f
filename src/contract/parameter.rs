//! Parameters and headers, decided once: location, serialization and schema.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde_json::Value;
use smallvec::SmallVec;

use super::error::ContractError;
use super::lint::LintCode;
use super::lower::Direction;
use super::media_type::{BodyKind, MediaRange};
use super::planner::Planner;
use super::schema::SchemaIndex;
use super::serialization::{ParameterLocation, Serialization, Style, is_older_text};
use super::shape::{ShapeId, Types};
use crate::json::pointer;
use crate::model::rule::Rule;

/// How the value of a parameter or header is written.
#[derive(Debug, Clone)]
pub enum ValueForm {
    /// In a style of the specification.
    Styled(Serialization),
    /// As a document of its own, of the one media type under `content`.
    Content(BodyKind),
}

/// What a parameter means that is sent without a value (`?name=` or `?name`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyValue {
    /// The same as left out: `allowEmptyValue: true`.
    Unused,
    /// A violation.
    Refused,
    /// The empty string, which the schema validates.
    Validated,
}

/// A parameter or a header.
#[derive(Debug, Clone)]
pub struct ParameterPlan {
    /// Its name; of headers in the document's case.
    pub name: Arc<str>,
    /// Where in the request or response it is.
    pub location: ParameterLocation,
    /// Whether it may not be left out.
    pub required: bool,
    /// What it means when it is sent without a value.
    pub empty: EmptyValue,
    /// How its value is written.
    pub form: ValueForm,
    /// The schema of its value; `None` accepts every value.
    pub schema: Option<SchemaIndex>,
    /// What guides the reading of its value.
    pub shape: ShapeId,
    /// Pointer to it in the contract's tree.
    pub pointer: Arc<str>,
}

/// Parameters of one kind, found by name.
#[derive(Debug, Clone, Default)]
pub struct ParameterSet {
    plans: Vec<ParameterPlan>,
    by_name: HashMap<Arc<str>, usize, FixedState>,
    /// Objects whose properties are keys of their own.
    exploded: SmallVec<[usize; 1]>,
    has_deep: bool,
}

/// Which parameter a key belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOwner {
    /// The parameter at this index.
    Parameter(usize),
    /// None.
    Unknown,
}

/// Where a parameter may be, for people.
const LOCATIONS: &str = "one of query, header, path and cookie";

// === impl ParameterPlan ===

impl ParameterPlan {
    /// Whether it is an object whose properties are keys of their own.
    fn is_exploded_object(&self, planner: &Planner<'_>) -> bool {
        match &self.form {
            ValueForm::Styled(form) => {
                form.repeats_key()
                    && planner.types(self.shape).intersects(Types::OBJECT)
                    && !planner.types(self.shape).is_any()
            }
            ValueForm::Content(_) => false,
        }
    }

    /// Whether its keys carry brackets.
    pub fn is_deep(&self) -> bool {
        matches!(&self.form, ValueForm::Styled(form) if form.style == Style::DeepObject)
    }
}

// === impl ParameterSet ===

impl ParameterSet {
    pub(super) fn new(plans: Vec<ParameterPlan>, planner: &Planner<'_>) -> Self {
        let by_name = plans.iter().enumerate().map(|(at, plan)| (Arc::clone(&plan.name), at));
        let exploded = plans.iter().enumerate();
        let exploded = exploded.filter(|(_, plan)| plan.is_exploded_object(planner));
        Self {
            by_name: by_name.collect(),
            exploded: exploded.map(|(at, _)| at).collect(),
            has_deep: plans.iter().any(ParameterPlan::is_deep),
            plans,
        }
    }

    /// Every parameter, in the document's order.
    pub fn plans(&self) -> &[ParameterPlan] {
        &self.plans
    }

    /// Objects whose properties are keys of their own, by index.
    pub fn exploded(&self) -> &[usize] {
        &self.exploded
    }

    /// The parameter that a key names, bracketed keys included; objects whose properties are
    /// keys are not asked.
    pub fn owner(&self, key: &str) -> KeyOwner {
        match self.by_name.get(key) {
            Some(at) if !self.plans.get(*at).is_some_and(ParameterPlan::is_deep) => {
                KeyOwner::Parameter(*at)
            }
            _ if self.has_deep => self.deep_owner(key),
            _ => KeyOwner::Unknown,
        }
    }

    fn deep_owner(&self, key: &str) -> KeyOwner {
        let base = key.find('[').and_then(|at| self.by_name.get(&key[..at]));
        match base {
            Some(at) if self.plans.get(*at).is_some_and(ParameterPlan::is_deep) => {
                KeyOwner::Parameter(*at)
            }
            _ => KeyOwner::Unknown,
        }
    }
}

// === impl Planner ===

impl Planner<'_> {
    /// The parameter at `at`; `None` where the specification says to ignore it.
    pub(super) fn parameter(&mut self, at: &str) -> Result<Option<ParameterPlan>, ContractError> {
        let resolved = self.document.resolve(at)?;
        let at = &resolved.pointer;
        let text = |key: &str| resolved.value.get(key).and_then(Value::as_str);
        let Some(name) = text("name") else {
            let message = "a parameter has a name; this one is not enforced";
            return Err(self.document.broken(at, message));
        };
        let Some(location) = text("in").and_then(ParameterLocation::parse) else {
            let message = match text("in") {
                Some(other) => {
                    let shown: String = other.chars().take(40).collect();
                    format!("in is {LOCATIONS}, not {shown:?}; this parameter is not enforced")
                }
                None => format!("a parameter has an in: {LOCATIONS}; this one is not enforced"),
            };
            return Err(self.document.broken(at, message));
        };
        let ignored = ["accept", "content-type", "authorization"];
        // Swagger 2.0 has no such rule: there they are parameters like any other.
        if location == ParameterLocation::Header
            && !self.is_upgraded()
            && ignored.iter().any(|other| name.eq_ignore_ascii_case(other))
        {
            let message = format!(
                "a header parameter {name} is ignored, as OpenAPI says; describe it by security or \
                 content"
            );
            self.lint(LintCode::IgnoredPart, &resolved.pointer, &message);
            return Ok(None);
        }
        self.value_plan(name, location, &resolved.pointer, Direction::Request).map(Some)
    }

    /// A parameter, or a header, which is one without name and location.
    pub(super) fn value_plan(
        &mut self,
        name: &str,
        location: ParameterLocation,
        at: &str,
        direction: Direction,
    ) -> Result<ParameterPlan, ContractError> {
        let resolved = self.document.resolve(at)?;
        let value = resolved.value;
        if !(value.is_object() || value.is_null()) {
            let message = "a header or parameter is an object; this one is not enforced";
            return Err(self.document.broken(&resolved.pointer, message));
        }
        let flag = |key: &str| value.get(key) == Some(&Value::Bool(true));
        let (form, schema_at) = self.value_form(value, location, &resolved.pointer);
        let schema = match &schema_at {
            Some(schema_at) => Some(self.schemas.compile(schema_at, direction)?),
            None => None,
        };
        let shape = schema_at.map_or(ShapeId::ANY, |schema_at| self.shape(&schema_at));
        let plan = ParameterPlan {
            name: name.into(),
            location,
            required: flag("required") || location == ParameterLocation::Path,
            empty: self.empty_value(value, location, &form, shape),
            form,
            schema,
            shape,
            pointer: resolved.pointer.as_str().into(),
        };
        self.check_style(&plan);
        Ok(plan)
    }

    fn value_form(
        &mut self,
        value: &Value,
        location: ParameterLocation,
        at: &str,
    ) -> (ValueForm, Option<String>) {
        let content = value.get("content").and_then(Value::as_object);
        if let Some((media_type, media)) = content.and_then(|content| content.iter().next()) {
            let kind = MediaRange::parse(media_type).map_or(BodyKind::Text, |range| range.kind());
            let at = pointer::join(&pointer::join(at, "content"), media_type);
            let schema = media.get("schema").map(|_| pointer::join(&at, "schema"));
            return (ValueForm::Content(kind), schema);
        }
        let form = Serialization::of(value, location, &self.openapi);
        let schema = value.get("schema").map(|_| pointer::join(at, "schema"));
        (ValueForm::Styled(form), schema)
    }

    /// What it means to leave a query parameter's value empty: the schema decides, unless the rule
    /// is strict.
    ///
    /// The texts up to 3.0.3 and 3.1.0 say that `allowEmptyValue` "sets the ability to pass
    /// empty-valued parameters" and is false by default; later ones leave it to the schema. A
    /// schema that has the empty string among its values, or `null`, decides.
    fn empty_value(
        &self,
        value: &Value,
        location: ParameterLocation,
        form: &ValueForm,
        shape: ShapeId,
    ) -> EmptyValue {
        let said = value.get("allowEmptyValue").and_then(Value::as_bool);
        if said == Some(true) {
            return EmptyValue::Unused;
        }
        if !self.rules.is_strict(Rule::EmptyValues) {
            return EmptyValue::Validated;
        }
        let known = self.schemas.shapes().get(shape);
        let types = known.types();
        let is_plain = !types.intersects(Types::ARRAY | Types::OBJECT | Types::NULL)
            && !known.names_empty_text();
        let styled = matches!(form, ValueForm::Styled(_)) && location == ParameterLocation::Query;
        let by_default = is_older_text(&self.openapi);
        if styled && is_plain && (said == Some(false) || by_default) {
            EmptyValue::Refused
        } else {
            EmptyValue::Validated
        }
    }

    /// Names what the style table leaves undefined.
    fn check_style(&mut self, plan: &ParameterPlan) {
        let ValueForm::Styled(form) = &plan.form else { return };
        let types = self.types(plan.shape);
        let allowed = match plan.location {
            ParameterLocation::Path => {
                matches!(form.style, Style::Matrix | Style::Label | Style::Simple)
            }
            ParameterLocation::Header => form.style == Style::Simple || self.is_upgraded(),
            ParameterLocation::Cookie => matches!(form.style, Style::Form | Style::Cookie),
            ParameterLocation::Query | ParameterLocation::QueryString => {
                let elsewhere = [Style::Matrix, Style::Label, Style::Simple, Style::Cookie];
                !elsewhere.contains(&form.style)
            }
        };
        let message = if !allowed {
            "the specification defines no such style for this location; it is read all the same"
        } else if form.style == Style::DeepObject && !types.intersects(Types::OBJECT) {
            "deepObject is defined for objects only; it is read all the same"
        } else {
            return;
        };
        self.lint(LintCode::UndefinedStyle, &plan.pointer, message);
    }
}
