//! Values written piece by piece, for messages that are not JSON text, and by the parser.

use super::arena::{
    Arena, ArenaEntry, EntryKind, INDEX_FROM, IndexedKey, NO_INDEX, NodeId, OpenContainer,
};
use super::scan::key_hash;
use crate::json::number;

impl Arena {
    /// Writes `null`.
    pub fn null(&mut self) -> NodeId {
        self.scalar(EntryKind::Null, 0, 0)
    }

    /// Writes a boolean.
    pub fn bool(&mut self, value: bool) -> NodeId {
        self.scalar(if value { EntryKind::True } else { EntryKind::False }, 0, 0)
    }

    /// Writes a number given in JSON's own form (RFC 8259 §6); `None` when `digits` is no such
    /// number, and nothing is written then.
    pub fn number(&mut self, digits: &str) -> Option<NodeId> {
        if !number::is_json_number(digits.as_bytes()) {
            return None;
        }
        Some(if let Some(value) = number::short_integer(digits.as_bytes()) {
            self.integer(value)
        } else {
            let start = self.append(digits);
            self.scalar(EntryKind::Decimal, start, digits.len())
        })
    }

    /// Writes an integer.
    pub fn integer(&mut self, value: i64) -> NodeId {
        let id = self.next();
        self.push_entry(ArenaEntry::integer(value, id + 1))
    }

    /// Writes a string.
    pub fn string(&mut self, value: &str) -> NodeId {
        let start = self.append(value);
        self.scalar(EntryKind::String, start, value.len())
    }

    /// Begins an array; every value written before the matching [`Arena::end`] is an item.
    pub fn begin_array(&mut self) {
        self.begin(EntryKind::Array);
    }

    /// Begins an object; write [`Arena::key`] and a value for each member, then [`Arena::end`].
    pub fn begin_object(&mut self) {
        self.begin(EntryKind::Object);
    }

    /// Writes the key of the next member of the innermost open object.
    pub fn key(&mut self, key: &str) {
        let start = self.append(key);
        self.push_key(start, key.len(), key_hash(key.as_bytes()));
    }

    /// Ends the innermost open container and returns it; `null` when none is open.
    pub fn end(&mut self) -> NodeId {
        let Some(open) = self.open.pop() else { return self.null() };
        self.finish(&open)
    }

    /// Writes down what is known of a container once its last member is written.
    #[inline]
    pub(super) fn finish(&mut self, open: &OpenContainer) -> NodeId {
        let end = self.next();
        let mut len = open.len - open.shadowed;
        let mut start = NO_INDEX;
        if open.is_object && open.len > INDEX_FROM {
            start = self.index_keys(open.entry + 1, end);
            len = self.shadow_repeated(start);
        }
        if let Some(entry) = self.entries.get_mut(open.entry as usize) {
            *entry = ArenaEntry { start, len, end, ..*entry };
        }
        NodeId(open.entry)
    }

    /// Copies a value of another representation.
    pub fn copy(&mut self, value: &serde_json::Value) -> NodeId {
        match value {
            serde_json::Value::Null => self.null(),
            serde_json::Value::Bool(value) => self.bool(*value),
            serde_json::Value::Number(value) => {
                let digits = value.to_string();
                self.number(&digits).unwrap_or_else(|| self.string(&digits))
            }
            serde_json::Value::String(value) => self.string(value),
            serde_json::Value::Array(items) => {
                self.begin_array();
                for item in items {
                    self.copy(item);
                }
                self.end()
            }
            serde_json::Value::Object(members) => {
                self.begin_object();
                for (key, value) in members {
                    self.key(key);
                    self.copy(value);
                }
                self.end()
            }
        }
    }

    pub(super) fn next(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn append(&mut self, text: &str) -> u32 {
        let start = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.text.push_str(text);
        start
    }

    pub(super) fn scalar(&mut self, kind: EntryKind, start: u32, len: usize) -> NodeId {
        let end = self.next() + 1;
        self.push_entry(ArenaEntry {
            kind,
            start,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            end,
        })
    }

    #[inline]
    pub(super) fn push_entry(&mut self, entry: ArenaEntry) -> NodeId {
        let id = self.next();
        self.count_value();
        self.entries.push(entry);
        NodeId(id)
    }

    /// Counts a value that is about to be written into the innermost open container.
    #[inline]
    pub(super) fn count_value(&mut self) {
        // A member is counted at its key.
        if let Some(open) = self.open.last_mut() {
            let after_key =
                matches!(self.entries.last(), Some(last) if last.kind == EntryKind::Key);
            open.len += u32::from(!after_key);
        }
    }

    pub(super) fn begin(&mut self, kind: EntryKind) {
        let id = self.push_entry(ArenaEntry { kind, start: NO_INDEX, len: 0, end: 0 });
        self.open.push(OpenContainer::new(id.0, kind == EntryKind::Object));
    }

    pub(super) fn push_key(&mut self, start: u32, len: usize, hash: u32) {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let key = ArenaEntry { kind: EntryKind::Key, start, len, end: hash };
        if let Some(mut open) = self.open.pop() {
            self.push_key_into(&mut open, key);
            self.open.push(open);
        } else {
            self.entries.push(key);
        }
    }

    /// The same for a container that is not on the list of open ones.
    #[inline]
    pub(super) fn push_key_into(&mut self, open: &mut OpenContainer, key: ArenaEntry) {
        open.len += 1;
        // Beyond that the index finds what is repeated.
        if open.len <= INDEX_FROM
            && open.may_repeat(key.end)
            && self.shadow_earlier(open.entry, key)
        {
            open.shadowed += 1;
        }
        self.entries.push(key);
    }

    /// Marks an earlier key of the same name in the open object as shadowed.
    fn shadow_earlier(&mut self, object: u32, key: ArenaEntry) -> bool {
        let mut at = object + 1;
        let end = self.next();
        while at < end {
            let candidate = self.entry(at);
            if candidate.kind == EntryKind::Key
                && candidate.end == key.end
                && self.text_of(candidate) == self.text_of(key)
            {
                if let Some(entry) = self.entries.get_mut(at as usize) {
                    entry.kind = EntryKind::ShadowedKey;
                }
                self.state.repeated.set(true);
                return true;
            }
            at = self.entry(at + 1).end.max(at + 2);
        }
        false
    }

    /// Sorts the keys between two entries by hash, then by position; returns where they begin in the
    /// index.
    fn index_keys(&mut self, from: u32, to: u32) -> u32 {
        let start = u32::try_from(self.index.len()).unwrap_or(NO_INDEX);
        let mut at = from;
        while at < to {
            let key = self.entry(at);
            if key.kind == EntryKind::Key {
                self.index.push(IndexedKey { hash: key.end, entry: at });
            }
            at = self.entry(at + 1).end.max(at + 2);
        }
        if let Some(keys) = self.index.get_mut(start as usize..) {
            keys.sort_unstable_by_key(|key| (key.hash, key.entry));
        }
        start
    }

    /// Lets the last of equal keys win in the object whose index was just built, takes the others
    /// out of the index and returns how many keys are left.
    fn shadow_repeated(&mut self, start: u32) -> u32 {
        let Self { text, entries, index, state, .. } = self;
        let name_of = |entries: &[ArenaEntry], key: IndexedKey| {
            let Some(entry) = entries.get(key.entry as usize) else { return "" };
            let start = entry.start as usize;
            text.get(start..start + entry.len as usize).unwrap_or_default()
        };
        let keys = index.get_mut(start as usize..).unwrap_or_default();
        // Equal hashes of different names are as good as never; sorting the run by name keeps
        // even runs made on purpose from costing more than a sort.
        for run in keys.chunk_by_mut(|a, b| a.hash == b.hash).filter(|run| run.len() > 1) {
            run.sort_unstable_by(|a, b| {
                name_of(entries, *a).cmp(name_of(entries, *b)).then(a.entry.cmp(&b.entry))
            });
            for pair in run.windows(2) {
                let [earlier, later] = *pair else { continue };
                if name_of(entries, earlier) == name_of(entries, later)
                    && let Some(entry) = entries.get_mut(earlier.entry as usize)
                {
                    entry.kind = EntryKind::ShadowedKey;
                    state.repeated.set(true);
                }
            }
        }
        let mut kept = start as usize;
        for at in start as usize..index.len() {
            let key = index[at];
            if entries.get(key.entry as usize).is_some_and(|entry| entry.kind == EntryKind::Key) {
                index[kept] = key;
                kept += 1;
            }
        }
        index.truncate(kept);
        u32::try_from(kept).unwrap_or(u32::MAX).saturating_sub(start)
    }
}
