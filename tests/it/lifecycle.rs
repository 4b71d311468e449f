//! Faults of the upstream, and the end of the process.

use crate::support::documents::USERS;
use crate::support::{
    Client, Latch, ScriptedUpstream, Sidecar, SidecarSetup, Step, eventually, json_answer,
};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

#[track_caller]
fn wait_for_readiness(sidecar: &Sidecar, status: u16) -> String {
    eventually("readiness to change", || {
        let answer = Client::get(sidecar.admin, "/readyz");
        if answer.status() == status { Ok(answer.text()) } else { Err(answer.text()) }
    })
}

#[test]
fn a_killed_upstream_is_502_and_unready_until_it_returns() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    let address = upstream.stop();
    let answer = Client::get(sidecar.traffic, "/users/1");
    assert_eq!(answer.status(), 502);
    assert_eq!(answer.all("content-type"), ["application/problem+json"]);
    assert_eq!(answer.json()["status"], 502);
    let why = wait_for_readiness(&sidecar, 503);
    assert!(why.contains("upstream"), "{why}");
    assert_eq!(Client::get(sidecar.admin, "/healthz").status(), 200);

    let _upstream = ScriptedUpstream::start_on(address, |_| json_answer("200 OK", ADA));
    wait_for_readiness(&sidecar, 200);
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_proxy_upstream_failures_total", &[("kind", "connect")]) >= 1.0);
    assert!(metrics.sum("cvt_violations_total", &[]) < 0.5, "a fault is no violation");
}

#[test]
fn a_silent_upstream_is_504_within_its_timeout() {
    let upstream = ScriptedUpstream::start(|_| vec![Step::Hang]);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_UPSTREAM_TIMEOUT", "300ms");
    let sidecar = setup.start();
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 504);
    let failed =
        |kind| sidecar.metrics().sum("cvt_proxy_upstream_failures_total", &[("kind", kind)]);
    assert!((failed("timeout") - 1.0).abs() < 0.5);
}

#[test]
fn a_malformed_upstream_response_is_502_and_no_violation() {
    let upstream = ScriptedUpstream::fixed("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 502);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_proxy_upstream_failures_total", &[("kind", "broken")]) >= 1.0);
    assert!(metrics.sum("cvt_violations_total", &[]) < 0.5, "a fault is no violation");
}

#[test]
fn an_aborted_upstream_body_aborts_downstream_and_is_no_violation() {
    for ending in [|| Step::Reset, || Step::Close] {
        let upstream = ScriptedUpstream::start(move |_| {
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n";
            vec![Step::Send(format!("{head}{{\"name\":").into_bytes()), ending()]
        });
        let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
        let mut client = Client::connect(sidecar.traffic);
        client.send("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.try_read("GET").is_err(), "half a body was passed off as a whole one");
        let metrics = sidecar.wait_for_metrics("the body that is not validated", |m| {
            m.sum("cvt_validation_skipped_total", &[("reason", "body_incomplete")]) >= 1.0
        });
        assert!(metrics.sum("cvt_violations_total", &[]) < 0.5, "a fault is no violation");
    }
}

#[test]
fn a_closed_idle_upstream_connection_fails_no_request() {
    let upstream = ScriptedUpstream::start(|_| {
        let mut steps = json_answer("200 OK", ADA);
        steps.push(Step::Close);
        steps
    });
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    let mut client = Client::connect(sidecar.traffic);
    for _ in 0..50 {
        let answer = client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(answer.status(), 200);
    }
}

#[test]
fn upstream_connections_are_reused() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    let mut client = Client::connect(sidecar.traffic);
    for _ in 0..20 {
        client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let opened = sidecar.metrics().sum("cvt_proxy_upstream_connections_total", &[]);
    assert!((opened - 1.0).abs() < 0.5, "{opened} connections for one downstream connection");
}

#[test]
fn sigterm_finishes_and_stores_the_exchange_in_flight() {
    let gate = Latch::default();
    let upstream = ScriptedUpstream::start({
        let gate = gate.clone();
        move |_| {
            let mut steps = vec![Step::Wait(gate.clone())];
            steps.extend(json_answer("200 OK", ADA));
            steps
        }
    });
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    let mut client = Client::connect(sidecar.traffic);
    client.send("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
    upstream.wait_for(1);
    let stopping = std::thread::spawn(move || sidecar.terminate());
    gate.open();
    assert_eq!(client.read("GET").json()["name"], "Ada");
    let (finished, dir) = stopping.join().expect("it stops");
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(crate::support::records_in(dir.path()).len(), 1);
}

#[test]
fn records_survive_a_restart() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    for _ in 0..30 {
        Client::get(sidecar.traffic, "/users/1");
    }
    sidecar
        .wait_for_metrics("every verdict", |m| m.sum("cvt_exchanges_validated_total", &[]) >= 30.0);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(crate::support::records_in(dir.path()).len(), 30);
    let again =
        SidecarSetup::new(USERS, upstream.address()).inside(dir).args(&["--record", "all"]).start();
    Client::get(again.traffic, "/users/1");
    assert_eq!(again.records(31).len(), 31);
}
