//! What follows a verdict: counts, new kinds of violation, the record.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use uuid::Uuid;

use super::consumer::{Caller, Consumer, Identity, Roster};
use super::exchange::Exchange;
use super::group::GroupId;
use super::kinds::{Kinds, Sighting};
use super::metrics::{ObserverMetrics, OperationMetrics, RecordMetrics};
use super::record::{self, Circumstances};
use super::usage::{Collector, UsageBook, UsageHandle};
use super::worker::Judged;
use super::writer::Outbox;
use crate::config::record::RecordSettings;
use crate::model::clock::{Clock, Timestamp};
use crate::model::exchange::Captured;
use crate::model::id::IdSource;
use crate::model::mode::Mode;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::{Side, Violation, ViolationCode};
use crate::redaction::{Hints, Redactor};
use crate::sampling::Keeper;

/// What stands for an operation that the document does not list.
pub const UNDOCUMENTED: &str = "undocumented";

/// Everything that follows a verdict. One clone per worker; they share kinds and keeper.
#[derive(Clone)]
pub struct Recorder {
    parts: Arc<RecorderParts>,
    operations: OperationMetrics,
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
    /// Decides what is kept.
    pub keeper: Mutex<Keeper>,
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
        let usage = parts.usage.open();
        Self { parts: Arc::new(parts), operations, usage }
    }

    /// Where this recorder counts usage.
    pub fn usage(&self) -> Arc<Mutex<Collector>> {
        self.usage.collector()
    }

    /// Counts an exchange of which nothing was judged.
    pub fn skip(&self, reason: SkipReason) {
        self.parts.metrics.skip(reason);
    }

    /// Counts a judged exchange, its violations and its use of the contract, and keeps a record
    /// if the policy says so. `started` is when judging began; `usage` saw it.
    pub fn note(
        &mut self,
        exchange: &Exchange,
        judged: &Judged,
        started: Instant,
        usage: &mut Collector,
    ) {
        let parts = self.parts.clone();
        let took = parts.clock.instant().saturating_duration_since(started);
        self.operations.count(exchange, judged, took);
        count_parts(&parts.metrics, judged);
        let now = parts.clock.now();
        let consumer = parts.roster.identify(Caller {
            headers: &exchange.request.headers,
            certificate: exchange.client_subject.as_deref(),
        });
        consumer.counters.count(judged.outcome());
        let counted = parts.roster.counted(&consumer);
        usage.note(exchange, judged, &counted, now);
        let groups = if judged.valid() { Vec::new() } else { groups_of(exchange, judged) };
        let mut kinds: Vec<u64> = groups.iter().map(|group| group.as_u64()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let kept = parts.keeper.lock().decide(kind_of(exchange, judged), &kinds, now);
        let id = kept.map(|_| exchange.id.unwrap_or_else(|| parts.ids.next_id()));
        parts.note_violations(exchange, judged, &groups, (&counted, id, now));
        let (Some(why), Some(id)) = (kept, id) else { return parts.record_metrics.left_out() };
        parts.record_metrics.kept(why);
        let hints = hints(exchange, judged, parts.settings.body_limit);
        let record = record::build(
            exchange,
            judged,
            Circumstances {
                id,
                now,
                environment: &parts.settings.environment,
                consumer: Identity { id: consumer.id.clone(), version: consumer.version.clone() },
                body_limit: parts.settings.body_limit,
            },
        );
        parts.sender.send(parts.redactor.record(record, hints));
    }
}

impl RecorderParts {
    /// Counts each violation under its group; `example` is the record that will show it.
    fn note_violations(
        &self,
        exchange: &Exchange,
        judged: &Judged,
        groups: &[GroupId],
        (consumer, example, at): (&Consumer, Option<Uuid>, Timestamp),
    ) {
        let contract = exchange.contract.as_deref();
        let known = contract.zip(judged.operation);
        let operation = known.map(|(loaded, index)| loaded.contract.operation(index));
        let operation_name = operation_name(exchange, judged);
        for (violation, group) in violations_of(judged).zip(groups) {
            let first = self.kinds.saw(&Sighting {
                group: *group,
                violation,
                schema_id: contract.map_or("", |loaded| loaded.schema_id.as_str()),
                version: contract.map_or("", |loaded| loaded.contract.version()),
                operation: operation
                    .map_or(("", ""), |operation| (operation.method.as_str(), &operation.template)),
                operation_name: &operation_name,
                consumer: &consumer.id,
                at,
                example,
                tell: exchange.modes.of(violation.code.side) >= Mode::Warn,
            });
            if first {
                let labels =
                    [contract.map_or("", |loaded| loaded.schema_id.as_str()), &operation_name];
                self.metrics.new_groups.with_label_values(&labels).inc();
            }
        }
    }
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
fn hints<'e>(exchange: &'e Exchange, judged: &Judged, body_limit: usize) -> Hints<'e> {
    let cut = |body: &Captured| body.truncated() || body.kept() > body_limit;
    Hints {
        masks: exchange.contract.as_ref().map(|loaded| loaded.masks(judged.operation)),
        request_cut: cut(&exchange.request_body),
        response_cut: cut(&exchange.response_body),
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

/// What makes two conforming exchanges alike: operation, status, and what was not judged.
fn kind_of(exchange: &Exchange, judged: &Judged) -> u64 {
    let operation = judged.operation.map_or(u64::MAX, |index| index.as_usize() as u64);
    let status = exchange.response.as_ref().map_or(0, |head| u64::from(head.status.as_u16()));
    let reasons = judged
        .verdicts()
        .flat_map(|verdict| &verdict.skipped)
        .fold(0_u64, |bits, reason| bits | 1 << (*reason as u64 % 32));
    let mixed = operation.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ status.rotate_left(32) ^ reasons;
    mixed.wrapping_mul(0xff51_afd7_ed55_8ccd)
}
