//! Builds the verdict on one side of an exchange: violations and skipped parts.

use std::borrow::Cow;
use std::sync::Arc;

use super::observation::ObservedParts;
use super::schema_violations::{self, ViolationSink, ViolationSubject};
use super::value_reader::ReadError;
use crate::contract::Contract;
use crate::contract::schema::SchemaIndex;
use crate::json::Node;
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Location, Side, Violation, ViolationCode, ViolationKind};

/// Collects the verdict on one side of an exchange.
pub(super) struct VerdictBuilder<'c> {
    pub(super) contract: &'c Contract,
    side: Side,
    cap: usize,
    verdict: Verdict,
    pub(super) observed: ObservedParts<'c>,
}

/// Which rule of the document was broken, and in which part of the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleLocation<'p> {
    /// The part of the message.
    pub(super) location: Location,
    /// The documented name, where one is concerned.
    pub(super) name: Option<&'p Arc<str>>,
    /// Pointer to the rule in the contract's tree.
    pub(super) pointer: &'p str,
}

// === impl VerdictBuilder ===

impl<'c> VerdictBuilder<'c> {
    pub(super) fn new(contract: &'c Contract, side: Side, cap: usize) -> Self {
        Self {
            contract,
            side,
            cap,
            verdict: Verdict::default(),
            observed: ObservedParts::default(),
        }
    }

    /// The verdict, once everything is validated.
    pub(super) fn finish(self) -> Verdict {
        self.verdict
    }

    /// The code of a rule on this side.
    pub(super) fn code(&self, location: Location, kind: ViolationKind) -> ViolationCode {
        ViolationCode { side: self.side, location, kind }
    }

    /// Records that something was not validated.
    pub(super) fn skip(&mut self, reason: SkipReason) {
        self.verdict.skip(reason);
    }

    /// Records a violation of a rule that is not a schema.
    pub(super) fn add(
        &mut self,
        rule: RuleLocation<'_>,
        kind: ViolationKind,
        message: impl Into<String>,
    ) {
        self.add_at(rule, kind, String::new(), message);
    }

    /// Records a violation at `instance_pointer` within the value.
    pub(super) fn add_at(
        &mut self,
        rule: RuleLocation<'_>,
        kind: ViolationKind,
        instance_pointer: String,
        message: impl Into<String>,
    ) {
        if self.is_full() {
            self.verdict.more_violations = self.verdict.more_violations.saturating_add(1);
            return;
        }
        let origin = self.contract.origin(rule.pointer);
        self.push(Violation {
            code: self.code(rule.location, kind),
            name: rule.name.cloned(),
            instance_pointer,
            schema_pointer: origin.pointer,
            keyword: Cow::Borrowed(""),
            found: String::new(),
            position: origin.position,
            message: message.into(),
        });
    }

    /// Adds a violation, or counts it where the cap is reached.
    pub(super) fn push(&mut self, violation: Violation) {
        if self.is_full() {
            self.verdict.more_violations = self.verdict.more_violations.saturating_add(1);
        } else {
            self.verdict.violations.push(violation);
        }
    }

    /// Records a violation for every rule of a schema that a value breaks. `prefix` is the pointer to the value in the body.
    pub(super) fn record_schema_violations(
        &mut self,
        schema: SchemaIndex,
        node: Node<'_>,
        subject: &ViolationSubject,
        prefix: &str,
    ) {
        let before = self.verdict.violations.len();
        let mut sink = ViolationSink::new(&mut self.verdict, self.cap);
        schema_violations::validate(self.contract.schemas(), schema, node, subject, &mut sink);
        if !prefix.is_empty() {
            for violation in self.verdict.violations.iter_mut().skip(before) {
                violation.instance_pointer.insert_str(0, prefix);
            }
        }
    }

    /// How many more violations fit under the cap.
    pub(super) fn room(&self) -> usize {
        self.cap.saturating_sub(self.verdict.violations.len())
    }

    fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Records that a text cannot be read as a value.
    pub(super) fn record_read_error(&mut self, rule: RuleLocation<'_>, at: String, why: ReadError) {
        if why == ReadError::TooDeep {
            self.skip(SkipReason::WorkBudget);
            return;
        }
        self.add_at(rule, ViolationKind::Malformed, at, why.as_sentence());
    }
}

// === impl ReadError ===

impl ReadError {
    fn as_sentence(self) -> &'static str {
        match self {
            Self::NotText => "the bytes are not UTF-8 text",
            Self::Style => "the value is not written in the documented style",
            Self::Repeated => "the value is sent repeatedly where the document allows it once",
            Self::Json => "the value is not the JSON that the document asks for",
            Self::Reserved => "reserved characters stand unencoded where the document forbids it",
            Self::TooDeep => "the value nests deeper than is read",
        }
    }
}
