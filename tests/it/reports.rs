//! What is reported, exported and purged is what was seen.

use std::path::Path;

use serde_json::{Value, json};

use crate::consumers::{ANSWER, ORDERS};
use crate::groups::{lines_of, output_of};
use crate::support::{Client, ScriptedUpstream, SidecarSetup, command, json_answer, records_in};

/// A directory with what three consumers left: 9 exchanges, 3 of them broken.
fn seen() -> tempfile::TempDir {
    let upstream = ScriptedUpstream::start(|request| {
        let line = request.start_line();
        if line.starts_with("POST") {
            json_answer("500 Internal Server Error", r#"{"error":"x"}"#)
        } else if line.contains("/orders?") || line.contains("/orders ") {
            json_answer("200 OK", ANSWER)
        } else {
            json_answer("404 Not Found", "{}")
        }
    });
    let sidecar = SidecarSetup::new(ORDERS, upstream.address()).args(&["--record", "all"]).start();
    let get = |consumer: &str, path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: shop.example\r\nX-Consumer-Id: {consumer}\r\n\
             Connection: close\r\n\r\n"
        );
        Client::once(sidecar.traffic, request);
    };
    for _ in 0..3 {
        get("shop", "/v1/orders?limit=2");
    }
    get("mobile", "/v1/orders");
    get("mobile", "/v1/orders/7");
    get("mobile", "/v1/orders/8");
    get("scanner", "/v1/basket/17/items");
    get("scanner", "/v1/basket/18/items");
    Client::post_json(sidecar.traffic, "/v1/orders", r#"{"lines":[{"sku":"a"}]}"#);
    sidecar.records(9);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    dir
}

fn named<'v>(all: &'v Value, name: &str) -> &'v Value {
    let list = all.as_array().expect("a list");
    list.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} in {all}"))
}

#[test]
fn the_report_lists_used_and_unused_operations_with_their_consumers() {
    let dir = seen();
    let report = lines_of(dir.path(), &["report", "--json"]).remove(0);
    let schema = &report["schemas"][0];
    assert_eq!((&schema["exchanges"], &schema["violating"]), (&json!(9), &json!(3)), "{schema}");
    let used = schema["used"].as_array().expect("operations");
    let names: Vec<_> =
        used.iter().map(|one| format!("{} {}", one["method"], one["path"])).collect();
    assert_eq!(names, [r#""GET" "/orders""#, r#""GET" "/orders/{id}""#, r#""POST" "/orders""#]);
    let list = &used[0];
    assert_eq!(named(&list["consumers"], "shop")["count"], 3);
    assert_eq!(named(&list["consumers"], "mobile")["count"], 1);
    let coverage =
        |one: &Value, kind: &str| (one[kind]["documented"].clone(), one[kind]["seen"].clone());
    assert_eq!(coverage(list, "parameters"), (json!(2), json!(1)));
    assert_eq!(list["parameters"]["never_seen"], json!(["header:X-Trace"]));
    // a map's members are undocumented names, shown as one
    assert_eq!(coverage(list, "response_fields"), (json!(5), json!(5)));
    assert_eq!(list["response_fields"]["undocumented"][0]["name"], "orders.by_user.*");
    let one = &used[1];
    assert_eq!((&one["deprecated"], &one["exchanges"]), (&json!(true), &json!(2)));
    assert_eq!(one["statuses"]["never_seen"], json!(["200"]));
    assert_eq!(one["statuses"]["undocumented"], json!([]), "404 is one of 4XX");
    let post = &used[2];
    assert_eq!(post["statuses"]["undocumented"][0]["name"], "500");
    assert_eq!(post["request_fields"]["never_seen"], json!(["lines.count"]));
    assert_eq!(schema["never_used"][0]["method"], "DELETE");
    let outside = named(&schema["undocumented"], "GET /v1/basket/{id}/items");
    assert_eq!((&outside["count"], &outside["consumers"]), (&json!(2), &json!(["scanner"])));
    assert_eq!(schema["groups"].as_array().map(Vec::len), Some(2));

    let text = output_of(dir.path(), &["report", "--details"]);
    for part in [
        "orders 1.2.0: 4 operations, 3 used, 1 never used",
        "9 exchanges validated, 3 (33.3 %) broke the contract",
        "2 × GET /v1/basket/{id}/items  by scanner",
        "never seen: parameters header:X-Trace",
        "deprecated but used",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let markdown = output_of(dir.path(), &["report", "--markdown"]);
    assert!(
        markdown.contains("| `GET /orders` | 4 | 0 | 0 | 0 | 0 | shop, mobile | 1/2 |"),
        "{markdown}"
    );
    let other = output_of(dir.path(), &["report", "--env", "prod"]);
    assert!(other.contains("0 used, 4 never used"), "{other}");
}

#[test]
fn an_export_validates_like_the_traffic_it_came_from() {
    let dir = seen();
    let all = records_in(dir.path());
    let jsonl = lines_of(dir.path(), &["export", "--format", "jsonl"]);
    assert_eq!(jsonl.iter().rev().cloned().collect::<Vec<_>>(), all);
    output_of(dir.path(), &["export", "--format", "har", "--out", "all.har"]);
    let text = std::fs::read_to_string(dir.path().join("all.har")).expect("the file");
    let har: Value = serde_json::from_str(&text).expect("JSON");
    let entries = har["log"]["entries"].as_array().expect("entries");
    assert_eq!(entries.len(), 9);
    assert_eq!(entries[8]["request"]["url"], "http://shop.example/v1/orders?limit=2");
    let output = command(dir.path())
        .args(["validate", "--spec", "openapi.yaml", "--exchange", "all.har", "--json"])
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let answers: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(answers.len(), 9, "{text}");
    for (answer, entry) in answers.iter().zip(entries) {
        assert_eq!(answer["id"], entry["_id"]);
        let valid = answer["request_valid"] != false && answer["response_valid"] != false;
        assert_eq!(Value::from(valid), entry["_valid"], "{entry}");
    }
    let broken =
        lines_of(dir.path(), &["export", "--format", "jsonl", "--invalid", "--limit", "2"]);
    assert!(broken.len() == 2 && broken.iter().all(|record| record["valid"] == false));
}

fn purge(dir: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = command(dir).arg("purge").args(args).output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn a_purge_asks_first_and_removes_only_the_consumer() {
    let dir = seen();
    let dry = lines_of(dir.path(), &["purge", "--consumer", "scanner", "--dry-run", "--json"]);
    assert_eq!(dry[0], json!({"records": 2, "registrations": 1, "groups": 1, "dry_run": true}));
    let (code, text) = purge(dir.path(), &["--consumer", "scanner"]);
    assert!(code == Some(2) && text.contains("--yes"), "{text}");
    assert_eq!(records_in(dir.path()).len(), 9, "nothing was removed");
    let (code, text) = purge(dir.path(), &["--consumer", "scanner", "--yes"]);
    assert_eq!(code, Some(0), "{text}");
    let left = records_in(dir.path());
    assert_eq!(left.len(), 7);
    let consumers = lines_of(dir.path(), &["consumers", "list", "--json"]);
    let names: Vec<_> = consumers.iter().map(|one| one["consumer_id"].clone()).collect();
    assert_eq!(names, ["mobile", "shop", "unknown"]);
    let groups = lines_of(dir.path(), &["violations", "--json"]);
    assert!(!groups.is_empty() && !format!("{groups:?}").contains("scanner"), "{groups:?}");
    let report = lines_of(dir.path(), &["report", "--json"]).remove(0);
    assert_eq!(report["schemas"][0]["undocumented"], json!([]));

    let (code, text) = purge(dir.path(), &["--before", "2100-01-01T00:00:00Z", "--yes"]);
    assert!(code == Some(0) && text.starts_with("7 records and 2 violation groups"), "{text}");
    assert!(records_in(dir.path()).is_empty());
    assert_eq!(purge(dir.path(), &["--before", "yesterday"]).0, Some(2));
    assert_eq!(purge(dir.path(), &[]).0, Some(2));
}
