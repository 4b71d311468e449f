//! The adapter through which the `jsonschema` crate validates our own JSON.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, JsonNumber, Node as SchemaNode, NodeIdentity, Object};
use serde_json::Value;

use crate::json::scan::key_hash;
use crate::json::{Arena, At, EntryKind, Items, Members, Node, Number, equality};

/// The representation's marker.
pub(crate) struct Instance;

/// A property name of a schema, with the hash that keys are compared by first.
pub(crate) struct PreparedKey {
    name: Box<str>,
    hash: u32,
}

impl Json for Instance {
    type Node<'a> = Node<'a>;
    type PreparedKey = PreparedKey;
    type StringBuffer = ();

    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> PreparedKey {
        PreparedKey { name: key.into(), hash: key_hash(key.as_bytes()) }
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Node<'_>) -> T) -> T {
        f(Node::name(string))
    }
}

impl<'a> SchemaNode<'a, Instance> for Node<'a> {
    type Object = Node<'a>;
    type Array = Node<'a>;
    type Number = Number<'a>;

    #[inline]
    fn as_object(&self) -> Option<Node<'a>> {
        self.is_object().then_some(*self)
    }

    #[inline]
    fn as_array(&self) -> Option<Node<'a>> {
        self.is_array().then_some(*self)
    }

    #[inline]
    fn as_string(&self) -> Option<Cow<'a, str>> {
        self.as_str().map(Cow::Borrowed)
    }

    #[inline]
    fn as_number(&self) -> Option<Number<'a>> {
        Node::as_number(self)
    }

    fn as_boolean(&self) -> Option<bool> {
        self.as_bool()
    }

    fn is_null(&self) -> bool {
        Node::is_null(self)
    }

    fn is_number(&self) -> bool {
        matches!(self.entry().kind, EntryKind::Integer | EntryKind::Decimal)
    }

    fn is_string(&self) -> bool {
        self.entry().kind == EntryKind::String
    }

    #[inline]
    fn json_type(&self) -> JsonType {
        match self.entry().kind {
            EntryKind::Null => JsonType::Null,
            EntryKind::False | EntryKind::True => JsonType::Boolean,
            EntryKind::Integer | EntryKind::Decimal => JsonType::Number,
            EntryKind::String | EntryKind::Key | EntryKind::ShadowedKey => JsonType::String,
            EntryKind::Array => JsonType::Array,
            EntryKind::Object => JsonType::Object,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let text = self.as_str()?;
        // A character takes one to four bytes: most lengths are decided without counting.
        let bytes = text.len() as u64;
        let fewest = bytes.div_ceil(4);
        if bytes < min || fewest > max {
            return Some(false);
        }
        if min <= fewest && bytes <= max {
            return Some(true);
        }
        Some((min..=max).contains(&(text.chars().count() as u64)))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        equality::equals_value(*self, expected)
    }

    /// Errors carry no value: it would cost a copy of the message, and no violation may show it.
    /// Only the synthetic object around a whole value is copied, because the crate looks up the
    /// value of an unfinished regex match in it.
    fn to_value(&self) -> Cow<'a, Value> {
        if let Some(arena) = self.arena() {
            arena.count_error();
        }
        Cow::Owned(match self.at {
            At::Wrapped { .. } => Node::to_value(self),
            // The name that `propertyNames` refuses; whether it is shown is decided later.
            At::Name(name) => Value::String(name.to_owned()),
            At::Entry(..) => Value::Null,
        })
    }

    fn identity(&self) -> Option<NodeIdentity> {
        match self.at {
            At::Entry(arena, index) => {
                Some(NodeIdentity::tagged(std::ptr::from_ref(arena) as usize, index))
            }
            At::Wrapped { arena, .. } => {
                Some(NodeIdentity::tagged(std::ptr::from_ref(arena) as usize, u32::MAX))
            }
            At::Name(name) => Some(NodeIdentity::new(name.as_ptr() as usize)),
        }
    }
}

impl<'a> Object<'a, Instance> for Node<'a> {
    type Node = Node<'a>;
    type MemberName = &'a str;
    type MembersIter = Members<'a>;

    fn len(&self) -> usize {
        Node::len(self)
    }

    #[inline]
    fn get(&self, key: &PreparedKey) -> Option<Node<'a>> {
        let found = self.get_next(&key.name, key.hash)?;
        self.arena().is_none_or(Arena::step).then_some(found)
    }

    fn members(&self) -> Members<'a> {
        if self.arena().is_some_and(Arena::step) { Node::members(self) } else { Members::none() }
    }
}

impl<'a> Array<'a, Instance> for Node<'a> {
    type Node = Node<'a>;
    type ElementsIter = Items<'a>;

    fn len(&self) -> usize {
        Node::len(self)
    }

    fn elements(&self) -> Items<'a> {
        if self.arena().is_some_and(Arena::step) { self.items() } else { Items::none() }
    }

    fn is_unique(&self) -> bool {
        equality::all_differ(*self)
    }
}

impl JsonNumber for Number<'_> {
    fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Integer(value) => u64::try_from(*value).ok(),
            Self::Digits(digits) => digits.parse().ok(),
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Digits(digits) => digits.parse().ok(),
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Digits(digits) => digits.parse().ok().filter(|value: &f64| value.is_finite()),
        }
    }

    fn as_str(&self) -> Cow<'_, str> {
        self.digits()
    }

    fn to_number(&self) -> Cow<'_, serde_json::Number> {
        Cow::Owned(Number::to_number(self))
    }

    fn is_integer(&self) -> bool {
        Number::is_integer(self)
    }
}
