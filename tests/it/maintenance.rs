//! Looking after the database from the command line.

use std::path::Path;

use tempfile::TempDir;

use crate::support::documents::USERS;
use crate::support::{Client, Setup, Upstream, command};

fn run(dir: &Path, args: &[&str], days: Option<&str>) -> (Option<i32>, String, String) {
    let mut command = command(dir);
    command.args(args);
    if let Some(days) = days {
        command.env("CVT_VALIDATION_RETENTION_DAYS", days);
    }
    let output = command.output().expect("it runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_database_is_migrated_by_command_and_a_dry_run_changes_nothing() {
    let dir = TempDir::new().expect("a directory");
    for _ in 0..2 {
        let (code, out, error) = run(dir.path(), &["migrate", "--dry-run"], None);
        assert_eq!(code, Some(0), "{error}");
        assert!(out.contains("to do") && out.contains("001"), "{out}");
    }
    let (code, out, _) = run(dir.path(), &["migrate"], None);
    assert!(code == Some(0) && out.contains("done"), "{out}");
    let (_, out, _) = run(dir.path(), &["migrate", "--json"], None);
    let report: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(report["from"] == report["to"], "{report}");
    assert_eq!(report["steps"].as_array().map(Vec::len), Some(0));
}

#[test]
fn young_records_stay_and_what_would_expire_is_counted() {
    let upstream = Upstream::json("200 OK", r#"{"name":"Ada","age":36}"#);
    let sidecar = Setup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    for _ in 0..3 {
        Client::get(sidecar.traffic, "/users/1");
    }
    sidecar.records(3);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (code, out, error) =
        run(dir.path(), &["retention", "run", "--dry-run", "--json"], Some("1"));
    assert_eq!(code, Some(0), "{error}");
    let expired: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(expired[0]["kind"], "all", "{out}");
    assert_eq!(expired[0]["rows"], 0, "{out}");
    let (code, _, error) = run(dir.path(), &["retention", "run"], Some("1"));
    assert_eq!(code, Some(0), "{error}");
    let (_, out, _) = run(dir.path(), &["validations", "list", "--json"], None);
    assert_eq!(out.lines().count(), 3, "{out}");
}

#[test]
fn a_sidecar_without_a_document_judges_by_what_is_registered() {
    let upstream = Upstream::json("200 OK", r#"{"name":"Ada","age":"old"}"#);
    let first = Setup::new(USERS, upstream.address()).args(&["--schema-id", "users"]).start();
    let (finished, dir) = first.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    std::fs::remove_file(dir.path().join("openapi.yaml")).expect("the document");
    let url = format!("http://{}", upstream.address());
    let without_document = |id: &str| Setup::bare().args(&["--upstream", &url, "--schema-id", id]);
    let second = without_document("users").inside(dir).start();
    Client::get(second.traffic, "/users/1");
    let metrics = second.wait_for_metrics("the violation", |m| {
        m.sum("cvt_violations_total", &[("code", "response.body.schema")]) >= 1.0
    });
    assert!(metrics.sum("cvt_contract_operations", &[("schema_id", "users")]) >= 1.0);

    let unknown = without_document("nobody").refuse();
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("nobody") && unknown.stderr.contains("--spec"), "{unknown:?}");
}
