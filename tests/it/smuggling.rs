//! Messages made to be read differently by two readers. The sidecar refuses them, or passes on
//! exactly one message that can be read in one way only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Client, Message, ScriptedUpstream, Sidecar, SidecarSetup, Step};

/// Whatever the probes ask for is documented, so that `strict` checks nothing but their framing.
const DOCUMENT: &str = r"
openapi: 3.1.0
info: {title: Probes, version: 1.0.0}
paths:
  /echo:
    get: &anything
      requestBody: {content: {'*/*': {}}}
      responses: {default: {description: whatever, content: {'*/*': {}}}}
    post: *anything
  /next: {get: *anything}
  /second: {get: *anything}
";

/// What becomes of a probe.
enum Expected {
    /// The upstream sees nothing of it, or at most a message that breaks off.
    Refused,
    /// The upstream sees one request with this body.
    Passed(&'static [u8]),
}

use Expected::{Passed, Refused};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers with the target of the request, so that an answer to another one is noticed.
fn naming_upstream() -> ScriptedUpstream {
    ScriptedUpstream::start(|request| {
        let line = request.start_line();
        let target = line.split(' ').nth(1).unwrap_or("none");
        let length = target.len();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{target}"
        );
        vec![Step::Send(head.into_bytes())]
    })
}

fn connect(sidecar: &Sidecar, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(sidecar.traffic).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    // A refusal may come before everything is sent.
    let _ = stream.write_all(bytes);
    stream
}

/// Sends bytes, and reads whatever comes until the other side closes.
fn send_raw(sidecar: &Sidecar, bytes: &[u8]) -> String {
    let mut answer = Vec::new();
    let ended = connect(sidecar, bytes).read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
    assert!(ended.is_ok() || ended.is_err_and(|error| reset(&error)), "still open after {answer}");
    answer
}

/// Sends the probe, checks what came of it, and that the next caller gets its own answer.
fn probe(
    sidecar: &Sidecar,
    upstream: &ScriptedUpstream,
    name: &str,
    bytes: &[u8],
    expected: &Expected,
) {
    let before = upstream.received().len();
    let answer = send_raw(sidecar, bytes);
    let next = Client::get(sidecar.traffic, "/next");
    assert_eq!(next.text(), "/next", "{name}: the next caller got another one's answer");
    let received: Vec<Message> = upstream.received().split_off(before);
    let (seen, last) = received.split_at(received.len() - 1);
    assert!(last[0].start_line().starts_with("GET /next "), "{name}: {received:?}");
    assert!(
        !received.iter().any(|request| request.start_line().contains("smuggled")),
        "{name}: a request was smuggled: {received:?}"
    );
    match expected {
        Refused => {
            assert!(seen.is_empty(), "{name}: {seen:?}");
            assert!(!answer.starts_with("HTTP/1.1 2"), "{name}: {answer}");
        }
        Passed(body) => {
            assert_eq!(seen.len(), 1, "{name}: {seen:?}, answered {answer}");
            assert!(seen[0].body == *body, "{name}: {:?}", seen[0].text());
            let framings =
                seen[0].all("content-length").len() + seen[0].all("transfer-encoding").len();
            assert!(framings <= 1, "{name}: framed twice: {:?}", seen[0].lines());
        }
    }
}

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nConnection: close\r\n{headers}\r\n\r\n{body}"
    )
}

/// Probes whose framing is in question; each carries a request to smuggle.
fn framing_probes() -> Vec<(&'static str, String, Expected)> {
    let chunked = format!("0\r\n\r\n{SMUGGLED}");
    let te = "Transfer-Encoding: chunked";
    vec![
        ("CL before TE", post(&format!("Content-Length: 6\r\n{te}"), &chunked), Passed(b"")),
        ("TE before CL", post(&format!("{te}\r\nContent-Length: 6"), &chunked), Passed(b"")),
        (
            "unknown coding",
            post("Content-Length: 4\r\nTransfer-Encoding: xchunked", &chunked),
            Refused,
        ),
        (
            "blank before colon",
            post("Content-Length: 4\r\nTransfer-Encoding : chunked", &chunked),
            Refused,
        ),
        (
            "chunked then identity",
            post(&format!("{te}\r\nTransfer-Encoding: identity"), &chunked),
            Refused,
        ),
        (
            "identity then chunked",
            post(&format!("Transfer-Encoding: identity\r\n{te}"), &chunked),
            Refused,
        ),
        ("chunked twice", post(&format!("{te}\r\n{te}"), &chunked), Refused),
        ("a coding before chunked", post("Transfer-Encoding: gzip, chunked", &chunked), Refused),
        ("chunked, then nothing", post("Transfer-Encoding: chunked,", &chunked), Refused),
        ("a vertical tab", post("Transfer-Encoding: \x0bchunked", &chunked), Refused),
        ("a quoted coding", post("Transfer-Encoding: \"chunked\"", &chunked), Refused),
        ("two lengths", post("Content-Length: 0\r\nContent-Length: 5", SMUGGLED), Refused),
        (
            "the same length twice",
            post("Content-Length: 2\r\nContent-Length: 2", "ok"),
            Passed(b"ok"),
        ),
        ("a list of lengths", post("Content-Length: 2, 2", "ok"), Refused),
        ("a signed length", post("Content-Length: +2", "ok"), Refused),
        ("a negative length", post("Content-Length: -2", "ok"), Refused),
        ("a hexadecimal length", post("Content-Length: 0x2", "ok"), Refused),
        ("a length too long", post("Content-Length: 18446744073709551618", "ok"), Refused),
        (
            "HTTP/1.0 in chunks",
            post(te, &chunked).replace("HTTP/1.1\r\nHost", "HTTP/1.0\r\nHost"),
            Refused,
        ),
        (
            "a nominated length",
            post("Content-Length: 2\r\nConnection: content-length", "ok"),
            Passed(b"ok"),
        ),
        (
            "a nominated coding",
            post(&format!("{te}\r\nConnection: close, transfer-encoding"), "2\r\nok\r\n0\r\n\r\n"),
            Passed(b"ok"),
        ),
    ]
}

/// Probes inside the chunks.
fn chunk_probes() -> Vec<(&'static str, String, Expected)> {
    let chunks = |body: &str| post("Transfer-Encoding: chunked", body);
    vec![
        ("an extension", chunks("2;a=b\r\nok\r\n0\r\n\r\n"), Passed(b"ok")),
        ("a quoted extension", chunks("2;a=\"b;c\"\r\nok\r\n0\r\n\r\n"), Passed(b"ok")),
        ("a line feed in an extension", chunks(&format!("2;\nok\r\n0\r\n\r\n{SMUGGLED}")), Refused),
        ("a line feed for a line end", chunks("2\nok\n0\n\n"), Refused),
        ("a hexadecimal prefix", chunks("0x2\r\nok\r\n0\r\n\r\n"), Refused),
        ("a sign", chunks("+2\r\nok\r\n0\r\n\r\n"), Refused),
        (
            "an overflow",
            chunks(&format!("10000000000000002\r\nok\r\n0\r\n\r\n{SMUGGLED}")),
            Refused,
        ),
        ("a chunk without end", chunks(&format!("2\r\nok0\r\n\r\n{SMUGGLED}")), Refused),
        ("a chunk that is longer", chunks(&format!("2\r\nokay\r\n0\r\n\r\n{SMUGGLED}")), Refused),
        (
            "framing in trailers",
            chunks("2\r\nok\r\n0\r\nContent-Length: 50\r\nHost: b\r\n\r\n"),
            Passed(b"ok"),
        ),
    ]
}

/// Probes in the head.
fn head_probes() -> Vec<(&'static str, String, Expected)> {
    let get = |target: &str, headers: &str| format!("GET {target} HTTP/1.1\r\n{headers}\r\n\r\n");
    vec![
        ("a folded line", get("/echo", &format!("Host: a\r\nX-A: 1\r\n {SMUGGLED}")), Refused),
        ("a carriage return", get("/echo", "Host: a\r\nX-A: 1\rX-B: 2"), Refused),
        ("a null", get("/echo", "Host: a\r\nX-A: 1\x002"), Refused),
        (
            "line feeds alone",
            "GET /echo HTTP/1.1\nHost: a\nConnection: close\n\n".into(),
            Passed(b""),
        ),
        ("two hosts", get("/echo", "Host: a\r\nHost: b"), Refused),
        ("no host", get("/echo", "X-A: 1"), Refused),
        ("two blanks", get(" /echo", "Host: a"), Refused),
        ("a second version", get("/echo HTTP/1.1", "Host: a"), Refused),
        ("a nameless line", get("/echo", "Host: a\r\n: 1"), Refused),
        ("a line without colon", get("/echo", "Host: a\r\nX-A"), Refused),
        ("a user in the target", get("http://user:secret@a/echo", "Host: a"), Refused),
        (
            "a body on GET",
            format!(
                "GET /echo HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ),
            Passed(SMUGGLED.as_bytes()),
        ),
    ]
}

fn probes_do_not_desynchronise(mode: &str, probes: &[(&'static str, String, Expected)]) {
    let upstream = naming_upstream();
    let sidecar = SidecarSetup::new(DOCUMENT, upstream.address()).args(&["--mode", mode]).start();
    for (name, bytes, expected) in probes {
        probe(&sidecar, &upstream, name, bytes.as_bytes(), expected);
    }
}

#[test]
fn trap_t24_framing_is_read_in_one_way_only() {
    for mode in ["off", "warn", "strict"] {
        probes_do_not_desynchronise(mode, &framing_probes());
    }
}

#[test]
fn trap_t24_chunks_are_read_in_one_way_only() {
    for mode in ["off", "warn", "strict"] {
        probes_do_not_desynchronise(mode, &chunk_probes());
    }
}

#[test]
fn trap_t24_heads_are_read_in_one_way_only() {
    for mode in ["off", "warn", "strict"] {
        probes_do_not_desynchronise(mode, &head_probes());
    }
}

#[test]
fn trap_t24_an_upgrade_to_http2_is_not_passed_on() {
    let upstream = naming_upstream();
    let sidecar = SidecarSetup::new(DOCUMENT, upstream.address()).start();
    let request = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\
                   Connection: Upgrade, HTTP2-Settings\r\n\r\n";
    assert_eq!(Client::once(sidecar.traffic, request).status(), 200);
    let lines = upstream.wait_for(1)[0].lines();
    let hop = |line: &&String| {
        let line = line.to_lowercase();
        ["upgrade", "http2-settings", "connection"].iter().any(|name| line.starts_with(name))
    };
    assert_eq!(lines.iter().find(hop), None, "{lines:?}");
}

#[test]
fn trap_t24_requests_in_one_segment_are_separated() {
    let upstream = naming_upstream();
    let sidecar = SidecarSetup::new(DOCUMENT, upstream.address()).start();
    let first = post("Content-Length: 2", "ok").replace("Connection: close\r\n", "");
    let second = "GET /second HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = send_raw(&sidecar, format!("{first}{second}").as_bytes());
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{answer}");
    let lines: Vec<String> = upstream.wait_for(2).iter().map(Message::start_line).collect();
    assert_eq!(lines, ["POST /echo HTTP/1.1", "GET /second HTTP/1.1"]);
}

/// The frames of one HTTP/2 request: literal header fields, sent as they are.
fn http2_request(fields: &[(&str, &str)], body: &str) -> Vec<u8> {
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10); // never indexed, the name spelt out
        for text in [name, value] {
            block.push(u8::try_from(text.len()).expect("a short text"));
            block.extend_from_slice(text.as_bytes());
        }
    }
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, &[]),
        frame(1, 4, 1, &block),
        frame(0, 1, 1, body.as_bytes()),
    ]
    .concat()
}

#[test]
fn trap_t24_http2_says_nothing_that_http1_reads_differently() {
    let upstream = naming_upstream();
    let sidecar = SidecarSetup::new(DOCUMENT, upstream.address()).start();
    let with = |extra: &[(&str, &str)], body: &str| {
        let fields =
            [(":method", "POST"), (":scheme", "http"), (":path", "/echo"), (":authority", "a")];
        let changed: Vec<(&str, &str)> = fields
            .into_iter()
            .filter(|(name, _)| !extra.iter().any(|(other, _)| other == name))
            .collect();
        let pseudo = extra.iter().filter(|(name, _)| name.starts_with(':')).copied();
        let plain = extra.iter().filter(|(name, _)| !name.starts_with(':')).copied();
        let all: Vec<(&str, &str)> = changed.into_iter().chain(pseudo).chain(plain).collect();
        http2_request(&all, body)
    };
    let smuggled = format!("/a HTTP/1.1\r\nHost: a\r\n\r\n{SMUGGLED}");
    for (name, bytes, expected) in [
        ("an honest one", with(&[("content-length", "2")], "ok"), Passed(b"ok")),
        ("no length", with(&[], "ok"), Passed(b"ok")),
        ("a transfer coding", with(&[("transfer-encoding", "chunked")], "0\r\n\r\n"), Refused),
        ("a connection field", with(&[("connection", "close")], "ok"), Refused),
        ("a length too short", with(&[("content-length", "1")], "ok"), Refused),
        ("two lengths", with(&[("content-length", "2"), ("content-length", "3")], "ok"), Refused),
        ("line ends in a value", with(&[("x-a", "1\r\nx-b: 2")], "ok"), Refused),
        ("line ends in a name", with(&[("x-a: 1\r\nx-b", "2")], "ok"), Refused),
        ("a colon in a name", with(&[("x-a:", "2")], "ok"), Refused),
        ("an upper-case name", with(&[("X-A", "2")], "ok"), Refused),
        ("a request in the path", with(&[(":path", &smuggled)], "ok"), Refused),
        ("a request in the method", with(&[(":method", "GET /smuggled HTTP/1.1")], "ok"), Refused),
        (
            "a request in the authority",
            with(&[(":authority", "a\r\n\r\nGET /smuggled")], "ok"),
            Refused,
        ),
    ] {
        probe_http2(&sidecar, &upstream, name, &bytes, &expected);
    }
}

/// As [`probe`]; a request that is refused for its body may have begun upstream, but never ends.
fn probe_http2(
    sidecar: &Sidecar,
    upstream: &ScriptedUpstream,
    name: &str,
    bytes: &[u8],
    expected: &Expected,
) {
    let before = upstream.received().len();
    wait_for_http2_answer(&mut connect(sidecar, bytes), name);
    assert_eq!(Client::get(sidecar.traffic, "/next").text(), "/next", "{name}");
    let received = upstream.received().split_off(before);
    let lines: Vec<String> = received.iter().map(Message::start_line).collect();
    assert!(!lines.iter().any(|line| line.contains("smuggled")), "{name}: {lines:?}");
    match expected {
        Refused => assert_eq!(lines, ["GET /next HTTP/1.1"], "{name}"),
        Passed(body) => {
            assert_eq!(lines, ["POST /echo HTTP/1.1", "GET /next HTTP/1.1"], "{name}");
            assert!(received[0].body == *body, "{name}");
        }
    }
}

/// Reads frames up to one that answers the request or ends the connection.
fn wait_for_http2_answer(stream: &mut TcpStream, name: &str) {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const GOAWAY: u8 = 7;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        if matches!(head[3], HEADERS | RESET | GOAWAY) {
            return;
        }
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
