//! Hides secrets before anything leaves memory.
//!
//! Invariants:
//! - only a [`Redactor`] makes a [`Redacted`], and storage takes nothing else;
//! - a masked value never appears in the output, even if a body is malformed or was cut;
//! - what is not masked stays as it was, byte for byte;
//! - masks keep type, length class and format, so that the verdict on a masked message is that on
//!   the original as far as possible;
//! - redacting twice changes nothing;
//! - every step takes time linear in its input and needs no regular expressions.
//!
//! Values are masked by name (headers, query keys, body fields), by pointer (settings, and the
//! contract's `format: password`, `writeOnly`, `x-sensitive`), and by pattern (card numbers,
//! e-mail addresses, tokens). A new pattern goes into `patterns`, a new body form into `body`. Names that callers invent are shown or
//! hidden by `invented`.

mod body;
mod invented;
mod json;
mod mask;
mod names;
mod patterns;
mod pointers;
mod record;
mod redactor;
mod target;
mod xml;

pub use body::{BodyForm, storable_text};
pub use invented::is_plain_word;
pub use mask::mask;
pub use pointers::{InvalidPointer, PointerSet};
pub use record::RedactionContext;
pub use redactor::{ContractMasks, Redacted, RedactionRules, Redactor};
