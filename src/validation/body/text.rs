//! Texts and bytes, judged as one string, number or boolean.

use super::{BodyContext, octets, unsupported};
use crate::contract::instance::Arena;
use crate::contract::shape::Types;
use crate::validation::findings::Findings;
use crate::validation::reading::{Attempts, Kind};
use crate::validation::value::{finish, settle};

/// A text; what is neither string, number nor boolean has no defined form in it.
pub(super) fn judge(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    context: &BodyContext<'_>,
    text: &str,
) {
    let media = context.media;
    if media.schema.is_none() {
        return;
    }
    let shape = findings.contract.shapes().get(media.shape);
    if !shape.types().any_scalar() {
        return unsupported(findings);
    }
    let attempts = Attempts::of(Kind::Primitive);
    let outcome =
        settle(arena, findings, media.schema, attempts, |reader| Ok(reader.scalar(shape, text)));
    finish(arena, findings, media.schema, context.place(), outcome);
}

/// Bytes, judged as a string whose length counts bytes.
pub(super) fn judge_binary(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    let media = context.media;
    if media.schema.is_none() {
        return;
    }
    if !findings.contract.shapes().get(media.shape).types().intersects(Types::STRING) {
        return unsupported(findings);
    }
    let attempts = Attempts::of(Kind::Primitive);
    let outcome = settle(arena, findings, media.schema, attempts, |reader| {
        Ok(reader.arena.string(&octets(bytes)))
    });
    finish(arena, findings, media.schema, context.place(), outcome);
}
