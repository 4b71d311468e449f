//! What cannot be buffered or validated follows the settings, and is counted either way.

use super::{ADA, long_user, post, post_whole, strict};
use crate::support::documents::ANYTHING;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, Step};

fn unenforceable(sidecar: &Sidecar, side: &str, reason: &str, action: &str) {
    sidecar.wait_for_metrics(reason, |metrics| {
        let labels = [("side", side), ("reason", reason), ("action", action)];
        (metrics.sum("cvt_unenforceable_total", &labels) - 1.0).abs() < 0.5
    });
}

#[test]
fn a_request_over_the_limit_passes_or_is_refused() {
    for (action, status) in [("forward", 201), ("reject", 413)] {
        for chunked in [false, true] {
            let upstream = ScriptedUpstream::json("201 Created", ADA);
            let setup = strict(upstream.address()).env("CVT_BODY_LIMIT", "1KiB");
            let sidecar = setup.env("CVT_ON_UNENFORCEABLE", action).start();
            let long = long_user(50_000, 1);
            let request = if chunked {
                let framed = super::chunked(long.as_bytes(), 700, "");
                post("Transfer-Encoding: chunked\r\n", &framed)
            } else {
                post_whole(&long)
            };
            let mut client = Client::connect(sidecar.traffic);
            client.send(&request);
            assert_eq!(client.read("POST").status(), status, "{action}");
            unenforceable(&sidecar, "request", "body_over_limit", action);
            if action == "forward" {
                assert!(upstream.wait_for(1)[0].text() == long, "the body changed");
            } else {
                assert!(upstream.received().is_empty());
                let record = &sidecar.records(1)[0];
                assert_eq!(
                    record["skipped"],
                    serde_json::json!(["body_over_limit", "no_response"]),
                    "{record}"
                );
            }
        }
    }
}

/// What is wrong with the head is known without the body.
#[test]
fn the_head_of_a_request_over_the_limit_is_enforced() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = strict(upstream.address()).env("CVT_BODY_LIMIT", "1KiB").start();
    let request = String::from_utf8(post_whole(&long_user(5_000, 1))).expect("text");
    let request = request.replace("/users ", "/users?dry_run=perhaps ");
    let mut client = Client::connect(sidecar.traffic);
    client.send(request);
    let answer = client.read("POST");
    assert_eq!(answer.status(), 400);
    assert_eq!(answer.json()["violations"][0]["code"], "request.query.schema");
    assert!(upstream.received().is_empty());
}

#[test]
fn trap_t12_an_unknown_content_coding_is_no_violation() {
    for (action, status) in [("forward", 201), ("reject", 415)] {
        let upstream = ScriptedUpstream::json("201 Created", ADA);
        let sidecar = strict(upstream.address()).env("CVT_ON_UNENFORCEABLE", action).start();
        let request = post("Content-Encoding: sealed\r\nContent-Length: 3\r\n", b"abc");
        assert_eq!(Client::once(sidecar.traffic, request).status(), status);
        unenforceable(&sidecar, "request", "unknown_content_encoding", action);
    }
}

#[test]
fn trap_t04_an_upgrade_passes_or_is_refused() {
    const DOCUMENT: &str = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n  /chat:\n    \
                            get: {responses: {'101': {description: d}}}\n";
    for (action, status) in [("forward", 101), ("reject", 503)] {
        let upstream = ScriptedUpstream::start(|_| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\nhello";
            vec![Step::Send(head.into()), Step::Hang]
        });
        let setup = SidecarSetup::new(DOCUMENT, upstream.address()).args(&["--mode", "strict"]);
        let setup = setup.env("CVT_ENFORCE_RESPONSES", "true");
        let sidecar = setup.env("CVT_ON_UNENFORCEABLE", action).start();
        let mut client = Client::connect(sidecar.traffic);
        client
            .send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
        assert_eq!(client.read_head().status(), status);
        if action == "forward" {
            assert_eq!(client.read_exact(5), b"hello");
            unenforceable(&sidecar, "response", "upgraded", action);
        } else {
            assert!(upstream.received().is_empty());
        }
        unenforceable(&sidecar, "request", "upgraded", action);
    }
}

/// A body that does not end within the time it may be held goes on as it arrives.
#[test]
fn a_slow_body_is_passed_on_unvalidated() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let setup = strict(upstream.address()).env("CVT_ENFORCEMENT_BUFFER_TIMEOUT", "1ms");
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.traffic);
    let (first, last) = ADA.split_at(5);
    client.send(post(&format!("Content-Length: {}\r\n", ADA.len()), first.as_bytes()));
    unenforceable(&sidecar, "request", "buffer_timeout", "forward");
    client.send(last);
    assert_eq!(client.read("POST").status(), 201);
    assert_eq!(upstream.received()[0].text(), ADA);
}

/// One side may wait for the other before it goes on: such a request is never held.
#[test]
fn a_streamed_request_is_not_buffered() {
    let upstream = ScriptedUpstream::fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let sidecar =
        SidecarSetup::new(ANYTHING, upstream.address()).args(&["--mode", "strict"]).start();
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\
                   Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    assert_eq!(Client::once(sidecar.traffic, request).status(), 200);
    unenforceable(&sidecar, "request", "stream", "forward");
}

/// An operation with a parameter that the document describes wrongly.
const DEFECTIVE: &str = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths:\n  /users:\n    get:\n      \
    parameters: [{name: q, in: hedaer, schema: {}}, {name: n, in: query, schema: {type: integer}}]\n      \
    responses: {'200': {description: fine}}\n";

#[test]
fn what_a_defect_leaves_unvalidated_follows_on_unenforceable() {
    for (action, status) in [("forward", 200), ("reject", 503)] {
        let upstream = ScriptedUpstream::json("200 OK", "{}");
        let sidecar = SidecarSetup::new(DEFECTIVE, upstream.address())
            .args(&["--mode", "strict"])
            .env("CVT_ON_UNENFORCEABLE", action)
            .start();
        assert_eq!(Client::get(sidecar.traffic, "/users?n=1").status(), status, "{action}");
        assert_eq!(Client::get(sidecar.traffic, "/users?n=x").status(), 400, "{action}");
        unenforceable(&sidecar, "request", "document", action);
    }
}
