//! Looking after the database from the command line.

use std::path::Path;
use std::process::Stdio;

use cvt_sidecar::config::storage::StorageSettings;
use serde_json::Value;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use crate::storage::store_fixture::{new_database, server};
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, SidecarSetup, command};

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
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert!(report["from"] == report["to"], "{report}");
    assert_eq!(report["steps"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_retention_dry_run_counts_and_young_records_stay() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":36}"#);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    for _ in 0..3 {
        Client::get(sidecar.traffic, "/users/1");
    }
    sidecar.records(3);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (code, out, error) =
        run(dir.path(), &["retention", "run", "--dry-run", "--json"], Some("1"));
    assert_eq!(code, Some(0), "{error}");
    let expired: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(expired[0]["kind"], "all", "{out}");
    assert_eq!(expired[0]["rows"], 0, "{out}");
    let (code, _, error) = run(dir.path(), &["retention", "run"], Some("1"));
    assert_eq!(code, Some(0), "{error}");
    let (_, out, _) = run(dir.path(), &["validations", "list", "--json"], None);
    assert_eq!(out.lines().count(), 3, "{out}");
}

#[test]
fn a_sidecar_without_a_document_validates_by_the_registered_one() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":"old"}"#);
    let first = SidecarSetup::new(USERS, upstream.address()).args(&["--schema", "users"]).start();
    let (finished, dir) = first.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    std::fs::remove_file(dir.path().join("openapi.yaml")).expect("the document");
    let url = format!("http://{}", upstream.address());
    let without_document =
        |id: &str| SidecarSetup::bare().args(&["--upstream", &url, "--schema", id]);
    let second = without_document("users").inside(dir).start();
    Client::get(second.traffic, "/users/1");
    let metrics = second.wait_for_metrics("the violation", |m| {
        m.sum("cvt_violations_total", &[("code", "response.body.schema")]) >= 1.0
    });
    assert!(metrics.sum("cvt_contract_operations", &[("schema_id", "users")]) >= 1.0);

    let unknown = without_document("missing").refuse();
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("missing") && unknown.stderr.contains("--spec"), "{unknown:?}");
}

/// Two processes bring one database up at the same time: one does it, both succeed.
#[test]
fn two_processes_migrate_one_database() {
    let dir = TempDir::new().expect("a directory");
    let postgres = StorageSettings::Postgres(server().settings(&new_database()));
    for place in ["sqlite://cvt.db".to_owned(), postgres.to_string()] {
        let start = || {
            command(dir.path())
                .args(["migrate", "--json", "--storage", &place])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("it starts")
        };
        let both = [start(), start()].map(|child| child.wait_with_output().expect("it ends"));
        let steps = both.map(|output| {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(0), "{place}: {error}");
            let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            report["steps"].as_array().map_or(0, Vec::len)
        });
        assert!(steps.contains(&0) && steps.iter().sum::<usize>() > 3, "{place}: {steps:?}");
    }
}

#[test]
fn a_dry_run_of_retention_counts_by_kind_and_removes_nothing() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":36}"#);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    for path in ["/users/1", "/users/2", "/users/one", "/users/4"] {
        Client::get(sidecar.traffic, path);
    }
    let ids: Vec<String> = sidecar
        .records(4)
        .iter()
        .map(|record| record["id"].as_str().expect("an id").to_owned())
        .collect();
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    age(dir.path(), &ids, 5);
    let rows = |args: &[&str]| {
        let periods = [
            ("CVT_RETENTION_VALID_DAYS", "4"),
            ("CVT_RETENTION_INVALID_DAYS", "30"),
            ("CVT_RETENTION_BODY_DAYS", "2"),
        ];
        let output = command(dir.path()).args(args).envs(periods).output().expect("it runs");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{error}");
        let expired: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let kinds = expired.as_array().expect("a list").iter();
        let kinds = kinds.map(|kind| (kind["kind"].to_string(), kind["rows"].as_u64()));
        kinds.collect::<Vec<_>>()
    };
    let expected = |bodies| {
        [("valid", 3), ("invalid", 0), ("bodies", bodies)]
            .map(|(kind, rows)| (format!("{kind:?}"), Some(rows)))
    };
    let dry = ["retention", "run", "--dry-run", "--json"];
    for _ in 0..2 {
        assert_eq!(rows(&dry), expected(4));
    }
    // the bodies of what goes are gone with it
    assert_eq!(rows(&["retention", "run", "--json"]), expected(1));
    assert_eq!(rows(&dry)[0].1, Some(0));
    let (_, left, _) = run(dir.path(), &["validations", "list", "--json"], None);
    let left: Vec<Value> =
        left.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(left.len() == 1 && left[0]["response_body"].is_null(), "{left:?}");
}

/// The seed's promise: records older than `CVT_VALIDATION_RETENTION_DAYS` go in the background,
/// schemas and consumers stay.
#[test]
fn retention_deletes_old_records_and_keeps_schemas_and_consumers() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":36}"#);
    let setup = || SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
    let first = setup().start();
    for path in ["/users/1", "/users/2", "/users/one", "/users/4"] {
        Client::get(first.traffic, path);
    }
    first.records(4);
    let (finished, dir) = first.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (_, listed, _) = run(dir.path(), &["validations", "list", "--json"], None);
    let ids: Vec<String> = listed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .map(|record| record["id"].as_str().expect("an id").to_owned())
        .collect();
    // two of them are a day too old, the others have a day left
    age(dir.path(), &ids[..2], 91);
    age(dir.path(), &ids[2..], 89);
    let second = setup().env("CVT_RETENTION_INTERVAL", "1s").inside(dir).start();
    second.wait_for_metrics("expiry", |m| m.sum("cvt_retention_expired_total", &[]) >= 2.0);
    let (finished, dir) = second.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let (_, listed, _) = run(dir.path(), &["validations", "list", "--json"], None);
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(ids[2..].iter().all(|id| listed.contains(id)), "{listed}");
    let (_, groups, _) = run(dir.path(), &["violations", "--json"], None);
    assert_eq!(groups.lines().count(), 1, "what was learned stays: {groups}");
    let (_, consumers, _) = run(dir.path(), &["consumers", "list", "--json"], None);
    assert_eq!(consumers.lines().count(), 1, "{consumers}");
    let (code, report, _) = run(dir.path(), &["report"], None);
    assert!(code == Some(0) && report.contains("4 exchanges validated"), "{report}");
}

/// Makes records so many days old.
fn age(dir: &Path, ids: &[String], days: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let url = format!("sqlite://{}", dir.join("cvt.db").display());
        let mut connection = SqliteConnection::connect(&url).await.expect("the database");
        for id in ids {
            sqlx::query("UPDATE validation_runs SET validated_at = validated_at - ? WHERE id = ?")
                .bind(i64::try_from(days * 86_400_000_000).expect("microseconds"))
                .bind(id)
                .execute(&mut connection)
                .await
                .expect("the statement runs");
        }
        connection.close().await.expect("it closes");
    });
}
