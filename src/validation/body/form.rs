//! `application/x-www-form-urlencoded` bodies: an object whose properties are keys.

use smallvec::SmallVec;

use super::undeclared;
use crate::contract::encoding::{EncodingPlan, MediaPlan};
use crate::contract::media_type::BodyKind;
use crate::contract::serialization::{Serialization, Style};
use crate::contract::shape::{Shape, Types};
use crate::json::{Arena, NodeId};
use crate::model::rule::Rule;
use crate::validation::media_type::BodyContext;
use crate::validation::pairs::{Pair, query_pairs};
use crate::validation::parameter::SentValue;
use crate::validation::value::{ReadingOutcome, record_outcome, try_readings};
use crate::validation::value_reader::{Decoding, ReadAttempts, ReadError, ValueKind, ValueReader};
use crate::validation::verdict_builder::VerdictBuilder;

/// One pair and the property it belongs to.
struct FormField<'m> {
    property: &'m str,
    field: SentValue<'m>,
}

pub(super) fn validate(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    text: &str,
) {
    let media = context.media;
    let shape = verdict.contract.shapes().get(media.shape);
    let pairs = query_pairs(text);
    let mut form_fields: Vec<FormField<'_>> =
        pairs.iter().map(|pair| assign_property(media, shape, pair)).collect();
    form_fields.sort_by(|a, b| a.property.cmp(b.property));
    let outcome =
        try_readings(arena, verdict, media.schema, ReadAttempts::of(ValueKind::Object), |reader| {
            read(reader, media, shape, &form_fields)
        });
    record_outcome(arena, verdict, media.schema, context.rule(), outcome);
    if let ReadingOutcome::Accepted(id) | ReadingOutcome::Refused(id) = outcome {
        verdict.observe_body(id);
        if verdict.contract.is_strict(Rule::UndeclaredFields) {
            undeclared::record(verdict, context.rule(), shape, arena.node(id));
        }
    }
}

/// The property that a key belongs to: its own, or one whose members are keys themselves.
fn assign_property<'m>(
    media: &'m MediaPlan,
    shape: Shape<'_>,
    pair: &'m Pair<'m>,
) -> FormField<'m> {
    let field = SentValue { key: pair.key.clone(), value: pair.value };
    let property = if shape.names_property(&pair.key) {
        None
    } else {
        media.encodings.iter().find_map(|(name, encoding)| {
            let form = encoding.form.as_ref()?;
            let property = shape.property(name)?;
            member_of(form, name, property, &pair.key).then_some(&**name)
        })
    };
    FormField { property: property.unwrap_or(&pair.key), field }
}

fn member_of(form: &Serialization, name: &str, shape: Shape<'_>, key: &str) -> bool {
    if form.style == Style::DeepObject {
        return key.strip_prefix(name).is_some_and(|rest| rest.starts_with('['));
    }
    let types = shape.types();
    form.repeats_key()
        && types.intersects(Types::OBJECT)
        && !types.is_any()
        && shape.names_property(key)
}

fn read(
    reader: &mut ValueReader<'_>,
    media: &MediaPlan,
    shape: Shape<'_>,
    form_fields: &[FormField<'_>],
) -> Result<NodeId, ReadError> {
    reader.arena.begin_object();
    let mut read = Ok(());
    for run in form_fields.chunk_by(|a, b| a.property == b.property) {
        let Some(first) = run.first() else { continue };
        reader.arena.key(first.property);
        let property = shape.property(first.property).unwrap_or(shape.unknown());
        let encoding = media.encodings.get(first.property);
        let fields: SmallVec<[SentValue<'_>; 4]> =
            run.iter().map(|one| one.field.clone()).collect();
        read = read_property(reader, encoding, property, first.property, &fields);
        if read.is_err() {
            break;
        }
    }
    let id = reader.arena.end();
    read.map(|()| id)
}

fn read_property(
    reader: &mut ValueReader<'_>,
    encoding: Option<&EncodingPlan>,
    shape: Shape<'_>,
    name: &str,
    fields: &[SentValue<'_>],
) -> Result<(), ReadError> {
    if encoding.is_some_and(|encoding| encoding.reserved_refused)
        && fields.iter().any(|field| has_reserved(field.value))
    {
        return Err(ReadError::Reserved);
    }
    if encoding.is_some_and(is_json) {
        return read_json(reader, shape, fields);
    }
    if let Some(form) = encoding.and_then(|encoding| encoding.form.as_ref()) {
        return read_styled(reader, form, Decoding::Form, shape, name, fields);
    }
    let values = fields.iter().map(|field| field.value);
    reader.repeated(Decoding::Form, shape, values, fields.len())
}

/// A field in a style of the specification, as the kind that its schema asks for.
pub(super) fn read_styled(
    reader: &mut ValueReader<'_>,
    form: &Serialization,
    decoding: Decoding,
    shape: Shape<'_>,
    name: &str,
    fields: &[SentValue<'_>],
) -> Result<(), ReadError> {
    let types = shape.types();
    let outer = reader.attempt.kind;
    reader.attempt.kind = if types.any_scalar() && (fields.len() == 1 || types.is_any()) {
        ValueKind::Primitive
    } else if types.intersects(Types::ARRAY) {
        ValueKind::Array
    } else if types.intersects(Types::OBJECT) {
        ValueKind::Object
    } else {
        ValueKind::Primitive
    };
    let read = reader.styled(form, decoding, shape, name, fields);
    reader.attempt.kind = outer;
    read.map(|_| ())
}

/// Whether a field is JSON by its encoding.
pub(super) fn is_json(encoding: &EncodingPlan) -> bool {
    matches!(encoding.content_types.as_slice(), [one] if one.kind() == BodyKind::Json)
}

fn read_json(
    reader: &mut ValueReader<'_>,
    shape: Shape<'_>,
    fields: &[SentValue<'_>],
) -> Result<(), ReadError> {
    let types = shape.types();
    let whole = |text: &str| !types.intersects(Types::ARRAY) || text.trim_start().starts_with('[');
    if let [field] = fields {
        let text = Decoding::Form.decode(field.value)?;
        if whole(&text) || types.any_scalar() {
            return reader.arena.parse(text.as_bytes()).map(|_| ()).map_err(|_| ReadError::Json);
        }
    } else if !types.intersects(Types::ARRAY) {
        return Err(ReadError::Repeated);
    }
    reader.arena.begin_array();
    let mut read = Ok(());
    for field in fields {
        read = Decoding::Form.decode(field.value).and_then(|text| {
            reader.arena.parse(text.as_bytes()).map(|_| ()).map_err(|_| ReadError::Json)
        });
        if read.is_err() {
            break;
        }
    }
    reader.arena.end();
    read
}

/// Reserved characters of RFC 3986 §2.2 that the form encoding leaves to be percent-encoded.
fn has_reserved(value: &str) -> bool {
    value.contains([':', '/', '?', '#', '[', ']', '@', '!', '$', '\'', '(', ')', ';'])
}
