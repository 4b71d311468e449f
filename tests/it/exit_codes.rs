//! What scripts rely on: 0 fine, 1 the answer is no, 2 could not answer.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;

use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, SidecarSetup, command};

/// A directory with the records of one exchange that breaks the contract, and a document.
fn recorded() -> TempDir {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada","age":"old"}"#);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    Client::get(sidecar.traffic, "/users/1");
    sidecar.records(1);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    dir
}

#[track_caller]
fn expect(dir: &Path, code: i32, arguments: &str) {
    let output = command(dir).args(arguments.split(' ')).output().expect("it runs");
    assert_eq!(output.status.code(), Some(code), "{arguments}: {output:?}");
    let said = |bytes: &[u8]| !bytes.is_empty();
    if code == 2 {
        assert!(said(&output.stderr) && !said(&output.stdout), "{arguments}: {output:?}");
    }
}

#[test]
fn trap_t30_exit_codes_are_0_for_yes_1_for_no_2_for_an_error() {
    let dir = recorded();
    let exchange = |age: &str| {
        format!(
            r#"{{"id":"x","request":{{"method":"GET","path":"/users/1","headers":{{}},"body":null}},"response":{{"status":200,"headers":{{"content-type":"application/json"}},"body":"{{\"name\":\"Ada\",\"age\":{age}}}"}}}}"#
        )
    };
    std::fs::write(dir.path().join("good.json"), exchange("36")).expect("a file");
    std::fs::write(dir.path().join("bad.json"), exchange("true")).expect("a file");
    std::fs::write(dir.path().join("wrong.yaml"), "openapi: 4.0.0").expect("a file");
    for (code, commands) in [
        (
            0,
            &[
                "--version",
                "check openapi.yaml",
                "validate --spec openapi.yaml --exchange good.json",
                "validations list",
                "violations",
                "consumers list",
                "report",
                "export --format jsonl",
                "migrate --dry-run",
                "retention run --dry-run",
                "purge --consumer absent --yes",
            ][..],
        ),
        (
            1,
            &[
                "validate --spec openapi.yaml --exchange bad.json",
                "violations show 77",
                "consumers show absent",
                "export --consumer absent",
            ],
        ),
        (
            2,
            &[
                "nonsense",
                "check nothing.yaml",
                "check wrong.yaml",
                "validate --spec wrong.yaml --exchange good.json",
                "validate --spec openapi.yaml --exchange nothing.json",
                "validations show nonsense",
                "report --storage /nowhere/cvt.db",
                "health",
                "run --spec nothing.yaml --upstream http://127.0.0.1:9",
                "purge --before 2100-01-01T00:00:00Z",
            ],
        ),
    ] {
        for arguments in commands {
            expect(dir.path(), code, arguments);
        }
    }
}

#[test]
fn a_closed_output_pipe_is_not_a_failure() {
    let dir = recorded();
    for arguments in [&["export", "--format", "jsonl"][..], &["export"]] {
        let mut child = command(dir.path())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        // Closed before anything was written, as `| true` does it.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}
