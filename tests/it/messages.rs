//! What a violation says reaches the log line, the rejection, the list and the record alike.

use serde_json::Value;

use crate::groups::{lines_of, output_of};
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, eventually};

/// An undocumented path, an undocumented status and a value that breaks its schema: the request,
/// the code, what was found, and the sentence.
const CASES: [(&str, &str, Option<&str>, &str); 3] = [
    (
        "GET /user/17 HTTP/1.1\r\nHost: a\r\n\r\n",
        "request.path.undocumented",
        Some("/user/{id}"),
        "the document lists no path /user/{id}; the nearest documented path is /users/{id}",
    ),
    (
        "DELETE /users/17 HTTP/1.1\r\nHost: a\r\n\r\n",
        "request.method.undocumented",
        Some("DELETE"),
        "the method DELETE is not documented for /users/{id}, which has GET and HEAD",
    ),
    (
        "GET /users/alice HTTP/1.1\r\nHost: a\r\n\r\n",
        "request.path.schema",
        None,
        "path parameter \"id\" must be an integer; found a string of 5 characters",
    ),
];

/// The `violation` events of the log, by their code.
fn logged(sidecar: &Sidecar, code: &str) -> Value {
    eventually("the event in the log", || {
        let said = sidecar.said();
        let events = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut fields = events.map(|event| event.get("fields").cloned().unwrap_or(event));
        fields
            .find(|event| event["event"] == "violation" && event["code"] == code)
            .ok_or_else(|| said.clone())
    })
}

#[test]
fn every_output_says_what_was_found() {
    let upstream = ScriptedUpstream::json("200 OK", r#"{"name":"Ada"}"#);
    let sidecar = SidecarSetup::new(USERS, upstream.address())
        .args(&["--mode", "strict", "--record", "all"])
        .env("CVT_LOG_FORMAT", "json")
        .env("CVT_GROUPS_INTERVAL", "100ms")
        .start();
    for (request, code, found, sentence) in CASES {
        let answer = Client::once(sidecar.traffic, request);
        let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(&format!("{code}: {sentence}")), "{problem}");
        assert_eq!(problem["violations"][0]["message"], sentence, "{problem}");
        assert_eq!(problem["violations"][0]["found"].as_str(), found, "{problem}");
        let event = logged(&sidecar, code);
        assert_eq!((&event["message"], event["found"].as_str()), (&sentence.into(), found));
    }
    let dir = sidecar.dir();
    eventually("the groups", || {
        let groups = lines_of(&dir, &["violations", "--json"]);
        let all = CASES.iter().all(|(_, code, _, text)| {
            groups.iter().any(|g| g["code"] == *code && g["message"] == *text)
        });
        if all { Ok(()) } else { Err(format!("{groups:?}")) }
    });
    let table = output_of(&dir, &["violations"]);
    for (_, _, _, sentence) in CASES {
        assert!(table.contains(sentence), "{sentence} is missing in\n{table}");
    }
    let records = sidecar.records(CASES.len());
    let errors: String = records.iter().map(|record| record["errors"].to_string()).collect();
    assert!(errors.contains("found a string of 5 characters"), "{errors}");
    assert!(!table.contains("alice") && !errors.contains("alice"), "{table} {errors}");
}
