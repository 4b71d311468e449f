//! Responses that are held and ended before the downstream sees any of them.

use super::{ADA, get, strict};
use crate::support::documents::{ANYTHING, USERS};
use crate::support::{Client, Latch, ScriptedUpstream, SidecarSetup, Step, h2, json_answer};

fn enforcing(upstream: std::net::SocketAddr) -> SidecarSetup {
    strict(upstream).env("CVT_ENFORCE_RESPONSES", "true")
}

#[test]
fn trap_t06_a_wrong_response_body_is_recorded_and_counted_in_every_mode() {
    for mode in ["shadow", "warn", "strict"] {
        let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":"S3cret"}"#);
        let setup = SidecarSetup::new(USERS, upstream.address());
        let sidecar = setup.args(&["--mode", mode]).start();
        assert_eq!(get(sidecar.traffic, "/users/1", "").status(), 200);
        let request = http::Request::get(format!("http://{}/users/1", sidecar.traffic));
        let request = request.body(Vec::new()).expect("a request");
        assert_eq!(h2::ask(sidecar.traffic, request, false).status, 200);
        for record in sidecar.records(2) {
            assert_eq!(record["violations"][0]["code"], "response.body.schema", "{record}");
            assert_eq!(record["mode"], mode);
            assert_eq!(record["rejected"], serde_json::Value::Null);
        }
        let metrics = sidecar.metrics();
        let code = ("code", "response.body.schema");
        assert!((metrics.sum("cvt_violations_total", &[code]) - 2.0).abs() < 0.5);
    }
}

#[test]
fn a_bad_response_is_replaced_and_no_byte_of_it_seen() {
    let upstream = ScriptedUpstream::start(|request| {
        let good = request.start_line().contains("/users/7 ");
        json_answer("200 OK", if good { ADA } else { r#"{"name":"Ada","age":"S3cret"}"# })
    });
    let sidecar = enforcing(upstream.address()).start();
    let answer = get(sidecar.traffic, "/users/1", "");
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    assert_eq!(answer.json()["type"], "urn:cvt:problem:response.body.schema");
    assert!(!answer.text().contains("S3cret"));
    let request = http::Request::get(format!("http://{}/users/1", sidecar.traffic));
    let answer = h2::ask(sidecar.traffic, request.body(Vec::new()).expect("a request"), false);
    assert_eq!((answer.status, &answer.json()["status"]), (502, &502.into()));
    assert_eq!(get(sidecar.traffic, "/users/7", "").text(), ADA);
    let record = &sidecar.records(3)[0];
    assert_eq!(
        (&record["rejected"], &record["response_status"]),
        (&"response".into(), &200.into())
    );
    let metrics = sidecar.metrics();
    let sum = |name: &str, labels: &[(&str, &str)]| metrics.sum(name, labels);
    assert!((sum("cvt_enforcement_rejected_total", &[("side", "response")]) - 2.0).abs() < 0.5);
    assert!((sum("cvt_enforced_total", &[("side", "response")]) - 3.0).abs() < 0.5);
    let opened = sum("cvt_proxy_upstream_connections_total", &[]);
    assert!(opened < 2.5, "a replaced response does not cost its connection: {opened}");
}

#[test]
fn trap_t02_a_buffered_response_keeps_its_headers_framing_and_trailers() {
    let upstream = ScriptedUpstream::start(|request| {
        let chunked = request.start_line().contains("/users/2 ");
        let head = "HTTP/1.1 200 Fine\r\nX-MiXeD: Kept\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
                    Content-Type: application/json\r\n";
        let rest = if chunked {
            let framing = "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n";
            format!("{framing}5\r\n{}\r\n12\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n", &ADA[..5], &ADA[5..])
        } else {
            format!("Content-Length: {}\r\n\r\n{ADA}", ADA.len())
        };
        vec![Step::Send(format!("{head}{rest}").into_bytes())]
    });
    let sidecar = enforcing(upstream.address()).start();
    for path in ["/users/1", "/users/2"] {
        let answer = get(sidecar.traffic, path, "TE: trailers\r\n");
        assert_eq!((answer.status(), answer.text()), (200, ADA.to_owned()));
        assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
        assert!(answer.lines().contains(&"X-MiXeD: Kept".to_owned()), "{:?}", answer.lines());
        let chunked = path == "/users/2";
        assert_eq!(answer.all("transfer-encoding").len(), usize::from(chunked));
        assert_eq!(answer.all("content-length").len(), usize::from(!chunked));
        assert_eq!(answer.trailers.to_lowercase().contains("x-sum: 1"), chunked);
    }
}

/// Nothing of a stream is held, however strict the route: its head alone can be enforced.
#[test]
fn trap_t04_streams_arrive_item_by_item_in_strict() {
    for media_type in ["text/event-stream", "application/x-ndjson"] {
        let gate = Latch::default();
        let upstream = ScriptedUpstream::start({
            let gate = gate.clone();
            move |_| {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n"
                );
                vec![
                    Step::Send(format!("{head}8\r\ndata: 1\n\r\n").into_bytes()),
                    Step::Wait(gate.clone()),
                    Step::Send(b"8\r\ndata: 2\n\r\n0\r\n\r\n".to_vec()),
                ]
            }
        });
        let setup = SidecarSetup::new(ANYTHING, upstream.address()).args(&["--mode", "strict"]);
        let sidecar = setup.env("CVT_ENFORCE_RESPONSES", "true").start();
        let mut client = Client::connect(sidecar.traffic);
        client.send(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\nx",
        );
        assert_eq!(client.read_head().status(), 200);
        assert_eq!(client.read_exact(13), b"8\r\ndata: 1\n\r\n"); // the second does not exist yet
        gate.open();
        assert_eq!(client.read_exact(13), b"8\r\ndata: 2\n\r\n");
        sidecar.wait_for_metrics("the stream", |metrics| {
            let labels = [("side", "response"), ("reason", "stream"), ("action", "forward")];
            (metrics.sum("cvt_unenforceable_total", &labels) - 1.0).abs() < 0.5
        });
    }
}

#[test]
fn trap_t19_a_buffered_response_that_breaks_off_is_an_upstream_failure() {
    let upstream = ScriptedUpstream::start(|_| {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{";
        vec![Step::Send(head.into()), Step::Reset]
    });
    let sidecar = enforcing(upstream.address()).start();
    let answer = get(sidecar.traffic, "/users/1", "");
    assert_eq!((answer.status(), &answer.json()["title"]), (502, &"Upstream failed".into()));
    let metrics =
        sidecar.wait_for_metrics("the exchange", |m| m.sum("cvt_exchanges_total", &[]) > 0.5);
    assert!(metrics.sum("cvt_proxy_upstream_failures_total", &[("kind", "broken")]) > 0.5);
    assert!(metrics.sum("cvt_enforcement_rejected_total", &[]) < 0.5);
}
