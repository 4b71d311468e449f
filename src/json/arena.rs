//! The memory that values live in.

use std::cell::Cell;

use super::Node;

/// A value in an [`Arena`]; good until the arena is cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeId(pub(super) u32);

/// Values, reused from message to message: [`Arena::clear`] keeps the memory.
///
/// One arena belongs to one worker; it is not `Sync`.
#[derive(Debug)]
pub struct Arena {
    /// Strings and odd numbers, one after the other.
    pub(super) text: String,
    /// Every value in the order it was written; a container is followed by its children.
    pub(super) entries: Vec<ArenaEntry>,
    /// For objects with many members: their keys, sorted by hash.
    pub(super) index: Vec<IndexedKey>,
    /// Containers that were begun and not ended.
    pub(super) open: Vec<OpenContainer>,
    pub(super) max_depth: u32,
    pub(super) state: ValidationState,
}

/// What validation records while it reads a value; the validator reads it afterwards.
#[derive(Debug, Default)]
pub(super) struct ValidationState {
    /// Containers that may still be entered before validation gives up.
    pub(super) steps: Cell<u32>,
    /// Errors that may still be made before the error path gives up.
    pub(super) errors: Cell<u32>,
    /// Validation found a rule that cannot be enforced.
    pub(super) unenforceable: Cell<bool>,
    /// Some object has a key twice.
    pub(super) repeated: Cell<bool>,
    /// The object whose member was looked up last, and the member after that one: rules mostly
    /// name members in the order in which messages have them.
    pub(super) next_member: Cell<Option<(u32, u32)>>,
}

/// One value. Sixteen bytes, so that a 1 KiB body stays within the first-level cache.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ArenaEntry {
    pub(crate) kind: EntryKind,
    /// Where the text starts; for an integer its upper half; for an object where its index is.
    pub(super) start: u32,
    /// Bytes of text; for an integer its lower half; for a container its children or members.
    pub(super) len: u32,
    /// The entry after this value and all it holds; for a key its hash.
    pub(super) end: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    Null,
    False,
    True,
    /// An integer that fits an `i64` and was written in its shortest form.
    Integer,
    /// Any other number; its digits are in the text.
    Decimal,
    String,
    Array,
    Object,
    /// An object's key; its value follows.
    Key,
    /// A key that a later one of the same name replaces.
    ShadowedKey,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct IndexedKey {
    pub(super) hash: u32,
    pub(super) entry: u32,
}

/// A container being written.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenContainer {
    pub(super) entry: u32,
    pub(super) is_object: bool,
    /// Items, or keys written.
    pub(super) len: u32,
    /// Keys that a later one of the same name replaces.
    pub(super) shadowed: u32,
    /// One bit per key hash seen: a key whose bit is not set is certainly new.
    pub(super) seen: [u64; 4],
}

/// Objects with more members than this get an index: up to here, looking along the keys costs less
/// than sorting them.
pub(super) const INDEX_FROM: u32 = 32;

/// An object without an index.
pub(super) const NO_INDEX: u32 = u32::MAX;

/// The depth a new arena allows.
const DEFAULT_MAX_DEPTH: u32 = 192;

/// Containers entered while validating one value, at most. Schemas that try branch after branch on
/// the same value cost more steps than the value has containers; an honest message stays a
/// thousand times below.
const STEP_BUDGET: u32 = 20_000_000;

/// Errors made while explaining one value, at most; see [`Arena::begin_validation`].
const ERROR_BUDGET: u32 = 4_096;

// === impl Arena ===

impl Default for Arena {
    fn default() -> Self {
        Self::with_max_depth(DEFAULT_MAX_DEPTH)
    }
}

impl Arena {
    /// An empty arena that refuses text nested deeper than `max_depth` containers.
    pub fn with_max_depth(max_depth: u32) -> Self {
        Self {
            text: String::new(),
            entries: Vec::new(),
            index: Vec::new(),
            open: Vec::new(),
            max_depth,
            state: ValidationState::default(),
        }
    }

    /// Forgets every value and keeps the memory. Every [`NodeId`] handed out is void.
    pub fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
        self.index.clear();
        self.open.clear();
        self.state.next_member.set(None);
        self.state.repeated.set(false);
    }

    /// Gives memory beyond `bytes` back, so that one huge message does not hold it for ever.
    pub fn shrink_to(&mut self, bytes: usize) {
        self.text.shrink_to(bytes);
        self.entries.shrink_to(bytes / size_of::<ArenaEntry>());
        self.index.shrink_to(bytes / size_of::<IndexedKey>());
    }

    /// The value behind `id`.
    pub fn node(&self, id: NodeId) -> Node<'_> {
        Node::new(self, id.0)
    }

    /// The offset in the text of a key that a later one of the same name replaces, if there is one.
    pub(crate) fn repeated_key(&self) -> Option<usize> {
        if !self.state.repeated.get() {
            return None;
        }
        self.repeated_keys().next()
    }

    /// The offsets in the text of all such keys.
    pub(crate) fn repeated_keys(&self) -> impl Iterator<Item = usize> {
        self.entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::ShadowedKey)
            .map(|entry| entry.start as usize)
    }

    /// Containers a text may nest.
    pub fn max_depth(&self) -> u32 {
        self.max_depth
    }

    /// Resets the state of the validation before.
    pub(crate) fn begin_validation(&self) {
        self.state.steps.set(STEP_BUDGET);
        self.state.errors.set(u32::MAX);
        self.state.unenforceable.set(false);
        self.state.next_member.set(None);
        self.state.repeated.set(false);
    }

    /// Bounds the error path: a hostile value can break a rule at each of its parts, and in each
    /// branch that is tried. Once the budget is gone containers look empty, so the walk ends.
    pub(crate) fn begin_error_collection(&self) {
        self.state.errors.set(ERROR_BUDGET);
    }

    /// Whether validation ran out of its steps: its result means nothing then.
    pub(crate) fn out_of_steps(&self) -> bool {
        self.state.steps.get() == 0
    }

    /// Whether the error path ran out of its budget: the last errors mean nothing then.
    pub(crate) fn out_of_errors(&self) -> bool {
        self.state.errors.get() == 0
    }

    /// Whether validation found a rule that cannot be enforced.
    pub(crate) fn found_unenforceable(&self) -> bool {
        self.state.unenforceable.get()
    }

    /// Records that validation found a rule that cannot be enforced.
    pub(crate) fn mark_unenforceable(&self) {
        self.state.unenforceable.set(true);
    }

    /// Counts one more error made; see [`Arena::begin_error_collection`].
    pub(crate) fn count_error(&self) {
        let errors = &self.state.errors;
        errors.set(errors.get().saturating_sub(1));
    }

    /// Takes one step; `false` when there is none left, or no error to be made.
    pub(crate) fn step(&self) -> bool {
        let left = self.state.steps.get();
        if left == 0 || self.state.errors.get() == 0 {
            return false;
        }
        self.state.steps.set(left - 1);
        true
    }

    pub(super) fn entry(&self, index: u32) -> ArenaEntry {
        self.entries.get(index as usize).copied().unwrap_or(ArenaEntry::NULL)
    }

    /// The key of this name among the members between two entries.
    #[inline]
    pub(super) fn find_key(&self, name: &str, hash: u32, mut at: u32, end: u32) -> Option<u32> {
        while at < end {
            let key = self.entry(at);
            if key.end == hash && key.kind == EntryKind::Key && self.text_of(key) == name {
                return Some(at);
            }
            at = self.entry(at + 1).end;
        }
        None
    }

    pub(super) fn text_of(&self, entry: ArenaEntry) -> &str {
        let start = entry.start as usize;
        self.text.get(start..start + entry.len as usize).unwrap_or_default()
    }
}

// === impl OpenContainer ===

impl OpenContainer {
    pub(super) fn new(entry: u32, is_object: bool) -> Self {
        Self { entry, is_object, len: 0, shadowed: 0, seen: [0; 4] }
    }

    /// Records the hash of a key; whether one of that hash may have been there before.
    #[inline]
    pub(super) fn may_repeat(&mut self, hash: u32) -> bool {
        let (word, bit) = ((hash >> 6 & 3) as usize, 1u64 << (hash & 63));
        let repeats = self.seen[word] & bit != 0;
        self.seen[word] |= bit;
        repeats
    }
}

// === impl ArenaEntry ===

impl ArenaEntry {
    pub(super) const NULL: Self = Self { kind: EntryKind::Null, start: 0, len: 0, end: 0 };

    pub(super) fn integer(value: i64, end: u32) -> Self {
        let bits = value.cast_unsigned();
        Self {
            kind: EntryKind::Integer,
            start: (bits >> 32) as u32,
            len: (bits & 0xffff_ffff) as u32,
            end,
        }
    }

    pub(super) fn as_integer(self) -> i64 {
        ((u64::from(self.start) << 32) | u64::from(self.len)).cast_signed()
    }
}
