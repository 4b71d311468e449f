//! Broken schema rules as violations.
//!
//! What must hold: no part of a violation comes from the message. Sentences are made of the rule
//! and the document's own words; in instance pointers a property name that the document does not
//! know is shown as `*`. Every violation says where its rule stands in the document as registered.

mod branches;
mod sentence;

use std::borrow::Cow;
use std::sync::Arc;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;

use crate::contract::document::pointer;
use crate::contract::instance::Node;
use crate::contract::schema::{Judged, SchemaError, SchemaId, SchemaSet, cut_short};
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Violation, ViolationCode};

/// Where violations go: a verdict that keeps them up to a cap.
#[derive(Debug)]
pub struct Report<'v> {
    verdict: &'v mut Verdict,
    cap: usize,
}

/// What a value is, for the violations of its schema.
#[derive(Debug, Clone)]
pub struct Subject {
    /// The code that violations get.
    pub code: ViolationCode,
    /// The documented name of the parameter or header.
    pub name: Option<Arc<str>>,
}

/// Violations kept per verdict unless said otherwise.
pub const DEFAULT_CAP: usize = 32;

// === impl Report ===

impl<'v> Report<'v> {
    /// A report into `verdict`, which keeps at most `cap` violations and counts the rest.
    pub fn new(verdict: &'v mut Verdict, cap: usize) -> Self {
        Self { verdict, cap }
    }

    /// Adds a violation, or counts it when there are too many.
    pub fn add(&mut self, violation: Violation) {
        if self.verdict.violations.len() < self.cap {
            self.verdict.violations.push(violation);
        } else {
            self.more(1);
        }
    }

    /// Notes that something was not judged.
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

/// Judges a value by a schema and reports what it breaks. Returns whether it conforms.
///
/// Free of allocation where the value is valid.
pub fn judge(
    schemas: &SchemaSet,
    id: SchemaId,
    node: Node<'_>,
    subject: &Subject,
    report: &mut Report<'_>,
) -> bool {
    match schemas.judge(id, node) {
        Judged::Valid => true,
        Judged::ValidButUnenforceable => {
            report.skip(SkipReason::Unenforceable);
            true
        }
        Judged::Undecided(reason) => {
            report.skip(reason);
            false
        }
        Judged::Invalid => {
            explain(schemas, id, node, subject, report);
            false
        }
    }
}

/// Reports every rule that a value breaks, after judging said that there is one.
fn explain(
    schemas: &SchemaSet,
    id: SchemaId,
    node: Node<'_>,
    subject: &Subject,
    report: &mut Report<'_>,
) {
    let errors = schemas.errors(id, node);
    let explainer = Explainer { schemas, subject, whole: node, cut_short: cut_short(node) };
    let mut done = 0;
    for error in &errors {
        done += 1;
        explainer.report(error, report);
        if report.is_full() {
            break;
        }
    }
    report.more(errors.len() - done);
}

/// What explaining one value needs.
struct Explainer<'e> {
    schemas: &'e SchemaSet,
    subject: &'e Subject,
    /// The whole value, to find the parts that rules speak of.
    whole: Node<'e>,
    /// The last errors mean nothing.
    cut_short: bool,
}

// === impl Explainer ===

impl Explainer<'_> {
    fn report(&self, error: &SchemaError<'_>, report: &mut Report<'_>) {
        self.report_inner(error.root(), error.inner(), report);
    }

    fn report_inner(&self, root: usize, error: &ValidationError<'_>, report: &mut Report<'_>) {
        match error.kind() {
            Kind::BacktrackLimitExceeded { .. } | Kind::RegexEngineFailure { .. } => {
                report.skip(SkipReason::RegexBudget);
            }
            Kind::Referencing(_) => report.skip(SkipReason::Unenforceable),
            Kind::OneOfNotValid { context } | Kind::AnyOf { context } => {
                self.report_branches(root, error, context, report);
            }
            _ => report.add(self.violation(root, error)),
        }
    }

    fn violation(&self, root: usize, error: &ValidationError<'_>) -> Violation {
        let (at, keyword) = self.schemas.locate(root, error.schema_path().as_str());
        let keyword = match error.kind() {
            Kind::FalseSchema => "false".to_owned(),
            _ => keyword,
        };
        let origin = self.schemas.source().origin(&at);
        Violation {
            code: self.subject.code,
            name: self.subject.name.clone(),
            instance_pointer: self.instance_pointer(error),
            schema_pointer: origin.pointer,
            keyword: Cow::Owned(keyword),
            position: origin.position,
            message: sentence::of(self.schemas, error),
        }
    }

    /// The error's place in the message, without names that the document does not know.
    fn instance_pointer(&self, error: &ValidationError<'_>) -> String {
        let mut shown = String::new();
        let mut node = Some(self.whole);
        for token in inner_tokens(error.instance_path().as_str()) {
            let token = pointer::unescape(token);
            let in_array = node.is_some_and(|node| node.is_array());
            node = node.and_then(|node| child(node, &token));
            if in_array || self.schemas.knows_name(&token) {
                pointer::push_token(&mut shown, &token);
            } else {
                shown.push_str("/*");
            }
        }
        shown
    }

    /// The part of the value that an error's path leads to.
    fn part(&self, path: &str) -> Option<Node<'_>> {
        inner_tokens(path)
            .try_fold(self.whole, |node, token| child(node, &pointer::unescape(token)))
    }
}

/// The tokens of an error's path within the value: the first one leads into it.
fn inner_tokens(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').skip(2)
}

fn child<'a>(node: Node<'a>, token: &str) -> Option<Node<'a>> {
    if node.is_array() { node.items().nth(token.parse().ok()?) } else { node.get(token) }
}

#[cfg(test)]
mod tests;
