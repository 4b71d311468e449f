//! Violation groups: counted in storage, told once, explained by command.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, command, eventually};

const OLD: &str = r#"{"name":"Ada","age":"old"}"#;

/// The output of a command in `dir` that must go well.
#[track_caller]
pub(crate) fn output_of(dir: &Path, args: &[&str]) -> String {
    let output = command(dir).args(args).output().expect("it runs");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{args:?}: {error}");
    String::from_utf8(output.stdout).expect("text")
}

/// The JSON lines of a command in `dir`.
#[track_caller]
pub(crate) fn lines_of(dir: &Path, args: &[&str]) -> Vec<Value> {
    let text = output_of(dir, args);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
}

/// The groups, once `holds` says so.
#[track_caller]
fn groups(dir: &Path, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    eventually("violation groups", || {
        let output = command(dir).args(["violations", "--json"]).output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let groups: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        if holds(&groups) { Ok(groups) } else { Err(text) }
    })
}

fn ask(sidecar: &Sidecar, consumer: &str, times: usize) {
    let mut client = Client::connect(sidecar.traffic);
    let request = format!("GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Consumer-Id: {consumer}\r\n\r\n");
    for _ in 0..times {
        client.ask(&request);
    }
}

/// Runs a statement on a connection of its own, which goes on as long as it is held.
fn sql(database: &Path, statement: &'static str) -> (tokio::runtime::Runtime, SqliteConnection) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let connection = runtime.block_on(async {
        let url = format!("sqlite://{}", database.display());
        let mut connection = SqliteConnection::connect(&url).await.expect("the database");
        connection.execute(statement).await.expect("the statement runs");
        connection
    });
    (runtime, connection)
}

fn told(said: &str) -> Vec<Value> {
    let events = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let fields = |event: Value| event.get("fields").cloned().unwrap_or(event);
    events.map(fields).filter(|event| event["event"] == "violation").collect()
}

#[test]
fn a_group_lists_its_consumers_and_is_notified_once_over_restarts() {
    let upstream = ScriptedUpstream::json("200 OK", OLD);
    let setup = || SidecarSetup::new(USERS, upstream.address()).env("CVT_GROUPS_INTERVAL", "100ms");
    let first = setup().start();
    ask(&first, "shop", 3);
    ask(&first, "mobile", 2);
    let listed = groups(&first.dir(), |all| all.first().is_some_and(|one| one["count"] == 5));
    assert_eq!(listed.len(), 1, "{listed:?}");
    let group = &listed[0];
    assert_eq!(group["consumers"], serde_json::json!(["mobile", "shop"]));
    assert_eq!(group["code"], "response.body.schema");
    assert_eq!(
        (&group["path_template"], &group["instance_pointer"]),
        (&"/users/{id}".into(), &"/age".into())
    );
    let metrics = first.wait_for_metrics("the notice", |m| {
        m.sum("cvt_violation_notices_total", &[("reason", "new")]) >= 1.0
    });
    assert!(metrics.sum("cvt_violation_notices_total", &[]) < 1.5);
    let (finished, dir) = first.terminate();
    let events = told(&finished.stderr);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!((&events[0]["reason"], &events[0]["group"]), (&"new".into(), &group["fingerprint"]));

    let second = setup().inside(dir).start();
    ask(&second, "shop", 4);
    groups(&second.dir(), |all| all[0]["count"] == 9);
    second.wait_for_metrics("the notice", |m| {
        m.sum("cvt_violation_notices_total", &[("reason", "ongoing")]) >= 1.0
    });
    let (finished, dir) = second.terminate();
    let events = told(&finished.stderr);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["seen_before"], group["last_seen"], "{events:?}");
    sql(&dir.path().join("cvt.db"), "UPDATE violation_groups SET last_seen = 1000000");
    let third = setup().inside(dir).start();
    ask(&third, "shop", 1);
    third.wait_for_metrics("the notice", |m| {
        m.sum("cvt_violation_notices_total", &[("reason", "returned")]) >= 1.0
    });
}

#[test]
fn a_violation_is_notified_while_storage_is_locked() {
    let upstream = ScriptedUpstream::json("200 OK", OLD);
    let sidecar =
        SidecarSetup::new(USERS, upstream.address()).env("CVT_GROUPS_INTERVAL", "100ms").start();
    let (_runtime, lock) = sql(&sidecar.dir().join("cvt.db"), "BEGIN EXCLUSIVE");
    ask(&sidecar, "shop", 1);
    sidecar.wait_for_metrics("the notice", |m| {
        m.sum("cvt_violation_notices_total", &[("reason", "unstored")]) >= 1.0
    });
    drop(lock);
    groups(&sidecar.dir(), |all| all.len() == 1 && all[0]["count"] == 1);
}

#[test]
fn a_group_is_explained_with_excerpt_example_and_a_curl_command() {
    let upstream = ScriptedUpstream::json("201 Created", r#"{"name":"Ada","age":36}"#);
    let sidecar =
        SidecarSetup::new(USERS, upstream.address()).env("CVT_GROUPS_INTERVAL", "100ms").start();
    let body =
        r#"{"name":"it's $(rm -rf /) `id` \"quoted\" \\ é","age":"old","password":"hunter2"}"#;
    Client::post_json(sidecar.traffic, "/users?dry_run=true&note=a%20b", body);
    let listed = groups(&sidecar.dir(), |all| all.len() == 1);
    let id = listed[0]["fingerprint"].as_str().expect("an id");
    sidecar.records(1);
    let text = output_of(&sidecar.dir(), &["violations", "show", &id[..8]]);
    let line = USERS.lines().position(|line| line.contains("age: {type")).expect("the rule") + 1;
    assert!(text.contains(&format!("line {line}")) && text.contains("> "), "{text}");
    assert!(text.contains("age: {type: integer, minimum: 0}"), "{text}");
    assert!(text.contains("type, /components/schemas/User/properties/age/type"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");

    let url = format!("http://{}", sidecar.traffic);
    let shown = lines_of(&sidecar.dir(), &["violations", "show", id, "--url", &url, "--json"]);
    let curl = shown[0]["curl"].as_str().expect("a command");
    let done = Command::new("bash").args(["-c", curl]).output().expect("bash runs");
    assert!(done.status.success(), "{curl}\n{done:?}");
    groups(&sidecar.dir(), |all| all.len() == 1 && all[0]["count"] == 2);
    let received = upstream.wait_for(2);
    assert_eq!(received[1].text(), body.replace("hunter2", "xxxx"));
    assert_eq!(received[1].start_line(), received[0].start_line());

    let unknown = command(&sidecar.dir()).args(["violations", "show", "0000000000000000"]).output();
    assert_eq!(unknown.expect("it runs").status.code(), Some(1));
}
