//! The spans of an exchange, made when it is judged: the exchange itself, its forwarding, its
//! judging. Nothing in them comes from a message but the status.

use std::time::Duration;

use super::exchange::{Ending, Exchange};
use super::worker::Judged;
use crate::model::clock::Timestamp;
use crate::model::trace::{TraceContext, TraceId, TraceParent};
use crate::telemetry::spans::{Attribute, Span, SpanKind};

/// When an exchange was judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Judging {
    /// When it was over.
    pub(super) ended: Timestamp,
    /// How long it took.
    pub(super) took: Duration,
}

/// The spans of an exchange, if its trace is recorded.
pub(super) fn spans(
    exchange: &Exchange,
    judged: &Judged,
    operation: &str,
    judging: Judging,
) -> Vec<Span> {
    let Some(context) = exchange.trace.filter(TraceContext::sampled) else { return Vec::new() };
    let mut spans = vec![whole(exchange, judged, operation, &context)];
    spans.extend(forwarding(exchange, operation, &context));
    spans.push(Span {
        trace_id: context.trace_id,
        span_id: context.judging,
        parent: Some(context.exchange),
        name: "validate".into(),
        kind: SpanKind::Internal,
        start: judging.ended.minus(judging.took).as_micros(),
        end: judging.ended.as_micros(),
        attributes: vec![("cvt.violations", Attribute::Number(violations(judged)))],
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

fn whole(exchange: &Exchange, judged: &Judged, operation: &str, context: &TraceContext) -> Span {
    let mut attributes = described(exchange, operation);
    if let Some(contract) = &exchange.contract {
        let text = |text: &str| Attribute::Text(text.to_owned());
        attributes.push(("cvt.schema_id", text(contract.schema_id.as_str())));
        attributes.push(("cvt.schema_version", text(contract.contract.version())));
    }
    let outcome = if judged.valid() { "conforms" } else { "violates" };
    attributes.push(("cvt.outcome", Attribute::Text(outcome.into())));
    Span {
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

fn forwarding(exchange: &Exchange, operation: &str, context: &TraceContext) -> Option<Span> {
    let took = exchange.upstream_duration?;
    let start = exchange.arrived_at.plus(exchange.forwarded_after);
    Some(Span {
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

fn described(exchange: &Exchange, operation: &str) -> Vec<(&'static str, Attribute)> {
    let mut attributes = Vec::new();
    if let Some((method, route)) = operation.split_once(' ') {
        attributes.push(("http.request.method", Attribute::Text(method.to_owned())));
        attributes.push(("http.route", Attribute::Text(route.to_owned())));
    }
    if let Some(response) = &exchange.response {
        let status = i64::from(response.status.as_u16());
        attributes.push(("http.response.status_code", Attribute::Number(status)));
    }
    attributes
}

fn failed(exchange: &Exchange) -> bool {
    let status = exchange.response.as_ref().map(|response| response.status);
    exchange.ending == Ending::UpstreamFailed
        || status.is_some_and(|status| status.is_server_error())
}

fn violations(judged: &Judged) -> i64 {
    let count: usize = judged.verdicts().map(|verdict| verdict.violations.len()).sum();
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

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
    fn three_spans_nest_as_the_work_did() {
        let exchange = traced("01");
        let ended = exchange.arrived_at.plus(Duration::from_millis(20));
        let judging = Judging { ended, took: Duration::from_millis(2) };
        let spans = spans(&exchange, &Judged::default(), "GET /a", judging);
        let [whole, forwarded, judged] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(whole.parent, Some(0xcdcd_cdcd_cdcd_cdcd));
        assert_eq!((forwarded.parent, judged.parent), (Some(1), Some(1)));
        assert!(whole.start <= forwarded.start && forwarded.end <= whole.end, "{spans:?}");
        assert_eq!(judged.end - judged.start, 2000);
        assert_eq!((whole.kind, forwarded.kind), (SpanKind::Server, SpanKind::Client));
    }

    #[test]
    fn a_trace_that_is_not_recorded_has_no_spans_and_still_a_name() {
        let exchange = traced("00");
        let judging = Judging { ended: exchange.arrived_at, took: Duration::ZERO };
        assert!(spans(&exchange, &Judged::default(), "GET /a", judging).is_empty());
        assert_eq!(trace_id(&exchange).unwrap().to_string(), "ab".repeat(16));
    }
}
