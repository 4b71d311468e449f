//! Several services behind one sidecar.

use crate::support::documents::{ANYTHING, USERS};
use crate::support::{Client, Message, ScriptedUpstream, Sidecar, SidecarSetup};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

fn named(name: &'static str) -> ScriptedUpstream {
    let length = name.len();
    ScriptedUpstream::fixed(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{name}"))
}

fn get(sidecar: &Sidecar, host: &str, path: &str) -> Message {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    Client::once(sidecar.traffic, request)
}

#[test]
fn a_request_goes_where_its_host_and_path_say() {
    let [users, deep, shop, below] = [named("users"), named("deep"), named("shop"), named("below")];
    let settings = format!(
        "spec: any.yaml\nroutes:\n  - {{path: /users, upstream: 'http://{}'}}\n  \
         - {{path: /users/deep, upstream: 'http://{}'}}\n  \
         - {{host: shop.example, upstream: 'http://{}'}}\n  \
         - {{host: '*.shop.example', upstream: 'http://{}'}}\n",
        users.address(),
        deep.address(),
        shop.address(),
        below.address()
    );
    let sidecar = SidecarSetup::configured(&settings).file("any.yaml", ANYTHING).start();
    for (host, path, expected) in [
        ("a", "/users", "users"),
        ("a", "/users/7?x=/users/deep", "users"),
        ("a", "/users/deep/7", "deep"),
        ("shop.example", "/users/7", "shop"),
        ("Shop.Example:9080", "/", "shop"),
        ("eu.shop.example", "/users", "below"),
    ] {
        assert_eq!(get(&sidecar, host, path).text(), expected, "{host}{path}");
    }
    for (host, path) in [("a", "/"), ("a", "/usersx"), ("example", "/")] {
        let answer = get(&sidecar, host, path);
        assert_eq!(answer.status(), 404, "{host}{path}");
        assert_eq!(answer.all("content-type"), ["application/problem+json"]);
        assert_eq!(answer.json()["type"], "urn:cvt:problem:unrouted");
    }
    let unrouted = sidecar.metrics().sum("cvt_proxy_unrouted_total", &[]);
    assert!((unrouted - 3.0).abs() < 0.5, "{unrouted}");
}

#[test]
fn each_route_has_limits_of_its_own() {
    let [small, large] = [named("small"), named("large")];
    let settings = format!(
        "spec: any.yaml\nlimits: {{request_body: 10}}\nroutes:\n  \
         - {{path: /small, upstream: 'http://{}', limits: {{rate: 2}}}}\n  \
         - {{path: /large, upstream: 'http://{}', limits: {{request_body: 0}}}}\n",
        small.address(),
        large.address()
    );
    let sidecar = SidecarSetup::configured(&settings).file("any.yaml", ANYTHING).start();
    let post = |path: &str| {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 11\r\n\r\n\
             hello world"
        );
        Client::once(sidecar.traffic, request).status()
    };
    assert_eq!((post("/small"), post("/large")), (413, 200));
    let answers: Vec<_> = (0..10).map(|_| get(&sidecar, "a", "/small").status()).collect();
    assert!(answers.contains(&200) && answers.contains(&503), "{answers:?}");
    for _ in 0..10 {
        assert_eq!(get(&sidecar, "a", "/large").status(), 200, "the other's rate is not its own");
    }
}

#[test]
fn each_route_has_a_contract_and_a_mode_of_its_own() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":"old"}"#);
    let address = upstream.address();
    let settings = format!(
        "record: all\nupstream: http://{address}\nspec: users.yaml\nroutes:\n  \
         - {{name: validated, path: /users, mode: shadow}}\n  \
         - {{name: other, path: /echo, spec: any.yaml}}\n  - {{name: rest, mode: off}}\n"
    );
    let setup =
        SidecarSetup::configured(&settings).file("users.yaml", USERS).file("any.yaml", ANYTHING);
    let sidecar = setup.start();
    let ready = Client::get(sidecar.admin, "/readyz").text();
    for part in ["users@2.1.0", "anything@1.0.0"] {
        assert!(ready.contains(part), "{part} is missing: {ready}");
    }
    Client::get(sidecar.traffic, "/elsewhere");
    Client::get(sidecar.traffic, "/users/1");
    Client::post_json(sidecar.traffic, "/echo", "{}");
    let records = sidecar.records(2);
    let of = |path: &str| {
        let found = records.iter().find(|record| record["request_path"] == path);
        found.unwrap_or_else(|| panic!("{path} has no record: {records:?}"))
    };
    assert_eq!(of("/users/1")["mode"], "shadow");
    assert_eq!(of("/users/1")["valid"], false);
    assert_eq!(of("/echo")["mode"], "warn");
    assert_eq!(of("/echo")["valid"], true);
    assert_eq!(records.len(), 2, "what passes in mode off leaves no record: {records:?}");
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_contract_info", &[]) >= 1.5, "both contracts are shown");
}

#[test]
fn strip_path_removes_the_prefix() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let address = upstream.address();
    let settings = format!(
        "record: all\nroutes:\n  - path: /api/v1\n    strip_path: true\n    spec: users.yaml\n    \
         upstream: http://{address}\n"
    );
    let sidecar = SidecarSetup::configured(&settings).file("users.yaml", USERS).start();
    Client::get(sidecar.traffic, "/api/v1/users/1");
    Client::get(sidecar.traffic, "/api/v1?a=b");
    Client::get(sidecar.traffic, "/api/v1/");
    let received: Vec<String> = upstream.wait_for(3).iter().map(Message::start_line).collect();
    assert_eq!(
        received,
        ["GET /users/1 HTTP/1.1", "GET /?a=b HTTP/1.1", "GET / HTTP/1.1"],
        "the rest of the target is as sent"
    );
    let records = sidecar.records(3);
    assert_eq!(records[0]["valid"], true, "validated as the service sees it: {records:?}");
}

#[test]
fn trap_t28_a_wrong_route_is_refused_with_its_line() {
    let settings = "spec: a.yaml\nroutes:\n  - path: /a\n  - path: users\n    \
                    upstream: http://127.0.0.1:9\n    listen: 127.0.0.1:1\n";
    let refused = SidecarSetup::configured(settings).refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for part in ["cvt.yaml:3: upstream: required", "cvt.yaml:4: path", "cvt.yaml:6: listen"] {
        assert!(refused.stderr.contains(part), "{part:?} is missing: {}", refused.stderr);
    }
}

#[test]
fn a_bad_document_of_any_route_is_named_before_a_database_is_made() {
    let settings = "upstream: http://127.0.0.1:9\nroutes:\n  - {path: /a, spec: a.yaml}\n  \
                    - {path: /b, spec: b.yaml}\n";
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_owned();
    let setup =
        SidecarSetup::configured(settings).file("a.yaml", USERS).file("b.yaml", "openapi: 4.0.0");
    let refused = setup.env("CVT_STORAGE_DSN", &path.join("cvt.db").display().to_string()).refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("b.yaml"), "{refused:?}");
    assert!(!path.join("cvt.db").exists(), "a database was made for nothing");
}
