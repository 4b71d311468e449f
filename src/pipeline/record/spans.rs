//! The spans of an exchange, made when it is validated: the exchange itself, its forwarding, its
//! validation. Nothing in them comes from a message but the status.

use std::time::Duration;

use crate::exchange::{Ending, Exchange};
use crate::model::clock::Timestamp;
use crate::model::trace::{TraceContext, TraceId, TraceParent};
use crate::pipeline::validate::ExchangeValidation;
use crate::telemetry::spans::{SpanAttribute, SpanKind, TraceSpan};

/// When an exchange was validated.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValidationTime {
    /// When it was over.
    pub(super) ended: Timestamp,
    /// How long it took.
    pub(super) took: Duration,
}

/// The spans of an exchange, if its trace is recorded.
pub(super) fn spans(
    exchange: &Exchange,
    validation: &ExchangeValidation,
    operation: &str,
    time: ValidationTime,
) -> Vec<TraceSpan> {
    let Some(context) = exchange.trace.filter(TraceContext::sampled) else { return Vec::new() };
    let mut spans = vec![whole(exchange, validation, operation, &context)];
    spans.extend(forwarding(exchange, operation, &context));
    spans.push(TraceSpan {
        trace_id: context.trace_id,
        span_id: context.validation,
        parent: Some(context.exchange),
        name: "validate".into(),
        kind: SpanKind::Internal,
        start: time.ended.minus(time.took).as_micros(),
        end: time.ended.as_micros(),
        attributes: vec![("cvt.violations", SpanAttribute::Number(violations(validation)))],
        failed: false,
    });
    spans
}

/// The trace of an exchange, taken up or not, for log lines to name it.
pub(super) fn trace_id(exchange: &Exchange) -> Option<TraceId> {
    let context = exchange.trace.map(|context| context.trace_id);
    let caller = || {
        let field = exchange.request.headers.get("traceparent")?.to_str().ok()?;
        TraceParent::parse(field).map(|parent| parent.trace_id)
    };
    context.or_else(caller).map(TraceId)
}

fn whole(
    exchange: &Exchange,
    validation: &ExchangeValidation,
    operation: &str,
    context: &TraceContext,
) -> TraceSpan {
    let mut attributes = described(exchange, operation);
    if let Some(contract) = &exchange.contract {
        let text = |text: &str| SpanAttribute::Text(text.to_owned());
        attributes.push(("cvt.schema_id", text(contract.schema_id.as_str())));
        attributes.push(("cvt.schema_version", text(contract.contract.version())));
    }
    let outcome = if validation.valid() { "conforms" } else { "violates" };
    attributes.push(("cvt.outcome", SpanAttribute::Text(outcome.into())));
    TraceSpan {
        trace_id: context.trace_id,
        span_id: context.exchange,
        parent: context.parent,
        name: operation.to_owned(),
        kind: SpanKind::Server,
        start: exchange.arrived_at.as_micros(),
        end: exchange.arrived_at.plus(exchange.duration).as_micros(),
        attributes,
        failed: failed(exchange),
    }
}

fn forwarding(exchange: &Exchange, operation: &str, context: &TraceContext) -> Option<TraceSpan> {
    let took = exchange.upstream_duration?;
    let start = exchange.arrived_at.plus(exchange.forwarded_after);
    Some(TraceSpan {
        trace_id: context.trace_id,
        span_id: context.upstream,
        parent: Some(context.exchange),
        name: operation.to_owned(),
        kind: SpanKind::Client,
        start: start.as_micros(),
        end: start.plus(took).as_micros(),
        attributes: described(exchange, operation),
        failed: failed(exchange),
    })
}

fn described(exchange: &Exchange, operation: &str) -> Vec<(&'static str, SpanAttribute)> {
    let mut attributes = Vec::new();
    if let Some((method, route)) = operation.split_once(' ') {
        attributes.push(("http.request.method", SpanAttribute::Text(method.to_owned())));
        attributes.push(("http.route", SpanAttribute::Text(route.to_owned())));
    }
    if let Some(response) = &exchange.response {
        let status = i64::from(response.status.as_u16());
        attributes.push(("http.response.status_code", SpanAttribute::Number(status)));
    }
    attributes
}

fn failed(exchange: &Exchange) -> bool {
    let status = exchange.response.as_ref().map(|response| response.status);
    exchange.ending == Ending::UpstreamFailed
        || status.is_some_and(|status| status.is_server_error())
}

fn violations(validation: &ExchangeValidation) -> i64 {
    let count: usize = validation.verdicts().map(|verdict| verdict.violations.len()).sum();
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::testing;

    fn traced(flags: &str) -> Box<Exchange> {
        let parts = testing::parts();
        let mut exchange = testing::exchange(&parts.budget);
        let caller = format!("00-{}-{}-{flags}", "ab".repeat(16), "cd".repeat(8));
        let parent = TraceParent::parse(&caller).unwrap();
        exchange.trace = Some(TraceContext::continuing(parent, [1, 2, 3]));
        exchange.duration = Duration::from_millis(9);
        exchange.forwarded_after = Duration::from_millis(1);
        exchange.upstream_duration = Some(Duration::from_millis(7));
        exchange
    }

    #[test]
    fn exchange_forwarding_and_validation_spans_nest() {
        let exchange = traced("01");
        let ended = exchange.arrived_at.plus(Duration::from_millis(20));
        let validated = ValidationTime { ended, took: Duration::from_millis(2) };
        let spans = spans(&exchange, &ExchangeValidation::default(), "GET /a", validated);
        let [whole, forwarded, validated] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(whole.parent, Some(0xcdcd_cdcd_cdcd_cdcd));
        assert_eq!((forwarded.parent, validated.parent), (Some(1), Some(1)));
        assert!(whole.start <= forwarded.start && forwarded.end <= whole.end, "{spans:?}");
        assert_eq!(validated.end - validated.start, 2000);
        assert_eq!((whole.kind, forwarded.kind), (SpanKind::Server, SpanKind::Client));
    }

    #[test]
    fn an_unsampled_trace_has_an_id_and_no_spans() {
        let exchange = traced("00");
        let validated = ValidationTime { ended: exchange.arrived_at, took: Duration::ZERO };
        assert!(spans(&exchange, &ExchangeValidation::default(), "GET /a", validated).is_empty());
        assert_eq!(trace_id(&exchange).unwrap().to_string(), "ab".repeat(16));
    }
}
