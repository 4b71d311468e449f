//! Values of parameters, headers and parts: read in every way their schema allows, then validated.

use std::sync::Arc;

use super::pairs::{Pair, query_pairs};
use super::parameter::{SentValue, SentValues};
use super::schema_violations::ViolationSubject;
use super::value_reader::{Decoding, ReadAttempt, ReadAttempts, ReadError, ValueKind, ValueReader};
use super::verdict_builder::{RuleLocation, VerdictBuilder};
use crate::contract::media_type::BodyKind;
use crate::contract::parameter::{EmptyValue, ParameterPlan, ValueForm};
use crate::contract::schema::{SchemaIndex, SchemaOutcome};
use crate::contract::serialization::{ParameterLocation, Serialization, Style};
use crate::contract::shape::Shape;
use crate::json::{Arena, NodeId};
use crate::model::rule::Rule;
use crate::model::verdict::SkipReason;
use crate::model::violation::{Location, ViolationKind};

/// The result of reading and validating one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadingOutcome {
    /// Some reading conforms, or could not be decided; the value was written as `NodeId`.
    Accepted(NodeId),
    /// No reading conforms; the first one that could be read was written as `NodeId`.
    Refused(NodeId),
    /// The value cannot be read.
    Failed(ReadError),
}

/// Tries the readings of a value until one conforms. `read` writes one reading into the arena.
pub(super) fn try_readings(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    schema: Option<SchemaIndex>,
    mut attempts: ReadAttempts,
    mut read: impl FnMut(&mut ValueReader<'_>) -> Result<NodeId, ReadError>,
) -> ReadingOutcome {
    let first = attempts.first();
    let mut attempt = first;
    let mut failure = None;
    let mut readable = None;
    loop {
        arena.clear();
        let mut reader = ValueReader::new(arena, attempt);
        let result = read(&mut reader);
        let ambiguities = reader.ambiguities;
        match result {
            Ok(id) => {
                readable.get_or_insert(attempt);
                if conforms(arena, verdict, schema, id) {
                    return ReadingOutcome::Accepted(id);
                }
            }
            Err(error) => _ = failure.get_or_insert(error),
        }
        match attempts.after(attempt, ambiguities) {
            Some(next) => attempt = next,
            None => break,
        }
    }
    match (readable, failure) {
        (Some(readable), _) => write_reading(arena, readable, read),
        (None, failure) => ReadingOutcome::Failed(failure.unwrap_or(ReadError::Style)),
    }
}

/// Writes a reading write_reading, to record its violations.
fn write_reading(
    arena: &mut Arena,
    attempt: ReadAttempt,
    mut read: impl FnMut(&mut ValueReader<'_>) -> Result<NodeId, ReadError>,
) -> ReadingOutcome {
    arena.clear();
    match read(&mut ValueReader::new(arena, attempt)) {
        Ok(id) => ReadingOutcome::Refused(id),
        Err(error) => ReadingOutcome::Failed(error),
    }
}

/// Whether a value conforms. A value that could not be decided counts as one and is recorded as skipped.
pub(super) fn conforms(
    arena: &Arena,
    verdict: &mut VerdictBuilder<'_>,
    schema: Option<SchemaIndex>,
    id: NodeId,
) -> bool {
    let Some(schema) = schema else { return true };
    match verdict.contract.schemas().validate(schema, arena.node(id)) {
        SchemaOutcome::Valid => true,
        SchemaOutcome::ValidButUnenforceable => {
            verdict.skip(SkipReason::Document);
            true
        }
        SchemaOutcome::Undecided(reason) => {
            verdict.skip(reason);
            true
        }
        SchemaOutcome::Invalid => false,
    }
}

/// A parameter or header with the texts sent for it. There is at least one text, except for
/// objects whose properties are keys of their own. A list or an object in a form that is not read
/// here, such as XML, is skipped.
pub(super) fn validate_parameter(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    plan: &ParameterPlan,
    fields: &SentValues<'_>,
) {
    let rule = rule_of(plan);
    if plan.empty != EmptyValue::Validated && fields.iter().all(|field| field.value.is_empty()) {
        return record_empty_value(verdict, plan, rule);
    }
    let shape = verdict.contract.shapes().get(plan.shape);
    let decoding = decoding_of(plan.location);
    let outcome = match &plan.form {
        ValueForm::Content(BodyKind::Form) => {
            let decoding = match plan.location {
                ParameterLocation::QueryString => Decoding::None,
                _ => decoding,
            };
            let attempts = ReadAttempts::of(ValueKind::Object);
            try_readings(arena, verdict, plan.schema, attempts, |reader| {
                let [field] = fields.as_slice() else { return Err(ReadError::Repeated) };
                form_value(reader, shape, &decoding.decode(field.value)?)
            })
        }
        ValueForm::Content(kind) => {
            let kind = *kind;
            // A list or an object in a form that is not read here, such as XML.
            if kind != BodyKind::Json && !shape.types().any_scalar() {
                return verdict.skip(SkipReason::UnsupportedMediaType);
            }
            let attempts = ReadAttempts::of(ValueKind::Primitive);
            try_readings(arena, verdict, plan.schema, attempts, |reader| {
                let [field] = fields.as_slice() else { return Err(ReadError::Repeated) };
                let text = decoding.decode(field.value)?;
                content_value(reader, kind, shape, &text)
            })
        }
        ValueForm::Styled(form) => {
            let many = looks_like_many(plan, fields);
            let decoding = if form.style == Style::Cookie { Decoding::None } else { decoding };
            let attempts = match form.style {
                Style::DeepObject => ReadAttempts::of(ValueKind::Object),
                _ => ReadAttempts::new(shape.types(), many),
            };
            try_readings(arena, verdict, plan.schema, attempts, |reader| {
                reader.styled(form, decoding, shape, &plan.name, fields)
            })
        }
    };
    refuse_repeated_keys_of(plan, arena, verdict);
    match (&outcome, &plan.form) {
        (ReadingOutcome::Failed(ReadError::Style), ValueForm::Styled(form)) => {
            record_other_style(verdict, rule, form);
        }
        _ => record_outcome(arena, verdict, plan.schema, rule, outcome),
    }
}

fn record_empty_value(
    verdict: &mut VerdictBuilder<'_>,
    plan: &ParameterPlan,
    rule: RuleLocation<'_>,
) {
    if plan.empty == EmptyValue::Refused {
        let label = rule.label();
        let message = format!("{label} is sent without a value, which the document does not allow");
        verdict.add(rule, ViolationKind::Malformed, message);
    }
}

fn record_other_style(
    verdict: &mut VerdictBuilder<'_>,
    rule: RuleLocation<'_>,
    form: &Serialization,
) {
    let (label, style, explode) = (rule.label(), form.style.as_str(), form.explode);
    let message =
        format!("{label} is not written in the documented style {style} with explode {explode}");
    verdict.add(rule, ViolationKind::Malformed, message);
}

fn refuse_repeated_keys_of(plan: &ParameterPlan, arena: &Arena, verdict: &mut VerdictBuilder<'_>) {
    if matches!(plan.form, ValueForm::Content(BodyKind::Json)) {
        refuse_repeated_keys(arena, verdict, rule_of(plan));
    }
}

/// Records the violations of an outcome.
pub(super) fn record_outcome(
    arena: &Arena,
    verdict: &mut VerdictBuilder<'_>,
    schema: Option<SchemaIndex>,
    rule: RuleLocation<'_>,
    outcome: ReadingOutcome,
) {
    match outcome {
        ReadingOutcome::Accepted(_) => {}
        ReadingOutcome::Refused(id) => record_violations(arena, verdict, schema, rule, id),
        ReadingOutcome::Failed(why) => verdict.record_read_error(rule, String::new(), why),
    }
}

/// Records a violation where an object of the JSON just read has a key twice: readers differ in
/// which of the two counts.
pub(super) fn refuse_repeated_keys(
    arena: &Arena,
    verdict: &mut VerdictBuilder<'_>,
    rule: RuleLocation<'_>,
) {
    if arena.repeated_key().is_some() && verdict.contract.is_strict(Rule::DuplicateKeys) {
        let message = format!("{} has an object with the same key twice", rule.label());
        verdict.add(rule, ViolationKind::Malformed, message);
    }
}

/// A value that is a document of its own.
pub(super) fn content_value(
    reader: &mut ValueReader<'_>,
    kind: BodyKind,
    shape: Shape<'_>,
    text: &str,
) -> Result<NodeId, ReadError> {
    match kind {
        BodyKind::Json => reader.arena.parse(text.as_bytes()).map_err(|_| ReadError::Json),
        _ => Ok(reader.scalar(shape, text)),
    }
}

/// A value that is a form of its own, as the whole query of `in: querystring` mostly is.
fn form_value(
    reader: &mut ValueReader<'_>,
    shape: Shape<'_>,
    text: &str,
) -> Result<NodeId, ReadError> {
    let pairs = query_pairs(text).into_iter();
    let fields: SentValues<'_> =
        pairs.map(|Pair { key, value }| SentValue { key, value }).collect();
    reader.exploded_object(Decoding::Form, shape, &fields)
}

/// Whether the texts look like several values rather than one.
fn looks_like_many(plan: &ParameterPlan, fields: &SentValues<'_>) -> bool {
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
pub(super) fn rule_of(plan: &ParameterPlan) -> RuleLocation<'_> {
    let location = match plan.location {
        ParameterLocation::Path => Location::Path,
        ParameterLocation::Query | ParameterLocation::QueryString => Location::Query,
        ParameterLocation::Header => Location::Header,
        ParameterLocation::Cookie => Location::Cookie,
    };
    RuleLocation { location, name: Some(&plan.name), pointer: &plan.pointer }
}

/// Records a violation for every rule that a value breaks.
pub(super) fn record_violations(
    arena: &Arena,
    verdict: &mut VerdictBuilder<'_>,
    schema: Option<SchemaIndex>,
    rule: RuleLocation<'_>,
    id: NodeId,
) {
    record_violations_at(arena, verdict, schema, rule, id, "");
}

/// The same for a value that is part of another one, at `prefix` of it.
pub(super) fn record_violations_at(
    arena: &Arena,
    verdict: &mut VerdictBuilder<'_>,
    schema: Option<SchemaIndex>,
    rule: RuleLocation<'_>,
    id: NodeId,
    prefix: &str,
) {
    let Some(schema) = schema else { return };
    let code = verdict.code(rule.location, ViolationKind::Schema);
    let (name, redactor) = (rule.name.cloned(), Arc::clone(&verdict.redactor));
    let subject = ViolationSubject { code, name, prefix: prefix.to_owned(), redactor };
    verdict.record_schema_violations(schema, arena.node(id), &subject);
}
