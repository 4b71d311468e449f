//! `multipart/form-data` bodies: an object whose properties are parts.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::form::{is_json, read_styled};
use super::multipart::{MultipartFailure, Part, split};
use super::{BodyContext, octets, undeclared, unsupported};
use crate::contract::encoding::{EncodingPlan, MediaPlan};
use crate::contract::instance::{Arena, NodeId};
use crate::contract::media_type::{BodyKind, MediaTypeRef};
use crate::contract::shape::{Shape, Types};
use crate::model::verdict::SkipReason;
use crate::model::violation::{Location, Rule};
use crate::validation::decode::decode_charset;
use crate::validation::findings::{Findings, Place};
use crate::validation::header::judge_field;
use crate::validation::parameter::Field;
use crate::validation::reading::{Attempts, Decoding, Kind, Reader, Unreadable};
use crate::validation::value::{Outcome, finish, settle};

pub(super) fn judge(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    let Some(boundary) = context.boundary else {
        let message = "Content-Type names no boundary";
        return findings.add(context.missing, Rule::Malformed, message);
    };
    let mut parts = match split(bytes, boundary) {
        Ok(parts) => parts,
        Err(MultipartFailure::TooManyParts) => return findings.skip(SkipReason::WorkBudget),
        Err(failure) => {
            return findings.add(context.place(), Rule::Malformed, sentence(failure));
        }
    };
    let media = context.media;
    if parts.iter().any(|part| part.name.is_empty()) {
        // Parts without names are members of no object.
        if media.schema.is_some() {
            unsupported(findings);
        }
        return;
    }
    let shape = findings.contract.shapes().get(media.shape);
    parts.sort_by(|a, b| a.name.cmp(&b.name));
    let outcome = settle(arena, findings, media.schema, Attempts::of(Kind::Object), |reader| {
        read(reader, media, shape, &parts)
    });
    finish(arena, findings, media.schema, context.place(), outcome);
    if let (Outcome::Accepted(id) | Outcome::Refused(id), true) =
        (outcome, findings.contract.strict_fields())
    {
        undeclared::note(findings, context.place(), shape, arena.node(id));
    }
    // judging the heads of parts uses the memory that the body lies in
    if let (Outcome::Accepted(id) | Outcome::Refused(id), true) =
        (outcome, media.encodings.is_empty())
    {
        findings.saw_body(id);
    }
    for part in &parts {
        if let Some(encoding) = media.encodings.get(&*part.name) {
            judge_part_head(arena, findings, encoding, part);
        }
    }
}

fn sentence(failure: MultipartFailure) -> &'static str {
    match failure {
        MultipartFailure::NoBoundary => "the body does not begin and end with its boundary",
        MultipartFailure::BrokenPart => "a part has no end of its header",
        MultipartFailure::TooManyParts => "there are too many parts",
    }
}

fn read(
    reader: &mut Reader<'_>,
    media: &MediaPlan,
    shape: Shape<'_>,
    parts: &[Part<'_>],
) -> Result<NodeId, Unreadable> {
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
    reader: &mut Reader<'_>,
    encoding: Option<&EncodingPlan>,
    shape: Shape<'_>,
    run: &[Part<'_>],
) -> Result<(), Unreadable> {
    let types = shape.types();
    if let (Some(form), [part]) = (encoding.and_then(|one| one.form.as_ref()), run)
        && !form.repeats_key()
        && encoding.is_some_and(|one| one.content_types.is_empty())
        && kind_of(encoding, part).is_none()
    {
        let text = text_of(shape, part)?;
        let fields: SmallVec<[Field<'_>; 1]> =
            smallvec![Field { key: Cow::Borrowed(&*part.name), value: &text }];
        return read_styled(reader, form, Decoding::None, shape, &part.name, &fields);
    }
    let is_list = types.intersects(Types::ARRAY) && (run.len() > 1 || !types.any_scalar());
    let is_whole = |part: &Part<'_>| part.content.trim_ascii_start().starts_with(b"[");
    match run {
        [part] if !is_list => return read_part(reader, encoding, shape, part),
        _ if !is_list && !types.is_any() => return Err(Unreadable::Repeated),
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
    reader: &mut Reader<'_>,
    encoding: Option<&EncodingPlan>,
    shape: Shape<'_>,
    part: &Part<'_>,
) -> Result<(), Unreadable> {
    if kind_of(encoding, part) == Some(BodyKind::Json) {
        return reader.arena.parse(part.content).map(|_| ()).map_err(|_| Unreadable::Json);
    }
    let text = text_of(shape, part)?;
    reader.leaf(shape, &text);
    Ok(())
}

/// How a part is read: as it says itself, else as its encoding says; `None` for plain text.
fn kind_of(encoding: Option<&EncodingPlan>, part: &Part<'_>) -> Option<BodyKind> {
    let own = part.header("content-type").and_then(MediaTypeRef::parse).map(|own| own.kind());
    let documented = || encoding.filter(|encoding| is_json(encoding)).map(|_| BodyKind::Json);
    own.filter(|kind| *kind != BodyKind::Text).or_else(documented)
}

fn text_of<'b>(shape: Shape<'_>, part: &Part<'b>) -> Result<Cow<'b, str>, Unreadable> {
    let own = part.header("content-type").and_then(MediaTypeRef::parse);
    let is_text = own.is_none_or(|own| own.kind() == BodyKind::Text);
    if shape.is_binary() || !is_text {
        return Ok(octets(part.content));
    }
    let charset = own.and_then(|own| own.parameter("charset"));
    decode_charset(part.content, charset).map_err(|_| Unreadable::NotText)
}

/// The media type and header fields of one part.
fn judge_part_head(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    encoding: &EncodingPlan,
    part: &Part<'_>,
) {
    let sent = part.header("content-type").and_then(MediaTypeRef::parse);
    if let Some(sent) = sent
        && !encoding.content_types.is_empty()
        && !encoding.content_types.iter().any(|range| range.matches(&sent))
    {
        let place = Place { location: Location::MediaType, name: None, pointer: &encoding.pointer };
        let at = crate::contract::document::pointer::join("", &part.name);
        let message = "the document does not list this media type for the part";
        findings.add_at(place, Rule::Undocumented, at, message);
    }
    for header in &encoding.headers {
        judge_field(arena, findings, header, part.header(&header.name));
    }
}
