//! What is wrong in a document, graded by what it costs.
//!
//! A lint never prevents a contract: it is shown at registration, by the API and as a
//! metric, and what it names is counted whenever a message reaches it. What can be wrong has
//! three grades. A [`Grade::Slip`] costs nothing, a [`Grade::Defect`] costs the one part it stands
//! in, and a document of which nothing can be used is a [`super::ContractError`]. The table below
//! has the grade of each code; a further kind is a further line of it.

use std::fmt;

use serde::Serialize;

use crate::model::violation::Position;

/// One thing that is wrong in a document, or that the contract will not fully enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// What kind of thing.
    pub code: LintCode,
    /// RFC 6901 pointer into the document as registered, or `file#pointer` into a file that it
    /// refers to.
    pub pointer: String,
    /// Its position in the text.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// A sentence for the document's owner: what is wrong, what becomes of it, and the way out.
    pub message: String,
}

/// What a lint costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Nothing: everything that can be validated is.
    Slip,
    /// One schema, parameter, response or operation is not enforced. Exchanges that reach it count
    /// as skipped with the reason `document` for that part; everything else is validated.
    Defect,
}

macro_rules! lint_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $grade:ident;)*) => {
        /// The stable codes of lints.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        pub enum LintCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl LintCode {
            /// Every code there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as it is written in answers and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What a lint of this code costs.
            pub const fn grade(self) -> Grade {
                match self { $(Self::$name => Grade::$grade,)* }
            }
        }
    };
}

lint_codes! {
    /// The document breaks the specification in a way that does no harm here.
    Lenient = "lenient", Slip;
    /// `null` or `[]` where a map or a list may be empty; read as empty.
    EmptyPart = "empty_part", Slip;
    /// A name or a number that is written in another form than it should be and can only mean one
    /// thing; read as that.
    Misspelt = "misspelt", Slip;
    /// A keyword that has no meaning in the document's version of OpenAPI.
    IgnoredKeyword = "ignored_keyword", Slip;
    /// A `format` that nothing is known about; values of it pass.
    UnknownFormat = "unknown_format", Slip;
    /// A JSON Schema dialect other than the ones known; read as 2020-12.
    UnknownDialect = "unknown_dialect", Slip;
    /// Webhooks are calls in the other direction; none of them is validated.
    WebhooksIgnored = "webhooks_ignored", Slip;
    /// Something of OpenAPI 3.2 that is not enforced yet.
    NewerFeature = "newer_feature", Slip;
    /// A part of a path for which no parameter is declared, so that every value of it passes, or
    /// a parameter that its path has no part for.
    PathMismatch = "path_mismatch", Slip;
    /// The document lists no operation.
    NoOperations = "no_operations", Slip;
    /// Two path templates that the same request may match.
    AmbiguousPath = "ambiguous_path", Slip;
    /// A media type whose bodies cannot be validated.
    UnknownMediaType = "unknown_media_type", Slip;
    /// A parameter style that the specification does not define for the location or the type.
    UndefinedStyle = "undefined_style", Slip;
    /// A security scheme that cannot be checked.
    UncheckedSecurity = "unchecked_security", Slip;
    /// A reference that was left unread, and that nothing needs.
    UnreadReference = "unread_reference", Slip;
    /// A reference that leads nowhere, or where it may not lead, from a part that needs it.
    BrokenReference = "broken_reference", Defect;
    /// A parameter, header, body, response or operation that is not what the specification says.
    InvalidPart = "invalid_part", Defect;
    /// A schema that no value can be validated against.
    InvalidSchema = "invalid_schema", Defect;
    /// A `type` that JSON Schema does not have.
    UnknownType = "unknown_type", Defect;
    /// A rule whose argument cannot be used; values pass it and are counted.
    UnenforceableKeyword = "unenforceable_keyword", Defect;
    /// A regular expression that cannot be run; values pass it and are counted.
    UnusablePattern = "unusable_pattern", Defect;
    /// Something that may be read in two ways, and is read leniently; the rule that decides is named.
    LenientReading = "lenient_reading", Slip;
    /// Something that the specification says to ignore, or that has no effect where it stands.
    IgnoredPart = "ignored_part", Slip;
    /// A rule that means something else than it seems to; it is enforced as it is written.
    MisleadingRule = "misleading_rule", Slip;
    /// A security requirement that names a scheme which the document does not declare.
    UndeclaredSecurity = "undeclared_security", Defect;
}

impl fmt::Display for LintCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Grade ===

impl Grade {
    /// The grade as it is written in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slip => "slip",
            Self::Defect => "defect",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Lint ===

impl Lint {
    /// What this costs.
    pub fn grade(&self) -> Grade {
        self.code.grade()
    }

    /// Whether this disables a part of the document.
    pub fn is_defect(&self) -> bool {
        self.grade() == Grade::Defect
    }

    /// Whether this says that the document itself is not what the specification says it is.
    pub fn breaks_specification(&self) -> bool {
        let misformed = [LintCode::Lenient, LintCode::EmptyPart, LintCode::Misspelt];
        // The scheme may be declared in another document.
        let is_defect = self.is_defect() && self.code != LintCode::UndeclaredSecurity;
        is_defect || misformed.contains(&self.code)
    }

    /// What is wrong and where, without the code.
    pub fn sentence(&self) -> String {
        let location = if self.pointer.is_empty() { "" } else { " at " };
        let position = self.position.map_or_else(String::new, |position| {
            format!(" (line {}, column {})", position.line, position.column)
        });
        format!("{}{location}{}{position}", self.message, self.pointer)
    }
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.sentence())
    }
}
