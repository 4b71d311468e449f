//! Rules: how strictly a document is read where two readings are defensible.
//!
//! Invariants:
//! - a rule's verdict is the same in every mode and in every command;
//! - the lenient reading is the default, because a false alarm costs more than a miss; a rule that
//!   keeps attackers out is strict unless it is made lenient by name.
//!
//! A further rule is a further line of the table: its name, what it is under either preset, and
//! what it decides.

use std::fmt;

/// How a rule is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// Whatever one of the defensible readings allows conforms.
    Lenient,
    /// Only what the narrower reading allows conforms.
    Strict,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $lenient:ident, $strict:ident;)*) => {
        /// The rules that can be lenient or strict.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The rule's name in settings, flags and messages.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What the rule is under a preset, unless it is set by name.
            pub const fn under(self, preset: Strictness) -> Strictness {
                match (self, preset) {
                    $(
                        (Self::$name, Strictness::Lenient) => Strictness::$lenient,
                        (Self::$name, Strictness::Strict) => Strictness::$strict,
                    )*
                }
            }
        }
    };
}

rules! {
    /// Lenient: `nullable` admits `null` also beside `enum`, `allOf`, `oneOf`, `anyOf` and `$ref`.
    /// Strict: beside `type` alone, as OpenAPI 3.0.3 clarifies.
    Nullable = "nullable", Lenient, Strict;
    /// Lenient: where several branches of a `oneOf` conform and the discriminator names one of
    /// them, the value conforms. Strict: exactly one branch conforms.
    Discriminator = "discriminator", Lenient, Strict;
    /// Lenient: the schema decides about an empty value of a query parameter. Strict:
    /// `allowEmptyValue` decides, where the document's version says so.
    EmptyValues = "empty_values", Lenient, Strict;
    /// Strict: a `readOnly` property in a request is a violation.
    ReadOnly = "read_only", Lenient, Strict;
    /// Strict: a `writeOnly` property in a response is a violation.
    WriteOnly = "write_only", Lenient, Strict;
    /// Lenient: `date-time` and `time` conform without an offset from UTC. Strict: RFC 3339.
    Offsets = "offsets", Lenient, Strict;
    /// Lenient: an optional property may be `null` whatever its type.
    Nulls = "nulls", Strict, Strict;
    /// Strict: query parameters, header fields, cookies and body fields that are not declared are
    /// violations.
    UndeclaredFields = "undeclared_fields", Lenient, Lenient;
    /// Lenient: a path is taken with or without its trailing slash.
    TrailingSlash = "trailing_slash", Strict, Strict;
    /// Strict: a JSON object that has a key twice is a violation.
    DuplicateKeys = "duplicate_keys", Strict, Strict;
    /// Strict: a path value with a segment `.` or `..`, or with NUL, is a violation, also where
    /// these are percent-encoded.
    PathTraversal = "path_traversal", Strict, Strict;
    /// Strict: a path value with a percent-encoded slash is a violation.
    EncodedSlashes = "encoded_slashes", Lenient, Lenient;
}

/// Every rule with how it is applied.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rules {
    /// One bit for each strict rule.
    strict: u32,
}

// === impl Strictness ===

impl Strictness {
    /// The word in settings and flags.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lenient => "lenient",
            Self::Strict => "strict",
        }
    }

    /// The strictness called `text`, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Lenient, Self::Strict].into_iter().find(|one| one.as_str() == text)
    }
}

// === impl Rule ===

impl Rule {
    /// The rule called `text`, if there is one.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.as_str() == text)
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

// === impl Rules ===

impl Rules {
    /// The rules of a preset.
    pub fn of(preset: Strictness) -> Self {
        let none = Self { strict: 0 };
        Rule::ALL.iter().fold(none, |rules, rule| rules.with(*rule, rule.under(preset)))
    }

    /// The same rules but for one.
    #[must_use]
    pub const fn with(self, rule: Rule, strictness: Strictness) -> Self {
        let strict = match strictness {
            Strictness::Lenient => self.strict & !rule.bit(),
            Strictness::Strict => self.strict | rule.bit(),
        };
        Self { strict }
    }

    /// Whether a rule is strict.
    pub const fn is_strict(self, rule: Rule) -> bool {
        self.strict & rule.bit() != 0
    }

    /// How a rule is applied.
    pub const fn strictness(self, rule: Rule) -> Strictness {
        if self.is_strict(rule) { Strictness::Strict } else { Strictness::Lenient }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::of(Strictness::Lenient)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Rule::ALL.iter().map(|rule| (rule.as_str(), self.strictness(*rule).as_str()));
        f.debug_map().entries(all).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preset_sets_the_rules_about_loose_documents_and_no_others() {
        let (lenient, strict) = (Rules::of(Strictness::Lenient), Rules::of(Strictness::Strict));
        let differing: Vec<_> = Rule::ALL
            .iter()
            .filter(|rule| lenient.is_strict(**rule) != strict.is_strict(**rule))
            .map(|rule| rule.as_str())
            .collect();
        let expected =
            ["nullable", "discriminator", "empty_values", "read_only", "write_only", "offsets"];
        assert_eq!(differing, expected);
        let always: Vec<_> =
            Rule::ALL.iter().filter(|rule| lenient.is_strict(**rule)).map(|r| r.as_str()).collect();
        assert_eq!(always, ["nulls", "trailing_slash", "duplicate_keys", "path_traversal"]);
    }

    #[test]
    fn a_rule_is_set_alone_and_found_by_its_name() {
        let rules = Rules::default().with(Rule::ReadOnly, Strictness::Strict);
        assert!(rules.is_strict(Rule::ReadOnly) && !rules.is_strict(Rule::WriteOnly));
        assert_eq!(rules.with(Rule::ReadOnly, Strictness::Lenient), Rules::default());
        for rule in Rule::ALL {
            assert_eq!(Rule::parse(rule.as_str()), Some(*rule));
        }
        assert_eq!(Strictness::parse("loud"), None);
    }
}
