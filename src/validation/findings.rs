//! What was found broken or left unjudged on one side of an exchange.

use std::borrow::Cow;
use std::sync::Arc;

use super::reading::Unreadable;
use super::report::{self, Report, Subject};
use super::witness::Sight;
use crate::contract::Contract;
use crate::contract::instance::Node;
use crate::contract::schema::SchemaId;
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Location, Rule, Side, Violation, ViolationCode};

/// Collects the verdict on one side.
pub(super) struct Findings<'c> {
    pub(super) contract: &'c Contract,
    side: Side,
    cap: usize,
    verdict: Verdict,
    pub(super) sight: Sight<'c>,
}

/// Which rule of the document was broken, and in which part of the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'p> {
    /// The part of the message.
    pub(super) location: Location,
    /// The documented name, where one is concerned.
    pub(super) name: Option<&'p Arc<str>>,
    /// Pointer to the rule in the contract's tree.
    pub(super) pointer: &'p str,
}

// === impl Findings ===

impl<'c> Findings<'c> {
    pub(super) fn new(contract: &'c Contract, side: Side, cap: usize) -> Self {
        Self { contract, side, cap, verdict: Verdict::default(), sight: Sight::default() }
    }

    /// The verdict, when all is judged.
    pub(super) fn into_verdict(self) -> Verdict {
        self.verdict
    }

    /// The code of a rule on this side.
    pub(super) fn code(&self, location: Location, rule: Rule) -> ViolationCode {
        ViolationCode { side: self.side, location, rule }
    }

    /// Notes that something was not judged.
    pub(super) fn skip(&mut self, reason: SkipReason) {
        self.verdict.skip(reason);
    }

    /// Notes a broken rule of the document that is no schema.
    pub(super) fn add(&mut self, place: Place<'_>, rule: Rule, message: impl Into<String>) {
        self.add_at(place, rule, String::new(), message);
    }

    /// Notes a broken rule at a place within the value.
    pub(super) fn add_at(
        &mut self,
        place: Place<'_>,
        rule: Rule,
        instance_pointer: String,
        message: impl Into<String>,
    ) {
        if self.is_full() {
            self.verdict.more_violations = self.verdict.more_violations.saturating_add(1);
            return;
        }
        let origin = self.contract.origin(place.pointer);
        self.push(Violation {
            code: self.code(place.location, rule),
            name: place.name.cloned(),
            instance_pointer,
            schema_pointer: origin.pointer,
            keyword: Cow::Borrowed(""),
            position: origin.position,
            message: message.into(),
        });
    }

    /// Notes a violation that is already in words.
    pub(super) fn push(&mut self, violation: Violation) {
        if self.is_full() {
            self.verdict.more_violations = self.verdict.more_violations.saturating_add(1);
        } else {
            self.verdict.violations.push(violation);
        }
    }

    /// Notes every rule of a schema that a value breaks. `prefix` leads to the value in the body.
    pub(super) fn explain(
        &mut self,
        schema: SchemaId,
        node: Node<'_>,
        subject: &Subject,
        prefix: &str,
    ) {
        let before = self.verdict.violations.len();
        let mut report = Report::new(&mut self.verdict, self.cap);
        report::judge(self.contract.schemas(), schema, node, subject, &mut report);
        if !prefix.is_empty() {
            for violation in self.verdict.violations.iter_mut().skip(before) {
                violation.instance_pointer.insert_str(0, prefix);
            }
        }
    }

    /// How many more violations are kept.
    pub(super) fn room(&self) -> usize {
        self.cap.saturating_sub(self.verdict.violations.len())
    }

    fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Notes a text that has no reading.
    pub(super) fn unreadable(&mut self, place: Place<'_>, at: String, why: Unreadable) {
        if why == Unreadable::TooDeep {
            self.skip(SkipReason::WorkBudget);
            return;
        }
        self.add_at(place, Rule::Malformed, at, why.as_sentence());
    }
}

// === impl Unreadable ===

impl Unreadable {
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
