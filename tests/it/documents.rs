//! Documents as they are in the world, through the real binary: what is wrong in one costs only
//! itself, is shown with its line, and everything else is validated.

mod kinds;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use cvt_sidecar::contract::{Grade, LintCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command;

fn cases() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases");
    if !path.is_dir() {
        println!("skipped: there is no ../shared/cases");
        return None;
    }
    Some(path)
}

fn run(dir: &Path, arguments: &[&str]) -> Output {
    command(dir).args(arguments).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `check --json` says of a document.
#[track_caller]
fn check(dir: &Path, arguments: &[&str]) -> Value {
    let output = run(dir, &[&["check", "--json"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn lints(checked: &Value, grade: &str) -> Vec<(String, String, i64)> {
    let all = checked["lints"].as_array().expect("lints").iter();
    let graded = all.filter(|lint| lint["grade"] == grade);
    let said = |lint: &Value, key: &str| lint[key].as_str().expect("a text").to_owned();
    graded
        .map(|lint| (said(lint, "code"), said(lint, "message"), lint["line"].as_i64().unwrap_or(0)))
        .collect()
}

fn in_file(document: &Value) -> TempDir {
    let dir = TempDir::new().expect("a directory");
    let text = serde_json::to_string_pretty(document).expect("JSON");
    std::fs::write(dir.path().join("d.json"), text).expect("a file");
    dir
}

/// Codes of the defects and slips of a document.
#[track_caller]
fn codes(document: &Value) -> (Vec<String>, Vec<String>) {
    let dir = in_file(document);
    let checked = check(dir.path(), &["d.json"]);
    for lint in checked["lints"].as_array().expect("lints") {
        assert!(lint["line"].is_number(), "without a line: {lint}");
    }
    let of = |grade| lints(&checked, grade).into_iter().map(|(code, ..)| code).collect();
    (of("defect"), of("slip"))
}

/// The verdicts on exchanges with an operation, `POST /t` with `schema` for its body.
fn verdicts(document: &Value, exchanges: &[Value]) -> Vec<Value> {
    let dir = in_file(document);
    let mut file = String::new();
    for exchange in exchanges {
        writeln!(file, "{exchange}").expect("a line");
    }
    std::fs::write(dir.path().join("x.jsonl"), file).expect("a file");
    let output =
        run(dir.path(), &["validate", "--json", "--spec", "d.json", "--exchange", "x.jsonl"]);
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn post(path: &str, body: &Value) -> Value {
    json!({"request": {
        "method": "POST", "path": path, "headers": {"content-type": "application/json"},
        "body": body.to_string()
    }})
}

fn with_schema(version: &str, schema: &Value) -> Value {
    json!({
        "openapi": version, "info": {"title": "t", "version": "1"},
        "paths": {"/t": {"post": {
            "requestBody": {"required": true, "content": {"application/json": {"schema": schema}}},
            "responses": {"200": {"description": "fine"}}
        }}}
    })
}

#[test]
fn every_document_of_the_cases_is_graded_as_expected() {
    let Some(cases) = cases() else { return };
    let index = std::fs::read(cases.join("documents/INDEX.json")).expect("the index");
    let index: Value = serde_json::from_slice(&index).expect("JSON");
    let mut wrong = Vec::new();
    for case in index.as_array().expect("cases") {
        let (id, expected) = (case["id"].as_str().unwrap(), case["expected"].as_str().unwrap());
        if expected.starts_with("not decided") {
            continue;
        }
        let document = case["command"].as_str().and_then(|line| line.split(' ').next_back());
        let dir = cases.join("documents").join(id);
        let output = run(&dir, &["check", "--json", document.expect("a document")]);
        if output.status.code() != Some(0) {
            wrong.push(format!("{id}: {}", text(&output.stderr)));
            continue;
        }
        let checked: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let all = checked["lints"].as_array().expect("lints");
        let asks_for_lint = ["accepted with a lint", "accepted with the lint"]
            .iter()
            .any(|asked| expected.starts_with(asked));
        let named = expected.split_once('`').and_then(|(_, rest)| rest.split('`').next());
        let has_named = all.iter().any(|lint| {
            let message = lint["message"].as_str().unwrap_or_default();
            named.is_some_and(|named| lint["code"] == named || message.contains(named))
        });
        if asks_for_lint && all.is_empty() || named.is_some() && !has_named {
            wrong.push(format!("{id}: expected {expected}, got {all:?}"));
        }
        if all.iter().any(|lint| !lint["line"].is_number()) {
            wrong.push(format!("{id}: a lint has no line: {all:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_verdicts_on_documents_of_the_cases_are_right() {
    let Some(cases) = cases() else { return };
    let file = cases.join("verdicts.jsonl");
    let output = run(&cases, &["validate", "--json", "--exchange", file.to_str().expect("a path")]);
    let answers = text(&output.stdout);
    let lines = std::fs::read_to_string(&file).expect("the cases");
    let kinds = ["document quirks", "empty arrays of PHP generators"];
    let mut wrong = Vec::new();
    for (line, answer) in lines.lines().zip(answers.lines()) {
        let case: Value = serde_json::from_str(line).expect("a case");
        let answer: Value = serde_json::from_str(answer).expect("an answer");
        assert_eq!(case["id"], answer["id"]);
        if !kinds.iter().any(|kind| case["kind"] == *kind) {
            continue;
        }
        for side in ["request_valid", "response_valid"] {
            let expected = &case[format!("expect_{side}")];
            if expected.is_boolean() && *expected != answer[side] {
                wrong.push(format!("{} {side}: expected {expected}, got {answer}", case["id"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn references_reach_files_within_the_roots_alone() {
    let dir = TempDir::new().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    for below in ["spec", "common", "secret"] {
        std::fs::create_dir(path(below)).expect("a directory");
    }
    let mut document = with_schema("3.0.3", &json!({"$ref": "../common/a.yaml#/A"}));
    document["components"] = json!({"schemas": {
        "Pipe": {"$ref": "pipe.yaml"}, "Link": {"$ref": "link.yaml"}, "Device": {"$ref": "/dev/zero"}
    }});
    document["paths"]["/p"] = json!({"get": {"responses": {"200": {"description": "d", "content": {
        "application/json": {"schema": {"allOf": [
            {"$ref": "#/components/schemas/Pipe"}, {"$ref": "#/components/schemas/Link"},
            {"$ref": "#/components/schemas/Device"}
        ]}}
    }}}}});
    std::fs::write(path("spec/d.json"), document.to_string()).expect("a file");
    std::fs::write(path("common/a.yaml"), "A: {type: integer}\n").expect("a file");
    std::fs::write(path("secret/s.yaml"), "type: integer\n").expect("a file");
    std::os::unix::fs::symlink(path("secret/s.yaml"), path("spec/link.yaml")).expect("a link");
    let made = std::process::Command::new("mkfifo").arg(path("spec/pipe.yaml")).status();
    assert!(made.expect("mkfifo runs").success());
    let defects = |arguments: &[&str]| {
        let checked = check(dir.path(), &[&["spec/d.json"], arguments].concat());
        lints(&checked, "defect").into_iter().map(|(_, message, _)| message).collect::<Vec<_>>()
    };
    let found = defects(&[]);
    assert_eq!(found.len(), 4, "{found:?}");
    let about_roots = found.iter().filter(|message| message.contains("contract.file_roots"));
    assert_eq!(about_roots.count(), 3, "{found:?}");
    assert!(found.iter().any(|message| message.contains("regular file")), "{found:?}");
    let found = defects(&["--file-root", "common"]);
    assert_eq!(found.len(), 3, "{found:?}");
    std::fs::write(path("cvt.yaml"), "contract: {file_roots: [common]}\n").expect("a file");
    assert_eq!(defects(&[]), found, "the file says the same");
    let found = defects(&["--file-root", "common", "--file-root", "secret", "--file-root", "/dev"]);
    assert_eq!(found.len(), 2, "a pipe and a device: {found:?}");
}

#[test]
fn a_map_that_is_a_reference_to_a_file_is_read() {
    let dir = TempDir::new().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let document = "openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {$ref: paths.yaml}\n\
                    components:\n  schemas: {$ref: 'schemas.yaml#/all'}\n";
    let paths = "/t:\n  post:\n    requestBody:\n      content: {$ref: content.yaml}\n    \
                 responses: {'200': {description: fine}}\n";
    let content = "application/json:\n  schema: {$ref: 'd.yaml#/components/schemas/A'}\n";
    std::fs::write(path("d.yaml"), document).expect("a file");
    std::fs::write(path("paths.yaml"), paths).expect("a file");
    std::fs::write(path("content.yaml"), content).expect("a file");
    std::fs::write(path("schemas.yaml"), "all:\n  A: {type: int}\n").expect("a file");
    let checked = check(dir.path(), &["d.yaml"]);
    assert_eq!(checked["operations"].as_array().map(Vec::len), Some(1), "{checked}");
    let lint = &checked["lints"][0];
    assert_eq!((&lint["code"], &lint["line"]), (&json!("unknown_type"), &json!(2)), "{checked}");
    assert_eq!(lint["pointer"], "schemas.yaml#/all/A/type", "{checked}");
}

#[test]
fn a_document_without_paths_loads_where_it_has_something_else() {
    for (document, loads) in [
        (json!({"openapi": "3.1.0", "webhooks": {}}), true),
        (json!({"openapi": "3.2.0", "components": {}}), true),
        (json!({"openapi": "3.0.3", "components": {}}), true),
        (json!({"openapi": "3.0.3", "paths": null}), true),
        (json!({"openapi": "3", "paths": {}}), true),
        (json!({"swagger": "2.0", "definitions": {}}), true),
        (json!({"openapi": "3.1.0"}), false),
        (json!({"openapi": "4.0.0", "paths": {}}), false),
    ] {
        let mut document = document;
        document["info"] = json!({"title": "t", "version": "1"});
        let dir = in_file(&document);
        let output = run(dir.path(), &["check", "d.json"]);
        assert_eq!(output.status.code() == Some(0), loads, "{document}: {output:?}");
        if !loads && document["openapi"] == "3.1.0" {
            let said = text(&output.stderr);
            assert!(said.contains("paths, components and webhooks"), "{said}");
        }
    }
}

#[test]
fn of_a_key_written_twice_in_json_the_last_one_counts() {
    let dir = TempDir::new().expect("a directory");
    let document = "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"t\",\"version\":\"1\"},\n\
                    \"paths\":{\"/a\":{\"get\":{\"responses\":{\"200\":{\"description\":\"a\",\n\
                    \"description\":\"b\"}}}}}}";
    std::fs::write(dir.path().join("d.json"), document).expect("a file");
    let checked = check(dir.path(), &["d.json"]);
    let slips = lints(&checked, "slip");
    assert!(
        slips.iter().any(|(_, message, line)| message.contains("twice") && *line == 2),
        "{slips:?}"
    );
}

#[test]
fn deny_lints_and_on_defect_refuse_what_is_wrong() {
    let dir = in_file(&with_schema("3.0.3", &json!({"type": "int"})));
    assert_eq!(run(dir.path(), &["check", "d.json"]).status.code(), Some(0));
    assert_eq!(run(dir.path(), &["check", "--deny-lints", "d.json"]).status.code(), Some(1));
    let started = command(dir.path())
        .args([
            "run",
            "--spec",
            "d.json",
            "--upstream",
            "http://127.0.0.1:9",
            "--listen",
            "127.0.0.1:0",
        ])
        .env("CVT_CONTRACT_ON_DEFECT", "refuse")
        .output()
        .expect("it runs");
    assert_eq!(started.status.code(), Some(2), "{started:?}");
    let said = text(&started.stderr);
    assert!(said.contains("contract.on_defect") && said.contains("did you mean integer"), "{said}");
}

#[test]
fn a_summary_counts_documents_and_kinds() {
    let dir = in_file(&with_schema("3.0.3", &json!({"type": "int"})));
    let below = dir.path().join("more");
    std::fs::create_dir(&below).expect("a directory");
    std::fs::write(
        below.join("good.yaml"),
        "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths: {/a: {get: {}}}\n",
    )
    .expect("a file");
    std::fs::write(below.join("bad.yaml"), "openapi: 3.1.0\npaths: [\n").expect("a file");
    std::fs::write(below.join("other.yaml"), "services: {}\n").expect("a file");
    let output = run(dir.path(), &["check", "--summary", "--json", "."]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&summary["documents"], &summary["loaded"], &summary["with_defects"]),
        (&json!(3), &json!(2), &json!(1)),
        "{summary}"
    );
    let defect = summary["lints"]
        .as_array()
        .and_then(|lints| lints.iter().find(|lint| lint["grade"] == "defect"));
    assert_eq!(defect.map(|defect| &defect["code"]), Some(&json!("unknown_type")), "{summary}");
    let shown = text(&run(dir.path(), &["check", "--summary", "."]).stdout);
    assert!(shown.starts_with("3 documents: 2 load (66.66 %)"), "{shown}");
    assert!(shown.contains("bad.yaml:"), "{shown}");
}

#[test]
fn the_readme_lists_every_code_under_its_grade() {
    let readme = include_str!("../../README.md");
    for (grade, row) in [(Grade::Slip, "| slip |"), (Grade::Defect, "| defect |")] {
        let row = readme.lines().find(|line| line.starts_with(row)).expect("a row of the table");
        for code in LintCode::ALL.iter().filter(|code| code.grade() == grade) {
            assert!(row.contains(&format!("`{code}`")), "{code} is not in the row of {grade}");
        }
    }
}
