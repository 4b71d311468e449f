//! What a document says that cannot be enforced, and why.
//!
//! A lint never prevents a contract: it is shown at registration, by the API and as a
//! metric, and what it names is counted whenever a message reaches it.

use std::fmt;

use serde::Serialize;

use crate::model::violation::Position;

/// One thing that the contract will not, or not fully, enforce.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lint {
    /// What kind of thing.
    pub code: LintCode,
    /// RFC 6901 pointer into the document as registered.
    pub pointer: String,
    /// Its position in the text.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// A sentence for the document's owner.
    pub message: String,
}

macro_rules! lint_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
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
        }
    };
}

lint_codes! {
    /// A `format` that nothing is known about; values of it pass.
    UnknownFormat = "unknown_format";
    /// A regular expression that cannot be run; values pass it and are counted.
    UnusablePattern = "unusable_pattern";
    /// A JSON Schema dialect other than the ones known; read as 2020-12.
    UnknownDialect = "unknown_dialect";
    /// A rule whose argument cannot be used; values pass it and are counted.
    UnenforceableKeyword = "unenforceable_keyword";
    /// Webhooks are calls in the other direction; none of them is validated.
    WebhooksIgnored = "webhooks_ignored";
    /// Something of OpenAPI 3.2 that is not enforced yet.
    NewerFeature = "newer_feature";
    /// The document breaks the specification in a way that does no harm here.
    Lenient = "lenient";
    /// A part of a path for which no parameter is declared, so that every value of it passes, or
    /// a parameter that its path has no part for.
    PathMismatch = "path_mismatch";
    /// The document lists no operation.
    NoOperations = "no_operations";
    /// Two path templates that the same request may match.
    AmbiguousPath = "ambiguous_path";
    /// A media type whose bodies cannot be validated.
    UnknownMediaType = "unknown_media_type";
    /// A parameter style that the specification does not define for the location or the type.
    UndefinedStyle = "undefined_style";
    /// A security scheme that cannot be checked.
    UncheckedSecurity = "unchecked_security";
    /// A reference to another document that was left unread.
    UnreadReference = "unread_reference";
}

impl fmt::Display for LintCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

// === impl Lint ===

impl Lint {
    /// Whether this says that the document itself is not what the specification says it is.
    pub fn breaks_specification(&self) -> bool {
        self.code == LintCode::Lenient
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
