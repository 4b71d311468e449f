//! What follows a verdict: counts, new kinds of violation, the record.

use std::sync::Arc;
use std::time::Instant;

use super::consumer::IdentityChain;
use super::exchange::Exchange;
use super::group::GroupId;
use super::kinds::Kinds;
use super::metrics::{ObserverMetrics, OperationMetrics, RecordMetrics};
use super::record::{self, Circumstances};
use super::screen::Screen;
use super::worker::Judged;
use super::writer::Outbox;
use crate::config::record::{Bodies, RecordSettings};
use crate::model::clock::Clock;
use crate::model::exchange::Captured;
use crate::model::id::IdSource;
use crate::model::mode::Mode;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::{Side, Violation, ViolationCode};
use crate::redaction::{Hints, Redactor};
use crate::validation::Judge;

/// What stands for an operation that the document does not list.
const UNDOCUMENTED: &str = "undocumented";

/// Everything that follows a verdict. One clone per worker; they share kinds and keeper.
#[derive(Clone)]
pub struct Recorder {
    parts: Arc<RecorderParts>,
    operations: OperationMetrics,
    screen: Screen,
}

/// What a [`Recorder`] is made of.
pub struct RecorderParts {
    /// Counters.
    pub metrics: ObserverMetrics,
    /// Counters of records.
    pub record_metrics: RecordMetrics,
    /// Kinds of violation seen.
    pub kinds: Arc<Kinds>,
    /// Decides what is judged and what is kept.
    pub screen: Screen,
    /// What is kept of it.
    pub settings: RecordSettings,
    /// How consumers are told.
    pub identity: IdentityChain,
    /// The only way to storage.
    pub redactor: Arc<Redactor>,
    /// Takes records.
    pub sender: Outbox,
    /// Told about each new kind of violation.
    pub announce: Arc<dyn Announce>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of records.
    pub ids: Arc<dyn IdSource>,
}

/// Shows new kinds of violation to the operator.
pub trait Announce: Send + Sync {
    /// The first violation of its kind.
    fn new_kind(&self, group: GroupId, schema_id: &str, operation: &str, violation: &Violation);
}

// === impl Recorder ===

impl Recorder {
    /// A recorder made of `parts`.
    pub fn new(parts: RecorderParts) -> Self {
        let operations = OperationMetrics::new(parts.metrics.clone());
        let screen = parts.screen.clone();
        Self { parts: Arc::new(parts), operations, screen }
    }

    /// Counts an exchange of which nothing was judged.
    pub fn skip(&self, reason: SkipReason) {
        self.parts.metrics.skip(reason);
    }

    /// Whether to judge an exchange; one that is left out is counted. `pressed` says that there
    /// is no time for all of them.
    pub fn wants(&mut self, exchange: &Exchange, pressed: bool) -> bool {
        let Some(contract) = &exchange.contract else { return true };
        if self.screen.lets_pass(exchange, pressed) {
            return true;
        }
        let operation = Judge::operation(&contract.contract, &exchange.request);
        let consumer = self.parts.identity.identify(&exchange.request.headers);
        let now = self.parts.clock.now();
        let reason = self.screen.leaves_out(exchange, operation, &consumer.id, pressed, now);
        if let Some(reason) = reason {
            self.parts.metrics.skip(reason);
            self.operations.left_out(contract, operation, reason);
        }
        reason.is_none()
    }

    /// Counts a judged exchange, announces what is new in it and keeps a record if the policy
    /// says so. `started` is when judging began.
    pub fn note(&mut self, exchange: &Exchange, judged: &Judged, started: Instant) {
        let parts = self.parts.clone();
        let took = parts.clock.instant().saturating_duration_since(started);
        self.operations.count(exchange, judged, took);
        count_parts(&parts.metrics, judged);
        let operation = operation_name(exchange, judged);
        let (groups, is_new) = if judged.valid() {
            (Vec::new(), false)
        } else {
            parts.note_violations(exchange, judged, &operation)
        };
        let now = parts.clock.now();
        let consumer = parts.identity.identify(&exchange.request.headers);
        if is_new {
            self.screen.note_new_violation(exchange, judged.operation, now);
        }
        let why = self.screen.keeps(exchange, judged, &consumer.id, &groups, now);
        let Some(why) = why else {
            return parts.record_metrics.left_out();
        };
        parts.record_metrics.kept(why);
        let body_limit = parts.settings.kept_of_bodies();
        let hints = hints(exchange, judged, &parts.settings);
        let record = record::build(
            exchange,
            judged,
            Circumstances {
                id: exchange.id.unwrap_or_else(|| parts.ids.next_id()),
                now,
                environment: &parts.settings.environment,
                consumer,
                body_limit,
            },
        );
        parts.sender.send(parts.redactor.record(record, hints));
    }
}

impl RecorderParts {
    /// Counts each violation and returns the groups they belong to, and whether one is new.
    fn note_violations(
        &self,
        exchange: &Exchange,
        judged: &Judged,
        operation: &str,
    ) -> (Vec<u64>, bool) {
        let schema_id =
            exchange.contract.as_ref().map_or("", |contract| contract.schema_id.as_str());
        let (mut groups, mut is_new) = (Vec::new(), false);
        for violation in judged.verdicts().flat_map(|verdict| &verdict.violations) {
            let group = GroupId::of(schema_id, operation, violation);
            if self.kinds.count(group, operation, violation) {
                is_new = true;
                self.metrics.new_groups.with_label_values(&[schema_id, operation]).inc();
                if exchange.modes.of(violation.code.side) >= Mode::Warn {
                    self.announce.new_kind(group, schema_id, operation, violation);
                }
            }
            groups.push(group.as_u64());
        }
        groups.sort_unstable();
        groups.dedup();
        (groups, is_new)
    }
}

/// What the redactor must know beyond the record.
fn hints<'e>(exchange: &'e Exchange, judged: &Judged, settings: &RecordSettings) -> Hints<'e> {
    let body_limit = settings.kept_of_bodies();
    let cut = |body: &Captured| body.truncated() || body.kept() > body_limit;
    Hints {
        masks: exchange
            .contract
            .as_ref()
            .zip(judged.operation)
            .and_then(|(loaded, operation)| loaded.masks(operation)),
        request_cut: cut(&exchange.request_body),
        response_cut: cut(&exchange.response_body),
        shape_only: settings.bodies == Bodies::Shape,
    }
}

fn count_parts(metrics: &ObserverMetrics, judged: &Judged) {
    metrics.judged.inc();
    let sides =
        [(Side::Request, Some(&judged.request)), (Side::Response, judged.response.as_ref())];
    for (side, verdict) in sides {
        let Some(verdict) = verdict else { continue };
        for reason in &verdict.skipped {
            metrics.unjudged(side, *reason);
        }
        for violation in &verdict.violations {
            metrics.violations.with_label_values(&[violation.code.as_str()]).inc();
        }
    }
    if !judged.valid() {
        let category = category(judged);
        metrics.validation_errors.with_label_values(&[category]).inc();
    }
}

/// CVT's category of an invalid exchange: what failed first.
fn category(judged: &Judged) -> &'static str {
    let unrouted =
        [ViolationCode::REQUEST_PATH_UNDOCUMENTED, ViolationCode::REQUEST_METHOD_UNDOCUMENTED];
    match judged.request.outcome() {
        Outcome::Violates
            if judged.request.violations.iter().any(|v| unrouted.contains(&v.code)) =>
        {
            "route_not_found"
        }
        Outcome::Violates => "request_invalid",
        _ => "response_invalid",
    }
}

fn operation_name(exchange: &Exchange, judged: &Judged) -> String {
    exchange
        .contract
        .as_ref()
        .zip(judged.operation)
        .map(|(loaded, index)| loaded.contract.operation(index))
        .map_or_else(
            || UNDOCUMENTED.to_owned(),
            |operation| format!("{} {}", operation.method, operation.template),
        )
}
