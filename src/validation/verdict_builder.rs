//! Builds the verdict on one side of an exchange: violations and skipped parts.

use std::borrow::Cow;
use std::sync::Arc;

use super::names::{CountedNoun, PROPERTY, part_of_message, undeclared};
use super::observation::ObservedParts;
use super::schema_violations::{self, ViolationSink, ViolationSubject};
use super::undocumented::Undocumented;
use super::validator::ValidatorOptions;
use super::value_reader::ReadError;
use crate::contract::Contract;
use crate::contract::schema::SchemaIndex;
use crate::json::Node;
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Location, Side, Violation, ViolationCode, ViolationKind};
use crate::redaction::Redactor;

/// Collects the verdict on one side of an exchange.
pub(super) struct VerdictBuilder<'c> {
    pub(super) contract: &'c Contract,
    side: Side,
    cap: usize,
    verdict: Verdict,
    pub(super) redactor: Arc<Redactor>,
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
    pub(super) fn new(contract: &'c Contract, side: Side, options: &ValidatorOptions) -> Self {
        Self {
            contract,
            side,
            cap: options.violation_cap,
            verdict: Verdict::default(),
            redactor: Arc::clone(&options.redactor),
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
        let (found, message) = (String::new(), message.into());
        self.add_found(rule, kind, instance_pointer, Undocumented { found, message });
    }

    /// Records that something is not documented, and what was found.
    pub(super) fn add_undocumented(
        &mut self,
        rule: RuleLocation<'_>,
        instance_pointer: String,
        undocumented: Undocumented,
    ) {
        self.add_found(rule, ViolationKind::Undocumented, instance_pointer, undocumented);
    }

    /// Records names that the document does not declare, where there are any; `at` is the pointer
    /// to what they are part of.
    pub(super) fn add_undeclared<'n>(
        &mut self,
        rule: RuleLocation<'_>,
        at: String,
        names: impl ExactSizeIterator<Item = &'n str>,
    ) {
        if names.len() == 0 {
            return;
        }
        let noun = match rule.location {
            Location::Query => CountedNoun("query parameter", "query parameters"),
            Location::Header => CountedNoun("header", "headers"),
            Location::Cookie => CountedNoun("cookie", "cookies"),
            _ => PROPERTY,
        };
        let contract = self.contract;
        let declares = |name: &str| contract.schemas().declares_name(name);
        let (names, is_plural) = undeclared(&self.redactor, noun, names, declares, "");
        let verb = if is_plural { "are" } else { "is" };
        let message = format!("{names} {verb} sent and not declared in the document");
        self.add_at(rule, ViolationKind::Undeclared, at + "/*", message);
    }

    fn add_found(
        &mut self,
        rule: RuleLocation<'_>,
        kind: ViolationKind,
        instance_pointer: String,
        Undocumented { found, message }: Undocumented,
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
            found,
            position: origin.position,
            message,
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

    /// Records a violation for every rule of a schema that a value breaks.
    pub(super) fn record_schema_violations(
        &mut self,
        schema: SchemaIndex,
        node: Node<'_>,
        subject: &ViolationSubject,
    ) {
        let mut sink = ViolationSink::new(&mut self.verdict, self.cap);
        schema_violations::validate(self.contract.schemas(), schema, node, subject, &mut sink);
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
        let message = format!("{} {}", rule.label(), why.as_phrase());
        self.add_at(rule, ViolationKind::Malformed, at, message);
    }
}

// === impl RuleLocation ===

impl RuleLocation<'_> {
    /// The part of the message as the subject of a sentence.
    pub(super) fn label(&self) -> String {
        part_of_message(self.location, self.name.map(|name| &**name))
    }
}

// === impl ReadError ===

impl ReadError {
    fn as_phrase(self) -> &'static str {
        match self {
            Self::NotText => "is not UTF-8 text",
            Self::Style => "is not written in the documented style",
            Self::Repeated => "is sent more than once, which the document does not allow",
            Self::Json => "is not the JSON that the document asks for",
            Self::Reserved => "has reserved characters that must be percent-encoded",
            Self::TooDeep => "nests deeper than is read",
        }
    }
}
