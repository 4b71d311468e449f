//! Headers and bodies are encrypted at rest and read back with the key alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::storage::server::Server;
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, SidecarSetup, command};

const ADA: &str = r#"{"name":"canary-in-the-answer","age":36}"#;
const SENT: &str = r#"{"name":"canary-in-the-request","age":1}"#;

/// Runs a command of the binary in `dir` with these keys.
fn run(dir: &Path, keys: &str, args: &[&str]) -> Output {
    let mut command = command(dir);
    if !keys.is_empty() {
        command.env("CVT_ENCRYPTION_KEY", keys);
    }
    command.args(args).output().expect("the binary runs")
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A key as `keys generate` prints it.
fn generated() -> String {
    let dir = TempDir::new().expect("a directory");
    let printed = run(dir.path(), "", &["keys", "generate"]);
    assert_eq!(printed.status.code(), Some(0), "{printed:?}");
    let key = text(&printed).lines().find(|line| !line.starts_with('#')).map(str::to_owned);
    key.expect("a key")
}

/// Runs a sidecar with these keys in `dir` for one exchange.
fn record_one(dir: Option<TempDir>, keys: &str) -> TempDir {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let mut setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
    if !keys.is_empty() {
        setup = setup.env("CVT_ENCRYPTION_KEY", keys);
    }
    if let Some(dir) = dir {
        setup = setup.inside(dir);
    }
    let sidecar = setup.start();
    let request = format!(
        "POST /users HTTP/1.1\r\nHost: a\r\nX-Note: canary-in-a-header\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{SENT}",
        SENT.len()
    );
    assert_eq!(Client::once(sidecar.traffic, request).status(), 201);
    sidecar.wait_for_metrics("the record", |m| m.sum("cvt_records_written_total", &[]) > 0.5);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    dir
}

/// Whether a canary lies in any file under `dir`.
fn find_plaintext(dir: &Path) -> Option<PathBuf> {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        let found = if path.is_dir() {
            find_plaintext(&path)
        } else {
            let bytes = fs::read(&path).expect("a file");
            bytes.windows(9).any(|part| part == b"canary-in").then_some(path)
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

fn listed(dir: &Path, keys: &str) -> Vec<Value> {
    let output = run(dir, keys, &["validations", "list", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn a_message_is_stored_encrypted_and_read_back_with_the_key() {
    let key = generated();
    let dir = record_one(None, &key);
    assert_eq!(find_plaintext(dir.path()), None);
    let record = &listed(dir.path(), &key)[0];
    assert_eq!((&record["request_body"], &record["response_body"]), (&SENT.into(), &ADA.into()));
    let headers = record["request_headers"].to_string();
    assert!(headers.contains("canary-in-a-header"), "{headers}");
    let id = record["id"].as_str().expect("an id");
    let shown = text(&run(dir.path(), &key, &["validations", "show", id]));
    assert!(shown.contains("canary-in-the-request"), "{shown}");
}

#[test]
fn without_the_key_the_error_names_key_record_and_remedy() {
    let (key, other) = (generated(), generated());
    let dir = record_one(None, &key);
    let id = listed(dir.path(), &key)[0]["id"].as_str().expect("an id").to_owned();
    for keys in ["", &other] {
        let output = run(dir.path(), keys, &["validations", "show", &id]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = text(&output);
        for part in [&*id, "encrypted with key", "encryption.key_file"] {
            assert!(said.contains(part), "{part} is missing in {said}");
        }
        assert!(!said.contains(&other) && !said.contains(&key), "{said}");
    }
}

#[test]
fn rotation_reencrypts_records_and_encrypts_plaintext() {
    let (old, new) = (generated(), generated());
    let dir = record_one(Some(record_one(None, "")), &old);
    assert!(find_plaintext(dir.path()).is_some(), "the first record had no key");
    let both = format!("{new},{old}");
    let refused = run(dir.path(), &new, &["keys", "rotate"]);
    assert_eq!(refused.status.code(), Some(2), "the old key is missing: {refused:?}");
    let rotated = run(dir.path(), &both, &["keys", "rotate", "--json"]);
    assert_eq!(rotated.status.code(), Some(0), "{rotated:?}");
    let answer: Value = serde_json::from_slice(&rotated.stdout).expect("JSON");
    assert_eq!((&answer["records"], &answer["reencrypted"]), (&2.into(), &2.into()));
    let again = text(&run(dir.path(), &both, &["keys", "rotate"]));
    assert!(again.contains("2 records, 0 encrypted anew"), "{again}");
    let records = listed(dir.path(), &new);
    assert!(records.iter().all(|record| record["request_body"] == SENT), "{records:?}");
    assert!(run(dir.path(), "", &["keys", "rotate"]).status.code() == Some(2));
}

#[test]
fn a_key_file_is_read_and_a_wrong_one_stops_the_start() {
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let key = generated();
    let setup =
        SidecarSetup::new(USERS, upstream.address()).file("cvt.keys", &format!("# one\n{key}\n"));
    let sidecar = setup.env("CVT_ENCRYPTION_KEY_FILE", "cvt.keys").start();
    Client::post_json(sidecar.traffic, "/users", SENT);
    sidecar.wait_for_metrics("the record", |m| m.sum("cvt_records_written_total", &[]) > 0.5);
    let (_, dir) = sidecar.terminate();
    assert_eq!(listed(dir.path(), &key)[0]["request_body"], SENT);

    let setup = SidecarSetup::new(USERS, upstream.address()).file("cvt.keys", "hunter2");
    let refused = setup.env("CVT_ENCRYPTION_KEY_FILE", "cvt.keys").refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("cvt.keys") && !refused.stderr.contains("hunter2"));
    let setup = SidecarSetup::new(USERS, upstream.address());
    let refused = setup.env("CVT_ENCRYPTION_KEY_FILE", "nowhere").refuse();
    assert!(refused.stderr.contains("nowhere"), "{refused:?}");
}

#[test]
fn the_spool_is_encrypted_too() {
    let server = Server::start(&["fsync = off"]);
    let upstream = ScriptedUpstream::json("201 Created", ADA);
    let key = generated();
    let dsn = format!("postgres://cvt@127.0.0.1:{}/postgres", server.settings("postgres").port);
    let setup = SidecarSetup::new(USERS, upstream.address()).env("CVT_ENCRYPTION_KEY", &key);
    let sidecar = setup.args(&["--record", "all", "--storage", &dsn]).start();
    server.run("stop");
    for _ in 0..5 {
        Client::post_json(sidecar.traffic, "/users", SENT);
    }
    sidecar.wait_for_metrics("the spool", |m| m.sum("cvt_spool_records", &[]) > 4.5);
    assert_eq!(find_plaintext(&sidecar.dir()), None);
    server.run("start");
    sidecar.wait_for_metrics("the records", |m| m.sum("cvt_records_written_total", &[]) > 4.5);
    let stored = server.psql(
        "postgres",
        "SELECT request_body || response_body || request_headers::text FROM validation_runs",
    );
    assert!(stored.contains("cvt1:") && !stored.contains("canary"), "{stored}");
    let args = ["validations", "list", "--json", "--storage", &dsn];
    let output = text(&run(&sidecar.dir(), &key, &args));
    assert_eq!(output.matches("canary-in-the-request").count(), 5, "{output}");
}
