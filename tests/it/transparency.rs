//! Bytes pass unchanged, in every mode.

use std::io::Write;

use crate::support::documents::{ANYTHING, USERS};
use crate::support::{Client, Message, ScriptedUpstream, Sidecar, SidecarSetup, Step, h2};

/// Answers with the body and the entity headers of the request, framed as the request was.
fn echo(request: &Message) -> Vec<Step> {
    let mut head = String::from("HTTP/1.1 200 OK\r\n");
    for name in ["Content-Type", "Content-Encoding"] {
        for value in request.all(name) {
            head.extend([format!("{name}: {value}\r\n")]);
        }
    }
    let mut answer = Vec::new();
    if request.all("transfer-encoding").is_empty() {
        head.extend([format!("Content-Length: {}\r\n\r\n", request.body.len())]);
        answer.extend_from_slice(head.as_bytes());
        answer.extend_from_slice(&request.body);
    } else {
        head.push_str("Trailer: X-Digest\r\nTransfer-Encoding: chunked\r\n\r\n");
        answer.extend_from_slice(head.as_bytes());
        answer.extend_from_slice(&chunked(&request.body, "X-Digest: from-upstream\r\n"));
    }
    vec![Step::Send(answer)]
}

/// `body` in chunks of uneven sizes.
fn chunked(body: &[u8], trailers: &str) -> Vec<u8> {
    let mut framed = Vec::new();
    for (at, part) in body.chunks(7).enumerate() {
        let extension = if at == 0 { ";note=first" } else { "" };
        framed.extend_from_slice(format!("{:x}{extension}\r\n", part.len()).as_bytes());
        framed.extend_from_slice(part);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(format!("0\r\n{trailers}\r\n").as_bytes());
    framed
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(body).expect("memory");
    encoder.finish().expect("memory")
}

fn brotli(body: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    brotli::CompressorWriter::new(&mut encoded, 4096, 5, 20).write_all(body).expect("memory");
    encoded
}

fn zstd(body: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(body, 3).expect("memory")
}

/// Bodies that tempt a proxy to touch them: (media type, content coding, bytes).
fn tempting_bodies() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let json = br#"{"a": 1.0, "n": 12345678901234567890.10, "a": 2}"#.to_vec();
    vec![
        ("application/octet-stream", "", (0..=255).collect()),
        ("application/json", "", b"1.0".to_vec()),
        ("application/json", "", b"12345678901234567890".to_vec()),
        ("application/json", "", json.clone()),
        ("application/json", "", b"{ not json".to_vec()),
        ("text/plain", "", b"one\r\ntwo\r\n\r\n".to_vec()),
        ("text/plain; charset=\"latin1\"", "", b"caf\xe9".to_vec()),
        ("application/json", "gzip", gzip(&json)),
        ("application/json", "br", brotli(&json)),
        ("application/json", "zstd", zstd(&json)),
        ("application/json", "gzip, br", brotli(&gzip(&json))),
        ("application/json", "gzip", b"no gzip at all".to_vec()),
        ("application/json", "", Vec::new()),
        ("application/octet-stream", "", vec![b'x'; 3 << 20]),
    ]
}

fn post(media_type: &str, coding: &str, framing: &str, body: &[u8]) -> Vec<u8> {
    let mut head =
        format!("POST /echo HTTP/1.1\r\nHost: shop.test\r\nContent-Type: {media_type}\r\n");
    if !coding.is_empty() {
        head.extend([format!("Content-Encoding: {coding}\r\n")]);
    }
    head.push_str(framing);
    head.push_str("\r\n");
    [head.as_bytes(), body].concat()
}

/// Whether a body is in the form that its head declares; `strict` may refuse the others.
fn is_well_formed(body: &[u8]) -> bool {
    ![&b"{ not json"[..], b"no gzip at all", b""].contains(&body)
}

/// Every mode, `strict` with both halves held.
const MODES: [&str; 4] = ["off", "shadow", "warn", "strict"];
/// Those in which there are verdicts.
const VALIDATING_MODES: [&str; 3] = ["shadow", "warn", "strict"];

fn in_mode(mode: &str, document: &str, upstream: &ScriptedUpstream) -> Sidecar {
    // A key that is sent twice passes unchanged where the operator allows it.
    let arguments = ["--mode", mode, "--record", "all", "--rule", "duplicate_keys=lenient"];
    let setup = SidecarSetup::new(document, upstream.address()).args(&arguments);
    let held = if mode == "strict" { "true" } else { "false" };
    setup.env("CVT_ENFORCE_RESPONSES", held).start()
}

#[test]
fn trap_t01_bodies_pass_unchanged_in_every_mode() {
    for mode in MODES {
        let upstream = ScriptedUpstream::start(echo);
        let sidecar = in_mode(mode, ANYTHING, &upstream);
        let mut client = Client::connect(sidecar.traffic);
        for (media_type, coding, body) in tempting_bodies() {
            if mode == "strict" && !is_well_formed(&body) {
                continue;
            }
            let framing = format!("Content-Length: {}\r\n", body.len());
            let answer = client.ask(post(media_type, coding, &framing, &body));
            assert_eq!(answer.status(), 200, "{mode}, {media_type} {coding:?}");
            assert!(answer.body == body, "{mode}, {media_type} {coding:?}: the response changed");
            assert_eq!(answer.all("content-type"), [media_type]);
            let received = upstream.received().pop().expect("a request");
            assert!(received.body == body, "{mode}, {media_type} {coding:?}: the request changed");
            assert_eq!(received.all("content-encoding").concat(), coding);
        }
    }
}

#[test]
fn trap_t01_bodies_pass_unchanged_over_http2_in_every_mode() {
    for mode in MODES {
        let upstream = ScriptedUpstream::start(echo);
        let sidecar = in_mode(mode, ANYTHING, &upstream);
        for (at, (media_type, coding, body)) in tempting_bodies().into_iter().enumerate() {
            if mode == "strict" && !is_well_formed(&body) {
                continue;
            }
            let mut request = http::Request::post(format!("http://{}/echo", sidecar.traffic))
                .header("content-type", media_type);
            if !coding.is_empty() {
                request = request.header("content-encoding", coding);
            }
            let request = request.body(body.clone()).expect("a request");
            let answer = h2::ask(sidecar.traffic, request, at % 2 == 0);
            assert_eq!(answer.status, 200, "{mode}, {media_type} {coding:?}");
            assert!(answer.body == body, "{mode}, {media_type} {coding:?}: the response changed");
            assert_eq!(answer.headers["content-type"], media_type);
            let received = upstream.received().pop().expect("a request");
            assert!(received.body == body, "{mode}, {media_type} {coding:?}: the request changed");
            assert_eq!(received.all("content-encoding").concat(), coding);
        }
    }
}

#[test]
fn trap_t01_chunked_bodies_pass_with_their_trailers() {
    MODES.into_iter().for_each(chunked_bodies_pass_with_their_trailers);
}

fn chunked_bodies_pass_with_their_trailers(mode: &str) {
    let upstream = ScriptedUpstream::start(echo);
    let sidecar = in_mode(mode, ANYTHING, &upstream);
    let mut client = Client::connect(sidecar.traffic);
    let framing = "TE: trailers\r\nTrailer: X-Digest\r\nTransfer-Encoding: chunked\r\n";
    for body in [b"the quick brown fox".to_vec(), Vec::new(), vec![0; 300_000]] {
        let framed = chunked(&body, "X-Digest: from-downstream\r\n");
        let answer = client.ask(post("text/plain", "", framing, &framed));
        let received = upstream.received().pop().expect("a request");
        assert!(answer.body == body && received.body == body, "a body changed");
        assert!(
            received.trailers.to_lowercase().contains("x-digest: from-downstream"),
            "{received:?}"
        );
        assert!(answer.trailers.to_lowercase().contains("x-digest: from-upstream"), "{answer:?}");
    }
}

#[test]
fn trap_t02_repeated_headers_survive_in_order() {
    MODES.into_iter().for_each(repeated_headers_survive_in_order);
}

fn repeated_headers_survive_in_order(mode: &str) {
    let upstream = ScriptedUpstream::fixed(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nVia: 1.1 one\r\nSet-Cookie: b=2; Path=/\r\n\
         Access-Control-Allow-Origin: https://a.test\r\nVia: 1.0 two\r\nSet-Cookie: a=3\r\n\
         X-MiXeD-CaSe: Kept\r\nContent-Length: 0\r\n\r\n",
    );
    let sidecar = in_mode(mode, &ANYTHING.replace("post:", "get:"), &upstream);
    let request = "GET /echo?q=%41%2f&&a=1&a=2 HTTP/1.1\r\nHost: Shop.Test:8443\r\nVia: 1.1 first\r\n\
                   Accept-Encoding: gzip;q=0.5, br\r\nVia: 1.1 second\r\nOrigin: https://a.test\r\n\
                   X-MiXeD-CaSe: Kept\r\nX-Empty:\r\n\r\n";
    let answer = Client::once(sidecar.traffic, request);
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2; Path=/", "a=3"]);
    assert_eq!(answer.all("via"), ["1.1 one", "1.0 two"]);
    assert_eq!(answer.all("access-control-allow-origin"), ["https://a.test"]);
    assert!(answer.lines().contains(&"X-MiXeD-CaSe: Kept".to_owned()), "{:?}", answer.lines());
    let received = &upstream.wait_for(1)[0];
    assert_eq!(received.start_line(), "GET /echo?q=%41%2f&&a=1&a=2 HTTP/1.1");
    assert_eq!(received.all("via"), ["1.1 first", "1.1 second"]);
    assert_eq!(received.all("host"), ["Shop.Test:8443"]);
    assert_eq!(received.all("accept-encoding"), ["gzip;q=0.5, br"]);
    assert_eq!(received.all("x-empty"), [""]);
    assert!(received.lines().contains(&"X-MiXeD-CaSe: Kept".to_owned()), "{:?}", received.lines());
    assert_eq!(received.lines().len(), 8, "a header was added or lost: {:?}", received.lines());
}

#[test]
fn trap_t02_every_repeated_header_is_validated() {
    let document = ANYTHING.replace(
        "        '302': {description: elsewhere}",
        "        '302':\n          description: elsewhere\n          headers:\n            \
         X-Count: {schema: {type: array, items: {type: integer}}}",
    );
    let upstream = ScriptedUpstream::fixed(
        "HTTP/1.1 302 Found\r\nX-Count: 1\r\nX-Count: two\r\nContent-Length: 0\r\n\r\n",
    );
    let sidecar = SidecarSetup::new(&document, upstream.address()).start();
    Client::get(sidecar.traffic, "/moved");
    let record = &sidecar.records(1)[0];
    assert_eq!(record["violations"][0]["code"], "response.header.schema", "{record}");
}

#[test]
fn trap_t03_redirects_are_passed_on_and_not_followed() {
    VALIDATING_MODES.into_iter().for_each(redirects_are_passed_on_and_not_followed);
}

fn redirects_are_passed_on_and_not_followed(mode: &str) {
    let upstream = ScriptedUpstream::fixed(
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/away\r\nContent-Length: 0\r\n\r\n",
    );
    let sidecar = in_mode(mode, ANYTHING, &upstream);
    let answer = Client::get(sidecar.traffic, "/moved");
    assert_eq!(
        (answer.status(), answer.all("location").concat()),
        (302, "http://127.0.0.1:1/away".into())
    );
    assert_eq!(upstream.received().len(), 1);
    assert_eq!(sidecar.records(1)[0]["valid"], true);
}

#[test]
fn trap_t03_a_preflight_that_is_not_documented_is_no_violation() {
    VALIDATING_MODES.into_iter().for_each(a_preflight_that_is_not_documented_is_no_violation);
}

fn a_preflight_that_is_not_documented_is_no_violation(mode: &str) {
    let upstream = ScriptedUpstream::fixed(
        "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Methods: POST\r\n\r\n",
    );
    let sidecar = in_mode(mode, USERS, &upstream);
    let preflight = "OPTIONS /users HTTP/1.1\r\nHost: a\r\nOrigin: https://a.test\r\n\
                     Access-Control-Request-Method: POST\r\n\r\n";
    let answer = Client::once(sidecar.traffic, preflight);
    assert_eq!(answer.all("access-control-allow-methods"), ["POST"]);
    let record = &sidecar.records(1)[0];
    assert_eq!(
        (&record["valid"], &record["skipped"][0]),
        (&true.into(), &"preflight".into()),
        "{record}"
    );
}

#[test]
fn trap_t05_messages_without_a_body_are_no_violations() {
    VALIDATING_MODES.into_iter().for_each(messages_without_a_body_are_no_violations);
}

fn messages_without_a_body_are_no_violations(mode: &str) {
    let upstream = ScriptedUpstream::start(|request| {
        let answer = match request.start_line().as_str() {
            line if line.starts_with("HEAD") => {
                "200 OK\r\nContent-Type: application/json\r\nContent-Length: 40"
            }
            line if line.contains("/1 ") => "204 No Content",
            _ => "304 Not Modified\r\nETag: \"a\"",
        };
        vec![Step::Send(format!("HTTP/1.1 {answer}\r\n\r\n").into_bytes())]
    });
    let sidecar = in_mode(mode, USERS, &upstream);
    let mut client = Client::connect(sidecar.traffic);
    let mut status =
        |start: &str| client.ask(format!("{start} HTTP/1.1\r\nHost: a\r\n\r\n")).status();
    assert_eq!(status("HEAD /users/9"), 200);
    assert_eq!(status("GET /users/1"), 204);
    assert_eq!(status("GET /users/2"), 304);
    for record in sidecar.records(3) {
        assert_eq!(record["valid"], true, "{record}");
    }
}

#[test]
fn trap_t05_interim_responses_do_not_stand_in_for_the_final_one() {
    let upstream = ScriptedUpstream::start(|_| {
        let body = r#"{"name":"Ada","age":36}"#;
        let interim = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
        let head = format!(
            "{interim}HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        vec![Step::Send([head.as_bytes(), body.as_bytes()].concat())]
    });
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    let mut client = Client::connect(sidecar.traffic);
    let hint = client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((hint.status(), hint.all("link").concat()), (103, "</a.css>; rel=preload".into()));
    let answer = client.read("GET");
    assert_eq!((answer.status(), &answer.json()["name"]), (200, &"Ada".into()));
    let record = &sidecar.records(1)[0];
    assert_eq!(
        (&record["valid"], &record["response_status"]),
        (&true.into(), &200.into()),
        "{record}"
    );
}

#[test]
fn a_response_streams_before_it_is_complete() {
    let gate = crate::support::Latch::default();
    let upstream = ScriptedUpstream::start({
        let gate = gate.clone();
        move |_| {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 10\r\n\r\n";
            vec![
                Step::Send(format!("{head}first").into_bytes()),
                Step::Wait(gate.clone()),
                Step::Send(b"last!".to_vec()),
            ]
        }
    });
    let sidecar = SidecarSetup::new(ANYTHING, upstream.address()).start();
    let mut client = Client::connect(sidecar.traffic);
    client.send(post("text/plain", "", "Content-Length: 0\r\n", b""));
    assert_eq!(client.read_head().status(), 200);
    assert_eq!(client.read_exact(5), b"first"); // the rest does not exist yet
    gate.open();
    assert_eq!(client.read_exact(5), b"last!");
}
