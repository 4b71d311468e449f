//! What the settings say about each operation of the contract in force.
//!
//! What must hold: it is computed once per contract; an exchange looks it up by the index of
//! its operation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use crate::config::enforcement::EnforcementSettings;
use crate::config::values::unknown;
use crate::contract::{CompiledOperation, Contract, OperationIndex};
use crate::model::mode::Modes;
use crate::registry::LoadedContract;

/// Judging that takes longer than this keeps the other exchanges of a traffic thread waiting.
const SLOW: Duration = Duration::from_millis(1);
/// One slow judgement weighs as much as so many quick ones.
const PENALTY: u8 = 8;
/// From here on an operation counts as slow; two slow judgements in a row reach it.
const TOO_SLOW: u8 = 12;
const WORST: u8 = 64;

/// The settings, operation by operation.
#[derive(Debug)]
pub struct Plan {
    contract: Arc<LoadedContract>,
    operations: Box<[Planned]>,
}

/// What is known of one operation.
#[derive(Debug)]
pub struct Planned {
    /// Its modes.
    pub modes: Modes,
    /// How long judging its messages takes.
    pub pace: Pace,
}

/// Remembers whether judging was slow of late. A pause of the thread now and then does not
/// count; a rule that is slow every time does.
#[derive(Debug, Default)]
pub struct Pace(AtomicU8);

// === impl Plan ===

impl Plan {
    /// The plan for `contract`. Operations that it does not list have no effect.
    pub fn new(settings: &EnforcementSettings, contract: Arc<LoadedContract>) -> Self {
        let planned = |operation: &CompiledOperation| {
            let own = settings.operations.iter().find(|one| is_called(operation, &one.name));
            let modes = own.map_or(settings.modes, |one| one.over(settings.modes));
            Planned { modes, pace: Pace::default() }
        };
        let operations = contract.contract.operations().iter().map(planned).collect();
        Self { contract, operations }
    }

    /// Whether it was made for this very contract.
    pub fn is_for(&self, contract: &Arc<LoadedContract>) -> bool {
        Arc::ptr_eq(&self.contract, contract)
    }

    /// What is known of an operation.
    pub fn operation(&self, index: OperationIndex) -> Option<&Planned> {
        self.operations.get(index.as_usize())
    }
}

/// What is wrong with the operations that the settings name: a sentence about each that the
/// contract does not list, with the nearest that it does.
pub fn unknown_operations(settings: &EnforcementSettings, contract: &Contract) -> Vec<String> {
    let missing = |name: &str| !contract.operations().iter().any(|one| is_called(one, name));
    let mut names = BTreeSet::new();
    for operation in contract.operations() {
        names.insert(name_of(operation));
        names.extend(operation.operation_id.as_deref().map(str::to_owned));
    }
    let known = || names.iter().map(String::as_str);
    let wanted = settings.operations.iter().map(|one| one.name.as_str());
    wanted.filter(|name| missing(name)).map(|name| unknown("operation", name, known())).collect()
}

fn name_of(operation: &CompiledOperation) -> String {
    format!("{} {}", operation.method, operation.template)
}

fn is_called(operation: &CompiledOperation, name: &str) -> bool {
    let by_path = || {
        let (method, template) = name.split_once(' ')?;
        let same = method.eq_ignore_ascii_case(operation.method.as_str());
        (same && template.trim() == &*operation.template).then_some(())
    };
    operation.operation_id.as_deref() == Some(name) || by_path().is_some()
}

// === impl Pace ===

impl Pace {
    /// Whether judging was slow of late.
    pub fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= TOO_SLOW
    }

    /// Notes how long judging took. Two threads at once may lose a note; the next one counts.
    pub fn note(&self, took: Duration) {
        let before = self.0.load(Ordering::Relaxed);
        if took > SLOW {
            self.0.store(before.saturating_add(PENALTY).min(WORST), Ordering::Relaxed);
        } else if before > 0 {
            self.0.store(before - 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Problems, Typed, Values, enforcement};
    use crate::contract::CompileOptions;
    use crate::model::id::SchemaId;
    use crate::model::mode::Mode;

    const DOCUMENT: &str = r"
openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /users:
    get: {operationId: listUsers, responses: {'200': {description: d}}}
    post: {operationId: addUser, responses: {'200': {description: d}}}
";

    fn settings(operations: &str) -> EnforcementSettings {
        let mut problems = Problems::default();
        let environment = vec![("CVT_OPERATIONS".to_owned(), operations.to_owned())];
        let typed = Typed { environment, ..Typed::default() };
        let values = Values::collect(typed, &mut problems);
        let settings = enforcement::read(&values, &mut problems);
        problems.or_fail().unwrap();
        settings
    }

    fn contract() -> Arc<LoadedContract> {
        let options = CompileOptions::default();
        let contract = Contract::compile(DOCUMENT.as_bytes(), &options).unwrap();
        Arc::new(LoadedContract::new(SchemaId::new("t").unwrap(), contract))
    }

    #[test]
    fn operations_are_named_by_path_or_by_id() {
        let contract = contract();
        let settings = settings("post /users=strict, listUsers.response=off");
        assert_eq!(unknown_operations(&settings, &contract.contract), Vec::<String>::new());
        let plan = Plan::new(&settings, contract.clone());
        let modes = |at: usize| plan.operations[at].modes;
        assert_eq!(modes(0), Modes { request: Mode::Warn, response: Mode::Off });
        assert_eq!(modes(1), Modes { request: Mode::Strict, response: Mode::Warn });
        assert!(plan.is_for(&contract));
    }

    #[test]
    fn an_operation_that_is_not_there_is_named_with_the_nearest() {
        let settings = settings("POST /usres=strict,listUser=off");
        let unknown = unknown_operations(&settings, &contract().contract);
        assert_eq!(unknown[0], "unknown operation `POST /usres`, did you mean `POST /users`?");
        assert_eq!(unknown[1], "unknown operation `listUser`, did you mean `listUsers`?");
    }

    #[test]
    fn one_pause_does_not_make_an_operation_slow() {
        let pace = Pace::default();
        let (slow, quick) = (Duration::from_millis(5), Duration::from_micros(5));
        pace.note(slow);
        assert!(!pace.is_slow());
        pace.note(slow);
        assert!(pace.is_slow());
        (0..PENALTY).for_each(|_| pace.note(quick));
        assert!(!pace.is_slow());
    }
}
