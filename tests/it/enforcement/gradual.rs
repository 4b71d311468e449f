//! Enforcement of a part: operations, halves, a share of the traffic, and the way back.

use super::{ADA, INVALID_AGE, get, post, post_whole, strict};
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, eventually};

fn sum(sidecar: &Sidecar, name: &str, labels: &[(&str, &str)]) -> f64 {
    sidecar.metrics().sum(name, labels)
}

#[test]
fn operations_have_modes_of_their_own() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada"}"#);
    let config = "mode: off\noperations:\n  POST /users: strict\n  GET /users/{id}:\n    \
                  response: strict\n";
    let setup = SidecarSetup::new(USERS, upstream.address()).file("cvt.yaml", config);
    let sidecar = setup.args(&["--record", "all"]).start();
    assert_eq!(Client::once(sidecar.traffic, post_whole(INVALID_AGE)).status(), 400);
    assert_eq!(get(sidecar.traffic, "/users/1", "").status(), 502, "its response is enforced");
    assert_eq!(
        get(sidecar.traffic, "/users/one", "").status(),
        502,
        "and its request is not validated"
    );
    assert_eq!(get(sidecar.traffic, "/nowhere", "").status(), 200, "the rest is off");
    let records = sidecar.records(3);
    assert_eq!(records.len(), 3);
    assert!(records[2]["skipped"].as_array().expect("reasons").contains(&"off".into()));
    assert!((sum(&sidecar, "cvt_exchanges_total", &[]) - 3.0).abs() < 0.5);
}

#[test]
fn an_operation_may_be_left_out() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = strict(upstream.address()).env("CVT_OPERATIONS", "POST /users=warn").start();
    assert_eq!(Client::once(sidecar.traffic, post_whole(INVALID_AGE)).status(), 201);
    assert_eq!(get(sidecar.traffic, "/users/one", "").status(), 400);
    assert_eq!(sidecar.records(2)[0]["mode"], "warn");
}

#[test]
fn an_operation_that_the_document_does_not_list_stops_the_start() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let setup = strict(upstream.address()).env("CVT_OPERATIONS", "POST /user=warn");
    let refused = setup.refuse();
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("did you mean `POST /users`?"), "{}", refused.stderr);
}

/// The same request id is always on the same side, in this sidecar and in any other.
#[test]
fn a_share_of_the_traffic_is_chosen_by_request_id() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let start = || strict(upstream.address()).env("CVT_ENFORCEMENT_SHARE", "30%").start();
    let (one, other) = (start(), start());
    let ask = |sidecar: &Sidecar, id: u32| {
        let headers = format!("X-Request-Id: r{id}\r\nContent-Length: {}\r\n", INVALID_AGE.len());
        Client::once(sidecar.traffic, post(&headers, INVALID_AGE.as_bytes())).status()
    };
    let answers: Vec<u16> = (0..100).map(|id| ask(&one, id)).collect();
    let rejected = answers.iter().filter(|status| **status == 400).count();
    assert!((10..60).contains(&rejected), "{rejected} of 100 for a share of 30 %");
    assert_eq!((0..100).map(|id| ask(&other, id)).collect::<Vec<_>>(), answers);
    let waived = sum(&one, "cvt_enforcement_skipped_total", &[("reason", "share")]);
    assert!((waived - (100 - rejected) as f64).abs() < 0.5, "{waived}");
}

#[test]
fn when_too_much_is_rejected_enforcement_falls_back_and_says_so() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = strict(upstream.address())
        .env("CVT_ENFORCEMENT_BREAKER_SHARE", "50%")
        .env("CVT_ENFORCEMENT_BREAKER_MINIMUM", "4")
        .env("CVT_ENFORCEMENT_BREAKER_COOLDOWN", "1s")
        .start();
    let readiness = || Client::get(sidecar.admin, "/readyz").text();
    assert!(readiness().contains("enforces 100 % of traffic"), "{}", readiness());
    let mut client = Client::connect(sidecar.traffic);
    let mut post = |body: &str| client.ask(post_whole(body)).status();
    assert_eq!([post(ADA), post(ADA), post(INVALID_AGE), post(INVALID_AGE)], [201, 201, 400, 400]);
    assert_eq!(post(INVALID_AGE), 400, "the one that opens the breaker is still rejected");
    assert_eq!(post(INVALID_AGE), 201, "then it is as in warn");
    assert!(readiness().contains("fell back to warn: 3 of 5"), "{}", readiness());
    assert!(sum(&sidecar, "cvt_enforcement_breaker_open", &[]) > 0.5);
    assert!(sidecar.said().contains("enforcement_suspended"));
    eventually("enforcement resumed", || {
        let open = sum(&sidecar, "cvt_enforcement_breaker_open", &[]);
        if open < 0.5 { Ok(()) } else { Err(format!("{open}")) }
    });
    assert!(sidecar.said().contains("enforcement_resumed"));
    assert_eq!(post(INVALID_AGE), 400);
    assert!(sum(&sidecar, "cvt_enforcement_skipped_total", &[("reason", "breaker")]) > 0.5);
    assert!(sum(&sidecar, "cvt_enforcement_breaker_openings_total", &[]) > 0.5);
}
