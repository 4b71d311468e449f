//! Bodies: decoded on a copy, then read the way their media type asks for.

mod form;
mod json;
mod multipart;
mod multipart_parser;
mod stream;
mod text;
mod undeclared;
mod xml;
mod yaml;

use http::HeaderMap;

use super::decode::{DecodeFailure, decode_charset, decode_content};
use super::media_type::BodyContext;
use super::verdict_builder::VerdictBuilder;
use crate::contract::media_type::BodyKind;
use crate::json::Arena;
use crate::model::exchange::CapturedBody;
use crate::model::violation::ViolationKind;

/// Validates a complete body that is not empty.
pub(super) fn validate(
    arena: &mut Arena,
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    headers: &HeaderMap,
    captured: &CapturedBody,
    decoded_limit: usize,
) {
    let bytes = match decode_content(headers, captured.bytes(), decoded_limit) {
        Ok(bytes) => bytes,
        Err(failure) => return decode_failed(verdict, context, failure, "Content-Encoding"),
    };
    match context.kind {
        BodyKind::Json => json::validate(arena, verdict, context, &bytes),
        BodyKind::Multipart => multipart::validate(arena, verdict, context, &bytes),
        BodyKind::Binary => text::validate_binary(arena, verdict, context, &bytes),
        kind => {
            let text = match decode_charset(&bytes, context.charset) {
                Ok(text) => text,
                Err(failure) => return decode_failed(verdict, context, failure, "charset"),
            };
            match kind {
                BodyKind::Form => form::validate(arena, verdict, context, &text),
                BodyKind::Yaml => yaml::validate(arena, verdict, context, &text),
                BodyKind::Xml => xml::validate(arena, verdict, context, &text),
                BodyKind::JsonSequence => stream::validate_sequence(arena, verdict, context, &text),
                BodyKind::EventStream => stream::validate_events(arena, verdict, context, &text),
                _ => text::validate(arena, verdict, context, &text),
            }
        }
    }
}

fn decode_failed(
    verdict: &mut VerdictBuilder<'_>,
    context: &BodyContext<'_>,
    failure: DecodeFailure,
    what: &str,
) {
    match failure {
        DecodeFailure::Skip(reason) => verdict.skip(reason),
        DecodeFailure::Corrupt => {
            let message = format!("the body cannot be decoded as its {what} says");
            verdict.add(context.rule(), ViolationKind::Malformed, message);
        }
    }
}
