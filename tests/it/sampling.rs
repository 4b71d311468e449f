//! What is validated and kept when not everything is, and what is left out when validation is slow.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::documents::USERS;
use crate::support::{Client, MetricsScrape, ScriptedUpstream, Sidecar, SidecarSetup, command};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

/// An operation that takes long to validate, and one that does not.
const SLOW: &str = r"
openapi: 3.1.0
info: {title: Slow, version: 1.0.0}
paths:
  /slow:
    post:
      requestBody:
        required: true
        content:
          application/json:
            schema:
              type: array
              items: {type: string, pattern: '^(a|a)*\1b'}
      responses:
        '201': {description: validated}
  /rare:
    get:
      responses:
        '201': {description: seldom asked for}
";

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

/// Waits until every one of `exchanges` is accounted for.
#[track_caller]
fn accounted(sidecar: &Sidecar, exchanges: usize) -> MetricsScrape {
    let metrics = sidecar.wait_for_metrics("an account of every exchange", |m| {
        let validated = m.sum("cvt_exchanges_validated_total", &[]);
        validated + m.sum("cvt_exchanges_skipped_total", &[]) >= exchanges as f64 - 0.5
    });
    let seen = metrics.sum("cvt_exchanges_total", &[]);
    let validated = metrics.sum("cvt_exchanges_validated_total", &[]);
    let skipped = metrics.sum("cvt_exchanges_skipped_total", &[]);
    assert!((seen - exchanges as f64).abs() < 0.5, "{seen} seen of {exchanges}");
    assert!(
        (seen - validated - skipped).abs() < 0.5,
        "{seen} seen, {validated} validated, {skipped} not"
    );
    metrics
}

/// Sends `count` requests of which `rare` have a shape of their own, samples one percent, and
/// checks that each of those is on record.
fn rare_shapes_are_kept(count: usize, rare: usize) {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_SAMPLING_VALIDATE", "1%");
    let setup = setup.env("CVT_SAMPLING_RECORD", "1%").env("CVT_SAMPLING_INITIAL", "1");
    let sidecar = setup.args(&["--priority", "normal"]).start();
    let mut client = Client::connect(sidecar.traffic);
    for number in 0..count {
        let field = number / (count / rare);
        let body = if number.is_multiple_of(count / rare) {
            format!(r#"{{"name":"Ada","age":{number},"rare-{field}":true}}"#)
        } else {
            format!(r#"{{"age":{number},"name":"Ada"}}"#)
        };
        assert_eq!(client.ask(post("/users", &body)).status(), 201);
    }
    let metrics = accounted(&sidecar, count);
    let sampled = metrics.sum("cvt_exchanges_skipped_total", &[("reason", "sampled")]);
    assert!(sampled > (count - rare) as f64 * 0.9, "{sampled} of {count} left out");
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let listed =
        command(dir.path()).args(["export", "--format", "jsonl"]).output().expect("it runs");
    let fields: BTreeSet<String> = String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|record| serde_json::from_str(record["request_body"].as_str()?).ok())
        .filter_map(|body: Value| body.as_object()?.keys().find(|k| k.contains("rare")).cloned())
        .collect();
    assert_eq!(fields.len(), rare, "{fields:?}");
}

#[test]
fn a_sample_of_one_percent_holds_every_rare_shape() {
    rare_shapes_are_kept(3_000, 30);
}

#[test]
#[ignore = "takes minutes"]
fn a_sample_of_one_percent_holds_every_rare_shape_of_100_000_exchanges() {
    rare_shapes_are_kept(100_000, 200);
}

#[test]
fn operations_are_sampled_by_shares_of_their_own() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address());
    let setup = setup.env("CVT_SAMPLING_OPERATIONS", "GET /users/{id}=0%");
    let sidecar = setup.env("CVT_SAMPLING_INITIAL", "1").start();
    let mut client = Client::connect(sidecar.traffic);
    for _ in 0..20 {
        client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.ask(post("/users", ADA));
    }
    let metrics = accounted(&sidecar, 40);
    let of = |operation| [("operation", operation)];
    let left_out = |operation| metrics.sum("cvt_operation_skipped_total", &of(operation));
    // The first is validated, breaks the contract (201 is not documented), and is something new:
    // the second and those after it are validated too.
    assert!(left_out("GET /users/{id}") < 0.5);
    assert!(left_out("POST /users") < 0.5);

    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_SAMPLING_ESCALATE", "0s");
    let setup = setup.env("CVT_SAMPLING_OPERATIONS", "GET /users/{id}=0%");
    let sidecar = setup.env("CVT_SAMPLING_INITIAL", "1").start();
    let mut client = Client::connect(sidecar.traffic);
    for _ in 0..20 {
        client.ask("GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\n");
        client.ask(post("/users", ADA));
    }
    let metrics = accounted(&sidecar, 40);
    let share = |operation| metrics.sum("cvt_validated_ratio", &of(operation));
    assert!((share("GET /users/{id}") - 0.05).abs() < 0.001, "one of twenty");
    assert!((share("POST /users") - 1.0).abs() < 0.001);
}

#[test]
fn trap_t22_hostile_traffic_does_not_widen_what_is_counted_by_operation() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_SAMPLING_VALIDATE", "0%");
    let sidecar = setup.env("CVT_SAMPLING_ESCALATE", "0s").start();
    let mut client = Client::connect(sidecar.traffic);
    for n in 0..300 {
        client.ask(format!(
            "GET /hostile-{n} HTTP/1.1\r\nHost: a\r\nX-Consumer-Id: caller-{}\r\n\r\n",
            n % 5
        ));
    }
    let metrics = accounted(&sidecar, 300);
    for name in ["cvt_operation_skipped_total", "cvt_validated_ratio"] {
        let operations: BTreeSet<&str> = metrics.values_of(name, "operation").collect();
        assert_eq!(operations, BTreeSet::from(["undocumented"]), "{name}");
    }
    let hostile = metrics.label_values().filter(|value| value.contains("hostile")).count();
    assert_eq!(hostile, 0);
}

#[test]
fn under_overload_the_least_valuable_exchanges_are_skipped_and_counted() {
    let upstream = ScriptedUpstream::json("201 Created", "{}");
    let setup = SidecarSetup::new(SLOW, upstream.address()).env("CVT_PIPELINE_WORKERS", "1");
    let setup = setup.env("CVT_PIPELINE_QUEUE_EXCHANGES", "200");
    let sidecar = setup.env("CVT_PIPELINE_MEMORY", "2MiB").start();
    let slow = serde_json::to_string(&vec!["a".repeat(60) + "!"; 20]).expect("JSON");
    let mut client = Client::connect(sidecar.traffic);
    let mut sent = 0;
    // Long enough behind that leaving out begins, whatever the machine.
    while sidecar.metrics().sum("cvt_exchanges_skipped_total", &[("reason", "shed")]) < 100.0 {
        for _ in 0..50 {
            assert_eq!(client.ask(post("/slow", &slow)).status(), 201);
        }
        sent += 50;
        let held = sidecar.metrics().sum("cvt_queue_bytes", &[]);
        assert!(held <= f64::from(2 << 20), "{held} bytes held");
    }
    for _ in 0..3 {
        assert_eq!(client.ask("GET /rare HTTP/1.1\r\nHost: a\r\n\r\n").status(), 201);
    }
    let metrics = accounted(&sidecar, sent + 3);
    let share = |operation| metrics.sum("cvt_validated_ratio", &[("operation", operation)]);
    assert!(share("POST /slow") > 0.0 && share("POST /slow") < 1.0);
    assert!((share("GET /rare") - 1.0).abs() < 0.001, "what is seldom is validated first");
    let left_out = metrics.sum("cvt_operation_skipped_total", &[("reason", "shed")]);
    let shed = metrics.sum("cvt_exchanges_skipped_total", &[("reason", "shed")]);
    assert!((left_out - shed).abs() < 0.5, "each is attributed to its operation");
}

#[test]
fn bodies_are_kept_as_the_policy_says() {
    let kept = |policy: &str| {
        let upstream = ScriptedUpstream::json("201 Created", ADA);
        let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
        let setup = setup.env("CVT_RECORD_BODIES", policy).env("CVT_RECORD_BODY_LIMIT", "12");
        let sidecar = setup.start();
        Client::post_json(sidecar.traffic, "/users", r#"{"name":"Lovelace","age":36}"#);
        sidecar.records(1)[0]["request_body"].clone()
    };
    assert_eq!(kept("whole"), r#"{"name":"Lovelace","age":36}"#);
    let truncated = kept("truncated");
    assert_eq!(truncated.as_str().map(str::len), Some(12), "{truncated}");
    assert_eq!(kept("none"), Value::Null);
}

#[test]
fn of_a_body_kept_as_shape_only_keys_and_types_are_on_record() {
    let upstream = ScriptedUpstream::fixed(
        "HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nContent-Length: 8\r\n\r\nLovelace",
    );
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
    let sidecar = setup.env("CVT_RECORD_BODIES", "shape").start();
    let body = r#"{"name":"Lovelace","age":987,"tags":["Lovelace",null,true]}"#;
    Client::post_json(sidecar.traffic, "/users", body);
    let record = &sidecar.records(1)[0];
    let text = record["request_body"].as_str().expect("a shape");
    assert!(!text.contains("Lovelace") && !text.contains("987"), "{text}");
    let shape: Value = serde_json::from_str(text).expect("JSON");
    assert!(shape["name"].is_string() && shape["age"].is_number(), "{text}");
    assert_eq!(shape["tags"].as_array().map(Vec::len), Some(3), "{text}");
    assert_eq!(record["response_body"], Value::Null, "text has no shape");
}
