//! Which documented media type a message is of.
//!
//! A body without `Content-Type` is taken for JSON where the document lists a JSON type (or a
//! range that covers one) and the body parses as JSON; otherwise its absence is a violation
//! (`media_type.missing`). A field that is no media type is `malformed`, one that the document
//! does not list is `undocumented`.

use http::HeaderValue;

use super::undocumented::{self, list_media_types, ranges};
use super::verdict_builder::{RuleLocation, VerdictBuilder};
use crate::contract::encoding::MediaPlan;
use crate::contract::media_type::{BodyKind, MediaTable, MediaTypeRef};
use crate::model::violation::{Location, ViolationKind};

/// The documented media type that applies to a body, and the parameters that the message sent.
pub(super) struct ChosenMediaType<'c, 'm> {
    pub(super) media: &'c MediaPlan,
    pub(super) kind: BodyKind,
    /// No `Content-Type` was sent; the body is taken for JSON if it parses as JSON.
    pub(super) assumed_json: bool,
    pub(super) charset: Option<&'m str>,
    pub(super) boundary: Option<&'m str>,
}

/// What is known of a body before it is read.
pub(super) struct BodyContext<'c> {
    pub(super) media: &'c MediaPlan,
    pub(super) kind: BodyKind,
    /// No `Content-Type` was sent; the body is taken for JSON if it parses as JSON.
    pub(super) assumed_json: bool,
    pub(super) charset: Option<&'c str>,
    pub(super) boundary: Option<&'c str>,
    /// Where a missing `Content-Type` is reported.
    pub(super) missing: RuleLocation<'c>,
}

/// Finds the documented media type; records a violation where there is none. `None` where the
/// document lists no media type at all.
pub(super) fn choose<'c, 'm>(
    verdict: &mut VerdictBuilder<'_>,
    table: &'c MediaTable<MediaPlan>,
    content_type: Option<&'m HeaderValue>,
    rule: RuleLocation<'_>,
) -> Option<ChosenMediaType<'c, 'm>> {
    if table.is_empty() {
        return None;
    }
    let Some(value) = content_type.filter(|value| !value.is_empty()) else {
        return assume_json(verdict, table, rule);
    };
    let Some(actual) = value.to_str().ok().and_then(MediaTypeRef::parse) else {
        let message = format!(
            "header \"Content-Type\" of {} bytes is no media type; the document lists {}",
            value.len(),
            list_media_types(ranges(table))
        );
        verdict.add(rule, ViolationKind::Malformed, message);
        return None;
    };
    let Some((_, media)) = table.select(&actual) else {
        let redactor = &verdict.redactor;
        let found = undocumented::media_type(redactor, ranges(table), &actual, "the body");
        verdict.add_undocumented(rule, String::new(), found);
        return None;
    };
    Some(ChosenMediaType {
        media,
        kind: actual.kind(),
        assumed_json: false,
        charset: actual.parameter("charset"),
        boundary: actual.parameter("boundary"),
    })
}

// === impl BodyContext ===

impl<'c> BodyContext<'c> {
    /// Where violations of the body belong.
    pub(super) fn rule(&self) -> RuleLocation<'c> {
        RuleLocation { location: Location::Body, name: None, pointer: &self.media.pointer }
    }

    /// Records that a body without `Content-Type` is not JSON.
    pub(super) fn missing_content_type(&self, verdict: &mut VerdictBuilder<'_>) {
        verdict.add(self.missing, ViolationKind::Missing, MISSING);
    }
}

fn assume_json<'c, 'm>(
    verdict: &mut VerdictBuilder<'_>,
    table: &'c MediaTable<MediaPlan>,
    rule: RuleLocation<'_>,
) -> Option<ChosenMediaType<'c, 'm>> {
    let json = MediaTypeRef::parse("application/json").and_then(|json| table.select(&json));
    let suffixed = || table.iter().find(|(range, _)| range.kind() == BodyKind::Json);
    let Some((_, media)) = json.or_else(suffixed) else {
        let documented = list_media_types(ranges(table));
        let message = format!("{MISSING}; the document lists {documented}");
        verdict.add(rule, ViolationKind::Missing, message);
        return None;
    };
    Some(ChosenMediaType {
        media,
        kind: BodyKind::Json,
        assumed_json: true,
        charset: None,
        boundary: None,
    })
}

/// The message about a body without a media type.
const MISSING: &str = "the body has no Content-Type and is not JSON";
