//! Turns schema errors into violations.
//!
//! Invariants:
//! - no value of the message is shown: sentences are made of the rule, the document's own words and
//!   the type and length of what stood there; a name that the document does not declare is shown
//!   where the redactor lets it be, and is always `*` in instance pointers, which groups are made
//!   of;
//! - every violation has the position of its rule in the document as registered.

mod branches;
mod format_hint;
mod found;
mod sentence;
mod subject;

use std::borrow::Cow;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;

use crate::contract::schema::{
    SchemaError, SchemaIndex, SchemaOutcome, SchemaSet, errors_truncated,
};
use crate::json::pointer;
use crate::json::{Arena, Node};
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::Violation;

use subject::InspectedValue;
pub use subject::ViolationSubject;

/// Adds violations to a verdict, up to a cap.
#[derive(Debug)]
pub struct ViolationSink<'v> {
    verdict: &'v mut Verdict,
    cap: usize,
}

/// Violations kept per verdict unless said otherwise.
pub const DEFAULT_CAP: usize = 32;

// === impl ViolationSink ===

impl<'v> ViolationSink<'v> {
    /// A sink for `verdict`, which keeps at most `cap` violations and counts the rest.
    pub fn new(verdict: &'v mut Verdict, cap: usize) -> Self {
        Self { verdict, cap }
    }

    /// Adds a violation, or counts it where the cap is reached.
    pub fn add(&mut self, violation: Violation) {
        if self.verdict.violations.len() < self.cap {
            self.verdict.violations.push(violation);
        } else {
            self.more(1);
        }
    }

    /// Records that something was not validated.
    pub fn skip(&mut self, reason: SkipReason) {
        self.verdict.skip(reason);
    }

    fn more(&mut self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.verdict.more_violations = self.verdict.more_violations.saturating_add(count);
    }

    fn is_full(&self) -> bool {
        self.verdict.violations.len() >= self.cap
    }
}

/// Validates a value against a schema and records its violations. Returns whether it conforms.
///
/// Does not allocate where the value is valid.
pub fn validate(
    schemas: &SchemaSet,
    id: SchemaIndex,
    node: Node<'_>,
    subject: &ViolationSubject,
    sink: &mut ViolationSink<'_>,
) -> bool {
    match schemas.validate(id, node) {
        SchemaOutcome::Valid => true,
        SchemaOutcome::ValidButUnenforceable => {
            sink.skip(SkipReason::Document);
            true
        }
        SchemaOutcome::Undecided(reason) => {
            sink.skip(reason);
            false
        }
        SchemaOutcome::Invalid => {
            explain(schemas, id, node, subject, sink);
            false
        }
    }
}

/// Records a violation for every rule that an invalid value breaks.
fn explain(
    schemas: &SchemaSet,
    id: SchemaIndex,
    node: Node<'_>,
    subject: &ViolationSubject,
    sink: &mut ViolationSink<'_>,
) {
    let errors = schemas.errors(id, node);
    let value = InspectedValue { schemas, subject, whole: node };
    let explainer = Explainer {
        value,
        stopped_early: errors_truncated(node),
        met_defect: node.arena().is_some_and(Arena::found_unenforceable),
    };
    let mut done = 0;
    for error in &errors {
        done += 1;
        explainer.record(error, sink);
        if sink.is_full() {
            break;
        }
    }
    sink.more(errors.len() - done);
}

/// Turns the schema errors of one value into violations.
struct Explainer<'e> {
    value: InspectedValue<'e>,
    /// Validation stopped early: the last errors are not reliable.
    stopped_early: bool,
    /// Some part of the schema is not enforced, and accepts what it perhaps should not: a rule that
    /// something must *not* conform may be broken by that alone.
    met_defect: bool,
}

// === impl Explainer ===

impl Explainer<'_> {
    fn record(&self, error: &SchemaError<'_>, sink: &mut ViolationSink<'_>) {
        self.record_error(error.root(), error.inner(), sink);
    }

    fn record_error(&self, root: usize, error: &ValidationError<'_>, sink: &mut ViolationSink<'_>) {
        match error.kind() {
            Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
                sink.skip(SkipReason::RegexBudget);
            }
            Kind::Not { .. }
            | Kind::OneOfMultipleValid { .. }
            | Kind::Contains
            | Kind::UnevaluatedItems { .. }
            | Kind::UnevaluatedProperties { .. }
                if self.met_defect =>
            {
                sink.skip(SkipReason::Document);
            }
            Kind::Referencing(_) => sink.skip(SkipReason::Unenforceable),
            Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
                self.record_branches(root, error, context, sink);
            }
            _ => sink.add(self.violation(root, error)),
        }
    }

    fn violation(&self, root: usize, error: &ValidationError<'_>) -> Violation {
        let InspectedValue { schemas, subject, .. } = self.value;
        let (at, keyword) = schemas.locate(root, error.schema_path().as_str());
        let keyword = match error.kind() {
            Kind::FalseSchema => "false".to_owned(),
            _ => keyword,
        };
        let origin = schemas.source().origin(&at);
        let schema = pointer::split_last(&at).map_or("", |(schema, _)| schema);
        Violation {
            code: subject.code,
            name: subject.name.clone(),
            instance_pointer: self.value.pointer(error.instance_path().as_str()),
            schema_pointer: origin.pointer,
            keyword: Cow::Owned(keyword),
            found: String::new(),
            position: origin.position,
            message: sentence::of(&self.value, error, schemas.is_closed_beside(schema)),
        }
    }
}

#[cfg(test)]
mod tests;
