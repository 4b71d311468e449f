//! Lenient readings that a document makes use of, as lints name them.

use crate::model::rule::Rule;

/// A lenient reading that a document makes use of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum LenientReading {
    /// `nullable` beside more than a `type`.
    Nullable,
    /// A discriminator beside branches that may conform together.
    Discriminator,
    /// `date-time`, also without an offset.
    DateTime,
    /// `time`, also without an offset.
    Time,
}

// === impl LenientReading ===

impl LenientReading {
    pub(super) fn sentence(self, uses: usize) -> String {
        let (what, effect, rule) = match self {
            Self::Nullable => (
                "nullable beside enum, $ref or a composition",
                "null is taken, which OpenAPI 3.0.3 does not say",
                Rule::Nullable,
            ),
            Self::Discriminator => (
                "a oneOf of which several branches may conform",
                "the one that the discriminator names counts",
                Rule::Discriminator,
            ),
            Self::DateTime => (
                "format date-time",
                "values without an offset are taken, which RFC 3339 asks for",
                Rule::Offsets,
            ),
            Self::Time => (
                "format time",
                "values without an offset are taken, which RFC 3339 asks for",
                Rule::Offsets,
            ),
        };
        let uses = if uses == 1 { String::new() } else { format!(" ({uses} uses)") };
        format!("{what}{uses}: {effect}; rules.{}: strict refuses that", rule.as_str())
    }
}
