//! Values of parameters, headers and parts: read in every way their schema allows, then judged.

use super::findings::{Findings, Place};
use super::parameter::{Field, Fields, Pair, query_pairs};
use super::reading::{Attempt, Attempts, Decoding, Kind, Reader, Unreadable};
use super::report::Subject;
use crate::contract::instance::{Arena, NodeId};
use crate::contract::media_type::BodyKind;
use crate::contract::parameter::{EmptyValue, ParameterPlan, ValueForm};
use crate::contract::schema::{Judged, SchemaId};
use crate::contract::serialization::{ParameterLocation, Style};
use crate::contract::shape::Shape;
use crate::model::verdict::SkipReason;
use crate::model::violation::{Location, Rule};

/// What judging one value came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Some reading conforms, or could not be decided; the value was written as `NodeId`.
    Accepted(NodeId),
    /// No reading conforms; the first readable one is this.
    Refused(NodeId),
    /// There is no reading.
    Unreadable(Unreadable),
}

/// Tries the readings of a value until one conforms. `read` writes one reading into the arena.
pub(super) fn settle(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    schema: Option<SchemaId>,
    mut attempts: Attempts,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<NodeId, Unreadable>,
) -> Outcome {
    let first = attempts.first();
    let mut attempt = first;
    let mut failure = None;
    let mut readable = None;
    loop {
        arena.clear();
        let mut reader = Reader::new(arena, attempt);
        let result = read(&mut reader);
        let notes = reader.notes;
        match result {
            Ok(id) => {
                readable.get_or_insert(attempt);
                if judge(arena, findings, schema, id) {
                    return Outcome::Accepted(id);
                }
            }
            Err(unreadable) => _ = failure.get_or_insert(unreadable),
        }
        match attempts.after(attempt, notes) {
            Some(next) => attempt = next,
            None => break,
        }
    }
    match (readable, failure) {
        (Some(readable), _) => again(arena, readable, read),
        (None, failure) => Outcome::Unreadable(failure.unwrap_or(Unreadable::Style)),
    }
}

/// Writes the reading that is to be explained.
fn again(
    arena: &mut Arena,
    attempt: Attempt,
    mut read: impl FnMut(&mut Reader<'_>) -> Result<NodeId, Unreadable>,
) -> Outcome {
    arena.clear();
    match read(&mut Reader::new(arena, attempt)) {
        Ok(id) => Outcome::Refused(id),
        Err(unreadable) => Outcome::Unreadable(unreadable),
    }
}

/// Whether a value conforms, or could not be decided, which is noted.
pub(super) fn judge(
    arena: &Arena,
    findings: &mut Findings<'_>,
    schema: Option<SchemaId>,
    id: NodeId,
) -> bool {
    let Some(schema) = schema else { return true };
    match findings.contract.schemas().judge(schema, arena.node(id)) {
        Judged::Valid => true,
        Judged::ValidButUnenforceable => {
            findings.skip(SkipReason::Unenforceable);
            true
        }
        Judged::Undecided(reason) => {
            findings.skip(reason);
            true
        }
        Judged::Invalid => false,
    }
}

/// A parameter or header with the texts sent for it. There is at least one text, except for
/// objects whose properties are keys of their own.
pub(super) fn judge_parameter(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    plan: &ParameterPlan,
    fields: &Fields<'_>,
) {
    let place = place_of(plan);
    if plan.empty != EmptyValue::Judged && fields.iter().all(|field| field.value.is_empty()) {
        if plan.empty == EmptyValue::Refused {
            let message = "it is sent without a value, which the document does not allow";
            findings.add(place, Rule::Malformed, message);
        }
        return;
    }
    let shape = findings.contract.shapes().get(plan.shape);
    let decoding = decoding_of(plan.location);
    let outcome = match &plan.form {
        ValueForm::Content(BodyKind::Form) => {
            let decoding = match plan.location {
                ParameterLocation::QueryString => Decoding::None,
                _ => decoding,
            };
            settle(arena, findings, plan.schema, Attempts::of(Kind::Object), |reader| {
                let [field] = fields.as_slice() else { return Err(Unreadable::Repeated) };
                form_value(reader, shape, &decoding.decode(field.value)?)
            })
        }
        ValueForm::Content(kind) => {
            let kind = *kind;
            if kind != BodyKind::Json && !shape.types().any_scalar() {
                // A list or an object in a form that is not read here, such as XML.
                return findings.skip(SkipReason::UnsupportedMediaType);
            }
            let attempts = Attempts::of(Kind::Primitive);
            settle(arena, findings, plan.schema, attempts, |reader| {
                let [field] = fields.as_slice() else { return Err(Unreadable::Repeated) };
                let text = decoding.decode(field.value)?;
                content_value(reader, kind, shape, &text)
            })
        }
        ValueForm::Styled(form) => {
            let many = looks_like_many(plan, fields);
            let decoding = if form.style == Style::Cookie { Decoding::None } else { decoding };
            let attempts = match form.style {
                Style::DeepObject => Attempts::of(Kind::Object),
                _ => Attempts::new(shape.types(), many),
            };
            settle(arena, findings, plan.schema, attempts, |reader| {
                reader.styled(form, decoding, shape, &plan.name, fields)
            })
        }
    };
    finish(arena, findings, plan.schema, place, outcome);
}

/// Turns an outcome into violations.
pub(super) fn finish(
    arena: &Arena,
    findings: &mut Findings<'_>,
    schema: Option<SchemaId>,
    place: Place<'_>,
    outcome: Outcome,
) {
    match outcome {
        Outcome::Accepted(_) => {}
        Outcome::Refused(id) => explain(arena, findings, schema, place, id),
        Outcome::Unreadable(why) => findings.unreadable(place, String::new(), why),
    }
}

/// A value that is a document of its own.
pub(super) fn content_value(
    reader: &mut Reader<'_>,
    kind: BodyKind,
    shape: Shape<'_>,
    text: &str,
) -> Result<NodeId, Unreadable> {
    match kind {
        BodyKind::Json => reader.arena.parse(text.as_bytes()).map_err(|_| Unreadable::Json),
        _ => Ok(reader.scalar(shape, text)),
    }
}

/// A value that is a form of its own, as the whole query of `in: querystring` mostly is.
fn form_value(reader: &mut Reader<'_>, shape: Shape<'_>, text: &str) -> Result<NodeId, Unreadable> {
    let pairs = query_pairs(text).into_iter();
    let fields: Fields<'_> = pairs.map(|Pair { key, value }| Field { key, value }).collect();
    reader.exploded_object(Decoding::Form, shape, &fields)
}

/// Whether the texts look like several values rather than one.
fn looks_like_many(plan: &ParameterPlan, fields: &Fields<'_>) -> bool {
    let ValueForm::Styled(form) = &plan.form else { return false };
    let first = fields.first().map_or("", |field| field.value);
    if form.repeats_key() {
        return fields.len() != 1 || fields.iter().any(|field| *field.key != *plan.name);
    }
    first.contains(form.separator()) || matches!(form.style, Style::Label | Style::Matrix)
}

pub(super) fn decoding_of(location: ParameterLocation) -> Decoding {
    match location {
        ParameterLocation::Query | ParameterLocation::QueryString => Decoding::Form,
        ParameterLocation::Path | ParameterLocation::Cookie => Decoding::Percent,
        ParameterLocation::Header => Decoding::None,
    }
}

/// Where violations of a parameter belong.
pub(super) fn place_of(plan: &ParameterPlan) -> Place<'_> {
    let location = match plan.location {
        ParameterLocation::Path => Location::Path,
        ParameterLocation::Query | ParameterLocation::QueryString => Location::Query,
        ParameterLocation::Header => Location::Header,
        ParameterLocation::Cookie => Location::Cookie,
    };
    Place { location, name: Some(&plan.name), pointer: &plan.pointer }
}

/// Notes every rule that a refused value breaks.
pub(super) fn explain(
    arena: &Arena,
    findings: &mut Findings<'_>,
    schema: Option<SchemaId>,
    place: Place<'_>,
    id: NodeId,
) {
    explain_at(arena, findings, schema, place, id, "");
}

/// The same for a value that is part of another one, at `prefix` of it.
pub(super) fn explain_at(
    arena: &Arena,
    findings: &mut Findings<'_>,
    schema: Option<SchemaId>,
    place: Place<'_>,
    id: NodeId,
    prefix: &str,
) {
    let Some(schema) = schema else { return };
    let code = findings.code(place.location, Rule::Schema);
    let subject = Subject { code, name: place.name.cloned() };
    findings.explain(schema, arena.node(id), &subject, prefix);
}
