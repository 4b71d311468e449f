//! The handle that rules read a value through.

use std::borrow::Cow;

use serde_json::Value;

use super::arena::{Arena, ArenaEntry, EntryKind, NO_INDEX};
use crate::json::number::{self, Decimal};

/// One value: cheap to copy, good as long as the arena is borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Node<'a> {
    pub(crate) at: At<'a>,
}

/// Where a value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum At<'a> {
    /// In an arena.
    Entry(&'a Arena, u32),
    /// A property name, validated as a string by `propertyNames`.
    Name(&'a str),
    /// A synthetic object whose only member, `key`, selects one schema of many for the value.
    Wrapped { arena: &'a Arena, key: &'a str, to: u32 },
}

/// The members of an object in the order sent, each name once; none when it is no object.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    arena: Option<&'a Arena>,
    at: u32,
    end: u32,
    key: Option<(&'a str, u32)>,
}

/// The items of an array.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    arena: Option<&'a Arena>,
    at: u32,
    end: u32,
}

/// A number, exactly as sent.
#[derive(Debug, Clone, Copy)]
pub enum Number<'a> {
    /// An integer that an `i64` holds.
    Integer(i64),
    /// Any other number, in its own digits.
    Digits(&'a str),
}

// === impl Node ===

impl<'a> Node<'a> {
    pub(super) fn new(arena: &'a Arena, index: u32) -> Self {
        Self { at: At::Entry(arena, index) }
    }

    /// A node for `name` alone.
    pub(crate) fn name(name: &'a str) -> Self {
        Self { at: At::Name(name) }
    }

    /// The object `{key: self}` without writing it anywhere.
    pub(crate) fn wrapped_under(self, key: &'a str) -> Self {
        match self.at {
            At::Entry(arena, to) => Self { at: At::Wrapped { arena, key, to } },
            At::Name(_) | At::Wrapped { .. } => self,
        }
    }

    /// The arena the value lives in; none for a property name.
    pub(crate) fn arena(&self) -> Option<&'a Arena> {
        match self.at {
            At::Entry(arena, _) | At::Wrapped { arena, .. } => Some(arena),
            At::Name(_) => None,
        }
    }

    pub(crate) fn entry(&self) -> ArenaEntry {
        match self.at {
            At::Entry(arena, index) => arena.entry(index),
            At::Name(_) => ArenaEntry { kind: EntryKind::String, ..ArenaEntry::NULL },
            At::Wrapped { .. } => {
                ArenaEntry { kind: EntryKind::Object, len: 1, ..ArenaEntry::NULL }
            }
        }
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        self.entry().kind == EntryKind::Null
    }

    /// The boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.entry().kind {
            EntryKind::True => Some(true),
            EntryKind::False => Some(false),
            _ => None,
        }
    }

    /// The string.
    pub fn as_str(&self) -> Option<&'a str> {
        match self.at {
            At::Entry(arena, index) => {
                let entry = arena.entry(index);
                (entry.kind == EntryKind::String).then(|| arena.text_of(entry))
            }
            At::Name(name) => Some(name),
            At::Wrapped { .. } => None,
        }
    }

    /// The number.
    pub fn as_number(&self) -> Option<Number<'a>> {
        let At::Entry(arena, index) = self.at else { return None };
        let entry = arena.entry(index);
        match entry.kind {
            EntryKind::Integer => Some(Number::Integer(entry.as_integer())),
            EntryKind::Decimal => Some(Number::Digits(arena.text_of(entry))),
            _ => None,
        }
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.entry().kind == EntryKind::Object
    }

    /// Whether the value is an array.
    pub fn is_array(&self) -> bool {
        self.entry().kind == EntryKind::Array
    }

    /// Items of an array, members of an object; zero for anything else.
    pub fn len(&self) -> usize {
        let entry = self.entry();
        match entry.kind {
            EntryKind::Array | EntryKind::Object => entry.len as usize,
            _ => 0,
        }
    }

    /// Whether [`Node::len`] is zero.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members of an object.
    pub fn members(&self) -> Members<'a> {
        match self.at {
            At::Entry(arena, index) => {
                let entry = arena.entry(index);
                if entry.kind == EntryKind::Object {
                    Members { arena: Some(arena), at: index + 1, end: entry.end, key: None }
                } else {
                    Members { arena: None, at: 0, end: 0, key: None }
                }
            }
            At::Wrapped { arena, key, to } => {
                Members { arena: Some(arena), at: 0, end: 0, key: Some((key, to)) }
            }
            At::Name(_) => Members { arena: None, at: 0, end: 0, key: None },
        }
    }

    /// The items of an array.
    pub fn items(&self) -> Items<'a> {
        if let At::Entry(arena, index) = self.at {
            let entry = arena.entry(index);
            if entry.kind == EntryKind::Array {
                return Items { arena: Some(arena), at: index + 1, end: entry.end };
            }
        }
        Items { arena: None, at: 0, end: 0 }
    }

    /// The member of an object by its name.
    pub fn get(&self, name: &str) -> Option<Node<'a>> {
        self.get_hashed(name, super::scan::key_hash(name.as_bytes()))
    }

    pub(super) fn get_hashed(&self, name: &str, hash: u32) -> Option<Node<'a>> {
        self.get_from(name, hash, |_, first| first)
    }

    /// The same during validation: the search begins at the member after the one found last.
    pub(crate) fn get_next(&self, name: &str, hash: u32) -> Option<Node<'a>> {
        let At::Entry(arena, index) = self.at else { return self.get_hashed(name, hash) };
        let next = &arena.state.next_member;
        let found = self.get_from(name, hash, |object, first| match next.get() {
            Some((same, next)) if same == object => next,
            _ => first,
        })?;
        if let At::Entry(_, value) = found.at {
            next.set(Some((index, arena.entry(value).end)));
        }
        Some(found)
    }

    /// Looks for a member from the one on that `from` names, given the object and its first.
    #[inline]
    fn get_from(
        &self,
        name: &str,
        hash: u32,
        from: impl FnOnce(u32, u32) -> u32,
    ) -> Option<Node<'a>> {
        let (arena, object) = match self.at {
            At::Entry(arena, index) => (arena, index),
            At::Wrapped { arena, key, to } => return (key == name).then(|| Self::new(arena, to)),
            At::Name(_) => return None,
        };
        let entry = arena.entry(object);
        if entry.kind != EntryKind::Object {
            return None;
        }
        if entry.start != NO_INDEX {
            let keys = arena.index.get(entry.start as usize..)?.get(..entry.len as usize)?;
            let first = keys.partition_point(|key| key.hash < hash);
            return keys[first..].iter().take_while(|key| key.hash == hash).find_map(|key| {
                (arena.text_of(arena.entry(key.entry)) == name)
                    .then(|| Self::new(arena, key.entry + 1))
            });
        }
        let first = object + 1;
        let from = from(object, first);
        let found = arena.find_key(name, hash, from, entry.end);
        found.or_else(|| arena.find_key(name, hash, first, from)).map(|at| Self::new(arena, at + 1))
    }

    /// Follows an RFC 6901 pointer.
    pub fn pointer(&self, pointer: &str) -> Option<Node<'a>> {
        let mut node = *self;
        for token in pointer.split('/').skip(1) {
            node = if node.is_array() {
                node.items().nth(token.parse().ok()?)?
            } else if token.contains('~') {
                node.get(&token.replace("~1", "/").replace("~0", "~"))?
            } else {
                node.get(token)?
            };
        }
        Some(node)
    }

    /// A copy as a tree, for cold paths.
    pub fn to_value(&self) -> Value {
        if let Some(text) = self.as_str() {
            return Value::String(text.to_owned());
        }
        if let Some(number) = self.as_number() {
            return Value::Number(number.to_number());
        }
        match self.entry().kind {
            EntryKind::True => Value::Bool(true),
            EntryKind::False => Value::Bool(false),
            EntryKind::Array => Value::Array(self.items().map(|item| item.to_value()).collect()),
            EntryKind::Object => Value::Object(
                self.members().map(|(name, value)| (name.to_owned(), value.to_value())).collect(),
            ),
            _ => Value::Null,
        }
    }
}

// === impl Members ===

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Node<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let arena = self.arena?;
        if let Some((key, to)) = self.key.take() {
            return Some((key, Node::new(arena, to)));
        }
        while self.at < self.end {
            let key = arena.entry(self.at);
            let value = self.at + 1;
            self.at = arena.entry(value).end;
            if key.kind == EntryKind::Key {
                return Some((arena.text_of(key), Node::new(arena, value)));
            }
        }
        None
    }
}

impl<'a> Members<'a> {
    /// No members at all.
    pub(crate) fn none() -> Members<'a> {
        Members { arena: None, at: 0, end: 0, key: None }
    }
}

// === impl Items ===

impl<'a> Iterator for Items<'a> {
    type Item = Node<'a>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let arena = self.arena?;
        if self.at >= self.end {
            return None;
        }
        let item = self.at;
        self.at = arena.entry(item).end;
        Some(Node::new(arena, item))
    }
}

impl Items<'_> {
    /// No items at all.
    pub(crate) fn none() -> Self {
        Self { arena: None, at: 0, end: 0 }
    }
}

// === impl Number ===

impl<'a> Number<'a> {
    /// The number as an exact decimal.
    pub fn decimal(&self) -> Decimal {
        match self {
            Self::Integer(value) => Decimal::from_integer(*value),
            Self::Digits(digits) => {
                Decimal::parse(digits).unwrap_or_else(|| Decimal::from_integer(0))
            }
        }
    }

    /// Whether the number has no fraction (`1.0` has none).
    pub fn is_integer(&self) -> bool {
        match self {
            Self::Integer(_) => true,
            Self::Digits(_) => self.decimal().is_integer(),
        }
    }

    /// The digits as sent.
    pub fn digits(&self) -> Cow<'a, str> {
        match self {
            Self::Integer(value) => Cow::Owned(value.to_string()),
            Self::Digits(digits) => Cow::Borrowed(digits),
        }
    }

    /// The number as serde_json holds it, digits kept.
    pub fn to_number(&self) -> serde_json::Number {
        match self {
            Self::Integer(value) => serde_json::Number::from(*value),
            Self::Digits(digits) => digits.parse().unwrap_or_else(|_| serde_json::Number::from(0)),
        }
    }

    /// Whether both are the same number, exactly.
    pub fn equals(&self, other: &serde_json::Number) -> bool {
        let other = other.as_str();
        match (self, number::short_integer(other.as_bytes())) {
            (Self::Integer(value), Some(other)) => *value == other,
            (Self::Digits(digits), _) if *digits == other => true,
            _ => Decimal::parse(other).is_some_and(|other| other == self.decimal()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::key_hash;
    use super::*;

    #[test]
    fn members_are_found_in_any_order_of_look_ups() {
        let mut arena = Arena::default();
        for _ in 0..2 {
            arena.clear();
            let text = br#"{"a":1,"b":{"a":2,"c":[3]},"a":4,"d":{"b":5},"e":6}"#;
            let root = arena.parse(text).unwrap();
            let root = arena.node(root);
            let get = |node: Node<'_>, name: &str| {
                let next = node.get_next(name, key_hash(name.as_bytes()));
                assert_eq!(next.map(|node| node.to_value()), node.get(name).map(|n| n.to_value()));
                next.map(|node| node.to_value())
            };
            let inner = root.get("b").unwrap();
            for name in ["e", "a", "x", "b", "d", "d", "e", "b"] {
                assert_eq!(get(root, name).is_some(), name != "x", "{name}");
                assert_eq!(get(inner, name).is_some(), name == "a", "{name}");
                assert_eq!(get(root, "a"), Some(4.into()));
                assert!(get(inner, "c").is_some_and(|c| c.is_array()));
            }
        }
    }
}
