//! Whose fault it is that traffic breaks the contract, by services that refuse as FastAPI and
//! Express do.

use std::path::Path;

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::groups::{lines_of, output_of};
use crate::support::{
    Client, Message, ScriptedUpstream, Sidecar, SidecarSetup, Step, eventually, json_answer,
};

/// A shop as FastAPI documents it: 422 for what its own validation refuses.
const SHOP: &str = r"
openapi: 3.1.0
info: {title: Shop, version: 1.0.0}
paths:
  /orders:
    post:
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}
      responses:
        '201': {description: taken, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
        '500': {description: failed, content: {application/json: {schema: {type: object}}}}
        '422': {description: refused, content: {application/json: {schema: {type: object}}}}
  /orders/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
      responses:
        '200': {description: one, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
        '404': {description: none, content: {application/json: {schema: {type: object}}}}
components:
  schemas:
    Order:
      type: object
      required: [count]
      properties: {count: {type: integer}}
";

const ORDER: &str = r#"{"count":1}"#;

/// Takes counts that are numbers, and, in some order, texts; order 9 is answered wrongly.
fn answer(request: &Message) -> Vec<Step> {
    let line = request.start_line();
    let body = request.text();
    if line.starts_with("HEAD /orders/1 ") {
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n";
        vec![Step::Send(head.into())]
    } else if line.starts_with("OPTIONS ") {
        vec![Step::Send("HTTP/1.1 204 No Content\r\nAllow: POST\r\n\r\n".into())]
    } else if line.starts_with("POST /orders ") {
        if body.contains("crash") {
            return json_answer("500 Internal Server Error", "{}");
        }
        if body.contains("reset") {
            return vec![Step::Reset];
        }
        let valid = body.contains(r#""count":1"#) || body.contains("lenient");
        let status = if valid { "201 Created" } else { "422 Unprocessable Entity" };
        json_answer(status, if valid { ORDER } else { r#"{"detail":[]}"# })
    } else if line.starts_with("GET /orders/9 ") {
        json_answer("200 OK", r#"{"count":"nine"}"#)
    } else if line.starts_with("GET /orders/1 ") {
        json_answer("200 OK", ORDER)
    } else if line.starts_with("GET /orders/") {
        json_answer("404 Not Found", r#"{"detail":"Not Found"}"#)
    } else if line.contains(" /orders ") {
        json_answer("405 Method Not Allowed", r#"{"detail":"Method Not Allowed"}"#)
    } else {
        json_answer("404 Not Found", r#"{"detail":"Not Found"}"#)
    }
}

fn post(sidecar: &Sidecar, body: &str) {
    let request = format!(
        "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    Client::once(sidecar.traffic, request);
}

fn ask(sidecar: &Sidecar, method: &str, path: &str) -> Message {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    Client::once(sidecar.traffic, request)
}

/// What well-behaved callers, strangers and mistaken callers send.
fn ordinary_traffic(sidecar: &Sidecar) {
    for _ in 0..3 {
        post(sidecar, ORDER);
        ask(sidecar, "GET", "/orders/1");
    }
    ask(sidecar, "GET", "/orders/2");
    ask(sidecar, "HEAD", "/orders/1");
    for path in ["/wp-login.php", "/.env", "/admin"] {
        ask(sidecar, "GET", path);
    }
    ask(sidecar, "DELETE", "/orders");
    post(sidecar, r#"{"count":"one"}"#);
    ask(sidecar, "GET", "/orders/one");
}

/// Each fault of the records in `dir` that break the contract, sorted.
fn faults_in(records: &[Value]) -> Vec<String> {
    let broken = records.iter().filter(|record| record["valid"] == false);
    let mut faults: Vec<_> = broken.map(|record| record["fault"].to_string()).collect();
    faults.sort();
    faults.into_iter().map(|fault| fault.trim_matches('"').to_owned()).collect()
}

#[test]
fn ordinary_traffic_has_no_fault_of_the_service() {
    let upstream = ScriptedUpstream::start(answer);
    let sidecar = SidecarSetup::new(SHOP, upstream.address()).args(&["--record", "all"]).start();
    ordinary_traffic(&sidecar);
    let records = sidecar.records(14);
    assert_eq!(
        faults_in(&records),
        ["caller", "caller", "stranger", "stranger", "stranger", "stranger"]
    );
    let metrics = sidecar.wait_for_metrics("all verdicts", |metrics| {
        metrics.sum("cvt_operation_exchanges_total", &[]) > 13.5
    });
    let broken = |fault| {
        metrics.sum("cvt_operation_exchanges_total", &[("outcome", "violates"), ("fault", fault)])
    };
    let counts = ["service", "accepted", "stranger", "caller"].map(broken);
    assert!(
        counts.iter().zip([0.0, 0.0, 4.0, 2.0]).all(|(a, b)| (a - b).abs() < 0.5),
        "{counts:?}"
    );
    let undocumented = [("operation", "undocumented"), ("fault", "stranger")];
    assert!(metrics.sum("cvt_violation_groups_total", &undocumented) > 0.5);
    for fault in ["service", "accepted"] {
        assert!(metrics.sum("cvt_violation_groups_total", &[("fault", fault)]) < 0.5, "{fault}");
        assert!(metrics.sum("cvt_violations_total", &[("fault", fault)]) < 0.5, "{fault}");
    }
}

#[test]
fn the_report_shows_the_four_faults_apart() {
    let upstream = ScriptedUpstream::start(answer);
    let sidecar = SidecarSetup::new(SHOP, upstream.address()).args(&["--record", "all"]).start();
    ordinary_traffic(&sidecar);
    ask(&sidecar, "GET", "/orders/9");
    for taken in [r#"{"count":"lenient"}"#, r#"{"count":"crash"}"#, r#"{"count":"reset"}"#] {
        post(&sidecar, taken);
    }
    sidecar.records(18);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let report = lines_of(dir.path(), &["report", "--json"]).remove(0);
    let schema = &report["schemas"][0];
    let faults = json!({"service": 1, "accepted": 3, "stranger": 4, "caller": 2});
    assert_eq!(schema["faults"], faults, "{schema}");
    let orders = schema["used"].as_array().expect("operations").iter();
    let posts = orders.filter(|one| one["method"] == "POST").map(|one| &one["faults"]);
    let expected = json!({"service": 0, "accepted": 3, "stranger": 0, "caller": 1});
    assert_eq!(posts.collect::<Vec<_>>(), [&expected]);
    let text = output_of(dir.path(), &["report"]);
    assert!(text.contains("by fault: service 1, accepted 3, stranger 4, caller 2"), "{text}");
    for fault in ["service", "accepted", "stranger", "caller"] {
        assert!(text.lines().any(|line| line.contains(&format!("× {fault}"))), "{fault}: {text}");
    }
}

#[test]
fn a_group_counts_exchanges_and_lists_their_statuses() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"items":[{"n":"a"},{"n":"b"},{"n":"c"}]}"#);
    let document = r"
openapi: 3.1.0
info: {title: Items, version: 1.0.0}
paths:
  /items:
    get:
      responses:
        '200':
          description: all
          content:
            application/json:
              schema:
                properties:
                  items: {type: array, items: {properties: {n: {type: integer}}}}
";
    let sidecar = SidecarSetup::new(document, upstream.address()).start();
    ask(&sidecar, "GET", "/items");
    ask(&sidecar, "GET", "/items");
    sidecar.wait_for_metrics("both verdicts", |metrics| {
        metrics.sum("cvt_exchanges_validated_total", &[]) > 1.5
    });
    let (_, dir) = sidecar.terminate();
    let groups = lines_of(dir.path(), &["violations", "--json"]);
    assert_eq!(groups.len(), 1, "{groups:?}");
    let group = &groups[0];
    assert_eq!((&group["count"], &group["fault"]), (&json!(2), &json!("service")), "{group}");
    assert_eq!(group["statuses"], json!(["200"]));
}

/// A request of a browser that asks before it sends.
fn preflight(path: &str, headers: &str, body: &str) -> String {
    format!(
        "OPTIONS {path} HTTP/1.1\r\nHost: a\r\nOrigin: https://a.test\r\n\
         Access-Control-Request-Method: POST\r\n{headers}Connection: close\r\n\r\n{body}"
    )
}

#[test]
fn preflights_on_known_paths_pass_both_ways_and_other_options_do_not() {
    let upstream = ScriptedUpstream::start(answer);
    let sidecar = SidecarSetup::new(SHOP, upstream.address())
        .args(&["--mode", "strict", "--record", "all"])
        .env("CVT_ON_UNENFORCEABLE", "reject")
        .env("CVT_ENFORCE_RESPONSES", "true")
        .start();
    let send = |request: String| Client::once(sidecar.traffic, request).status();
    assert_eq!(send(preflight("/orders", "", "")), 204);
    assert_eq!(send(preflight("/orders/7", "", "")), 204, "no parameter is validated");
    assert_eq!(send(preflight("/unknown", "", "")), 400, "no template matches");
    assert_eq!(send(preflight("/orders", "Content-Length: 2\r\n", "{}")), 400, "it has a body");
    let plain = "OPTIONS /orders HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned();
    assert_eq!(send(plain), 400, "no browser asks");
    let records = sidecar.records(5);
    let valid = records.iter().filter(|record| record["valid"] == true).count();
    assert_eq!(valid, 2, "{records:?}");
    assert_eq!(faults_in(&records), ["stranger", "stranger", "stranger"]);
}

#[test]
fn a_head_is_a_get_without_a_body_in_strict_too() {
    let upstream = ScriptedUpstream::start(answer);
    let sidecar = SidecarSetup::new(SHOP, upstream.address())
        .args(&["--mode", "strict", "--record", "all"])
        .env("CVT_ON_UNENFORCEABLE", "reject")
        .env("CVT_ENFORCE_RESPONSES", "true")
        .start();
    assert_eq!(ask(&sidecar, "HEAD", "/orders/1").status(), 200);
    assert_eq!(ask(&sidecar, "HEAD", "/orders/one").status(), 400);
    assert_eq!(ask(&sidecar, "HEAD", "/orders").status(), 400, "no GET there");
    let records = sidecar.records(3);
    assert_eq!(faults_in(&records), ["caller", "stranger"]);
    let metrics = sidecar.metrics();
    let rejected = |labels| metrics.sum("cvt_operation_rejected_total", labels);
    assert!((rejected(&[("operation", "GET /orders/{id}")]) - 1.0).abs() < 0.5);
    assert!((rejected(&[("operation", "undocumented")]) - 1.0).abs() < 0.5);
    assert!((metrics.sum("cvt_consumer_rejected_total", &[]) - 1.0).abs() < 0.5);
}

/// Turns the groups in `database` into those of a release before faults.
fn give_earlier_identity(database: &Path, fingerprint: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let url = format!("sqlite://{}", database.display());
        let mut connection = SqliteConnection::connect(&url).await.expect("the database");
        let statement = format!(
            "UPDATE violation_groups SET fault = NULL, found = NULL, statuses = '[]', \
             fingerprint = '{fingerprint}'"
        );
        connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("the statement runs");
    });
}

#[test]
fn an_upgrade_notifies_no_one_twice() {
    use cvt_sidecar::model::violation::{Violation, ViolationCode};
    use cvt_sidecar::pipeline::record::group_id::GroupId;

    let upstream = ScriptedUpstream::start(answer);
    let setup = || SidecarSetup::new(SHOP, upstream.address()).env("CVT_GROUPS_INTERVAL", "100ms");
    let notices = |sidecar: &Sidecar, reason: &str| {
        sidecar.metrics().sum("cvt_violation_notices_total", &[("reason", reason)])
    };
    let before = setup().start();
    ask(&before, "GET", "/orders/9");
    let group = eventually("the group", || {
        let groups = lines_of(&before.dir(), &["violations", "--json"]);
        groups.first().cloned().ok_or_else(|| "none".to_owned())
    });
    let (_, dir) = before.terminate();
    let text = |key: &str| group[key].as_str().expect("text").to_owned();
    let violation = Violation {
        code: ViolationCode::parse(&text("code")).expect("a code"),
        name: None,
        instance_pointer: text("instance_pointer"),
        schema_pointer: text("schema_pointer").into(),
        keyword: "".into(),
        found: String::new(),
        position: None,
        message: String::new(),
    };
    let earlier = GroupId::earlier(&text("schema_id"), "GET /orders/{id}", &violation).to_string();
    assert_ne!(earlier, text("fingerprint"));
    give_earlier_identity(&dir.path().join("cvt.db"), &earlier);
    let after = setup().inside(dir).start();
    ask(&after, "GET", "/orders/9");
    after.wait_for_metrics("the notice", |metrics| {
        metrics.sum("cvt_violation_notices_total", &[("reason", "ongoing")]) > 0.5
    });
    assert!(notices(&after, "new") < 0.5);
    let groups = lines_of(&after.dir(), &["violations", "--json"]);
    assert_eq!(groups.len(), 2, "{groups:?}");
    ask(&after, "GET", "/nowhere");
    after.wait_for_metrics("another group", |metrics| {
        metrics.sum("cvt_violation_notices_total", &[("reason", "new")]) > 0.5
    });
}
