//! The kinds of violation that this process has seen: what is new, and how often each came.

use std::collections::HashMap;

use parking_lot::Mutex;

use super::group::GroupId;
use crate::model::violation::Violation;

/// Kinds kept apart; violations of further kinds are counted together.
const MOST_KINDS: usize = 10_000;

/// One kind of violation, for the summary.
#[derive(Debug, Clone)]
pub struct Kind {
    /// Which group.
    pub group: GroupId,
    /// Method and path template, or what stands for an undocumented one.
    pub operation: String,
    /// The violation seen first.
    pub violation: Violation,
    /// How often it came.
    pub count: u64,
}

/// Every kind seen by this process. Shared by the workers.
#[derive(Debug, Default)]
pub struct Kinds {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    kinds: HashMap<GroupId, Kind>,
    beyond: u64,
}

// === impl Kinds ===

impl Kinds {
    /// Counts one violation; true when it is the first of its kind.
    pub fn count(&self, group: GroupId, operation: &str, violation: &Violation) -> bool {
        let mut table = self.table.lock();
        if let Some(kind) = table.kinds.get_mut(&group) {
            kind.count += 1;
            return false;
        }
        if table.kinds.len() >= MOST_KINDS {
            table.beyond += 1;
            return false;
        }
        let kind =
            Kind { group, operation: operation.to_owned(), violation: violation.clone(), count: 1 };
        table.kinds.insert(group, kind);
        true
    }

    /// Every kind, the most frequent first, and the number of violations of kinds beyond the
    /// cap.
    pub fn summary(&self) -> (Vec<Kind>, u64) {
        let table = self.table.lock();
        let mut kinds: Vec<Kind> = table.kinds.values().cloned().collect();
        kinds.sort_by(|a, b| b.count.cmp(&a.count).then(a.group.cmp(&b.group)));
        (kinds, table.beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::violation::ViolationCode;

    #[test]
    fn only_the_first_is_new_and_every_one_is_counted() {
        let kinds = Kinds::default();
        let violation = Violation {
            code: ViolationCode::REQUEST_QUERY_MISSING,
            name: Some("page".into()),
            instance_pointer: String::new(),
            schema_pointer: "/paths".into(),
            keyword: "required".into(),
            position: None,
            message: "is required".into(),
        };
        let group = GroupId::of("a", "GET /", &violation);
        assert!(kinds.count(group, "GET /", &violation));
        assert!(!kinds.count(group, "GET /", &violation));
        let (summary, beyond) = kinds.summary();
        assert_eq!((summary.len(), summary[0].count, beyond), (1, 2, 0));
    }
}
