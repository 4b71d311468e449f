//! JSON bodies: parsed once into the arena, validated there.

use super::undeclared;
use crate::json::Arena;
use crate::json::JsonErrorKind;
use crate::model::rule::Rule;
use crate::model::verdict::SkipReason;
use crate::model::violation::ViolationKind;
use crate::validation::decode::{DecodeFailure, decode_charset};
use crate::validation::media_type::BodyContext;
use crate::validation::value::{conforms, record_violations, refuse_repeated_keys};
use crate::validation::verdict_builder::VerdictBuilder;

pub(super) fn validate(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    // JSON is UTF-8 (RFC 8259 §8.1); where a sender names another charset, that one is used.
    let other = context.charset.filter(|charset| !charset.eq_ignore_ascii_case("utf-8"));
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match other {
        None => validate_text(arena, verdict, context, bytes),
        Some(charset) => match decode_charset(bytes, Some(charset)) {
            Ok(text) => validate_text(arena, verdict, context, text.as_bytes()),
            Err(DecodeFailure::Skip(reason)) => verdict.skip(reason),
            Err(DecodeFailure::Corrupt) => {
                verdict.add(
                    context.rule(),
                    ViolationKind::Malformed,
                    "the body is not in its charset",
                );
            }
        },
    }
}

fn validate_text(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    bytes: &[u8],
) {
    arena.clear();
    let id = match arena.parse(bytes) {
        Ok(id) => id,
        Err(error) if error.kind == JsonErrorKind::TooDeep => {
            return verdict.skip(SkipReason::WorkBudget);
        }
        Err(_) if context.assumed_json => return context.missing_content_type(verdict),
        Err(error) => {
            let message = format!("the body is not JSON: {error}");
            return verdict.add(context.rule(), ViolationKind::Malformed, message);
        }
    };
    verdict.observe_body(id);
    refuse_repeated_keys(arena, verdict, context.rule());
    let media = context.media;
    if !conforms(arena, verdict, media.schema, id) {
        record_violations(arena, verdict, media.schema, context.rule(), id);
    }
    if verdict.contract.is_strict(Rule::UndeclaredFields) {
        let shape = verdict.contract.shapes().get(media.shape);
        undeclared::record(verdict, context.rule(), shape, arena.node(id));
    }
}
