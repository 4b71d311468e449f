//! Violation groups: the same rule broken at the same place by the same fault, by any consumer.

use sha2::{Digest, Sha256};

use crate::model::fault::Fault;
use crate::model::violation::Violation;

/// Identifies a violation group; the same in every process and every release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupId(u64);

/// The group of a violation, and what tells it apart from others of the same rule and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupIdentity<'v> {
    /// The group.
    pub id: GroupId,
    /// Its id in releases before faults.
    pub earlier: GroupId,
    /// Whose fault.
    pub fault: Fault,
    /// What was found in the place of something documented; empty where that has no part in it.
    pub found: &'v str,
}

// === impl GroupId ===

impl GroupId {
    /// The group of `violation` in an operation of a schema: a hash of schema, operation, code,
    /// name, schema pointer, the instance pointer with indices erased, the fault, and what was
    /// `found` in the place of something documented.
    pub fn of(
        schema_id: &str,
        operation: &str,
        violation: &Violation,
        fault: Fault,
        found: &str,
    ) -> Self {
        let instance = erase_indices(&violation.instance_pointer);
        let [code, name, rule] = parts_of(violation);
        Self::hash(&[schema_id, operation, code, name, rule, &instance, fault.as_str(), found])
    }

    /// The group's id in releases before faults.
    pub fn earlier(schema_id: &str, operation: &str, violation: &Violation) -> Self {
        let instance = erase_indices(&violation.instance_pointer);
        let [code, name, rule] = parts_of(violation);
        Self::hash(&[schema_id, operation, code, name, rule, &instance])
    }

    fn hash(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest = hash.finalize();
        Self(digest.iter().take(8).fold(0, |id, byte| id << 8 | u64::from(*byte)))
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

fn parts_of(violation: &Violation) -> [&str; 3] {
    let name = violation.name.as_deref().unwrap_or_default();
    [violation.code.as_str(), name, &violation.schema_pointer]
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

    fn id(schema: &str, operation: &str, instance: &str) -> GroupId {
        GroupId::of(schema, operation, &violation(instance), Fault::Service, "")
    }

    #[test]
    fn the_place_in_a_list_does_not_matter_and_everything_else_does() {
        let one = id("books", "GET /books", "/items/3/price");
        assert_eq!(one, id("books", "GET /books", "/items/12/price"));
        assert_ne!(one, id("books", "GET /books", "/items/3/cost"));
        assert_ne!(one, id("books", "GET /book", "/items/3/price"));
        assert_ne!(one, id("book", "sGET /books", "/items/3/price"));
        assert_eq!(GroupId::parse(&one.to_string()), Some(one));
        assert_eq!(GroupId::parse("12"), None);
    }

    #[test]
    fn fault_and_what_was_found_tell_groups_apart() {
        let violation = violation("");
        let of = |fault, found| GroupId::of("books", "GET /books", &violation, fault, found);
        let mut ids: Vec<_> = Fault::ALL.map(|fault| of(fault, "")).into();
        ids.extend([of(Fault::Service, "401"), of(Fault::Service, "405")]);
        ids.push(GroupId::earlier("books", "GET /books", &violation));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 7);
    }

    #[test]
    fn ids_do_not_change_between_releases() {
        let violation = violation("/items/3/price");
        let earlier = GroupId::earlier("books", "GET /books", &violation);
        assert_eq!(earlier.to_string(), "b967c6ae506c5996");
        let now = GroupId::of("books", "GET /books", &violation, Fault::Service, "401");
        assert_eq!(now.to_string(), "b30f47f21831476c");
    }
}
