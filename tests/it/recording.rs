//! What lies in storage after an exchange, and what must never lie there.

use std::fs;

use crate::support::documents::{FASTAPI, HARD_RULES, USERS};
use crate::support::{Client, ScriptedUpstream, SidecarSetup, command};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

#[test]
fn an_exchange_becomes_a_record_with_every_field() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    let request = format!(
        "POST /users?dry_run=true HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         X-Consumer-Id: checkout\r\nX-Request-Id: req-77\r\nContent-Length: {}\r\n\
         traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n{ADA}",
        ADA.len()
    );
    assert_eq!(Client::once(sidecar.traffic, request).status(), 201);
    let record = &sidecar.records(1)[0];
    for (field, expected) in [
        ("schema_version", "2.1.0"),
        ("request_method", "POST"),
        ("request_path", "/users?dry_run=true"),
        ("path_template", "/users"),
        ("consumer_id", "checkout"),
        ("client_id", "checkout"),
        ("client_ip", "127.0.0.1"),
        ("request_id", "req-77"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("mode", "warn"),
    ] {
        assert_eq!(record[field], expected, "{field} of {record}");
    }
    assert_eq!((&record["valid"], &record["response_status"]), (&true.into(), &201.into()));
    assert_eq!(record["errors"].as_array().map(Vec::len), Some(0), "{record}");
    for field in
        ["id", "schema_id", "schema_hash", "validated_at", "request_headers", "environment"]
    {
        assert!(!record[field].is_null(), "{field} of {record}");
    }
}

#[test]
fn what_a_message_holds_does_nothing_to_a_terminal() {
    const CLEARS: &str = "{\"name\":\"\u{1b}[2J\",\"age\":36}";
    let upstream = ScriptedUpstream::json("200 OK", CLEARS);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    Client::get(sidecar.traffic, "/users/1");
    let id = sidecar.records(1)[0]["id"].as_str().expect("an id").to_owned();
    let shown = command(&sidecar.dir()).args(["validations", "show", &id]).output().expect("runs");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("[2J") && !text.contains('\u{1b}'), "{text:?}");
}

/// A wrong response body passes and is recorded with where it is wrong.
fn wrong_body_is_recorded(mode: &str) {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":"old"}"#);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--mode", mode]).start();
    let answer = Client::get(sidecar.traffic, "/users/1");
    assert_eq!((answer.status(), &answer.json()["age"]), (200, &"old".into()));
    let record = &sidecar.records(1)[0];
    assert_eq!((&record["valid"], &record["mode"]), (&false.into(), &mode.into()), "{record}");
    let violation = &record["violations"][0];
    assert_eq!(violation["code"], "response.body.schema", "{record}");
    assert_eq!(violation["instance_pointer"], "/age", "{record}");
    assert_eq!(violation["schema_pointer"], "/components/schemas/User/properties/age/type");
    let line = USERS.lines().position(|line| line.contains("age: {type")).expect("the rule") + 1;
    assert_eq!(violation["line"], line, "{record}");
    assert_eq!(record["errors"].as_array().map(Vec::len), Some(1), "{record}");
}

#[test]
fn trap_t06_a_wrong_response_body_is_recorded_in_warn() {
    wrong_body_is_recorded("warn");
}

#[test]
fn trap_t06_a_wrong_response_body_is_recorded_in_shadow() {
    wrong_body_is_recorded("shadow");
}

#[test]
fn shadow_says_nothing_of_violations_and_warn_says_it_once_per_kind() {
    let logged = |mode: &str| {
        let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada"}"#);
        let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--mode", mode]).start();
        for _ in 0..5 {
            Client::get(sidecar.traffic, "/users/1");
        }
        sidecar.wait_for_metrics("violations", |m| m.sum("cvt_violations_total", &[]) >= 5.0);
        let (finished, _dir) = sidecar.terminate();
        finished.stderr.matches("response.body.schema").count()
    };
    assert_eq!(logged("shadow"), 0);
    assert_eq!(logged("warn"), 1);
}

#[test]
fn the_record_policy_keeps_what_it_says() {
    let kept = |policy: &str| {
        let upstream = ScriptedUpstream::json("200 OK", ADA);
        let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", policy]);
        let sidecar = setup.env("CVT_RECORD_VALID_RATE", "1").start();
        for _ in 0..20 {
            Client::get(sidecar.traffic, "/users/1");
        }
        Client::get(sidecar.traffic, "/users/one");
        sidecar.wait_for_metrics("every verdict", |m| {
            m.sum("cvt_exchanges_validated_total", &[]) >= 21.0
        });
        let (finished, dir) = sidecar.terminate();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let listed =
            command(dir.path()).args(["validations", "list", "--json"]).output().expect("it runs");
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        (text.matches(r#""valid":true"#).count(), text.matches(r#""valid":false"#).count())
    };
    assert_eq!(kept("all"), (20, 1));
    assert_eq!(kept("violations"), (0, 1));
    let (valid, invalid) = kept("sampled");
    assert!((1..20).contains(&valid) && invalid == 1, "{valid} valid, {invalid} invalid");
}

#[test]
fn trap_t08_rules_that_cannot_be_enforced_are_shown_and_never_crash() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let setup = SidecarSetup::new(HARD_RULES, upstream.address()).args(&["--record", "all"]);
    let sidecar = setup.start();
    let checked =
        command(&sidecar.dir()).args(["check", "openapi.yaml"]).output().expect("it runs");
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    let rule = |name: &str| HARD_RULES.lines().position(|line| line.contains(name));
    let line = rule("broken:").expect("the rule") + 1;
    assert!(shown.contains(&format!("openapi.yaml:{line}:")), "{shown}");
    assert!(shown.contains("galactic-coordinate"), "{shown}");
    assert!(shown.contains("/validate"), "{shown}");

    let validated = |body: &str, n: usize| {
        assert_eq!(Client::post_json(sidecar.traffic, "/validate", body).status(), 200);
        sidecar.records(n).pop().expect("a record")
    };
    let record = validated(r#"{"lookahead":"-no"}"#, 1);
    assert_eq!(record["violations"][0]["keyword"], "pattern", "{record}");
    assert_eq!(validated(r#"{"lookahead":"yes-it-is"}"#, 2)["valid"], true);
    let record = validated(r#"{"broken":"x"}"#, 3);
    assert_eq!(
        (&record["valid"], record["skipped"].as_array().map(Vec::len)),
        (&true.into(), Some(1)),
        "{record}"
    );
    let slow = format!(r#"{{"slow":"{}!"}}"#, "a".repeat(50));
    assert_eq!(validated(&slow, 4)["violations"][0]["keyword"], "pattern");
    let slower = format!(r#"{{"slower":"{}!"}}"#, "a".repeat(50));
    let record = validated(&slower, 5);
    assert_eq!(
        (&record["valid"], &record["skipped"][0]),
        (&true.into(), &"regex_budget".into()),
        "{record}"
    );
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_validation_skipped_total", &[("reason", "regex_budget")]) >= 1.0);
    assert!(metrics.sum("cvt_contract_lints", &[]) >= 2.0, "lints are a metric");
}

#[test]
fn trap_t08_a_pydantic_document_with_lookahead_loads() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = SidecarSetup::new(FASTAPI, upstream.address()).args(&["--record", "all"]).start();
    Client::post_json(sidecar.traffic, "/items/", r#"{"name":"a","price":"12.5"}"#);
    Client::post_json(sidecar.traffic, "/items/", r#"{"name":"a","price":"-."}"#);
    let records = sidecar.records(2);
    assert_eq!(
        (&records[0]["valid"], &records[1]["valid"]),
        (&true.into(), &false.into()),
        "{records:?}"
    );
}

#[test]
fn trap_t26_secrets_stay_out_of_storage_logs_and_metrics() {
    let secret = |n: usize| format!("s3cr3t-number-{n}");
    let answer = format!(
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nSet-Cookie: sid={}\r\n",
        secret(1)
    );
    let body = format!(r#"{{"name":7,"age":1,"password":"{}"}}"#, secret(2));
    let upstream =
        ScriptedUpstream::fixed(format!("{answer}Content-Length: {}\r\n\r\n{body}", body.len()));
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
    let setup = setup.env("CVT_REDACT_POINTERS", "/card/number").env("LOG_LEVEL", "debug");
    let sidecar = setup.start();
    let body = format!(
        r#"{{"name":["{}"],"age":"{}","password":"{}","pin":"{}","card":{{"number":"{}"}},"plain":"kept"}}"#,
        secret(3),
        secret(4),
        secret(5),
        secret(6),
        secret(7)
    );
    let request = format!(
        "POST /users?api_key={}&dry_run=maybe HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Authorization: Bearer {}\r\nCookie: sid={}\r\nX-Api-Key: {}\r\nContent-Length: {}\r\n\r\n{body}",
        secret(8),
        secret(9),
        secret(10),
        secret(11),
        body.len()
    );
    assert_eq!(Client::once(sidecar.traffic, request).status(), 201);
    let record = sidecar.records(1).remove(0);
    assert!(record["violations"].as_array().is_some_and(|all| all.len() >= 3), "{record}");
    assert!(record["request_body"].as_str().is_some_and(|text| text.contains("kept")), "{record}");

    let metrics = sidecar.metrics();
    let labels: Vec<_> = metrics.label_values().filter(|value| value.contains("s3cr3t")).collect();
    assert!(labels.is_empty(), "{labels:?}");
    let shown = command(&sidecar.dir()).args(["validations", "list"]).output().expect("it runs");
    let (finished, dir) = sidecar.terminate();
    let mut spoken = format!("{}{}", finished.stdout, finished.stderr);
    spoken.push_str(&String::from_utf8_lossy(&shown.stdout));
    spoken.extend([format!("{}{}", record["violations"], record["errors"])]);
    assert!(!spoken.contains("s3cr3t"), "{spoken}");

    // On disk nothing is left of what is secret by its place; /name and /age are not.
    let by_place = [1, 2, 5, 6, 7, 8, 9, 10, 11].map(|n| secret(n) + "\"");
    for file in fs::read_dir(dir.path()).expect("the directory").flatten() {
        if file.path().is_dir() {
            continue; // the spool, which holds nothing while storage is there
        }
        let bytes = fs::read(file.path()).expect("a file");
        let text = String::from_utf8_lossy(&bytes).replace(['&', ';', ' '], "\"");
        let found: Vec<_> = by_place.iter().filter(|secret| text.contains(*secret)).collect();
        assert!(found.is_empty(), "{found:?} in {}", file.path().display());
    }
}
