//! Equality of values, and whether an array repeats one.

use serde_json::Value;

use super::arena::EntryKind;
use super::node::Node;
use super::scan::key_hash;

/// Arrays up to this long are compared pair by pair.
const PAIRWISE: usize = 16;

impl Node<'_> {
    /// Whether the value equals one of the document's, numbers by value.
    pub fn equals(&self, expected: &Value) -> bool {
        equals_value(*self, expected)
    }
}

/// Whether two values are equal as JSON Schema means it: numbers by value, objects without order.
pub(super) fn equal(a: Node<'_>, b: Node<'_>) -> bool {
    match (a.entry().kind, b.entry().kind) {
        (EntryKind::Integer | EntryKind::Decimal, EntryKind::Integer | EntryKind::Decimal) => {
            match (a.as_number(), b.as_number()) {
                (Some(super::Number::Integer(a)), Some(super::Number::Integer(b))) => a == b,
                (Some(a), Some(b)) => a.decimal() == b.decimal(),
                _ => false,
            }
        }
        (EntryKind::String, EntryKind::String) => a.as_str() == b.as_str(),
        (EntryKind::Array, EntryKind::Array) => {
            a.len() == b.len() && a.items().zip(b.items()).all(|(a, b)| equal(a, b))
        }
        (EntryKind::Object, EntryKind::Object) => {
            a.len() == b.len()
                && a.members()
                    .all(|(name, value)| b.get(name).is_some_and(|other| equal(value, other)))
        }
        (a, b) => a == b,
    }
}

/// Whether a value equals one of the document's.
pub(crate) fn equals_value(node: Node<'_>, expected: &Value) -> bool {
    match expected {
        Value::Null => node.is_null(),
        Value::Bool(expected) => node.as_bool() == Some(*expected),
        Value::String(expected) => node.as_str() == Some(expected),
        Value::Number(expected) => node.as_number().is_some_and(|number| number.equals(expected)),
        Value::Array(expected) => {
            node.is_array()
                && node.len() == expected.len()
                && node.items().zip(expected).all(|(item, expected)| equals_value(item, expected))
        }
        Value::Object(expected) => {
            node.is_object()
                && node.len() == expected.len()
                && node.members().all(|(name, value)| {
                    expected.get(name).is_some_and(|expected| equals_value(value, expected))
                })
        }
    }
}

/// Whether all items of an array differ. `n log n` in the items: equal items have equal hashes.
pub(crate) fn all_differ(array: Node<'_>) -> bool {
    let items: Vec<Node<'_>> = array.items().collect();
    if items.len() <= PAIRWISE {
        return items.iter().enumerate().all(|(i, a)| items[..i].iter().all(|b| !equal(*a, *b)));
    }
    let mut hashed: Vec<(u64, Node<'_>)> =
        items.into_iter().map(|item| (structural_hash(item), item)).collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    // Different values of one hash do not happen by chance; made on purpose, a run of them is
    // compared pair by pair, which the step budget of the arena bounds.
    hashed.chunk_by(|a, b| a.0 == b.0).all(|run| {
        run.iter().enumerate().all(|(i, (_, a))| {
            run[..i]
                .iter()
                .all(|(_, b)| array.arena().is_some_and(super::Arena::step) && !equal(*a, *b))
        })
    })
}

fn structural_hash(node: Node<'_>) -> u64 {
    const K: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |hash: u64, word: u64| {
        let mixed = (hash ^ word).wrapping_mul(K);
        mixed ^ (mixed >> 32)
    };
    match node.entry().kind {
        EntryKind::String => {
            mix(3, u64::from(key_hash(node.as_str().unwrap_or_default().as_bytes())))
        }
        EntryKind::Integer | EntryKind::Decimal => match node.as_number() {
            Some(super::Number::Integer(value)) => mix(4, value.cast_unsigned()),
            Some(number) => {
                let decimal = number.decimal();
                decimal.as_integer().map_or_else(
                    || mix(5, decimal.short_hash()),
                    |value| mix(4, value.cast_unsigned()),
                )
            }
            None => 0,
        },
        EntryKind::Array => node.items().fold(6, |hash, item| mix(hash, structural_hash(item))),
        // Without order: members are added up.
        EntryKind::Object => node
            .members()
            .map(|(name, value)| mix(u64::from(key_hash(name.as_bytes())), structural_hash(value)))
            .fold(7, u64::wrapping_add),
        kind => kind as u64,
    }
}
