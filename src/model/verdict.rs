//! A verdict: conforms, violates, or skipped with a reason.

use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::violation::Violation;

/// Why a message, or a part of it, was not judged. Each is counted under its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// No contract is loaded for the route.
    NoContract,
    /// The body is longer than the capture limit.
    BodyOverLimit,
    /// The memory set aside for capturing bodies was used up.
    CaptureMemory,
    /// The body broke off before its end.
    BodyIncomplete,
    /// A content coding we cannot decode.
    UnknownContentEncoding,
    /// The decoded body is larger than the decode limit.
    DecodedOverLimit,
    /// A charset we cannot decode.
    UnknownCharset,
    /// The media type is documented, but its schema cannot be judged in that form.
    UnsupportedMediaType,
    /// A declared rule that this engine cannot enforce; the contract carries a lint for it.
    Unenforceable,
    /// A regular expression ran out of its budget.
    RegexBudget,
    /// Judging ran out of its work budget (depth, items, parts).
    WorkBudget,
    /// The exchange was upgraded to another protocol.
    Upgraded,
    /// A pre-flight that the document does not list.
    Preflight,
    /// The response was never received, or was invented by us.
    NoResponse,
    /// The verdict on the request leaves nothing to judge the response by.
    NoOperation,
    /// The queue in front of the judging workers was full.
    QueueFull,
    /// Judging fell behind, and others were worth more.
    Shed,
    /// Sampling left the exchange out.
    Sampled,
    /// The judging of this exchange panicked.
    Panicked,
    /// The sidecar was stopping.
    Stopping,
    /// The mode of this half is `off`.
    Off,
    /// The body is a stream without an end in sight, which cannot be held.
    Stream,
    /// The body took longer than it may be held.
    #[serde(rename = "buffer_timeout", alias = "hold_timeout")]
    HoldTimeout,
    /// Judging took longer than traffic may wait for it.
    #[serde(rename = "validation_budget", alias = "judging_budget")]
    JudgingBudget,
}

/// The outcome of judging one side of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Every broken rule found, up to the cap.
    pub violations: Vec<Violation>,
    /// What was left unjudged, and why; no reason stands twice.
    pub skipped: SmallVec<[SkipReason; 2]>,
    /// Violations that were found beyond the cap and not kept.
    #[serde(default)]
    pub more_violations: u32,
}

/// A verdict in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything was judged and nothing is broken.
    Conforms,
    /// At least one rule is broken.
    Violates,
    /// Nothing found broken, but something was not judged.
    Skipped,
}

// === impl SkipReason ===

impl SkipReason {
    /// Every reason, for tables and metrics.
    pub const ALL: [Self; 24] = [
        Self::NoContract,
        Self::BodyOverLimit,
        Self::CaptureMemory,
        Self::BodyIncomplete,
        Self::UnknownContentEncoding,
        Self::DecodedOverLimit,
        Self::UnknownCharset,
        Self::UnsupportedMediaType,
        Self::Unenforceable,
        Self::RegexBudget,
        Self::WorkBudget,
        Self::Upgraded,
        Self::Preflight,
        Self::NoResponse,
        Self::NoOperation,
        Self::QueueFull,
        Self::Shed,
        Self::Sampled,
        Self::Panicked,
        Self::Stopping,
        Self::Off,
        Self::Stream,
        Self::HoldTimeout,
        Self::JudgingBudget,
    ];

    /// The reason's name in metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoContract => "no_contract",
            Self::BodyOverLimit => "body_over_limit",
            Self::CaptureMemory => "capture_memory",
            Self::BodyIncomplete => "body_incomplete",
            Self::UnknownContentEncoding => "unknown_content_encoding",
            Self::DecodedOverLimit => "decoded_over_limit",
            Self::UnknownCharset => "unknown_charset",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::Unenforceable => "unenforceable",
            Self::RegexBudget => "regex_budget",
            Self::WorkBudget => "work_budget",
            Self::Upgraded => "upgraded",
            Self::Preflight => "preflight",
            Self::NoResponse => "no_response",
            Self::NoOperation => "no_operation",
            Self::QueueFull => "queue_full",
            Self::Shed => "shed",
            Self::Sampled => "sampled",
            Self::Panicked => "panicked",
            Self::Stopping => "stopping",
            Self::Off => "off",
            Self::Stream => "stream",
            Self::HoldTimeout => "buffer_timeout",
            Self::JudgingBudget => "validation_budget",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Verdict ===

impl Verdict {
    /// A verdict that judged nothing, for `reason`.
    pub fn skipped(reason: SkipReason) -> Self {
        let mut verdict = Self::default();
        verdict.skip(reason);
        verdict
    }

    /// Notes that something was not judged.
    pub fn skip(&mut self, reason: SkipReason) {
        if !self.skipped.contains(&reason) {
            self.skipped.push(reason);
        }
    }

    /// The verdict in one word.
    pub fn outcome(&self) -> Outcome {
        if !self.violations.is_empty() {
            Outcome::Violates
        } else if self.skipped.is_empty() {
            Outcome::Conforms
        } else {
            Outcome::Skipped
        }
    }
}

impl Outcome {
    /// The word in metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conforms => "conforms",
            Self::Violates => "violates",
            Self::Skipped => "skipped",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipping_twice_for_one_reason_counts_once() {
        let mut verdict = Verdict::skipped(SkipReason::RegexBudget);
        verdict.skip(SkipReason::RegexBudget);
        assert_eq!(verdict.skipped.len(), 1);
        assert_eq!(verdict.outcome(), Outcome::Skipped);
        assert_eq!(Verdict::default().outcome(), Outcome::Conforms);
    }

    #[test]
    fn the_list_of_reasons_is_whole() {
        let names: std::collections::HashSet<_> =
            SkipReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), SkipReason::ALL.len());
        for reason in SkipReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
    }

    #[test]
    fn reasons_stored_under_earlier_names_are_read() {
        for (stored, reason) in [
            ("hold_timeout", SkipReason::HoldTimeout),
            ("judging_budget", SkipReason::JudgingBudget),
        ] {
            assert_eq!(serde_json::from_value::<SkipReason>(stored.into()).unwrap(), reason);
        }
    }
}
