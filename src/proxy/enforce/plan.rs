//! What the settings say about each operation of the contract in force.
//!
//! Invariants: it is computed once per contract; an exchange looks it up by the index of
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

/// Validation that takes longer than this keeps the other exchanges of a traffic thread waiting.
const SLOW_VALIDATION: Duration = Duration::from_millis(1);
/// One slow validation weighs as much as so many quick ones.
const PENALTY: u8 = 8;
/// From here on an operation counts as slow; two slow validations in a row reach it.
const SLOW_SCORE: u8 = 12;
const MASCORE: u8 = 64;

/// The settings, operation by operation.
#[derive(Debug)]
pub struct EnforcementPlan {
    contract: Arc<LoadedContract>,
    operations: Box<[PlannedOperation]>,
}

/// What is known of one operation.
#[derive(Debug)]
pub struct PlannedOperation {
    /// Its modes.
    pub modes: Modes,
    /// How long validating its messages takes.
    pub latency: LatencyScore,
}

/// Remembers whether recent validations were slow. A pause of the thread now and then does not
/// count; a rule that is slow every time does.
#[derive(Debug, Default)]
pub struct LatencyScore(AtomicU8);

// === impl EnforcementPlan ===

impl EnforcementPlan {
    /// The plan for `contract`. Operations that it does not list have no effect.
    pub fn new(settings: &EnforcementSettings, contract: Arc<LoadedContract>) -> Self {
        let planned = |operation: &CompiledOperation| {
            let own = settings.operations.iter().find(|one| has_name(operation, &one.name));
            let modes = own.map_or(settings.modes, |one| one.over(settings.modes));
            PlannedOperation { modes, latency: LatencyScore::default() }
        };
        let operations = contract.contract.operations().iter().map(planned).collect();
        Self { contract, operations }
    }

    /// Whether it was made for this very contract.
    pub fn is_for(&self, contract: &Arc<LoadedContract>) -> bool {
        Arc::ptr_eq(&self.contract, contract)
    }

    /// What is known of an operation.
    pub fn operation(&self, index: OperationIndex) -> Option<&PlannedOperation> {
        self.operations.get(index.as_usize())
    }
}

/// What is wrong with the operations that the settings name: a sentence about each that the
/// contract does not list, with the nearest that it does.
pub fn unknown_operations(settings: &EnforcementSettings, contract: &Contract) -> Vec<String> {
    let missing = |name: &str| !contract.operations().iter().any(|one| has_name(one, name));
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

fn has_name(operation: &CompiledOperation, name: &str) -> bool {
    let by_path = || {
        let (method, template) = name.split_once(' ')?;
        let same = method.eq_ignore_ascii_case(operation.method.as_str());
        (same && template.trim() == &*operation.template).then_some(())
    };
    operation.operation_id.as_deref() == Some(name) || by_path().is_some()
}

// === impl LatencyScore ===

impl LatencyScore {
    /// Whether recent validations were slow.
    pub fn is_slow(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= SLOW_SCORE
    }

    /// Records how long a validation took. Of two threads at once one may be lost; the next counts.
    pub fn record(&self, took: Duration) {
        let before = self.0.load(Ordering::Relaxed);
        if took > SLOW_VALIDATION {
            self.0.store(before.saturating_add(PENALTY).min(MASCORE), Ordering::Relaxed);
        } else if before > 0 {
            self.0.store(before - 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Problems, RawSettings, Values, enforcement};
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
        let raw = RawSettings { environment, ..RawSettings::default() };
        let values = Values::collect(raw, crate::config::Config::TABLES, &mut problems);
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
        let plan = EnforcementPlan::new(&settings, contract.clone());
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
        let latency = LatencyScore::default();
        let (slow, quick) = (Duration::from_millis(5), Duration::from_micros(5));
        latency.record(slow);
        assert!(!latency.is_slow());
        latency.record(slow);
        assert!(latency.is_slow());
        (0..PENALTY).for_each(|_| latency.record(quick));
        assert!(!latency.is_slow());
    }
}
