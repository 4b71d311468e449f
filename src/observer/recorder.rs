//! What follows a verdict: counts, new kinds of violation, the record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use super::consumer::{Caller, Consumer, Identity, Roster};
use super::exchange::Exchange;
use super::group::GroupId;
use super::kinds::{Kinds, Sighting};
use super::metrics::{ObserverMetrics, OperationMetrics, RecordMetrics};
use super::record::{self, Circumstances};
use super::screen::Screen;
use super::trace::{self, Judging};
use super::usage::{Collector, UsageBook, UsageHandle};
use super::worker::Judged;
use super::writer::Outbox;
use crate::config::record::{Bodies, RecordSettings};
use crate::model::clock::{Clock, Timestamp};
use crate::model::exchange::Captured;
use crate::model::id::IdSource;
use crate::model::mode::Mode;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::{Side, Violation, ViolationCode};
use crate::redaction::{Hints, Redactor};
use crate::telemetry::spans::SpanSender;
use crate::validation::Judge;

/// What stands for an operation that the document does not list.
pub const UNDOCUMENTED: &str = "undocumented";

/// Everything that follows a verdict. One clone per worker; they share kinds and keeper.
#[derive(Clone)]
pub struct Recorder {
    parts: Arc<RecorderParts>,
    operations: OperationMetrics,
    screen: Screen,
    usage: UsageHandle,
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
    /// Who calls.
    pub roster: Roster,
    /// What they use.
    pub usage: UsageBook,
    /// The only way to storage.
    pub redactor: Arc<Redactor>,
    /// Takes records.
    pub sender: Outbox,
    /// Takes the spans of traces, when there is a collector.
    pub spans: Option<SpanSender>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of records.
    pub ids: Arc<dyn IdSource>,
}

// === impl Recorder ===

impl Recorder {
    /// A recorder made of `parts`.
    pub fn new(parts: RecorderParts) -> Self {
        let operations = OperationMetrics::new(parts.metrics.clone());
        let (screen, usage) = (parts.screen.clone(), parts.usage.open());
        Self { parts: Arc::new(parts), operations, screen, usage }
    }

    /// Where this recorder counts usage.
    pub fn usage(&self) -> Arc<Mutex<Collector>> {
        self.usage.collector()
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
        let consumer = self.parts.roster.identify(caller_of(exchange));
        let now = self.parts.clock.now();
        let reason = self.screen.leaves_out(exchange, operation, &consumer.id, pressed, now);
        if let Some(reason) = reason {
            self.parts.metrics.skip(reason);
            self.operations.left_out(contract, operation, reason);
        }
        reason.is_none()
    }

    /// Counts a judged exchange, its violations and its use of the contract, and keeps a record
    /// if the policy says so. `started` is when judging began; `usage` saw it. Says when judging
    /// ended, unless that is a while ago because there was a record to make.
    ///
    /// Everything is dated by the end of the exchange, whenever it is judged.
    pub fn note(
        &mut self,
        exchange: &Exchange,
        judged: &Judged,
        started: Instant,
        usage: &mut Collector,
    ) -> Option<Instant> {
        let parts = self.parts.clone();
        let ended = parts.clock.instant();
        let took = ended.saturating_duration_since(started);
        self.operations.count(exchange, judged, took);
        count_parts(&parts.metrics, judged);
        let now = exchange.arrived_at.plus(exchange.duration);
        parts.trace(exchange, judged, took);
        let consumer = parts.roster.identify(caller_of(exchange));
        consumer.counters.count(judged.outcome());
        let counted = parts.roster.counted(&consumer);
        usage.note(exchange, judged, &counted, now);
        let groups = if judged.valid() { Vec::new() } else { groups_of(exchange, judged) };
        let mut kinds: Vec<u64> = groups.iter().map(|group| group.as_u64()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let why =
            self.screen.keeps(exchange, judged, (&consumer.id, usage.outlines()), &kinds, now);
        let id = why.map(|_| exchange.id.unwrap_or_else(|| parts.ids.next_id()));
        if parts.note_violations(exchange, judged, &groups, (&counted, id, now)) {
            self.screen.note_new_violation(exchange, judged.operation, now);
        }
        let (Some(why), Some(id)) = (why, id) else {
            parts.record_metrics.left_out();
            return Some(ended);
        };
        parts.record_metrics.kept(why);
        let body_limit = parts.settings.kept_of_bodies();
        let hints = hints(exchange, judged, &parts.settings);
        let record = record::build(
            exchange,
            judged,
            Circumstances {
                id,
                now,
                environment: &parts.settings.environment,
                consumer: Identity { id: consumer.id.clone(), version: consumer.version.clone() },
                body_limit,
            },
        );
        parts.sender.send(parts.redactor.record(record, hints));
        None
    }
}

impl RecorderParts {
    fn trace(&self, exchange: &Exchange, judged: &Judged, took: Duration) {
        let Some(sender) = self.spans.as_ref().filter(|_| exchange.trace.is_some()) else { return };
        let judging = Judging { ended: self.clock.now(), took };
        let operation = operation_name(exchange, judged);
        for span in trace::spans(exchange, judged, &operation, judging) {
            sender.send(span);
        }
    }

    /// Counts each violation under its group and says whether one is new to this process;
    /// `example` is the record that will show it.
    fn note_violations(
        &self,
        exchange: &Exchange,
        judged: &Judged,
        groups: &[GroupId],
        (consumer, example, at): (&Consumer, Option<Uuid>, Timestamp),
    ) -> bool {
        let contract = exchange.contract.as_deref();
        if groups.is_empty() {
            return false;
        }
        let schema_id = contract.map_or("", |loaded| loaded.schema_id.as_str());
        let known = contract.zip(judged.operation);
        let operation = known.map(|(loaded, index)| loaded.contract.operation(index));
        let operation_name = operation_name(exchange, judged);
        let mut is_new = false;
        for (violation, group) in violations_of(judged).zip(groups) {
            let first = self.kinds.saw(&Sighting {
                group: *group,
                violation,
                schema_id,
                version: contract.map_or("", |loaded| loaded.contract.version()),
                operation: operation
                    .map_or(("", ""), |operation| (operation.method.as_str(), &operation.template)),
                operation_name: &operation_name,
                consumer: &consumer.id,
                at,
                example,
                trace: trace::trace_id(exchange),
                tell: exchange.modes.of(violation.code.side) >= Mode::Warn,
            });
            if first {
                is_new = true;
                self.metrics.new_groups.with_label_values(&[schema_id, &operation_name]).inc();
            }
        }
        is_new
    }
}

fn caller_of(exchange: &Exchange) -> Caller<'_> {
    Caller { headers: &exchange.request.headers, certificate: exchange.client_subject.as_deref() }
}

fn violations_of(judged: &Judged) -> impl Iterator<Item = &Violation> {
    judged.verdicts().flat_map(|verdict| &verdict.violations)
}

/// The group of each violation.
fn groups_of(exchange: &Exchange, judged: &Judged) -> Vec<GroupId> {
    let schema_id = exchange.contract.as_ref().map_or("", |contract| contract.schema_id.as_str());
    let operation = operation_name(exchange, judged);
    violations_of(judged).map(|violation| GroupId::of(schema_id, &operation, violation)).collect()
}

/// What the redactor must know beyond the record.
fn hints<'e>(exchange: &'e Exchange, judged: &Judged, settings: &RecordSettings) -> Hints<'e> {
    let body_limit = settings.kept_of_bodies();
    let cut = |body: &Captured| body.truncated() || body.kept() > body_limit;
    Hints {
        masks: exchange.contract.as_ref().map(|loaded| loaded.masks(judged.operation)),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::verdict::Verdict;
    use crate::observer::testing;

    #[test]
    fn what_is_seen_is_dated_by_the_end_of_the_exchange_and_not_by_when_it_is_judged() {
        let mut parts = testing::parts();
        let mut exchange = testing::exchange(&parts.budget);
        exchange.arrived_at = Timestamp::from_micros(5_000_000);
        exchange.duration = Duration::from_secs(2);
        let request = Verdict {
            violations: vec![Violation {
                code: ViolationCode::REQUEST_BODY_SCHEMA,
                name: None,
                instance_pointer: "/a".into(),
                schema_pointer: "/components/schemas/A".into(),
                keyword: "type".into(),
                position: None,
                message: "expected a number".into(),
            }],
            ..Verdict::default()
        };
        let judged = Judged { request, ..Judged::default() };
        let usage = parts.recorder.usage();
        parts.recorder.note(&exchange, &judged, parts.clock.instant(), &mut usage.lock());
        let groups = parts.recorder.parts.kinds.pack(parts.clock.now());
        let seen: Vec<_> = groups.iter().map(|group| group.first_seen.as_micros()).collect();
        assert_eq!(seen, [7_000_000]);
    }
}
