//! What is counted adds up, and stays bounded.

mod documented;
pub(crate) mod page;
pub(crate) mod scenes;

use std::collections::HashSet;

use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, SidecarSetup, Step, json_answer};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

#[test]
fn every_exchange_is_validated_or_counted_as_skipped() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address());
    let sidecar = setup.start();
    let mut client = Client::connect(sidecar.traffic);
    for path in ["/users/1", "/users/one", "/nowhere"].iter().cycle().take(60) {
        client.ask(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    let metrics = sidecar.wait_for_metrics("every verdict", |m| {
        m.sum("cvt_exchanges_validated_total", &[]) + m.sum("cvt_exchanges_skipped_total", &[])
            >= 60.0
    });
    let is = |name: &str, labels: &[(&str, &str)], expected: f64| {
        let found = metrics.sum(name, labels);
        assert!((found - expected).abs() < 0.5, "{name}{labels:?} is {found}, not {expected}");
    };
    is("cvt_exchanges_total", &[], 60.0);
    is("cvt_exchanges_validated_total", &[], 60.0);
    is("cvt_proxy_requests_total", &[("status", "2xx")], 60.0);
    is("cvt_validations_total", &[("method", "GET"), ("result", "valid")], 20.0);
    is("cvt_validations_total", &[("result", "invalid")], 40.0);
    is("cvt_violations_total", &[("code", "request.path.undocumented")], 20.0);
    is("cvt_validation_duration_seconds_count", &[], 60.0);
    is("cvt_proxy_upstream_seconds_count", &[], 60.0);
    is("cvt_proxy_in_flight", &[], 0.0);
}

#[test]
fn mode_off_counts_traffic_and_validates_nothing() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--mode", "off"]).start();
    Client::get(sidecar.traffic, "/users/one");
    let metrics =
        sidecar.wait_for_metrics("the request", |m| m.sum("cvt_proxy_requests_total", &[]) >= 1.0);
    assert!(metrics.sum("cvt_exchanges_total", &[]) < 0.5);
    assert!(metrics.sum("cvt_violations_total", &[]) < 0.5);
}

#[test]
fn trap_t22_hostile_names_do_not_become_labels() {
    let upstream =
        ScriptedUpstream::start(|request| match request.start_line().split(' ').next() {
            Some("HEAD") => vec![Step::Send(b"HTTP/1.1 200 OK\r\n\r\n".to_vec())],
            _ => json_answer("200 OK", ADA),
        });
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    let mut client = Client::connect(sidecar.traffic);
    for n in 0..300 {
        let request = format!(
            "METHOD{n} /users/hostile-{n} HTTP/1.1\r\nHost: hostile-{n}\r\nX-Consumer-Id: hostile-{n}\r\n\
             User-Agent: hostile-{n}/1\r\n\r\n"
        );
        client.ask(request);
    }
    let metrics = sidecar.wait_for_metrics("every verdict", |m| {
        m.sum("cvt_exchanges_validated_total", &[]) + m.sum("cvt_exchanges_skipped_total", &[])
            >= 300.0
    });
    let values: HashSet<_> = metrics.label_values().collect();
    let hostile = values.iter().filter(|v| v.contains("hostile") || v.contains("METHOD")).count();
    assert!(hostile <= 100 && values.len() < 300, "{hostile} hostile labels of {}", values.len());
    assert!(!values.iter().any(|v| v.contains("METHOD")), "methods are not labels as sent");
}

#[test]
fn a_body_over_the_limit_passes_and_is_counted_as_not_validated() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar =
        SidecarSetup::new(USERS, upstream.address()).env("CVT_BODY_LIMIT", "1KiB").start();
    let long = format!(r#"{{"name":"{}","age":1}}"#, "x".repeat(5000));
    assert_eq!(Client::post_json(sidecar.traffic, "/users", &long).status(), 201);
    assert_eq!(upstream.wait_for(1)[0].text(), long);
    sidecar.wait_for_metrics("the skipped body", |m| {
        let reason = ("reason", "body_over_limit");
        (m.sum("cvt_validation_skipped_total", &[("side", "request"), reason]) - 1.0).abs() < 0.5
    });
}
