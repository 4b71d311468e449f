//! Spans, and their way to an OpenTelemetry collector: OTLP over HTTP, encoded as JSON.
//!
//! Written by hand because it is little: a queue, a JSON text, one request per batch. The crates
//! (opentelemetry, its SDK and its OTLP exporter) would bring some sixty more, and a span API
//! that is of no use here: spans are made afterwards, off the traffic path, from times that are
//! known anyway. Who carries the text to the collector is a [`SpanTransport`].
//!
//! Invariants: no task waits for a collector; what does not reach one is counted.

use std::time::Duration;

use async_trait::async_trait;
use prometheus::{IntCounter, IntCounterVec};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::metrics::{Metrics, MetricsError};

/// Spans that may wait; more are dropped.
const MAX_QUEUED: usize = 8192;
/// Spans sent at once.
const MAX_BATCH: usize = 512;
/// How long a batch waits for more.
const LINGER: Duration = Duration::from_secs(1);

/// Something that took time.
#[derive(Debug, Clone)]
pub struct TraceSpan {
    /// The trace it belongs to.
    pub trace_id: u128,
    /// Its id.
    pub span_id: u64,
    /// The span that caused it.
    pub parent: Option<u64>,
    /// What it is, without anything from a message.
    pub name: String,
    /// Its part in the call.
    pub kind: SpanKind,
    /// Microseconds since 1970.
    pub start: i64,
    /// Microseconds since 1970.
    pub end: i64,
    /// What is known about it.
    pub attributes: Vec<(&'static str, SpanAttribute)>,
    /// Whether it failed.
    pub failed: bool,
}

/// A span's part in a call, by its number in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work inside.
    Internal = 1,
    /// Answering a call.
    Server = 2,
    /// Making a call.
    Client = 3,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanAttribute {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
}

/// Carries encoded spans to a collector.
#[async_trait]
pub trait SpanTransport: Send + Sync {
    /// Sends one export request, as OTLP's JSON. Returns once the collector has accepted it, or
    /// within a limit of time of its own; a request that fails is not repeated.
    async fn export(&self, request: Vec<u8>) -> Result<(), SpanTransportError>;
}

/// Why a collector did not accept spans, for a line of the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SpanTransportError(pub String);

/// Where spans are handed over. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SpanSender {
    sender: mpsc::Sender<TraceSpan>,
    metrics: SpanMetrics,
}

/// The task that sends them.
pub struct SpanExporter {
    receiver: mpsc::Receiver<TraceSpan>,
    service: String,
    transport: Box<dyn SpanTransport>,
    metrics: SpanMetrics,
}

#[derive(Debug, Clone)]
struct SpanMetrics {
    exported: IntCounter,
    dropped: IntCounterVec,
}

/// A sender and the task that exports what it is given, as spans of the service `service`.
pub fn channel(
    service: String,
    transport: Box<dyn SpanTransport>,
    metrics: &Metrics,
) -> Result<(SpanSender, SpanExporter), MetricsError> {
    let metrics = SpanMetrics::new(metrics)?;
    let (sender, receiver) = mpsc::channel(MAX_QUEUED);
    let exporter = SpanExporter { receiver, service, transport, metrics: metrics.clone() };
    Ok((SpanSender { sender, metrics }, exporter))
}

// === impl SpanMetrics ===

impl SpanMetrics {
    fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let dropped = metrics.counters(
            "cvt_spans_dropped_total",
            "Spans that no collector got, by reason.",
            &["reason"],
        )?;
        for reason in ["queue_full", "collector"] {
            dropped.with_label_values(&[reason]);
        }
        let exported = metrics.counter("cvt_spans_exported_total", "Spans a collector took.")?;
        Ok(Self { exported, dropped })
    }

    fn dropped(&self, reason: &str, spans: usize) {
        self.dropped.with_label_values(&[reason]).inc_by(spans as u64);
    }
}

// === impl SpanSender ===

impl SpanSender {
    /// Hands a span over, or counts it as dropped when too many wait. Never waits.
    pub fn send(&self, span: TraceSpan) {
        if self.sender.try_send(span).is_err() {
            self.metrics.dropped("queue_full", 1);
        }
    }
}

// === impl SpanExporter ===

impl SpanExporter {
    /// Sends batches until every sender is gone and nothing waits.
    pub async fn run(mut self) {
        let mut reachable = true;
        while let Some(first) = self.receiver.recv().await {
            let mut batch = vec![first];
            let _ = timeout(LINGER, async {
                while batch.len() < MAX_BATCH {
                    let Some(span) = self.receiver.recv().await else { return };
                    batch.push(span);
                }
            })
            .await;
            let request = encode(&self.service, &batch).to_string();
            match self.transport.export(request.into_bytes()).await {
                Ok(()) => {
                    self.metrics.exported.inc_by(batch.len() as u64);
                    reachable = true;
                }
                Err(error) => {
                    self.metrics.dropped("collector", batch.len());
                    // Once, not with every batch.
                    if std::mem::take(&mut reachable) {
                        tracing::warn!(event = "collector_unreachable", %error, "spans are dropped");
                    }
                }
            }
        }
    }
}

/// An `ExportTraceServiceRequest` in OTLP's JSON: ids in hex, 64-bit numbers as texts.
fn encode(service: &str, batch: &[TraceSpan]) -> Value {
    let resource =
        json!({ "attributes": [attribute("service.name", &SpanAttribute::Text(service.into()))] });
    let scope = json!({ "name": "cvt-sidecar", "version": env!("CARGO_PKG_VERSION") });
    let spans: Vec<Value> = batch.iter().map(TraceSpan::encode).collect();
    json!({ "resourceSpans": [{
        "resource": resource,
        "scopeSpans": [{ "scope": scope, "spans": spans }],
    }] })
}

fn attribute(key: &str, value: &SpanAttribute) -> Value {
    let value = match value {
        SpanAttribute::Text(text) => json!({ "stringValue": text }),
        SpanAttribute::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": key, "value": value })
}

// === impl TraceSpan ===

impl TraceSpan {
    fn encode(&self) -> Value {
        let nanos = |micros: i64| (i128::from(micros) * 1000).to_string();
        let attributes: Vec<Value> =
            self.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
        json!({
            "traceId": format!("{:032x}", self.trace_id),
            "spanId": format!("{:016x}", self.span_id),
            "parentSpanId": self.parent.map(|id| format!("{id:016x}")).unwrap_or_default(),
            "name": self.name,
            "kind": self.kind as i32,
            "startTimeUnixNano": nanos(self.start),
            "endTimeUnixNano": nanos(self.end),
            "attributes": attributes,
            "status": if self.failed { json!({ "code": 2 }) } else { json!({}) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Unreachable;

    #[async_trait]
    impl SpanTransport for Unreachable {
        async fn export(&self, _: Vec<u8>) -> Result<(), SpanTransportError> {
            Err(SpanTransportError("no collector".into()))
        }
    }

    fn span() -> TraceSpan {
        TraceSpan {
            trace_id: 0xabc,
            span_id: 0x1,
            parent: None,
            name: "GET /users/{id}".into(),
            kind: SpanKind::Server,
            start: 1_700_000_000_000_001,
            end: 1_700_000_000_000_002,
            attributes: vec![("http.response.status_code", SpanAttribute::Number(502))],
            failed: true,
        }
    }

    #[test]
    fn a_span_is_encoded_as_otlp_json() {
        let request = encode("shop", &[span()]);
        let scopes = &request["resourceSpans"][0];
        assert_eq!(scopes["resource"]["attributes"][0]["value"]["stringValue"], "shop");
        let span = &scopes["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], format!("{:032x}", 0xabc));
        assert_eq!(span["kind"], 2);
        assert_eq!(span["startTimeUnixNano"], "1700000000000001000");
        assert_eq!(span["attributes"][0]["value"]["intValue"], "502");
        assert_eq!(span["status"]["code"], 2);
    }

    #[tokio::test]
    async fn undelivered_spans_are_counted_as_dropped() {
        let metrics = Metrics::default();
        let (sender, exporter) = channel("shop".into(), Box::new(Unreachable), &metrics).unwrap();
        for _ in 0..MAX_QUEUED + 3 {
            sender.send(span());
        }
        drop(sender);
        exporter.run().await;
        let text = metrics.encode().unwrap();
        assert!(text.contains("cvt_spans_dropped_total{reason=\"queue_full\"} 3\n"), "{text}");
        let lost = format!("cvt_spans_dropped_total{{reason=\"collector\"}} {MAX_QUEUED}\n");
        assert!(text.contains(&lost), "{text}");
    }
}
