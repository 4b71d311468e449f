//! Bodies, decided once: per documented media type the schema and the encoding of its fields.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use serde_json::Value;

use super::error::ContractError;
use super::lint::LintCode;
use super::lower::Direction;
use super::media_type::{BodyKind, MediaRange, MediaTable};
use super::parameter::ParameterPlan;
use super::planner::Planner;
use super::schema::SchemaIndex;
use super::serialization::{COLLECTION_FORMAT, ParameterLocation, Serialization};
use super::shape::{ShapeId, Types};
use crate::json::pointer;
use crate::model::rule::Rule;

/// A request body.
#[derive(Debug, Clone)]
pub struct BodyPlan {
    /// Whether it may not be left out.
    pub required: bool,
    /// What it may be.
    pub content: MediaTable<MediaPlan>,
    /// Whether the document describes it so that it cannot be validated.
    pub defect: bool,
    /// Pointer to it in the contract's tree.
    pub pointer: Arc<str>,
}

/// One entry of a `content` object.
#[derive(Debug, Clone)]
pub struct MediaPlan {
    /// The schema of a body; `None` accepts every body.
    pub schema: Option<SchemaIndex>,
    /// What guides the reading of a body that is not JSON, and the rule about undeclared fields.
    pub shape: ShapeId,
    /// The schema of each item of a stream (`itemSchema`, OpenAPI 3.2), with its shape.
    pub item: Option<(SchemaIndex, ShapeId)>,
    /// How fields of a form are written.
    pub encodings: HashMap<Box<str>, EncodingPlan, FixedState>,
    /// Whether the document describes it so that bodies of it cannot be validated.
    pub defect: bool,
    /// Pointer to it in the contract's tree.
    pub pointer: Arc<str>,
}

/// How one field of a form is written.
#[derive(Debug, Clone)]
pub struct EncodingPlan {
    /// Media types it may have; none where the document leaves them to the defaults.
    pub content_types: Vec<MediaRange>,
    /// Style and explode, where the document names one of them.
    pub form: Option<Serialization>,
    /// Whether the document says `allowReserved: false` explicitly.
    pub reserved_refused: bool,
    /// Header fields of its part in a multipart body.
    pub headers: Vec<ParameterPlan>,
    /// Pointer to it in the contract's tree.
    pub pointer: Arc<str>,
}

// === impl MediaPlan ===

impl MediaPlan {
    /// A media type that the document does not describe in a way that can be validated.
    fn defective(at: &str) -> Self {
        Self {
            schema: None,
            shape: ShapeId::ANY,
            item: None,
            encodings: HashMap::default(),
            defect: true,
            pointer: at.into(),
        }
    }
}

// === impl Planner ===

impl Planner<'_> {
    /// The request body at `at`.
    pub(super) fn body(&mut self, at: &str) -> BodyPlan {
        let resolved = match self.document.resolve(at) {
            Ok(resolved) => resolved,
            Err(error) => {
                self.defect(&error);
                let content = MediaTable::default();
                return BodyPlan { required: false, content, defect: true, pointer: at.into() };
            }
        };
        let misformed = self.is_misformed(&resolved.pointer, false, "a request body");
        let (content, content_defect) = self.content(&resolved.pointer, Direction::Request);
        BodyPlan {
            required: resolved.value.get("required") == Some(&Value::Bool(true)),
            content,
            defect: misformed || content_defect,
            pointer: resolved.pointer.as_str().into(),
        }
    }

    /// The `content` of the object at `at`, and whether it cannot be read.
    pub(super) fn content(
        &mut self,
        at: &str,
        direction: Direction,
    ) -> (MediaTable<MediaPlan>, bool) {
        let at = pointer::join(at, "content");
        if self.is_misformed(&at, false, "content") {
            return (MediaTable::default(), true);
        }
        let Some(content) = self.document.lookup(&at).and_then(Value::as_object) else {
            return (MediaTable::default(), false);
        };
        let mut defect = false;
        let mut entries = Vec::with_capacity(content.len());
        for media_type in content.keys() {
            let at = pointer::join(&at, media_type);
            let Some(range) = MediaRange::parse(media_type) else {
                let message = "this is no media type or range; no body is validated here";
                self.lint(LintCode::InvalidPart, &at, message);
                defect = true;
                continue;
            };
            let plan = self.media(&range, &at, direction).unwrap_or_else(|error| {
                self.defect(&error);
                MediaPlan::defective(&at)
            });
            entries.push((range, plan));
        }
        (MediaTable::new(entries), defect)
    }

    fn media(
        &mut self,
        range: &MediaRange,
        at: &str,
        direction: Direction,
    ) -> Result<MediaPlan, ContractError> {
        // Media types are no reference objects until 3.2, where they may be.
        let resolved = self.document.resolve(at)?;
        if self.is_misformed(&resolved.pointer, false, "a media type") {
            return Ok(MediaPlan::defective(&resolved.pointer));
        }
        let (schema, shape) = self.body_schema(&resolved.pointer, "schema", range, direction)?;
        let item = match self.body_schema(&resolved.pointer, "itemSchema", range, direction)? {
            (Some(schema), shape) => Some((schema, shape)),
            _ => None,
        };
        for keyword in ["prefixEncoding", "itemEncoding"] {
            if resolved.value.get(keyword).is_some() {
                let message = "parts without names are not validated against their encoding";
                self.lint(LintCode::NewerFeature, &pointer::join(at, keyword), message);
            }
        }
        let mut plan = MediaPlan {
            schema,
            shape,
            item,
            encodings: HashMap::default(),
            defect: false,
            pointer: resolved.pointer.as_str().into(),
        };
        if matches!(range.kind(), BodyKind::Form | BodyKind::Multipart) || !range.is_concrete() {
            (plan.encodings, plan.defect) =
                self.encodings(resolved.value, &resolved.pointer, direction);
        }
        if range.is_concrete() && range.kind() == BodyKind::Binary && plan.schema.is_some() {
            self.check_binary(&plan);
        }
        Ok(plan)
    }

    fn body_schema(
        &mut self,
        at: &str,
        key: &str,
        range: &MediaRange,
        direction: Direction,
    ) -> Result<(Option<SchemaIndex>, ShapeId), ContractError> {
        let at = pointer::join(at, key);
        if self.document.lookup(&at).is_none() {
            return Ok((None, ShapeId::ANY));
        }
        let schema = self.schemas.compile(&at, direction)?;
        // JSON carries its own types; only the rule about undeclared fields asks for more.
        let is_json = range.is_concrete() && range.kind() == BodyKind::Json;
        let shape = if is_json && !self.rules.is_strict(Rule::UndeclaredFields) {
            ShapeId::ANY
        } else {
            self.shape(&at)
        };
        Ok((Some(schema), shape))
    }

    fn encodings(
        &mut self,
        media: &Value,
        at: &str,
        direction: Direction,
    ) -> (HashMap<Box<str>, EncodingPlan, FixedState>, bool) {
        let mut plans = HashMap::default();
        let mut defect = false;
        let at = pointer::join(at, "encoding");
        for (name, encoding) in
            media.get("encoding").and_then(Value::as_object).into_iter().flatten()
        {
            let at = pointer::join(&at, name);
            let (headers, header_defect) = self.headers(&at, direction);
            defect |= header_defect;
            let types = encoding.get("contentType").and_then(Value::as_str).unwrap_or_default();
            let styled = ["style", "explode", "allowReserved", COLLECTION_FORMAT];
            let form = styled
                .iter()
                .any(|key| encoding.get(*key).is_some())
                .then(|| Serialization::of(encoding, ParameterLocation::Query, &self.openapi));
            plans.insert(
                name.as_str().into(),
                EncodingPlan {
                    content_types: types.split(',').filter_map(MediaRange::parse).collect(),
                    form,
                    reserved_refused: encoding.get("allowReserved") == Some(&Value::Bool(false)),
                    headers,
                    pointer: at.as_str().into(),
                },
            );
        }
        (plans, defect)
    }

    /// The `headers` of the object at `at`, and whether some were left out for a defect.
    /// `Content-Type` among them is to be ignored.
    pub(super) fn headers(&mut self, at: &str, direction: Direction) -> (Vec<ParameterPlan>, bool) {
        let at = pointer::join(at, "headers");
        let mut defect = self.is_misformed(&at, false, "headers");
        let Some(headers) = self.document.lookup(&at).and_then(Value::as_object) else {
            return (Vec::new(), defect);
        };
        let mut plans = Vec::new();
        for name in headers.keys() {
            let at = pointer::join(&at, name);
            if name.eq_ignore_ascii_case("content-type") {
                let message = "a header Content-Type is ignored, as OpenAPI says; content has it";
                self.lint(LintCode::IgnoredPart, &at, message);
                continue;
            }
            match self.value_plan(name, ParameterLocation::Header, &at, direction) {
                Ok(plan) => plans.push(plan),
                Err(error) => {
                    self.defect(&error);
                    defect = true;
                }
            }
        }
        (plans, defect)
    }

    /// Bytes can only be validated as a string.
    fn check_binary(&mut self, plan: &MediaPlan) {
        if !self.types(plan.shape).intersects(Types::STRING) {
            let message = "bodies of this media type cannot be validated against this schema";
            self.lint(LintCode::UnknownMediaType, &plan.pointer, message);
        }
    }
}
