//! JSON bodies: parsed once into the arena, judged there.

use super::{BodyContext, not_guessed, undeclared};
use crate::contract::instance::Arena;
use crate::contract::instance::JsonErrorKind;
use crate::model::verdict::SkipReason;
use crate::model::violation::Rule;
use crate::validation::decode::{DecodeFailure, decode_charset};
use crate::validation::findings::Findings;
use crate::validation::value::{explain, judge as judge_value};

pub(super) fn judge(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    // JSON is UTF-8 (RFC 8259 §8.1); a sender that names another charset is taken at its word.
    let other = context.charset.filter(|charset| !charset.eq_ignore_ascii_case("utf-8"));
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match other {
        None => judge_text(arena, findings, context, bytes),
        Some(charset) => match decode_charset(bytes, Some(charset)) {
            Ok(text) => judge_text(arena, findings, context, text.as_bytes()),
            Err(DecodeFailure::Skip(reason)) => findings.skip(reason),
            Err(DecodeFailure::Corrupt) => {
                findings.add(context.place(), Rule::Malformed, "the body is not in its charset");
            }
        },
    }
}

fn judge_text(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    arena.clear();
    let id = match arena.parse(bytes) {
        Ok(id) => id,
        Err(error) if error.kind == JsonErrorKind::TooDeep => {
            return findings.skip(SkipReason::WorkBudget);
        }
        Err(_) if context.guessed => return not_guessed(findings, context),
        Err(error) => {
            let message = format!("the body is not JSON: {error}");
            return findings.add(context.place(), Rule::Malformed, message);
        }
    };
    findings.saw_body(id);
    let media = context.media;
    if !judge_value(arena, findings, media.schema, id) {
        explain(arena, findings, media.schema, context.place(), id);
    }
    if findings.contract.strict_fields() {
        let shape = findings.contract.shapes().get(media.shape);
        undeclared::note(findings, context.place(), shape, arena.node(id));
    }
}
