//! From text to values: the readings that a schema allows a text to have.
//!
//! HTTP carries text, schemas speak of numbers, arrays and objects. Invariants:
//!
//! - a text becomes what the schema allows and nothing else: digits under `type: string` stay a
//!   string, under `oneOf: [string, integer]` they are tried as both;
//! - a text that no reading makes valid is validated in its first reading, so that the violation
//!   says which rule of the schema is broken;
//! - the number of readings tried is bounded ([`MAX_ATTEMPTS`]), and each is linear in the text.

use std::borrow::Cow;

use crate::contract::shape::{Shape, Types};
use crate::json::number::is_json_number;
use crate::json::{Arena, NodeId};

/// Readings tried of one value at most.
const MAX_ATTEMPTS: usize = 24;

/// Leaves that are tried as number and as string one by one; with more leaves, all are read the same way.
const MAX_FREE_LEAVES: u32 = 4;

/// The kind of value a text is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueKind {
    Primitive,
    Array,
    Object,
}

/// One way to read a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReadAttempt {
    /// The kind of the outermost value.
    pub(crate) kind: ValueKind,
    /// The second-best reading. Percent-encoded commas separate too: strictly they are data
    /// (RFC 6570 §3.2.1), but
    /// most clients encode a whole list and most servers split after decoding. In XML, arrays
    /// without any element are there and empty.
    pub(crate) lenient: bool,
    /// Whether an unexploded `label` is separated by dots.
    pub(crate) dotted: bool,
    /// Bit n: the n-th leaf that could be a string or something else is a string.
    pub(crate) strings: u32,
}

/// What was ambiguous in one reading.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ambiguities {
    /// Leaves that could be a string or something else.
    pub(crate) free_leaves: u32,
    /// A lenient reading would differ.
    pub(crate) has_lenient: bool,
    /// An unexploded `label` of the older table.
    pub(crate) older_label: bool,
}

/// The attempts still to be made after one that was not valid.
#[derive(Debug)]
pub(crate) struct ReadAttempts {
    kinds: [Option<ValueKind>; 3],
    made: usize,
    queue: Vec<ReadAttempt>,
}

/// Why a text cannot be read as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReadError {
    /// Bytes that are not UTF-8.
    NotText,
    /// Not written in the declared style.
    Style,
    /// A key that may occur once occurs repeatedly.
    Repeated,
    /// Not the JSON that the declared media type promises.
    Json,
    /// Characters that `allowReserved: false` keeps out.
    Reserved,
    /// Nested deeper than is read.
    TooDeep,
}

/// Writes one reading into an arena.
pub(crate) struct ValueReader<'a> {
    pub(crate) arena: &'a mut Arena,
    pub(crate) attempt: ReadAttempt,
    pub(crate) ambiguities: Ambiguities,
}

// === impl ReadAttempts ===

impl ReadAttempts {
    /// The attempts at a value whose schema allows `types`. `many` says that the text looks like
    /// several values.
    pub(crate) fn new(types: Types, many: bool) -> Self {
        let primitive = types.any_scalar().then_some(ValueKind::Primitive);
        let array = types.intersects(Types::ARRAY).then_some(ValueKind::Array);
        let object = types.intersects(Types::OBJECT).then_some(ValueKind::Object);
        let kinds = if many { [array, object, primitive] } else { [primitive, array, object] };
        Self { kinds, made: 0, queue: Vec::new() }
    }

    /// Attempts at a value of one kind only.
    pub(crate) fn of(kind: ValueKind) -> Self {
        Self { kinds: [Some(kind), None, None], made: 0, queue: Vec::new() }
    }

    /// The attempt to begin with.
    pub(crate) fn first(&mut self) -> ReadAttempt {
        self.next_kind().unwrap_or(ReadAttempt::plain(ValueKind::Primitive))
    }

    /// The attempt to make after `last`, which was not valid and found `ambiguities`.
    pub(crate) fn after(
        &mut self,
        last: ReadAttempt,
        ambiguities: Ambiguities,
    ) -> Option<ReadAttempt> {
        self.made += 1;
        if self.made >= MAX_ATTEMPTS {
            return None;
        }
        if last.strings == 0 {
            self.plan(last, ambiguities);
        }
        self.queue.pop().or_else(|| self.next_kind())
    }

    /// Plans the variants of an attempt; what is planned last is tried first.
    fn plan(&mut self, last: ReadAttempt, ambiguities: Ambiguities) {
        if ambiguities.older_label && !last.dotted {
            self.queue.push(ReadAttempt { dotted: true, ..last });
        }
        if ambiguities.has_lenient && !last.lenient {
            self.queue.push(ReadAttempt { lenient: true, ..last });
        }
        if (2..=MAX_FREE_LEAVES).contains(&ambiguities.free_leaves) {
            for strings in 1..(1 << ambiguities.free_leaves) - 1 {
                self.queue.push(ReadAttempt { strings, ..last });
            }
        }
        if ambiguities.free_leaves > 0 {
            self.queue.push(ReadAttempt { strings: u32::MAX, ..last });
        }
    }

    fn next_kind(&mut self) -> Option<ReadAttempt> {
        self.kinds.iter_mut().find_map(Option::take).map(ReadAttempt::plain)
    }
}

// === impl ReadAttempt ===

impl ReadAttempt {
    /// The strict reading as `kind`.
    pub(crate) const fn plain(kind: ValueKind) -> Self {
        Self { kind, lenient: false, dotted: false, strings: 0 }
    }
}

// === impl ValueReader ===

impl<'a> ValueReader<'a> {
    /// A reader that writes into `arena`.
    pub(crate) fn new(arena: &'a mut Arena, attempt: ReadAttempt) -> Self {
        Self { arena, attempt, ambiguities: Ambiguities::default() }
    }

    /// Writes a text as the scalar that `shape` allows it to be.
    pub(crate) fn scalar(&mut self, shape: Shape<'_>, text: &str) -> NodeId {
        let types = shape.types();
        if types.is_any() {
            return self.arena.string(text);
        }
        let other = non_string_type(types, text);
        if other.is_some() && types.intersects(Types::STRING) {
            let bit = self.ambiguities.free_leaves.min(31);
            self.ambiguities.free_leaves += 1;
            if self.attempt.strings >> bit & 1 == 1 {
                return self.arena.string(text);
            }
        }
        match other {
            Some(NonString::Number) => match self.arena.number(text) {
                Some(id) => id,
                None => self.arena.string(text),
            },
            Some(NonString::Boolean) => self.arena.bool(is_true(text)),
            Some(NonString::Null) => self.arena.null(),
            None => self.arena.string(text),
        }
    }

    /// Writes a text where `shape` may also allow an array or object: those can
    /// only be JSON there, as the specification defines no other form.
    pub(crate) fn leaf(&mut self, shape: Shape<'_>, text: &str) -> NodeId {
        let types = shape.types();
        let composite = types.intersects(Types::OBJECT) && text.starts_with('{')
            || types.intersects(Types::ARRAY) && text.starts_with('[');
        if composite
            && !types.is_any()
            && let Ok(id) = self.arena.parse(text.as_bytes())
        {
            return id;
        }
        self.scalar(shape, text)
    }
}

/// What a text can be besides a string.
enum NonString {
    Number,
    Boolean,
    Null,
}

/// What a text can be besides a string, under the types a schema allows.
fn non_string_type(types: Types, text: &str) -> Option<NonString> {
    if types.intersects(Types::NUMBER) && is_json_number(text.as_bytes()) {
        return Some(NonString::Number);
    }
    if types.intersects(Types::BOOLEAN) && (is_true(text) || is_false(text)) {
        return Some(NonString::Boolean);
    }
    let is_null = types.intersects(Types::NULL) && (text.is_empty() || text == "null");
    is_null.then_some(NonString::Null)
}

/// The specification does not say how a boolean is written. Besides `true` and `false` the
/// forms are read that more than one widely used server library reads.
fn is_true(text: &str) -> bool {
    matches!(text, "true" | "True" | "TRUE" | "1" | "t" | "T")
}

fn is_false(text: &str) -> bool {
    matches!(text, "false" | "False" | "FALSE" | "0" | "f" | "F")
}

/// Splits at a separator, and at its percent-encoded form where `encoded` says so.
pub(crate) fn split_at(text: &str, separator: char, encoded: bool) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let Some((at, len)) = find_separator(current, separator, encoded) else {
            rest = None;
            return Some(current);
        };
        rest = Some(&current[at + len..]);
        Some(&current[..at])
    })
}

fn find_separator(text: &str, separator: char, encoded: bool) -> Option<(usize, usize)> {
    if !encoded {
        return text.find(separator).map(|at| (at, separator.len_utf8()));
    }
    let bytes = text.as_bytes();
    bytes.iter().enumerate().find_map(|(at, byte)| {
        if char::from(*byte) == separator || (separator == ' ' && *byte == b'+') {
            return Some((at, 1));
        }
        let escape = (*byte == b'%').then(|| text.get(at + 1..at + 3)).flatten()?;
        let value = u8::from_str_radix(escape, 16).ok()?;
        (char::from(value) == separator).then_some((at, 3))
    })
}

/// Whether a text has a percent-encoded comma.
pub(crate) fn has_encoded_comma(text: &str) -> bool {
    text.contains("%2C") || text.contains("%2c")
}

/// How a text is decoded before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoding {
    /// Percent-encoding and `+` (queries, form bodies).
    Form,
    /// Percent-encoding (paths, cookies).
    Percent,
    /// No decoding (headers, parts of a multipart body).
    None,
}

impl Decoding {
    /// Decodes a piece; borrows where there is nothing to decode.
    pub(crate) fn decode(self, text: &str) -> Result<Cow<'_, str>, ReadError> {
        match self {
            Self::Form => super::pairs::decode_form(text),
            Self::Percent => super::pairs::decode_percent(text),
            Self::None => Some(Cow::Borrowed(text)),
        }
        .ok_or(ReadError::NotText)
    }
}
