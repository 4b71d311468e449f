//! Hides secrets before anything leaves memory.
//!
//! What must hold: only a [`Redactor`] makes a [`Redacted`], and storage takes nothing else. A
//! value in a masked place never appears in the output, also when a body is malformed or was
//! cut. What is not masked stays as it was, byte for byte. Masks keep type, length class and
//! format, so that a masked message is judged like the original as far as possible. Redacting
//! twice changes nothing. Every step takes time linear in its input and needs no regular
//! expressions.
//!
//! Places are masked by name (headers, query keys, body fields), by pointer (settings, and the
//! contract's `format: password`, `writeOnly`, `x-sensitive`), and by the look of a value (card
//! numbers, e-mail addresses, tokens). A new look goes into `patterns`, a new body form into
//! `body`.

mod body;
mod json;
mod mask;
mod names;
mod patterns;
mod pointers;
mod record;
mod rules;
mod target;
mod xml;

pub use body::{BodyForm, keepable_text};
pub use mask::mask;
pub use pointers::{InvalidPointer, PointerSet};
pub use record::{ContractMasks, Hints, Redactor};
pub use rules::Rules;

use serde::Serialize;

/// Something a [`Redactor`] has gone over. Reading it is free; making it is the redactor's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted<T>(T);

// === impl Redacted ===

impl<T> Redacted<T> {
    /// What was redacted.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// What was redacted, without the proof that it was.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// What was redacted, written down or sealed, and read back; nothing else may come in here.
    /// It is how the spool hands out what it took, and how storage seals.
    pub fn read_back(value: T) -> Self {
        Self(value)
    }

    fn new(value: T) -> Self {
        Self(value)
    }
}
