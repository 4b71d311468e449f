//! What follows a verdict: counts, new kinds of violation, the record.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::consumer::IdentityChain;
use super::exchange::Exchange;
use super::group::GroupId;
use super::kinds::Kinds;
use super::metrics::{ObserverMetrics, OperationMetrics, RecordMetrics};
use super::record::{self, Circumstances};
use super::trace::{self, Judging};
use super::worker::Judged;
use super::writer::Outbox;
use crate::config::record::RecordSettings;
use crate::model::clock::Clock;
use crate::model::exchange::Captured;
use crate::model::id::IdSource;
use crate::model::mode::Mode;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::{Side, Violation, ViolationCode};
use crate::redaction::{Hints, Redactor};
use crate::sampling::Keeper;
use crate::telemetry::spans::SpanSender;

/// What stands for an operation that the document does not list.
const UNDOCUMENTED: &str = "undocumented";

/// Everything that follows a verdict. One clone per worker; they share kinds and keeper.
#[derive(Clone)]
pub struct Recorder {
    parts: Arc<RecorderParts>,
    operations: OperationMetrics,
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
    /// How consumers are told.
    pub identity: IdentityChain,
    /// The only way to storage.
    pub redactor: Arc<Redactor>,
    /// Takes records.
    pub sender: Outbox,
    /// Told about each new kind of violation.
    pub announce: Arc<dyn Announce>,
    /// Takes the spans of traces, when there is a collector.
    pub spans: Option<SpanSender>,
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
        Self { parts: Arc::new(parts), operations }
    }

    /// Counts an exchange of which nothing was judged.
    pub fn skip(&self, reason: SkipReason) {
        self.parts.metrics.skip(reason);
    }

    /// Counts a judged exchange, announces what is new in it and keeps a record if the policy
    /// says so. `started` is when judging began.
    pub fn note(&mut self, exchange: &Exchange, judged: &Judged, started: Instant) {
        let parts = self.parts.clone();
        let took = parts.clock.instant().saturating_duration_since(started);
        self.operations.count(exchange, judged, took);
        count_parts(&parts.metrics, judged);
        let operation = operation_name(exchange, judged);
        let groups = if judged.valid() {
            Vec::new()
        } else {
            parts.note_violations(exchange, judged, &operation)
        };
        let now = parts.clock.now();
        parts.trace(exchange, judged, &operation, Judging { ended: now, took });
        let kind = kind_of(exchange, judged);
        let Some(why) = parts.keeper.lock().decide(kind, &groups, now) else {
            return parts.record_metrics.left_out();
        };
        parts.record_metrics.kept(why);
        let hints = hints(exchange, judged, parts.settings.body_limit);
        let record = record::build(
            exchange,
            judged,
            Circumstances {
                id: exchange.id.unwrap_or_else(|| parts.ids.next_id()),
                now,
                environment: &parts.settings.environment,
                consumer: parts.identity.identify(&exchange.request.headers),
                body_limit: parts.settings.body_limit,
            },
        );
        parts.sender.send(parts.redactor.record(record, hints));
    }
}

impl RecorderParts {
    fn trace(&self, exchange: &Exchange, judged: &Judged, operation: &str, judging: Judging) {
        let Some(sender) = &self.spans else { return };
        for span in trace::spans(exchange, judged, operation, judging) {
            sender.send(span);
        }
    }

    /// Counts each violation and returns the groups they belong to.
    fn note_violations(&self, exchange: &Exchange, judged: &Judged, operation: &str) -> Vec<u64> {
        let schema_id =
            exchange.contract.as_ref().map_or("", |contract| contract.schema_id.as_str());
        let mut groups = Vec::new();
        for violation in judged.verdicts().flat_map(|verdict| &verdict.violations) {
            let group = GroupId::of(schema_id, operation, violation);
            if self.kinds.count(group, operation, violation) {
                self.metrics.new_groups.with_label_values(&[schema_id, operation]).inc();
                if exchange.modes.of(violation.code.side) >= Mode::Warn {
                    let traced = trace::log_span(exchange);
                    traced.in_scope(|| {
                        self.announce.new_kind(group, schema_id, operation, violation);
                    });
                }
            }
            groups.push(group.as_u64());
        }
        groups.sort_unstable();
        groups.dedup();
        groups
    }
}

/// What the redactor must know beyond the record.
fn hints<'e>(exchange: &'e Exchange, judged: &Judged, body_limit: usize) -> Hints<'e> {
    let cut = |body: &Captured| body.truncated() || body.kept() > body_limit;
    Hints {
        masks: exchange
            .contract
            .as_ref()
            .zip(judged.operation)
            .and_then(|(loaded, operation)| loaded.masks(operation)),
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
