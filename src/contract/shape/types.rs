//! Sets of JSON types.

use std::ops::{BitAnd, BitOr};

use serde_json::Value;

/// A set of JSON types. A number may be an integer: [`Types::NUMBER`] contains
/// [`Types::INTEGER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Types(u8);

// === impl Types ===

impl Types {
    /// No type: no value is possible.
    pub const NONE: Self = Self(0);
    /// `null`.
    pub const NULL: Self = Self(1);
    /// `true` and `false`.
    pub const BOOLEAN: Self = Self(2);
    /// Numbers without a fraction.
    pub const INTEGER: Self = Self(4);
    /// All numbers.
    pub const NUMBER: Self = Self(4 | 8);
    /// Strings.
    pub const STRING: Self = Self(16);
    /// Arrays.
    pub const ARRAY: Self = Self(32);
    /// Objects.
    pub const OBJECT: Self = Self(64);
    /// Every type.
    pub const ANY: Self = Self(127);

    /// Whether every type of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some type of `other` is in the set.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set says nothing.
    pub const fn is_any(self) -> bool {
        self.0 == Self::ANY.0
    }

    /// Whether anything but arrays and objects is in the set.
    pub const fn any_scalar(self) -> bool {
        self.without(Self::ARRAY).without(Self::OBJECT).0 != 0
    }

    /// The set without the types of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The types that a `type` keyword names.
    pub(super) fn named(value: &Value) -> Option<Self> {
        match value {
            Value::String(name) => Some(match name.as_str() {
                "null" => Self::NULL,
                "boolean" => Self::BOOLEAN,
                "integer" => Self::INTEGER,
                "number" => Self::NUMBER,
                // A file is a body or a part of bytes, held as text.
                "string" | "file" => Self::STRING,
                "array" => Self::ARRAY,
                "object" => Self::OBJECT,
                _ => return None,
            }),
            Value::Array(names) => names
                .iter()
                .map(Self::named)
                .try_fold(Self::NONE, |types, named| Some(types | named?)),
            _ => None,
        }
    }

    /// The type of a value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::NULL,
            Value::Bool(_) => Self::BOOLEAN,
            Value::Number(number) if number.is_f64() => Self::NUMBER,
            Value::Number(_) => Self::INTEGER,
            Value::String(_) => Self::STRING,
            Value::Array(_) => Self::ARRAY,
            Value::Object(_) => Self::OBJECT,
        }
    }
}

impl BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Types {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
