//! Bodies: decoded on a copy, then read the way their media type asks for.

mod form;
mod json;
mod multipart;
mod parts;
mod stream;
mod text;
mod undeclared;
mod xml;

use std::borrow::Cow;

use http::HeaderMap;

use super::decode::{DecodeFailure, decode_charset, decode_content};
use super::findings::{Findings, Place};
use super::media_type::MISSING;
use crate::contract::encoding::MediaPlan;
use crate::contract::instance::Arena;
use crate::contract::media_type::BodyKind;
use crate::model::exchange::Captured;
use crate::model::verdict::SkipReason;
use crate::model::violation::{Location, Rule};

/// What is known of a body before it is read.
pub(super) struct BodyContext<'c> {
    pub(super) media: &'c MediaPlan,
    pub(super) kind: BodyKind,
    /// No `Content-Type` was sent; JSON is a guess that the body has to bear out.
    pub(super) guessed: bool,
    pub(super) charset: Option<&'c str>,
    pub(super) boundary: Option<&'c str>,
    /// Where the missing `Content-Type` is noted.
    pub(super) missing: Place<'c>,
}

// === impl BodyContext ===

impl<'c> BodyContext<'c> {
    /// Where violations of the body belong.
    fn place(&self) -> Place<'c> {
        Place { location: Location::Body, name: None, pointer: &self.media.pointer }
    }
}

/// Judges a complete body that is not empty.
pub(super) fn judge(
    arena: &mut Arena,
    findings: &mut Findings<'_>,
    context: &BodyContext<'_>,
    headers: &HeaderMap,
    captured: &Captured,
    decoded_limit: usize,
) {
    let bytes = match decode_content(headers, captured.bytes(), decoded_limit) {
        Ok(bytes) => bytes,
        Err(failure) => return failed(findings, context, failure, "Content-Encoding"),
    };
    match context.kind {
        BodyKind::Json => json::judge(arena, findings, context, &bytes),
        BodyKind::Multipart => parts::judge(arena, findings, context, &bytes),
        BodyKind::Binary => text::judge_binary(arena, findings, context, &bytes),
        kind => {
            let text = match decode_charset(&bytes, context.charset) {
                Ok(text) => text,
                Err(failure) => return failed(findings, context, failure, "charset"),
            };
            match kind {
                BodyKind::Form => form::judge(arena, findings, context, &text),
                BodyKind::Xml => xml::judge(arena, findings, context, &text),
                BodyKind::JsonSequence => stream::judge_sequence(arena, findings, context, &text),
                BodyKind::EventStream => stream::judge_events(arena, findings, context, &text),
                _ => text::judge(arena, findings, context, &text),
            }
        }
    }
}

fn failed(
    findings: &mut Findings<'_>,
    context: &BodyContext<'_>,
    failure: DecodeFailure,
    what: &str,
) {
    match failure {
        DecodeFailure::Skip(reason) => findings.skip(reason),
        DecodeFailure::Corrupt => {
            let message = format!("the body is not what {what} says");
            findings.add(context.place(), Rule::Malformed, message);
        }
    }
}

/// Notes that a body is of a media type whose schema cannot be asked.
fn unsupported(findings: &mut Findings<'_>) {
    findings.skip(SkipReason::UnsupportedMediaType);
}

/// Notes a guess that the body did not bear out.
fn not_guessed(findings: &mut Findings<'_>, context: &BodyContext<'_>) {
    findings.add(context.missing, Rule::Missing, MISSING);
}

/// Bytes as text: UTF-8 where they are, else one character per byte, so that lengths count bytes.
fn octets(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}
