//! Two releases on one database: what a rolling upgrade needs.
//!
//! A new release brings the database to its form while instances of the last release still
//! run, and some of those start again before their turn comes. Invariants: they serve, write
//! records, and read their own and the others' records. The lane `tests/run --fleet` runs
//! these tests; [`last_release`] says what they need.

mod last_release;

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::consumers::{ANSWER, ORDERS};
use crate::storage::store_fixture::{new_database, server};
use crate::support::{
    Client, ScriptedUpstream, Sidecar, SidecarSetup, binary, eventually, json_answer,
};
use last_release::last_release;

#[test]
#[ignore = "builds another release; tests/run --fleet"]
fn the_last_release_works_on_a_migrated_sqlite_database() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("cvt.db");
    upgrade_around_the_last_release(path.to_str().expect("a path in UTF-8"));
}

#[test]
#[ignore = "builds another release; tests/run --fleet"]
fn the_last_release_works_on_a_migrated_postgresql_database() {
    let settings = server().settings(&new_database());
    let (user, host, port) = (&settings.user, &settings.host, settings.port);
    upgrade_around_the_last_release(&format!(
        "postgres://{user}@{host}:{port}/{}",
        settings.database
    ));
}

fn upgrade_around_the_last_release(dsn: &str) {
    let Some(old) = last_release() else { return };
    let upstream = ScriptedUpstream::start(|_| json_answer("200 OK", ANSWER));

    let running = start(old, dsn, &upstream);
    exchange(&running, 1);
    records(old, dsn, 1);

    let migrated = run(&binary(), &["migrate", "--storage", dsn, "--json"]).expect("a migration");
    let report: Value = serde_json::from_str(&migrated).expect("one JSON object");
    let steps = report["steps"].as_array().expect("the steps");
    assert!(!steps.is_empty(), "the database of the last release was new already: {report}");

    exchange(&running, 2);
    records(old, dsn, 2);
    let (finished, _dir) = running.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let restarted = start(old, dsn, &upstream);
    exchange(&restarted, 3);
    let seen_by_old = records(old, dsn, 3);
    let (finished, _dir) = restarted.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let ids = |records: &[Value]| -> Vec<_> {
        records.iter().map(|record| record["id"].as_str().expect("an id").to_owned()).collect()
    };
    let seen_by_new = records(&binary(), dsn, 3);
    assert_eq!(ids(&seen_by_old), ids(&seen_by_new), "both releases read the same records");
}

/// Starts the sidecar of another build, and waits until it is ready.
#[track_caller]
fn start(binary: &Path, dsn: &str, upstream: &ScriptedUpstream) -> Sidecar {
    let binary = binary.to_str().expect("a path in UTF-8");
    // the shell gets the binary of this build as its first argument and leaves it out
    SidecarSetup::new(ORDERS, upstream.address())
        .args(&["--record", "all", "--storage", dsn])
        .inside_of(&["sh", "-c", "shift; exec \"$0\" \"$@\"", binary])
        .start()
}

/// The `n`th exchange, which must be served.
#[track_caller]
fn exchange(sidecar: &Sidecar, n: usize) {
    let answer = Client::get(sidecar.traffic, &format!("/v1/orders?limit={n}"));
    assert_eq!(answer.status(), 200, "exchange {n}: {}", answer.text());
}

/// The records as `binary` reads them, once there are `n`.
#[track_caller]
fn records(binary: &Path, dsn: &str, n: usize) -> Vec<Value> {
    eventually("records in storage", || {
        let listed = run(binary, &["validations", "list", "--storage", dsn, "--json"])?;
        let parsed: Result<Vec<Value>, _> = listed.lines().map(serde_json::from_str).collect();
        match parsed {
            Ok(records) if records.len() == n => Ok(records),
            _ => Err(listed),
        }
    })
}

/// What a command of `binary` prints.
fn run(binary: &Path, args: &[&str]) -> Result<String, String> {
    let output = Command::new(binary).env_clear().args(args).output();
    let output = output.map_err(|error| format!("{}: {error}", binary.display()))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(said(&output.stdout)) } else { Err(said(&output.stderr)) }
}
