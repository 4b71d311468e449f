//! What callers may take, and what becomes of those who take more.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::documents::ANYTHING;
use crate::support::h2;
use crate::support::{
    Client, Latch, ScriptedUpstream, Sidecar, SidecarSetup, Step, eventually, json_answer,
};

const GET: &str = "GET /echo HTTP/1.1\r\nHost: a\r\n\r\n";

fn setup(upstream: &ScriptedUpstream) -> SidecarSetup {
    SidecarSetup::new(ANYTHING, upstream.address())
}

#[track_caller]
fn wait_for_refusal(sidecar: &Sidecar, reason: &str, times: f64) {
    sidecar.wait_for_metrics(reason, |m| {
        m.sum("cvt_proxy_rejected_total", &[("reason", reason)]) >= times
    });
}

/// Reads until the other side ends the connection.
#[track_caller]
fn wait_for_end(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
    let mut read = Vec::new();
    match stream.read_to_end(&mut read) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            panic!("the connection stays open: {error}")
        }
        _ => String::from_utf8_lossy(&read).into_owned(),
    }
}

#[test]
fn trap_t23_a_slow_head_is_cut_and_delays_no_other_exchange() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_HEAD_TIMEOUT", "600ms").start();
    let mut slow: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(sidecar.traffic).expect("a connection")).collect();
    let drip = GET.as_bytes().iter().cycle();
    for byte in drip.take(20) {
        for stream in &mut slow {
            let _ = stream.write_all(&[*byte]);
        }
        assert_eq!(Client::get(sidecar.traffic, "/echo").status(), 200, "others are served");
    }
    for stream in &mut slow {
        wait_for_end(stream);
    }
    wait_for_refusal(&sidecar, "slow_head", 50.0);
    sidecar.wait_for_metrics("closed connections", |m| m.sum("cvt_proxy_connections", &[]) < 2.0);
}

/// A service whose answers are of 64 MiB.
fn large() -> ScriptedUpstream {
    ScriptedUpstream::start(|_| {
        let body = vec![b'x'; 64 << 20];
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        vec![Step::Send([head.as_bytes(), &body].concat())]
    })
}

#[test]
fn trap_t23_a_response_that_is_not_read_is_cut() {
    let upstream = large();
    let sidecar = setup(&upstream).env("CVT_LIMIT_MIN_RATE_WINDOW", "1s").start();
    let mut stream = TcpStream::connect(sidecar.traffic).expect("a connection");
    stream.write_all(GET.as_bytes()).expect("a request");
    wait_for_refusal(&sidecar, "slow_reader", 1.0);
    let read = wait_for_end(&mut stream);
    assert!(read.len() < 64 << 20);
}

#[test]
fn trap_t23_an_http2_peer_without_window_for_a_response_is_cut() {
    let upstream = large();
    let sidecar = setup(&upstream).env("CVT_LIMIT_MIN_RATE_WINDOW", "1s").start();
    let request = http::Request::get("http://a/echo").body(Vec::new()).expect("a request");
    h2::withhold(sidecar.traffic, request);
    wait_for_refusal(&sidecar, "slow_reader", 1.0);
}

#[test]
fn trap_t23_no_more_connections_than_allowed() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_LIMIT_CONNECTIONS", "3").start();
    let mut kept: Vec<Client> = (0..3).map(|_| Client::connect(sidecar.traffic)).collect();
    for client in &mut kept {
        assert_eq!(client.ask(GET).status(), 200);
    }
    let mut fourth = TcpStream::connect(sidecar.traffic).expect("a connection");
    wait_for_end(&mut fourth);
    wait_for_refusal(&sidecar, "connections", 1.0);
    assert_eq!(kept[0].ask(GET).status(), 200, "the others go on");
    drop(kept);
    eventually("a place", || {
        let mut stream = TcpStream::connect(sidecar.traffic).map_err(|error| error.to_string())?;
        stream
            .write_all(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())
            .map_err(|error| error.to_string())?;
        let read = wait_for_end(&mut stream);
        if read.contains("200 OK") { Ok(()) } else { Err(read) }
    });
}

#[test]
fn an_idle_connection_is_closed_gracefully() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_LIMIT_KEEP_ALIVE", "400ms").start();
    let mut client = Client::connect(sidecar.traffic);
    assert_eq!(client.ask(GET).status(), 200);
    let ended = client.try_read("GET").expect_err("nothing was asked for");
    assert_eq!(ended.kind(), std::io::ErrorKind::UnexpectedEof);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_proxy_rejected_total", &[]) < 0.5, "no request was rejected");
}

#[test]
fn trap_t23_a_slow_body_is_rejected_and_its_upstream_connection_freed() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = setup(&upstream)
        .env("CVT_LIMIT_MIN_RATE", "1000")
        .env("CVT_LIMIT_MIN_RATE_WINDOW", "1s")
        .start();
    let mut slow = Client::connect(sidecar.traffic);
    slow.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nx");
    let answer = slow.read("POST");
    assert_eq!(answer.status(), 408, "{}", answer.text());
    wait_for_refusal(&sidecar, "slow_body", 1.0);
    let metrics = sidecar.metrics();
    assert!(
        metrics.sum("cvt_proxy_upstream_failures_total", &[]) < 0.5,
        "not the upstream's fault"
    );
    assert!(upstream.received().is_empty(), "half a request is none");
}

#[test]
fn trap_t18_heads_over_the_limits_are_refused_with_the_status_for_it() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_LIMIT_TARGET", "1KiB").start();
    let ask = |target: &str, headers: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let mut client = Client::connect(sidecar.traffic);
        // The refusal may come while the rest is still being sent.
        let _ = client.try_send(request);
        client.try_read("GET").map_or(0, |answer| answer.status())
    };
    assert_eq!(ask("/echo", ""), 200);
    assert_eq!(ask(&format!("/echo?a={}", "x".repeat(2000)), ""), 414);
    assert_eq!(ask("/echo", &format!("X-Long: {}\r\n", "x".repeat(1 << 20))), 431);
    let many = "X-Many: 1\r\n".repeat(200);
    assert_eq!(ask("/echo", &many), 431);
    wait_for_refusal(&sidecar, "target_too_long", 1.0);
    wait_for_refusal(&sidecar, "head_too_large", 2.0);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn bodies_over_the_limit_are_refused_in_both_directions() {
    let upstream = ScriptedUpstream::start(|request| {
        let long = request.start_line().contains("long");
        json_answer("200 OK", &"1".repeat(if long { 3000 } else { 3 }))
    });
    let sidecar = setup(&upstream)
        .env("CVT_LIMIT_REQUEST_BODY", "1KiB")
        .env("CVT_LIMIT_RESPONSE_BODY", "2KiB")
        .start();
    let post = |framing: &str, body: &str| {
        let head = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n{body}");
        Client::once(sidecar.traffic, head).status()
    };
    assert_eq!(post("Content-Length: 1024", &"x".repeat(1024)), 200);
    assert_eq!(post("Content-Length: 1025", &"x".repeat(1025)), 413);
    let chunks = format!("400\r\n{}\r\n400\r\n{}\r\n0\r\n\r\n", "x".repeat(1024), "x".repeat(1024));
    assert_eq!(post("Transfer-Encoding: chunked", &chunks), 413);
    assert_eq!(upstream.received().len(), 1, "no refused body arrived whole");
    assert_eq!(Client::get(sidecar.traffic, "/long").status(), 502);
    wait_for_refusal(&sidecar, "request_body_too_large", 2.0);
    wait_for_refusal(&sidecar, "response_body_too_large", 1.0);
}

#[test]
fn an_address_over_its_rate_gets_retry_after() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = setup(&upstream).env("CVT_LIMIT_CLIENT_RATE", "2").start();
    let mut client = Client::connect(sidecar.traffic);
    let answers: Vec<_> = (0..20).map(|_| client.ask(GET)).collect();
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status() == 429).collect();
    assert!(!refused.is_empty(), "20 requests at once, 2 a second are allowed");
    assert_eq!(refused[0].all("retry-after"), ["1"]);
    assert_eq!(refused[0].json()["status"], 429);
    assert_eq!(upstream.received().len(), 20 - refused.len());
    wait_for_refusal(&sidecar, "client_rate", 1.0);
}

#[test]
fn requests_over_the_concurrency_limit_wait_and_then_get_retry_after() {
    let gate = Latch::default();
    let upstream = ScriptedUpstream::start({
        let gate = gate.clone();
        move |_| {
            [vec![Step::Wait(gate.clone())], json_answer("200 OK", "{}")]
                .into_iter()
                .flatten()
                .collect()
        }
    });
    let sidecar = setup(&upstream)
        .env("CVT_LIMIT_CONCURRENCY", "1")
        .env("CVT_LIMIT_QUEUE", "1")
        .env("CVT_LIMIT_QUEUE_TIMEOUT", "60s")
        .start();
    let mut first = Client::connect(sidecar.traffic);
    first.send(GET);
    upstream.wait_for(1);
    let mut second = Client::connect(sidecar.traffic);
    second.send(GET);
    sidecar.wait_for_metrics("the one that waits", |m| m.sum("cvt_proxy_queued", &[]) > 0.5);
    let mut third = Client::connect(sidecar.traffic);
    let third = third.ask(GET);
    assert_eq!(third.status(), 503);
    assert_eq!(third.all("retry-after"), ["1"]);
    assert_eq!(upstream.received().len(), 1, "the second waits");
    gate.open();
    assert_eq!((first.read("GET").status(), second.read("GET").status()), (200, 200));
    wait_for_refusal(&sidecar, "busy", 1.0);
}
