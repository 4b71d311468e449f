//! Requests that are held and ended before the upstream hears of them.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use super::{ADA, INVALID_AGE, chunked, get, long_user, post, post_h2, post_whole, strict};
use crate::support::{ByteRecorder, Client, ScriptedUpstream, SidecarSetup, Step, h2, json_answer};

const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n\
                       Content-Length: 23\r\n\r\n{\"name\":\"Ada\",\"age\":36}";

/// Sends what breaks the contract in every way a body can be sent, then one request that does
/// not, and shows that the upstream saw that one and nothing before it.
#[test]
fn trap_t07_a_rejected_request_never_reaches_the_upstream() {
    let recorder = ByteRecorder::start(CREATED);
    let sidecar = strict(recorder.address()).start();
    let long = long_user(200_000, -1);
    let requests = [
        post_whole(INVALID_AGE),
        post_whole(&long),
        post("Transfer-Encoding: chunked\r\n", &chunked(INVALID_AGE.as_bytes(), 5, "")),
        post("Transfer-Encoding: chunked\r\n", &chunked(long.as_bytes(), 9000, "X-Sum: 1\r\n")),
        b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
        b"DELETE /users HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
    ];
    let rejected = requests.len() + 3;
    let mut client = Client::connect(sidecar.traffic);
    for request in requests {
        let answer = client.ask(&request);
        assert_eq!(answer.status(), 400, "{}", String::from_utf8_lossy(&answer.head));
        assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    }
    for (body, streamed) in [(INVALID_AGE, false), (&long, false), (&long, true)] {
        let answer = h2::ask(sidecar.traffic, post_h2(sidecar.traffic, body), streamed);
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let metrics = sidecar.metrics();
    let is = |name: &str, labels: &[(&str, &str)], expected: usize| {
        let found = metrics.sum(name, labels);
        assert!((found - expected as f64).abs() < 0.5, "{name}{labels:?}: {found}");
    };
    is("cvt_proxy_upstream_connections_total", &[], 0);
    is("cvt_enforcement_rejected_total", &[("side", "request"), ("cause", "violation")], rejected);
    is("cvt_enforced_total", &[("side", "request")], rejected);
    is("cvt_enforcement_buffer_seconds_count", &[("side", "request")], rejected);
    assert_eq!(client.ask(post_whole(ADA)).status(), 201);
    assert!(recorder.bytes().starts_with(b"POST /users HTTP/1.1\r\n"), "{:?}", recorder.bytes());
    assert!(recorder.bytes().ends_with(ADA.as_bytes()));
    let text = String::from_utf8_lossy(&recorder.bytes()).into_owned();
    assert_eq!(text.matches('{').count(), 1, "{text}");
}

#[test]
fn a_rejection_explains_itself_without_the_value() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = strict(upstream.address()).start();
    let request = post(
        &format!("X-Request-Id: req-7\r\nContent-Length: {}\r\n", INVALID_AGE.len()),
        INVALID_AGE.as_bytes(),
    );
    let answer = Client::once(sidecar.traffic, request);
    assert_eq!(answer.all("cvt-violations"), ["1;codes=\"request.body.schema\""]);
    assert!(!answer.text().contains("S3cret") && !answer.text().contains("-36"));
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:cvt:problem:request.body.schema");
    assert_eq!((&problem["status"], &problem["request_id"]), (&400.into(), &"req-7".into()));
    let violation = &problem["violations"][0];
    assert_eq!(violation["code"], "request.body.schema");
    assert_eq!(violation["location"], "body");
    assert_eq!(violation["instance_pointer"], "/age");
    assert_eq!(violation["keyword"], "minimum");
    let pointer = "/components/schemas/User/properties/age/minimum";
    assert_eq!(violation["schema_pointer"], pointer);
    assert!(violation["line"].as_u64() > Some(1) && violation["column"].as_u64() > Some(1));
    let record = &sidecar.records(1)[0];
    let id = record["id"].as_str().expect("an id");
    assert_eq!(problem["instance"], format!("urn:uuid:{id}"), "the record can be found by it");
    assert_eq!(record["rejected"], "request");
    assert_eq!((&record["mode"], &record["request_id"]), (&"strict".into(), &"req-7".into()));
    assert_eq!(record["response_status"], serde_json::Value::Null);
    assert_eq!(record["violations"][0]["code"], "request.body.schema");
    let metrics = sidecar.metrics();
    let violations = metrics.sum("cvt_violations_total", &[("code", "request.body.schema")]);
    assert!((violations - 1.0).abs() < 0.5, "validated once: {violations}");
}

#[test]
fn the_status_of_a_rejection_can_be_chosen() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = strict(upstream.address()).env("CVT_ENFORCEMENT_STATUS", "422").start();
    assert_eq!(Client::once(sidecar.traffic, post_whole(INVALID_AGE)).status(), 422);
}

#[test]
fn trap_t01_buffered_requests_arrive_byte_for_byte_with_their_framing() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = strict(upstream.address()).start();
    let mut client = Client::connect(sidecar.traffic);
    for user in [ADA.to_owned(), long_user(100, 1), long_user(300_000, 1)] {
        assert_eq!(client.ask(post_whole(&user)).status(), 201);
        let received = upstream.received().pop().expect("a request");
        assert!(received.text() == user, "the body changed");
        assert_eq!(received.all("content-length"), [user.len().to_string()]);
        assert!(received.all("transfer-encoding").is_empty());
        let framing = "TE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n";
        let sent = post(framing, &chunked(user.as_bytes(), 7000, "X-Sum: 1\r\n"));
        assert_eq!(client.ask(sent).status(), 201);
        let received = upstream.received().pop().expect("a request");
        assert!(received.text() == user, "the chunked body changed");
        assert!(received.all("content-length").is_empty());
        assert!(received.trailers.to_lowercase().contains("x-sum: 1"), "{received:?}");
    }
    let answer = h2::ask(sidecar.traffic, post_h2(sidecar.traffic, &long_user(90_000, 2)), true);
    assert_eq!(answer.status, 201);
    assert!(upstream.received().pop().expect("a request").text() == long_user(90_000, 2));
}

#[test]
fn trap_t04_a_buffered_request_gets_100_continue() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = strict(upstream.address()).start();
    let mut client = Client::connect(sidecar.traffic);
    client.send(post(&format!("Expect: 100-continue\r\nContent-Length: {}\r\n", ADA.len()), b""));
    assert_eq!(client.read_head().status(), 100);
    assert!(upstream.received().is_empty());
    client.send(ADA);
    assert_eq!(client.read("POST").status(), 201);
    assert_eq!(upstream.received()[0].text(), ADA);
}

#[test]
fn a_request_that_breaks_off_while_buffered_is_not_passed_on() {
    let recorder = ByteRecorder::start(CREATED);
    let sidecar = strict(recorder.address()).start();
    let mut stream = TcpStream::connect(sidecar.traffic).expect("a connection");
    stream.write_all(&post("Content-Length: 1000\r\n", b"{\"name\":")).expect("bytes");
    stream.shutdown(Shutdown::Write).expect("the end");
    let record = &sidecar.records(1)[0];
    assert_eq!(record["skipped"][0], "body_incomplete", "{record}");
    assert!(recorder.bytes().is_empty());
}

/// A missing `Content-Type`, a wrong one, one with parameters, suffixes and ranges.
#[test]
fn trap_t14_content_types_are_validated_before_they_pass() {
    const DOCUMENT: &str = r"
openapi: 3.1.0
info: {title: Media, version: '1'}
paths:
  /json:
    post:
      requestBody:
        required: true
        content: {application/json: {schema: {type: object}}}
      responses: {'200': {description: d}}
  /suffix:
    post:
      requestBody: {content: {application/*+json: {schema: {type: object}}}}
      responses: {'200': {description: d}}
  /any:
    post:
      requestBody: {content: {'*/*': {}}}
      responses: {'200': {description: d}}
";
    let cases = [
        ("/json", "application/json", "{}", 200),
        ("/json", "application/json; charset=utf-8", "{}", 200),
        ("/json", "Application/JSON;profile=\"a;b\"", "{}", 200),
        ("/json", "", "{}", 200),
        ("/json", "", "not json", 400),
        ("/json", "text/plain", "{}", 400),
        ("/json", "nonsense", "{}", 400),
        ("/json", "application/json", "[]", 400),
        ("/suffix", "application/hal+json", "{}", 200),
        ("/suffix", "application/hal+json", "[]", 400),
        ("/suffix", "application/xml", "<a/>", 400),
        ("/any", "image/png", "\u{1}", 200),
    ];
    for mode in ["shadow", "strict"] {
        let upstream = ScriptedUpstream::fixed("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        let setup = SidecarSetup::new(DOCUMENT, upstream.address()).args(&["--mode", mode]);
        let sidecar = setup.args(&["--record", "all"]).start();
        for (at, (path, media_type, body, status)) in cases.iter().enumerate() {
            let status = if mode == "strict" { *status } else { 200 };
            let mut request = http::Request::post(format!("http://{}{path}", sidecar.traffic));
            if !media_type.is_empty() {
                request = request.header("content-type", *media_type);
            }
            let request = request.body(body.as_bytes().to_vec()).expect("a request");
            let line = match media_type.len() {
                0 => String::new(),
                _ => format!("Content-Type: {media_type}\r\n"),
            };
            let length = body.len();
            let head = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{line}Content-Length: {length}\r\n\r\n{body}"
            );
            assert_eq!(Client::once(sidecar.traffic, head).status(), status, "{mode} {at}");
            assert_eq!(h2::ask(sidecar.traffic, request, false).status, status, "{mode} {at} h2");
        }
        let records = sidecar.records(cases.len() * 2);
        let invalid = records.iter().filter(|record| record["valid"] == false).count();
        assert_eq!(invalid, 2 * cases.iter().filter(|case| case.3 == 400).count());
    }
}

#[test]
fn a_conforming_request_is_passed_on() {
    let upstream = ScriptedUpstream::start(|request| {
        match request.start_line().split(' ').next() {
            Some("HEAD") => {
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 40\r\n\r\n";
                vec![Step::Send(head.into())]
            }
            _ => json_answer("200 OK", ADA),
        }
    });
    let sidecar = strict(upstream.address()).start();
    assert_eq!(get(sidecar.traffic, "/users/1", "Connection: close\r\n").text(), ADA);
    assert_eq!(get(sidecar.traffic, "/users/one", "").status(), 400);
    let head = Client::once(sidecar.traffic, "HEAD /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((head.status(), head.all("content-length")), (200, vec!["40".to_owned()]));
    let preflight = "OPTIONS /users HTTP/1.1\r\nHost: a\r\nOrigin: https://a.test\r\n\
                     Access-Control-Request-Method: POST\r\n\r\n";
    assert_eq!(Client::once(sidecar.traffic, preflight).status(), 200, "T03: pre-flights pass");
}
