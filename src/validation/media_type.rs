//! Which documented media type a message is of.
//!
//! A body without `Content-Type` is taken for JSON where the document lists a JSON type (or a
//! range that covers one) and the body parses as JSON; otherwise its absence is a violation
//! (`media_type.missing`). A field that is no media type is `malformed`, one that the document
//! does not list is `undocumented`.

use http::HeaderValue;

use super::findings::{Findings, Place};
use crate::contract::encoding::MediaPlan;
use crate::contract::media_type::{BodyKind, MediaTable, MediaTypeRef};
use crate::model::violation::Rule;

/// A documented media type, and how the body at hand is of it.
pub(super) struct Chosen<'c, 'm> {
    pub(super) media: &'c MediaPlan,
    pub(super) kind: BodyKind,
    /// No `Content-Type` was sent; JSON is a guess that the body has to bear out.
    pub(super) guessed: bool,
    pub(super) charset: Option<&'m str>,
    pub(super) boundary: Option<&'m str>,
}

/// Finds the documented media type; notes a violation where there is none. `None` where the
/// document lists no media type at all.
pub(super) fn choose<'c, 'm>(
    findings: &mut Findings<'_>,
    table: &'c MediaTable<MediaPlan>,
    content_type: Option<&'m HeaderValue>,
    place: Place<'_>,
) -> Option<Chosen<'c, 'm>> {
    if table.is_empty() {
        return None;
    }
    let Some(value) = content_type.filter(|value| !value.is_empty()) else {
        return guess(findings, table, place);
    };
    let Some(actual) = value.to_str().ok().and_then(MediaTypeRef::parse) else {
        findings.add(place, Rule::Malformed, "Content-Type is no media type");
        return None;
    };
    let Some((_, media)) = table.select(&actual) else {
        findings.add(place, Rule::Undocumented, "the document does not list this media type");
        return None;
    };
    Some(Chosen {
        media,
        kind: actual.kind(),
        guessed: false,
        charset: actual.parameter("charset"),
        boundary: actual.parameter("boundary"),
    })
}

fn guess<'c, 'm>(
    findings: &mut Findings<'_>,
    table: &'c MediaTable<MediaPlan>,
    place: Place<'_>,
) -> Option<Chosen<'c, 'm>> {
    let json = MediaTypeRef::parse("application/json").and_then(|json| table.select(&json));
    let suffixed = || table.iter().find(|(range, _)| range.kind() == BodyKind::Json);
    let Some((_, media)) = json.or_else(suffixed) else {
        findings.add(place, Rule::Missing, MISSING);
        return None;
    };
    Some(Chosen { media, kind: BodyKind::Json, guessed: true, charset: None, boundary: None })
}

/// What is said of a body without a media type.
pub(super) const MISSING: &str = "the body has no Content-Type and is not JSON";
