//! Who calls, and what they use: as stored, over several sidecars, and as shown.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::groups::{lines_of, output_of};
use crate::storage::store_fixture::{new_database, server};
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, command, eventually};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

pub(crate) const ORDERS: &str = r"
openapi: 3.1.0
info: {title: Orders, version: 1.2.0}
servers: [{url: /v1}]
paths:
  /orders:
    get:
      parameters:
        - {name: limit, in: query, schema: {type: integer}}
        - {name: X-Trace, in: header, schema: {type: string}}
      responses:
        '200':
          description: all orders
          content:
            application/json:
              schema:
                type: object
                properties:
                  total: {type: integer}
                  orders:
                    type: array
                    items:
                      type: object
                      properties:
                        id: {type: integer}
                        note: {type: string}
                        by_user: {type: object, additionalProperties: {type: integer}}
    post:
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties: {lines: {type: array, items: {type: object, properties: {sku: {}, count: {}}}}}
      responses:
        '201': {description: made}
  /orders/{id}:
    get:
      deprecated: true
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        '200': {description: one order}
        4XX: {description: no order}
    delete:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses:
        '204': {description: gone}
";

pub(crate) const ANSWER: &str =
    r#"{"total":2,"orders":[{"id":1},{"id":2,"note":"x","by_user":{"ada@corp.com":1,"bob":2}}]}"#;

fn get(sidecar: &Sidecar, path: &str, consumer: &str, version: &str) {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: a\r\nX-Consumer-Id: {consumer}\r\n\
         X-Consumer-Version: {version}\r\nConnection: close\r\n\r\n"
    );
    Client::once(sidecar.traffic, request);
}

/// What `consumers show` says, once `holds` says so.
#[track_caller]
fn shown(sidecar: &Sidecar, consumer: &str, holds: impl Fn(&Value) -> bool) -> Value {
    eventually("the consumer", || {
        let shown = command(&sidecar.dir())
            .args(["consumers", "show", consumer, "--json"])
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&shown.stdout).into_owned();
        match serde_json::from_str::<Value>(&text) {
            Ok(value) if holds(&value) => Ok(value),
            _ => Err(text),
        }
    })
}

fn facts(usage: &Value, kind: &str) -> BTreeMap<String, u64> {
    let all = usage["facts"].as_array().expect("facts");
    let of_kind = all.iter().filter(|fact| fact["kind"] == kind);
    of_kind
        .map(|fact| (fact["name"].as_str().unwrap().to_owned(), fact["count"].as_u64().unwrap()))
        .collect()
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[test]
fn a_consumer_is_registered_with_what_it_uses_in_the_seeds_form() {
    let upstream = ScriptedUpstream::json("200 OK", ANSWER);
    let setup = SidecarSetup::new(ORDERS, upstream.address()).env("CVT_GROUPS_INTERVAL", "100ms");
    let sidecar = setup.env("CVT_ENVIRONMENT", "staging").start();
    get(&sidecar, "/v1/orders?limit=5", "shop", "2.0.0");
    get(&sidecar, "/v1/orders", "shop", "2.1.0");
    let operation = |value: &Value| value["usage"][0]["facts"][0]["count"].clone();
    let shop = shown(&sidecar, "shop", |value| operation(value) == 2);
    assert_eq!(
        (&shop["environment"], &shop["consumer_version"], &shop["schema_id"]),
        (&"staging".into(), &"2.1.0".into(), &"orders".into())
    );
    // paths are templates without the base path; members that the document does not name are `*`
    let fields =
        ["orders", "orders.by_user", "orders.by_user.*", "orders.id", "orders.note", "total"];
    assert_eq!(
        shop["used_endpoints"],
        json!([{"method": "GET", "path": "/orders", "used_fields": fields}])
    );
    let usage = &shop["usage"][0];
    assert_eq!(facts(usage, "parameter"), counts(&[("query:limit", 1)]));
    assert_eq!(facts(usage, "status"), counts(&[("200", 2)]));
    assert_eq!(facts(usage, "outcome"), counts(&[("conforms", 2)]));
    assert_eq!(facts(usage, "response_field")["orders.note"], 2);
    let before = shop["last_validated_at"].as_str().expect("a time").to_owned();
    let body = r#"{"lines":[{"sku":1},{"sku":2,"count":3}]}"#;
    let request = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: a\r\nX-Consumer-Id: shop\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    Client::once(sidecar.traffic, request);
    let shop = shown(&sidecar, "shop", |value| value["used_endpoints"][1].is_object());
    assert!(shop["last_validated_at"].as_str().expect("a time") > before.as_str());
    let post = shop["usage"].as_array().unwrap().iter().find(|u| u["method"] == "POST").unwrap();
    let sent = counts(&[("lines", 1), ("lines.count", 1), ("lines.sku", 1)]);
    assert_eq!(facts(post, "request_field"), sent);
    let text = output_of(&sidecar.dir(), &["consumers", "show", "shop"]);
    assert!(text.contains("query:limit (1)") && text.contains("orders.note"), "{text}");
    let listed = output_of(&sidecar.dir(), &["consumers", "list"]);
    assert!(listed.contains("shop 2.1.0  orders 1.2.0 (staging)  2 operations"), "{listed}");
}

#[test]
fn trap_t22_made_up_consumers_are_bounded_and_counted() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_CONSUMER_LIMIT", "5");
    let setup = setup.env("CVT_CONSUMER_METRIC_LABELS", "3").env("CVT_GROUPS_INTERVAL", "100ms");
    let sidecar = setup.start();
    for n in 0..40 {
        get(&sidecar, "/users/1", &format!("made-up-{n}"), "");
    }
    let metrics = sidecar
        .wait_for_metrics("all verdicts", |m| m.sum("cvt_consumer_exchanges_total", &[]) >= 40.0);
    let named = metrics.values_of("cvt_consumer_exchanges_total", "consumer");
    let named: std::collections::BTreeSet<_> = named.collect();
    assert_eq!(named.len(), 4, "{named:?}");
    assert!((metrics.sum("cvt_consumers_over_limit_total", &[]) - 35.0).abs() < 0.5);
    let others = shown(&sidecar, "others", |value| value["usage"][0]["facts"][0]["count"] == 35);
    assert_eq!(others["consumer_id"], "others");
    assert_eq!(lines_of(&sidecar.dir(), &["consumers", "list", "--json"]).len(), 6);
}

#[test]
fn a_body_too_deep_to_follow_is_counted_as_incomplete_usage() {
    let deep = format!("{}1{}", r#"{"total":"#.repeat(30), "}".repeat(30));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{deep}",
        deep.len()
    );
    let upstream = ScriptedUpstream::fixed(answer);
    let sidecar = SidecarSetup::new(ORDERS, upstream.address()).start();
    get(&sidecar, "/v1/orders", "shop", "");
    sidecar.wait_for_metrics("the count", |m| m.sum("cvt_usage_incomplete_total", &[]) >= 1.0);
}

#[test]
fn tokens_and_keys_identify_consumers_and_never_appear() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
    let setup = setup.env("CVT_CONSUMER_IDENTITY", "jwt,api_key,header");
    let setup =
        setup.env("CVT_CONSUMER_HASH_KEY", "a key of ours").env("CVT_GROUPS_INTERVAL", "100ms");
    let sidecar = setup.start();
    let ask = |field: &str| {
        let request =
            format!("GET /users/1 HTTP/1.1\r\nHost: a\r\n{field}\r\nConnection: close\r\n\r\n");
        Client::once(sidecar.traffic, request);
    };
    ask("Authorization: Bearer e30.eyJzdWIiOiJ1c2VyLTciLCJhenAiOiJtb2JpbGUifQ.c2ln");
    ask("X-Api-Key: k-1234567890");
    ask("X-Consumer-Id: bob@corp.com");
    let records = sidecar.records(3);
    let mut names: Vec<_> =
        records.iter().map(|record| record["consumer_id"].as_str().unwrap().to_owned()).collect();
    names.sort();
    assert_eq!(names[2], "mobile");
    assert!(names[0].starts_with("hidden-") && names[1].starts_with("key-"), "{names:?}");
    let text = format!("{records:?}");
    assert!(!text.contains("bob@corp") && !text.contains("k-1234567890"), "{text}");
}

/// Two processes, one database: every count is the sum of both.
#[test]
fn two_sidecars_on_one_postgresql_add_usage_and_groups_up_exactly() {
    const EACH: usize = 150;
    let database = new_database();
    let port = server().settings(&database).port;
    let dsn = format!("postgres://cvt@127.0.0.1:{port}/{database}");
    let upstream = ScriptedUpstream::json("200 OK", r#"{"total":1,"orders":[{"id":"seven"}]}"#);
    let start = || {
        let setup = SidecarSetup::new(ORDERS, upstream.address()).args(&["--storage", &dsn]);
        setup.env("CVT_GROUPS_INTERVAL", "100ms").env("CVT_PIPELINE_PRIORITY", "normal").start()
    };
    let sidecars = [start(), start()];
    std::thread::scope(|scope| {
        for (sidecar, own) in sidecars.iter().zip(["left", "right"]) {
            for consumer in ["shop", own] {
                scope.spawn(move || {
                    let mut client = Client::connect(sidecar.traffic);
                    for n in 0..EACH {
                        let query = if n % 3 == 0 { "?limit=1" } else { "" };
                        client.ask(format!(
                            "GET /v1/orders{query} HTTP/1.1\r\nHost: a\r\nX-Consumer-Id: {consumer}\r\n\r\n"
                        ));
                    }
                });
            }
        }
    });
    let mut validated = 0.0;
    for sidecar in sidecars {
        let metrics = sidecar.wait_for_metrics("every verdict", |m| {
            m.sum("cvt_exchanges_validated_total", &[]) + m.sum("cvt_exchanges_skipped_total", &[])
                >= 2.0 * EACH as f64
        });
        validated += metrics.sum("cvt_exchanges_validated_total", &[]);
        let (finished, _dir) = sidecar.terminate();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    assert!((validated - 4.0 * EACH as f64).abs() < 0.5, "all are validated: {validated}");
    let dir = tempfile::tempdir().expect("a directory");
    let groups = lines_of(dir.path(), &["violations", "--json", "--storage", &dsn]);
    assert_eq!(groups.len(), 1, "{groups:?}");
    assert_eq!(groups[0]["count"], 4 * EACH);
    assert_eq!(groups[0]["consumers"], json!(["left", "right", "shop"]));
    for (consumer, times) in [("shop", 2 * EACH), ("left", EACH), ("right", EACH)] {
        let args = ["consumers", "show", consumer, "--json", "--storage", &dsn];
        let shown = lines_of(dir.path(), &args).remove(0);
        let usage = &shown["usage"][0];
        let times = times as u64;
        let outcomes = |times| [("violates", times), ("violates:service", times)];
        assert_eq!(facts(usage, "operation"), counts(&[("", times)]), "{consumer}");
        assert_eq!(facts(usage, "outcome"), counts(&outcomes(times)), "{consumer}");
        assert_eq!(facts(usage, "response_field")["orders.id"], times, "{consumer}");
        assert_eq!(facts(usage, "parameter"), counts(&[("query:limit", times / 3)]), "{consumer}");
    }
}
