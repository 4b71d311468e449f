//! What `*.undocumented` codes found, so many different things at each place.
//!
//! Invariants: callers invent paths, methods and media types, but the number of groups that come
//! of them does not grow with traffic; what one fault brings takes no room from the others.

use std::collections::{BTreeSet, HashMap};

use parking_lot::Mutex;

use crate::model::fault::Fault;
use crate::model::violation::Violation;
use crate::pipeline::record::group_id::GroupId;

/// What stands for everything found beyond the limits.
pub const OTHER_FOUND: &str = "other";
/// Different things kept apart at one place and by one fault.
const MAX_FOUND: usize = 50;
/// Places and faults kept apart.
const MAX_PLACES: usize = 5_000;

/// The things found at each place, by the fault of the exchange.
type FoundByPlace = HashMap<(GroupId, Fault), BTreeSet<Box<str>>>;

/// The things found, by place and fault. Shared by the workers.
#[derive(Debug, Default)]
pub struct FoundNames {
    places: Mutex<FoundByPlace>,
}

// === impl FoundNames ===

impl FoundNames {
    /// What a violation found, or [`OTHER_FOUND`] where too much was found at its place before.
    /// `place` is its group without what was found.
    pub fn bounded<'v>(&self, place: GroupId, fault: Fault, violation: &'v Violation) -> &'v str {
        let found = violation.found.as_str();
        if found.is_empty() {
            return found;
        }
        let mut places = self.places.lock();
        let room = places.len() < MAX_PLACES;
        let Some(names) = places.get_mut(&(place, fault)) else {
            if room {
                places.insert((place, fault), [found.into()].into());
            }
            return if room { found } else { OTHER_FOUND };
        };
        let kept = names.contains(found) || (names.len() < MAX_FOUND && names.insert(found.into()));
        if kept { found } else { OTHER_FOUND }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::violation::ViolationCode;

    fn undocumented(found: String) -> Violation {
        Violation {
            code: ViolationCode::REQUEST_PATH_UNDOCUMENTED,
            name: None,
            instance_pointer: String::new(),
            schema_pointer: "/paths".into(),
            keyword: "".into(),
            found,
            position: None,
            message: String::new(),
        }
    }

    #[test]
    fn what_is_found_beyond_the_limit_is_one_thing_for_each_fault() {
        let names = FoundNames::default();
        let place =
            |schema: &str| GroupId::earlier(schema, "undocumented", &undocumented(String::new()));
        let mut kept = BTreeSet::new();
        for n in 0..1_000 {
            let violation = undocumented(format!("/p{n}"));
            kept.insert(names.bounded(place("a"), Fault::Stranger, &violation).to_owned());
        }
        assert_eq!(kept.len(), MAX_FOUND + 1);
        assert!(kept.contains(OTHER_FOUND));
        let late = undocumented("/late".to_owned());
        assert_eq!(names.bounded(place("a"), Fault::Stranger, &late), OTHER_FOUND);
        assert_eq!(names.bounded(place("a"), Fault::Accepted, &late), "/late");
        assert_eq!(names.bounded(place("b"), Fault::Stranger, &late), "/late");
        let nothing = undocumented(String::new());
        assert_eq!(names.bounded(place("a"), Fault::Stranger, &nothing), "");
    }

    #[test]
    fn places_are_bounded_too() {
        let names = FoundNames::default();
        let violation = undocumented("/x".to_owned());
        for n in 0..MAX_PLACES {
            let place = GroupId::earlier(&n.to_string(), "undocumented", &violation);
            assert_eq!(names.bounded(place, Fault::Stranger, &violation), "/x");
        }
        let place = GroupId::earlier("more", "undocumented", &violation);
        assert_eq!(names.bounded(place, Fault::Stranger, &violation), OTHER_FOUND);
    }
}
