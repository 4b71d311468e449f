//! Texts and bytes, validated as one string, number or boolean.

use crate::contract::shape::Types;
use crate::json::Arena;
use crate::model::verdict::SkipReason;
use crate::validation::decode::utf8_or_latin1;
use crate::validation::media_type::BodyContext;
use crate::validation::value::{record_outcome, try_readings};
use crate::validation::value_reader::{ReadAttempts, ValueKind};
use crate::validation::verdict_builder::VerdictBuilder;

/// A text; what is neither string, number nor boolean has no defined form in it.
pub(super) fn validate(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    text: &str,
) {
    let media = context.media;
    if media.schema.is_none() {
        return;
    }
    let shape = verdict.contract.shapes().get(media.shape);
    if !shape.types().any_scalar() {
        return verdict.skip(SkipReason::UnsupportedMediaType);
    }
    let attempts = ReadAttempts::of(ValueKind::Primitive);
    let outcome = try_readings(arena, verdict, media.schema, attempts, |reader| {
        Ok(reader.scalar(shape, text))
    });
    record_outcome(arena, verdict, media.schema, context.rule(), outcome);
}

/// Bytes, validated as a string whose length counts bytes.
pub(super) fn validate_binary(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    let media = context.media;
    if media.schema.is_none() {
        return;
    }
    if !verdict.contract.shapes().get(media.shape).types().intersects(Types::STRING) {
        return verdict.skip(SkipReason::UnsupportedMediaType);
    }
    let attempts = ReadAttempts::of(ValueKind::Primitive);
    let outcome = try_readings(arena, verdict, media.schema, attempts, |reader| {
        Ok(reader.arena.string(&utf8_or_latin1(bytes)))
    });
    record_outcome(arena, verdict, media.schema, context.rule(), outcome);
}
