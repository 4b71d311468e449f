//! `multipart/form-data` bodies: an object whose properties are parts.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::form::{is_json, read_styled};
use super::multipart_parser::{MultipartFailure, Part, split};
use super::undeclared;
use crate::contract::encoding::{EncodingPlan, MediaPlan};
use crate::contract::media_type::{BodyKind, MediaRange, MediaTypeRef};
use crate::contract::shape::{Shape, Types};
use crate::json::{Arena, NodeId};
use crate::model::rule::Rule;
use crate::model::verdict::SkipReason;
use crate::model::violation::{Location, ViolationKind};
use crate::validation::decode::{decode_charset, utf8_or_latin1};
use crate::validation::header::validate_field;
use crate::validation::media_type::BodyContext;
use crate::validation::names::quoted;
use crate::validation::parameter::SentValue;
use crate::validation::undocumented;
use crate::validation::value::{
    ReadingOutcome, record_outcome, refuse_repeated_keys, try_readings,
};
use crate::validation::value_reader::{Decoding, ReadAttempts, ReadError, ValueKind, ValueReader};
use crate::validation::verdict_builder::{RuleLocation, VerdictBuilder};

pub(super) fn validate(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    let Some(boundary) = context.boundary else {
        let message = "header \"Content-Type\" names no boundary for the parts of the body";
        return verdict.add(context.missing, ViolationKind::Malformed, message);
    };
    let mut parts = match split(bytes, boundary) {
        Ok(parts) => parts,
        Err(MultipartFailure::TooManyParts) => return verdict.skip(SkipReason::WorkBudget),
        Err(failure) => {
            return verdict.add(context.rule(), ViolationKind::Malformed, sentence(failure));
        }
    };
    let media = context.media;
    if parts.iter().any(|part| part.name.is_empty()) {
        // Parts without names are members of no object.
        if media.schema.is_some() {
            verdict.skip(SkipReason::UnsupportedMediaType);
        }
        return;
    }
    let shape = verdict.contract.shapes().get(media.shape);
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let outcome =
        try_readings(arena, verdict, media.schema, ReadAttempts::of(ValueKind::Object), |reader| {
            read(reader, media, shape, &parts)
        });
    record_outcome(arena, verdict, media.schema, context.rule(), outcome);
    refuse_repeated_keys(arena, verdict, context.rule());
    if let (ReadingOutcome::Accepted(id) | ReadingOutcome::Refused(id), true) =
        (outcome, verdict.contract.is_strict(Rule::UndeclaredFields))
    {
        undeclared::record(verdict, context.rule(), shape, arena.node(id));
    }
    // validating the heads of parts overwrites the arena that the body is in
    if let (ReadingOutcome::Accepted(id) | ReadingOutcome::Refused(id), true) =
        (outcome, media.encodings.is_empty())
    {
        verdict.observe_body(id);
    }
    for part in &parts {
        if let Some(encoding) = media.encodings.get(&*part.name) {
            validate_part_head(arena, verdict, encoding, part);
        }
    }
}

fn sentence(failure: MultipartFailure) -> &'static str {
    match failure {
        MultipartFailure::NoBoundary => "the body does not begin and end with its boundary",
        MultipartFailure::BrokenPart => "the body has a part whose header does not end",
        MultipartFailure::TooManyParts => "the body has too many parts",
    }
}

fn read(
    reader: &mut ValueReader<'_>,
    media: &MediaPlan,
    shape: Shape<'_>,
    parts: &[Part<'_>],
) -> Result<NodeId, ReadError> {
    reader.arena.begin_object();
    let mut read = Ok(());
    for run in parts.chunk_by(|a, b| a.name == b.name) {
        let Some(first) = run.first() else { continue };
        reader.arena.key(&first.name);
        let property = shape.property(&first.name).unwrap_or(shape.unknown());
        read = read_property(reader, media.encodings.get(&*first.name), property, run);
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
    run: &[Part<'_>],
) -> Result<(), ReadError> {
    let types = shape.types();
    if let (Some(form), [part]) = (encoding.and_then(|one| one.form.as_ref()), run)
        && !form.repeats_key()
        && encoding.is_some_and(|one| one.content_types.is_empty())
        && kind_of(encoding, part).is_none()
    {
        let text = text_of(shape, part)?;
        let fields: SmallVec<[SentValue<'_>; 1]> =
            smallvec![SentValue { key: Cow::Borrowed(&*part.name), value: &text }];
        return read_styled(reader, form, Decoding::None, shape, &part.name, &fields);
    }
    let is_list = types.intersects(Types::ARRAY) && (run.len() > 1 || !types.any_scalar());
    let is_whole = |part: &Part<'_>| part.content.trim_ascii_start().starts_with(b"[");
    match run {
        [part] if !is_list => return read_part(reader, encoding, shape, part),
        _ if !is_list && !types.is_any() => return Err(ReadError::Repeated),
        // Files are one part each, whatever is in them.
        [_] if shape.item(0).is_some_and(|item| item.is_binary()) => {}
        [part] if is_whole(part) && kind_of(encoding, part) == Some(BodyKind::Json) => {
            return read_part(reader, encoding, shape, part);
        }
        // An array sent whole is JSON by default from OpenAPI 3.0.4 on; before, items were parts.
        [part] if is_whole(part) && reader.arena.parse(part.content).is_ok() => return Ok(()),
        _ => {}
    }
    reader.arena.begin_array();
    let mut read = Ok(());
    for (at, part) in run.iter().enumerate() {
        let item = shape.item(at).unwrap_or(shape.unknown());
        read = read_part(reader, encoding, item, part);
        if read.is_err() {
            break;
        }
    }
    reader.arena.end();
    read
}

fn read_part(
    reader: &mut ValueReader<'_>,
    encoding: Option<&EncodingPlan>,
    shape: Shape<'_>,
    part: &Part<'_>,
) -> Result<(), ReadError> {
    if asks_for_json(encoding, shape, part) {
        let is_text_too = shape.types().intersects(Types::STRING);
        match reader.arena.parse(part.content) {
            Ok(_) => return Ok(()),
            // A file of another kind in the place of a JSON text.
            Err(_) if is_text_too && !encoding.is_some_and(is_json) => {}
            Err(_) => return Err(ReadError::Json),
        }
    }
    let text = text_of(shape, part)?;
    reader.leaf(shape, &text);
    Ok(())
}

/// Whether a part that says that it is JSON is read as such: where its encoding or its schema asks
/// for JSON. To a schema of bytes or text it is a file that happens to be JSON, except for a text
/// that is itself written as JSON.
fn asks_for_json(encoding: Option<&EncodingPlan>, shape: Shape<'_>, part: &Part<'_>) -> bool {
    let types = shape.types();
    let is_quoted = || part.content.trim_ascii_start().starts_with(b"\"");
    let schema_asks = || {
        !shape.is_binary()
            && (types.intersects(Types::OBJECT | Types::ARRAY)
                || !types.intersects(Types::STRING)
                || is_quoted())
    };
    kind_of(encoding, part) == Some(BodyKind::Json)
        && (encoding.is_some_and(is_json) || schema_asks())
}

/// How a part is read: as it says itself, else as its encoding says; `None` for plain text.
fn kind_of(encoding: Option<&EncodingPlan>, part: &Part<'_>) -> Option<BodyKind> {
    let own = part.header("content-type").and_then(MediaTypeRef::parse).map(|own| own.kind());
    let documented = || encoding.filter(|encoding| is_json(encoding)).map(|_| BodyKind::Json);
    own.filter(|kind| *kind != BodyKind::Text).or_else(documented)
}

fn text_of<'b>(shape: Shape<'_>, part: &Part<'b>) -> Result<Cow<'b, str>, ReadError> {
    let own = part.header("content-type").and_then(MediaTypeRef::parse);
    let is_text = own.is_none_or(|own| own.kind() == BodyKind::Text);
    if shape.is_binary() || !is_text {
        return Ok(utf8_or_latin1(part.content));
    }
    let charset = own.and_then(|own| own.parameter("charset"));
    decode_charset(part.content, charset).map_err(|_| ReadError::NotText)
}

/// The media type and header fields of one part.
fn validate_part_head(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    encoding: &EncodingPlan,
    part: &Part<'_>,
) {
    let sent = part.header("content-type").and_then(MediaTypeRef::parse);
    if let Some(sent) = sent
        && !encoding.content_types.is_empty()
        && !encoding.content_types.iter().any(|range| range.matches(&sent))
    {
        let rule =
            RuleLocation { location: Location::MediaType, name: None, pointer: &encoding.pointer };
        let at = crate::json::pointer::join("", &part.name);
        let of = format!("part {}", quoted(&part.name));
        let documented = encoding.content_types.iter().map(MediaRange::as_str);
        let found = undocumented::media_type(&verdict.redactor, documented, &sent, &of);
        verdict.add_undocumented(rule, at, found);
    }
    for header in &encoding.headers {
        validate_field(arena, verdict, header, part.header(&header.name));
    }
}
