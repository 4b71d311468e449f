//! What follows a verdict: counts, new kinds of violation, the record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::config::record::{BodyPolicy, RecordSettings};
use crate::exchange::Exchange;
use crate::exchange::metrics::ExchangeMetrics;
use crate::model::clock::{Clock, Timestamp};
use crate::model::exchange::CapturedBody;
use crate::model::fault::Fault;
use crate::model::id::IdSource;
use crate::model::mode::Mode;
use crate::model::verdict::{Outcome, SkipReason};
use crate::model::violation::{Side, Violation, ViolationCode};
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::writer::WriteQueue;
use crate::pipeline::record::builder::{self, RecordContext};
use crate::pipeline::record::group_id::GroupIdentity;
use crate::pipeline::record::metrics::OperationMetrics;
use crate::pipeline::record::sampling_filter::SamplingFilter;
use crate::pipeline::record::spans::{self, ValidationTime};
use crate::pipeline::record::violation_groups::{ViolationEvent, ViolationGroups};
use crate::pipeline::usage::consumer::{
    ConsumerEntry, ConsumerIdentity, ConsumerTable, IdentityInput,
};
use crate::pipeline::usage::{AggregatorHandle, UsageAggregator, UsageRegistry};
use crate::pipeline::validate::ExchangeValidation;
use crate::redaction::{RedactionContext, Redactor};
use crate::telemetry::spans::SpanSender;
use crate::validation::Validator;

/// What stands for an operation that the document does not list.
pub const UNDOCUMENTED: &str = "undocumented";

/// Everything that follows a verdict. One clone per worker; they share kinds and keeper.
#[derive(Clone)]
pub struct ExchangeRecorder {
    parts: Arc<ExchangeRecorderParts>,
    operations: OperationMetrics,
    filter: SamplingFilter,
    usage: AggregatorHandle,
}

/// What a [`ExchangeRecorder`] is made of.
pub struct ExchangeRecorderParts {
    /// Counters.
    pub metrics: ExchangeMetrics,
    /// Counters of records.
    pub record_metrics: RecordMetrics,
    /// ViolationGroups of violation seen.
    pub groups: Arc<ViolationGroups>,
    /// Decides what is validated and what is kept.
    pub filter: SamplingFilter,
    /// What is kept of it.
    pub settings: RecordSettings,
    /// Who calls.
    pub consumers: ConsumerTable,
    /// What they use.
    pub usage: UsageRegistry,
    /// The only way to storage.
    pub redactor: Arc<Redactor>,
    /// Takes records.
    pub writes: WriteQueue,
    /// Takes the spans of traces, when there is a aggregator.
    pub spans: Option<SpanSender>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Ids of records.
    pub ids: Arc<dyn IdSource>,
}

// === impl ExchangeRecorder ===

impl ExchangeRecorder {
    /// A recorder made of `parts`.
    pub fn new(parts: ExchangeRecorderParts) -> Self {
        let operations = OperationMetrics::new(parts.metrics.clone());
        let (filter, usage) = (parts.filter.clone(), parts.usage.open());
        Self { parts: Arc::new(parts), operations, filter, usage }
    }

    /// Where this recorder counts usage.
    pub fn usage(&self) -> Arc<Mutex<UsageAggregator>> {
        self.usage.aggregator()
    }

    /// Counts an exchange of which nothing was validated.
    pub fn skip(&self, reason: SkipReason) {
        self.parts.metrics.skip(reason);
    }

    /// Whether to validate an exchange; one that is left out is counted. `overloaded` says that there
    /// is no time for all of them.
    pub fn should_validate(&mut self, exchange: &Exchange, overloaded: bool) -> bool {
        let Some(contract) = &exchange.contract else { return true };
        if self.filter.skip_check(exchange, overloaded) {
            return true;
        }
        let operation = Validator::find_operation(&contract.contract, &exchange.request);
        let consumer = self.parts.consumers.identify(identity_input(exchange));
        let now = self.parts.clock.now();
        let reason = self.filter.skip_reason(exchange, operation, &consumer.id, overloaded, now);
        if let Some(reason) = reason {
            self.parts.metrics.skip(reason);
            self.operations.left_out(contract, operation, reason);
        }
        reason.is_none()
    }

    /// Counts a validated exchange, its violations and its use of the contract, and keeps a record
    /// if the policy says so. `started` is when validation began; `usage` saw it. Says when validation
    /// ended, unless that is a while ago because there was a record to make.
    ///
    /// Everything is dated by the end of the exchange, whenever it is validated.
    pub fn record_exchange(
        &mut self,
        exchange: &Exchange,
        validation: &ExchangeValidation,
        started: Instant,
        usage: &mut UsageAggregator,
    ) -> Option<Instant> {
        let parts = self.parts.clone();
        let ended = parts.clock.instant();
        let took = ended.saturating_duration_since(started);
        let fault = validation.fault(exchange);
        self.operations.count(exchange, validation, (fault, took));
        count_parts(&parts.metrics, validation, fault);
        let now = exchange.arrived_at.plus(exchange.duration);
        parts.trace(exchange, validation, took);
        let consumer = parts.consumers.identify(identity_input(exchange));
        let rejected = exchange.rejected == Some(Side::Request) && validation.operation.is_some();
        consumer.counters.count(validation.outcome(), fault, rejected);
        let counted = parts.consumers.tracked_or_others(&consumer);
        usage.record_exchange(exchange, validation, &counted, now);
        let groups = fault.map(|fault| parts.identify_groups(exchange, validation, fault));
        let groups = groups.unwrap_or_default();
        let mut group_ids: Vec<u64> = groups.iter().map(|(group, _)| group.id.as_u64()).collect();
        group_ids.sort_unstable();
        let why = self.filter.keep_reason(
            exchange,
            validation,
            (&consumer.id, usage.shapes()),
            &group_ids,
            now,
        );
        let id = why.map(|_| exchange.id.unwrap_or_else(|| parts.ids.next_id()));
        if parts.note_violations(exchange, validation, &groups, (&counted, id, now)) {
            self.filter.record_new_violation(exchange, validation.operation, now);
        }
        let (Some(why), Some(id)) = (why, id) else {
            parts.record_metrics.left_out();
            return Some(ended);
        };
        parts.record_metrics.kept(why);
        let body_limit = parts.settings.recorded_body_limit();
        let hints = hints(exchange, validation, &parts.settings);
        let record = builder::build(
            exchange,
            validation,
            RecordContext {
                id,
                now,
                environment: &parts.settings.environment,
                consumer: ConsumerIdentity {
                    id: consumer.id.clone(),
                    version: consumer.version.clone(),
                },
                body_limit,
            },
        );
        parts.writes.send(parts.redactor.record(record, hints));
        None
    }
}

impl ExchangeRecorderParts {
    fn trace(&self, exchange: &Exchange, validation: &ExchangeValidation, took: Duration) {
        let Some(sender) = self.spans.as_ref().filter(|_| exchange.trace.is_some()) else { return };
        let validated = ValidationTime { ended: self.clock.now(), took };
        let operation = operation_name(exchange, validation);
        for span in spans::spans(exchange, validation, &operation, validated) {
            sender.send(span);
        }
    }

    /// The groups of the violations, each with the first of its violations.
    fn identify_groups<'v>(
        &self,
        exchange: &Exchange,
        validation: &'v ExchangeValidation,
        fault: Fault,
    ) -> Vec<(GroupIdentity<'v>, &'v Violation)> {
        let contract = exchange.contract.as_deref();
        let schema_id = contract.map_or("", |contract| contract.schema_id.as_str());
        let operation = operation_name(exchange, validation);
        let mut groups: Vec<(GroupIdentity<'_>, &Violation)> = Vec::new();
        for violation in violations_of(validation) {
            let group = self.groups.identify((schema_id, &operation), violation, fault);
            if !groups.iter().any(|(known, _)| known.id == group.id) {
                groups.push((group, violation));
            }
        }
        groups
    }

    /// Counts the exchange under each of its groups and says whether one is new to this process;
    /// `example` is the record that will show it.
    fn note_violations(
        &self,
        exchange: &Exchange,
        validation: &ExchangeValidation,
        groups: &[(GroupIdentity<'_>, &Violation)],
        (consumer, example, at): (&ConsumerEntry, Option<Uuid>, Timestamp),
    ) -> bool {
        let contract = exchange.contract.as_deref();
        if groups.is_empty() {
            return false;
        }
        let schema_id = contract.map_or("", |loaded| loaded.schema_id.as_str());
        let known = contract.zip(validation.operation);
        let operation = known.map(|(loaded, index)| loaded.contract.operation(index));
        let operation_name = operation_name(exchange, validation);
        let mut is_new = false;
        let status = exchange.response.as_ref().map(|head| head.status.as_u16());
        for (group, violation) in groups {
            let first = self.groups.record(&ViolationEvent {
                group: *group,
                violation,
                schema_id,
                version: contract.map_or("", |loaded| loaded.contract.version()),
                operation: operation
                    .map_or(("", ""), |operation| (operation.method.as_str(), &operation.template)),
                operation_name: &operation_name,
                consumer: &consumer.id,
                status,
                at,
                example,
                trace: spans::trace_id(exchange),
                notify: exchange.modes.of(violation.code.side) >= Mode::Warn,
            });
            if first {
                is_new = true;
                let labels = [schema_id, operation_name.as_str(), group.fault.as_str()];
                self.metrics.new_groups.with_label_values(&labels).inc();
            }
        }
        is_new
    }
}

fn identity_input(exchange: &Exchange) -> IdentityInput<'_> {
    IdentityInput {
        headers: &exchange.request.headers,
        certificate: exchange.client_subject.as_deref(),
    }
}

fn violations_of(validation: &ExchangeValidation) -> impl Iterator<Item = &Violation> {
    validation.verdicts().flat_map(|verdict| &verdict.violations)
}

/// What the redactor must know beyond the record.
fn hints<'e>(
    exchange: &'e Exchange,
    validation: &ExchangeValidation,
    settings: &RecordSettings,
) -> RedactionContext<'e> {
    let body_limit = settings.recorded_body_limit();
    let cut = |body: &CapturedBody| body.truncated() || body.kept() > body_limit;
    RedactionContext {
        masks: exchange.contract.as_ref().map(|loaded| loaded.masks(validation.operation)),
        request_cut: cut(&exchange.request_body),
        response_cut: cut(&exchange.response_body),
        shape_only: settings.bodies == BodyPolicy::Shape,
    }
}

fn count_parts(metrics: &ExchangeMetrics, validation: &ExchangeValidation, fault: Option<Fault>) {
    metrics.validated.inc();
    let sides = [
        (Side::Request, Some(&validation.request)),
        (Side::Response, validation.response.as_ref()),
    ];
    for (side, verdict) in sides {
        let Some(verdict) = verdict else { continue };
        for reason in &verdict.skipped {
            metrics.count_unvalidated(side, *reason);
        }
        for violation in &verdict.violations {
            let labels = [violation.code.as_str(), Fault::label(fault)];
            metrics.violations.with_label_values(&labels).inc();
        }
    }
    if !validation.valid() {
        let category = category(validation);
        metrics.validation_errors.with_label_values(&[category]).inc();
    }
}

/// CVT's category of an invalid exchange: what failed first.
fn category(validation: &ExchangeValidation) -> &'static str {
    let unrouted =
        [ViolationCode::REQUEST_PATH_UNDOCUMENTED, ViolationCode::REQUEST_METHOD_UNDOCUMENTED];
    match validation.request.outcome() {
        Outcome::Violates
            if validation.request.violations.iter().any(|v| unrouted.contains(&v.code)) =>
        {
            "route_not_found"
        }
        Outcome::Violates => "request_invalid",
        _ => "response_invalid",
    }
}

fn operation_name(exchange: &Exchange, validation: &ExchangeValidation) -> String {
    exchange
        .contract
        .as_ref()
        .zip(validation.operation)
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
    use crate::pipeline::testing;

    #[test]
    fn groups_are_dated_by_the_end_of_the_exchange() {
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
                found: String::new(),
                position: None,
                message: "expected a number".into(),
            }],
            ..Verdict::default()
        };
        let validation = ExchangeValidation { request, ..ExchangeValidation::default() };
        let usage = parts.recorder.usage();
        parts.recorder.record_exchange(
            &exchange,
            &validation,
            parts.clock.instant(),
            &mut usage.lock(),
        );
        let groups = parts.recorder.parts.groups.take_unsent(parts.clock.now());
        let seen: Vec<_> = groups.iter().map(|group| group.first_seen.as_micros()).collect();
        assert_eq!(seen, [7_000_000]);
    }
}
