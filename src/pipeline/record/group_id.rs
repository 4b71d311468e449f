//! Violation groups: the same rule broken at the same place, whoever broke it.

use sha2::{Digest, Sha256};

use crate::model::violation::Violation;

/// Identifies a violation group; the same in every process and every release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(u64);

// === impl GroupId ===

impl GroupId {
    /// The group of `violation` in an operation of a schema: a hash of schema, operation,
    /// code, name, schema pointer, and the instance pointer with indices erased.
    pub fn of(schema_id: &str, operation: &str, violation: &Violation) -> Self {
        let mut hash = Sha256::new();
        let mut part = |text: &str| {
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text);
        };
        part(schema_id);
        part(operation);
        part(violation.code.as_str());
        part(violation.name.as_deref().unwrap_or_default());
        part(&violation.schema_pointer);
        part(&erase_indices(&violation.instance_pointer));
        let digest = hash.finalize();
        let first = digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte));
        Self(first)
    }

    /// The id that `text` shows.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(text, 16).ok().map(Self)).flatten()
    }

    /// The id as a number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl std::fmt::Display for GroupId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The pointer with every segment that is a number replaced by `-`.
pub fn erase_indices(pointer: &str) -> String {
    let erase = |segment: &str| {
        let number = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
        if number { "-".to_owned() } else { segment.to_owned() }
    };
    pointer.split('/').map(erase).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::violation::ViolationCode;

    fn violation(instance: &str) -> Violation {
        Violation {
            code: ViolationCode::RESPONSE_BODY_SCHEMA,
            name: None,
            instance_pointer: instance.into(),
            schema_pointer: "/components/schemas/Book/properties/price/type".into(),
            keyword: "type".into(),
            found: String::new(),
            position: None,
            message: "expected a number".into(),
        }
    }

    #[test]
    fn the_place_in_a_list_does_not_matter_and_everything_else_does() {
        let id = GroupId::of("books", "GET /books", &violation("/items/3/price"));
        assert_eq!(id, GroupId::of("books", "GET /books", &violation("/items/12/price")));
        assert_ne!(id, GroupId::of("books", "GET /books", &violation("/items/3/cost")));
        assert_ne!(id, GroupId::of("books", "GET /book", &violation("/items/3/price")));
        assert_ne!(id, GroupId::of("book", "sGET /books", &violation("/items/3/price")));
        assert_eq!(GroupId::parse(&id.to_string()), Some(id));
        assert_eq!(GroupId::parse("12"), None);
    }

    #[test]
    fn ids_do_not_change_between_releases() {
        let id = GroupId::of("books", "GET /books", &violation("/items/3/price"));
        assert_eq!(
            id.to_string(),
            GroupId::of("books", "GET /books", &violation("/items/-/price")).to_string()
        );
    }
}
