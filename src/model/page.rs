//! Pages: opaque keyset cursors.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Rows of a page by default (CVT's number).
pub const DEFAULT_PAGE_SIZE: u32 = 100;
/// The most rows a page may have.
pub const MAX_PAGE_SIZE: u32 = 1_000;

/// Where the next page starts: a place in the ordering, not an offset, so that rows which
/// come or go in between neither repeat nor hide others. Opaque to callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cursor {
    parts: Vec<String>,
}

/// A text that is not a cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor from an earlier page")]
pub struct InvalidCursor;

/// One page of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The rows, in the listing's order.
    pub items: Vec<T>,
    /// Where the next page starts; `None` after the last.
    pub next: Option<Cursor>,
}

// === impl Cursor ===

impl Cursor {
    /// A cursor made of the key columns of the last row shown.
    pub fn new(parts: impl IntoIterator<Item = String>) -> Self {
        Self { parts: parts.into_iter().collect() }
    }

    /// The key columns, when there are exactly `N`.
    pub fn parts<const N: usize>(&self) -> Result<[&str; N], InvalidCursor> {
        let parts: Vec<&str> = self.parts.iter().map(String::as_str).collect();
        parts.try_into().map_err(|_| InvalidCursor)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for byte in part.as_bytes() {
                write!(f, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split('.').map(unhex).collect::<Option<Vec<_>>>().ok_or(InvalidCursor)?;
        Ok(Self { parts })
    }
}

impl TryFrom<String> for Cursor {
    type Error = InvalidCursor;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Cursor> for String {
    fn from(cursor: Cursor) -> Self {
        cursor.to_string()
    }
}

fn unhex(part: &str) -> Option<String> {
    if !part.is_ascii() || !part.len().is_multiple_of(2) {
        return None;
    }
    let bytes: Option<Vec<u8>> = (0..part.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(part.get(at..at + 2)?, 16).ok())
        .collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_parse_back_and_malformed_text_is_refused() {
        let cursor =
            Cursor::new(["2026-01-01T00:00:00Z".to_owned(), "ü.x".to_owned(), String::new()]);
        assert_eq!(cursor.to_string().parse(), Ok(cursor.clone()));
        assert_eq!(cursor.parts::<3>().unwrap()[1], "ü.x");
        assert!(cursor.parts::<2>().is_err());
        for bad in ["x", "zz", "0", "ff.fe", "é"] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
    }
}
