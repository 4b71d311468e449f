//! How it starts, and how it refuses to.

use std::net::TcpListener;

use crate::support::documents::USERS;
use crate::support::{Client, Finished, ScriptedUpstream, SidecarSetup, command};

fn unused_address() -> std::net::SocketAddr {
    "127.0.0.1:9".parse().expect("an address")
}

/// One clear line, exit code 2.
#[track_caller]
fn assert_refused(finished: &Finished, parts: &[&str]) {
    assert_eq!(finished.code, Some(2), "{finished:?}");
    // A machine that is slow enough has the storage library warn of it.
    let ours = |line: &&str| !line.trim().is_empty() && !line.contains("\"target\":\"sqlx::");
    let lines: Vec<_> = finished.stderr.lines().filter(ours).collect();
    assert_eq!(lines.len(), 1, "one line: {finished:?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part:?} is missing: {finished:?}");
    }
}

#[test]
fn a_bad_document_stops_the_start_with_one_line() {
    assert_refused(
        &SidecarSetup::new("openapi: 3.0.3\ninfo: [", unused_address()).refuse(),
        &["openapi.yaml"],
    );
    assert_refused(
        &SidecarSetup::new("openapi: 4.0.0\npaths: {}\n", unused_address()).refuse(),
        &["openapi.yaml", "/openapi", "3.1"],
    );
    let missing =
        SidecarSetup::bare().args(&["--spec", "missing.yaml", "--upstream", "http://127.0.0.1:9"]);
    assert_refused(&missing.refuse(), &["missing.yaml"]);
}

#[test]
fn a_port_in_use_stops_the_start_with_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let traffic = SidecarSetup::new(USERS, unused_address()).args(&["--listen", &address]);
    assert_refused(&traffic.refuse(), &[&address]);
    let admin = SidecarSetup::new(USERS, unused_address()).args(&["--admin-listen", &address]);
    assert_refused(&admin.refuse(), &[&address]);
}

#[test]
fn an_unwritable_database_stops_the_start_with_one_line() {
    let setup = SidecarSetup::new(USERS, unused_address())
        .args(&["--storage", "sqlite://no/such/folder/cvt.db"]);
    assert_refused(&setup.refuse(), &["no/such/folder/cvt.db"]);
    let setup = SidecarSetup::new(USERS, unused_address())
        .file("cvt.db", &"this is no database ".repeat(100));
    assert_refused(&setup.refuse(), &["cvt.db"]);
}

#[test]
fn trap_t28_every_wrong_setting_is_reported_at_once() {
    let file = "upstrem: http://a\nbody_limit: lots\n";
    let refused = SidecarSetup::bare()
        .file("cvt.yaml", file)
        .env("CVT_MODE", "loud")
        .env("CVT_RECRD", "all")
        .args(&["--spec", "openapi.yaml", "--record", "most"])
        .refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for part in [
        "cvt.yaml:1",
        "`upstream`",
        "cvt.yaml:2",
        "body_limit",
        "CVT_MODE",
        "CVT_RECORD",
        "--record",
    ] {
        assert!(refused.stderr.contains(part), "{part:?} is missing: {}", refused.stderr);
    }
}

#[test]
fn trap_t28_flags_win_over_variables_and_variables_over_the_file() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":1}"#);
    let setup = SidecarSetup::new(USERS, upstream.address())
        .file("cvt.yaml", "mode: off\nrecord: violations\n");
    let sidecar = setup
        .env("CVT_MODE", "warn")
        .env("CVT_RECORD", "violations")
        .args(&["--record", "all"])
        .start();
    Client::get(sidecar.traffic, "/users/1");
    assert_eq!(sidecar.records(1)[0]["mode"], "warn");
}

#[test]
fn without_settings_the_missing_ones_are_named() {
    let refused = SidecarSetup::bare().refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    for part in ["--spec", "--upstream"] {
        assert!(refused.stderr.contains(part), "{part:?} is missing: {}", refused.stderr);
    }
}

#[test]
fn check_prints_operations_and_exits_with_2_for_a_bad_document() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("good.yaml"), USERS).expect("a file");
    std::fs::write(dir.path().join("bad.yaml"), "openapi: 3.0.3\npaths: 7\n").expect("a file");
    let check = |name: &str| command(dir.path()).args(["check", name]).output().expect("it runs");
    let good = check("good.yaml");
    let shown = String::from_utf8_lossy(&good.stdout).into_owned();
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    for part in ["GET", "/users/{id}", "POST", "HEAD"] {
        assert!(shown.contains(part), "{part} is missing: {shown}");
    }
    for bad in ["bad.yaml", "missing.yaml"] {
        let refused = check(bad);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(bad), "{refused:?}");
    }
}

#[test]
fn trap_t27_metrics_and_health_are_served_on_loopback() {
    let upstream = ScriptedUpstream::json("200 OK", "{}");
    let sidecar = SidecarSetup::new(USERS, upstream.address()).start();
    assert!(sidecar.admin.ip().is_loopback());
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(Client::get(sidecar.admin, path).status(), 200, "{path}");
    }
    assert_eq!(Client::get(sidecar.admin, "/elsewhere").status(), 404);
}
