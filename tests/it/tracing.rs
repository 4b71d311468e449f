//! Traces are taken up, passed on and exported; without a collector nothing is touched.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::documents::USERS;
use crate::support::{Client, Message, ScriptedUpstream, Sidecar, SidecarSetup, eventually};

const ADA: &str = r#"{"name":"Ada","age":36}"#;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A collector that takes OTLP over HTTP.
fn collector() -> ScriptedUpstream {
    ScriptedUpstream::json("200 OK", "{}")
}

/// A sidecar that sends its spans to `collector`.
fn traced(upstream: &ScriptedUpstream, collector: &ScriptedUpstream, ratio: &str) -> Sidecar {
    SidecarSetup::new(USERS, upstream.address())
        .env("CVT_TRACING_ENDPOINT", &format!("http://{}", collector.address()))
        .env("CVT_TRACING_RATIO", ratio)
        .env("CVT_TRACING_SERVICE_NAME", "users")
        .start()
}

/// Asks for a user with trace fields, and says what the upstream got.
fn ask(sidecar: &Sidecar, upstream: &ScriptedUpstream, path: &str, fields: &str) -> Message {
    let before = upstream.received().len();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");
    assert_eq!(Client::once(sidecar.traffic, request).status(), 200);
    upstream.wait_for(before + 1).remove(before)
}

fn caller(flags: &str) -> String {
    format!("Traceparent: 00-{TRACE}-{CALLER}-{flags}\r\nTracestate: vendor=a,b=c\r\n")
}

/// The spans that a collector took, once there are `n`.
#[track_caller]
fn spans(collector: &ScriptedUpstream, n: usize) -> Vec<Value> {
    eventually("spans at the collector", || {
        let mut spans = Vec::new();
        for request in collector.received() {
            assert!(request.start_line().starts_with("POST /v1/traces "), "{request:?}");
            let body: Value = serde_json::from_str(&request.text()).expect("JSON");
            for resource in body["resourceSpans"].as_array().expect("resources") {
                let service = &resource["resource"]["attributes"][0];
                assert_eq!(service["value"]["stringValue"], "users", "{service}");
                let found = resource["scopeSpans"][0]["spans"].as_array().expect("spans");
                spans.extend(found.iter().cloned());
            }
        }
        if spans.len() >= n { Ok(spans) } else { Err(format!("{spans:?}")) }
    })
}

fn attributes(span: &Value) -> BTreeMap<String, String> {
    let pair = |attribute: &Value| {
        let value = &attribute["value"];
        let value = value["stringValue"].as_str().or(value["intValue"].as_str());
        (attribute["key"].as_str().expect("a key").into(), value.expect("a value").into())
    };
    span["attributes"].as_array().expect("attributes").iter().map(pair).collect()
}

fn nanos(span: &Value, end: &str) -> u128 {
    span[end].as_str().and_then(|text| text.parse().ok()).expect("a time")
}

#[test]
fn the_callers_trace_continues_in_three_spans() {
    let (upstream, collector) = (ScriptedUpstream::json("200 OK", ADA), collector());
    let sidecar = traced(&upstream, &collector, "0");
    let received = ask(&sidecar, &upstream, "/users/1", &caller("01"));
    let spans = spans(&collector, 3);
    let of = |kind: i64| {
        spans.iter().find(|span| span["kind"] == kind).unwrap_or_else(|| panic!("{spans:?}"))
    };
    let (server, client, validation) = (of(2), of(3), of(1));
    assert!(spans.iter().all(|span| span["traceId"] == TRACE), "{spans:?}");
    assert_eq!(server["parentSpanId"], CALLER);
    assert_eq!(client["parentSpanId"], server["spanId"]);
    assert_eq!(validation["parentSpanId"], server["spanId"]);
    assert_eq!(server["name"], "GET /users/{id}");
    let attributes = attributes(server);
    assert_eq!(attributes["http.response.status_code"], "200");
    assert_eq!(attributes["cvt.outcome"], "conforms");
    assert!(nanos(server, "startTimeUnixNano") <= nanos(client, "startTimeUnixNano"));
    assert!(nanos(client, "endTimeUnixNano") <= nanos(server, "endTimeUnixNano"));

    let span = client["spanId"].as_str().expect("an id");
    assert_eq!(received.all("traceparent"), [format!("00-{TRACE}-{span}-01")]);
    assert_eq!(received.all("tracestate"), ["vendor=a,b=c"]);
    sidecar.wait_for_metrics("the count", |m| m.sum("cvt_spans_exported_total", &[]) >= 3.0);
}

#[test]
fn a_trace_that_the_caller_does_not_record_is_passed_on_and_not_exported() {
    let (upstream, collector) = (ScriptedUpstream::json("200 OK", ADA), collector());
    let sidecar = traced(&upstream, &collector, "1");
    let received = ask(&sidecar, &upstream, "/users/1", &caller("00"));
    let field = received.all("traceparent").join(" ");
    assert!(field.starts_with(&format!("00-{TRACE}-")) && field.ends_with("-00"), "{field}");
    // The next one is recorded, so what the collector has then is all there will be.
    let received = ask(&sidecar, &upstream, "/users/2", "");
    let begun = received.all("traceparent").join(" ");
    let spans = spans(&collector, 3);
    assert!(spans.iter().all(|span| begun.contains(span["traceId"].as_str().expect("an id"))));
    assert_eq!(spans[0]["parentSpanId"], "", "the trace begins here");
}

#[test]
fn without_a_collector_trace_fields_pass_untouched_and_log_lines_name_them() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    let odd = "TraceParent: not-a-trace\r\ntRaCeStAtE: x\r\ntraceparent: again\r\n";
    let received = ask(&sidecar, &upstream, "/users/1", odd);
    let lines = received.lines();
    for field in odd.lines() {
        assert!(lines.iter().any(|line| line == field), "{field} is missing in {lines:?}");
    }
    let received = ask(&sidecar, &upstream, "/users/1", "");
    assert_eq!(received.all("traceparent"), Vec::<String>::new());

    ask(&sidecar, &upstream, "/users/one", &caller("01"));
    let line = eventually("the log line", || {
        let said = sidecar.said();
        let line = said.lines().find(|line| line.contains("request.path.schema"));
        line.map(str::to_owned).ok_or(said.clone())
    });
    assert!(line.contains(TRACE), "{line}");
}

#[test]
fn an_unreachable_collector_loses_spans_and_nothing_else() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let away = collector();
    let sidecar = traced(&upstream, &away, "1");
    away.stop();
    ask(&sidecar, &upstream, "/users/1", "");
    sidecar.wait_for_metrics("the loss", |m| {
        m.sum("cvt_spans_dropped_total", &[("reason", "collector")]) >= 3.0
    });
    let (finished, _) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}
