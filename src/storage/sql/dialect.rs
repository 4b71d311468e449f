//! Where the SQL of the two databases differs.

/// Which database a statement is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SqlDialect {
    Sqlite,
    Postgres,
}

// === impl SqlDialect ===

impl SqlDialect {
    /// What keeps a row that was read from changing until the transaction ends. SQLite has one
    /// writer: its transaction alone does that.
    pub(crate) const fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// The start of a condition that `column`, a JSON list, holds a text; the text and a
    /// closing parenthesis follow.
    pub(crate) fn holds_text(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("EXISTS (SELECT 1 FROM json_each({column}) WHERE value = "),
            Self::Postgres => format!("jsonb_exists({column}, "),
        }
    }

    /// `column`, a time, as microseconds since the epoch.
    pub(crate) fn micros(self, column: &str) -> String {
        match self {
            Self::Sqlite => column.to_owned(),
            Self::Postgres => format!("CAST(extract(epoch FROM {column}) * 1000000 AS BIGINT)"),
        }
    }
}
