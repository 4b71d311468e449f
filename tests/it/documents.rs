//! Documents as they are in the world, through the real binary: what is wrong in one costs only
//! itself, is told with its line, and everything else is validated.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use cvt_sidecar::contract::{Grade, LintCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::command;

/// Cases of `../shared/cases/documents` that wait for another part of the reader.
const PENDING: [&str; 4] = [
    "yaml-quoted-indent",
    "yaml-quote-end-column0",
    "yaml-flow-end-indent",
    "yaml-comment-no-space",
];

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
        if PENDING.contains(&id) || expected.starts_with("not decided") {
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
        let asks_for_lint = expected.contains("with a lint") || expected.contains("with the lint");
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
fn empty_parts_are_slips() {
    for part in [json!(null), json!([])] {
        for (version, key) in [
            ("3.0.3", "components"),
            ("3.1.0", "components"),
            ("3.0.3", "security"),
            ("3.1.0", "tags"),
        ] {
            let mut document = with_schema(version, &json!({}));
            document[key] = part.clone();
            assert_eq!(codes(&document).0, Vec::<String>::new(), "{version} {key} {part}");
        }
        for pointer in [
            "/paths/~1t",
            "/paths/~1t/post",
            "/paths/~1t/post/responses",
            "/paths/~1t/post/responses/200",
            "/paths/~1t/post/requestBody",
            "/paths/~1t/post/requestBody/content",
            "/paths/~1t/post/requestBody/content/application~1json",
        ] {
            for version in ["3.0.3", "3.1.0", "3.2.0"] {
                let mut document = with_schema(version, &json!({}));
                *document.pointer_mut(pointer).expect("a part") = part.clone();
                let (defects, slips) = codes(&document);
                assert_eq!(defects, Vec::<String>::new(), "{version} {pointer} {part}");
                assert!(!slips.is_empty(), "{version} {pointer} {part}");
            }
        }
        for key in ["parameters", "servers", "security", "tags", "callbacks"] {
            for version in ["3.0.3", "3.1.0"] {
                let mut document = with_schema(version, &json!({}));
                document["paths"]["/t"]["post"][key] = part.clone();
                assert_eq!(codes(&document).0, Vec::<String>::new(), "{version} {key} {part}");
            }
        }
        for key in ["headers", "links", "content"] {
            let mut document = with_schema("3.0.3", &json!({}));
            document["paths"]["/t"]["post"]["responses"]["200"][key] = part.clone();
            assert_eq!(codes(&document).0, Vec::<String>::new(), "{key} {part}");
        }
        for key in [
            "properties",
            "required",
            "enum",
            "allOf",
            "oneOf",
            "anyOf",
            "items",
            "default",
            "xml",
            "additionalProperties",
        ] {
            for version in ["3.0.3", "3.1.0"] {
                let document = with_schema(version, &json!({"title": "s", key: part}));
                assert_eq!(codes(&document).0, Vec::<String>::new(), "{version} {key} {part}");
            }
        }
    }
}

#[test]
fn a_swagger_document_with_empty_parts_loads() {
    for part in [json!(null), json!([])] {
        for pointer in [
            "/definitions",
            "/parameters",
            "/paths/~1t",
            "/paths/~1t/get",
            "/paths/~1t/get/parameters",
            "/paths/~1t/get/responses",
            "/paths/~1t/get/responses/200",
            "/paths/~1t/get/responses/200/headers",
        ] {
            let mut document = json!({
                "swagger": "2.0", "info": {"title": "t", "version": "1"},
                "definitions": {}, "parameters": {},
                "paths": {"/t": {"get": {
                    "parameters": [],
                    "responses": {"200": {"description": "fine", "headers": {}}}
                }}}
            });
            *document.pointer_mut(pointer).expect("a part") = part.clone();
            assert_eq!(codes(&document).0, Vec::<String>::new(), "{pointer} {part}");
        }
    }
}

#[test]
fn a_schema_with_a_defect_is_not_enforced_and_its_siblings_are() {
    for (version, schema, code) in [
        ("3.0.3", json!({"type": "int"}), "unknown_type"),
        ("3.1.0", json!({"type": ["string", "float"]}), "unknown_type"),
        ("3.0.3", json!({"type": "file"}), "unknown_type"),
        ("3.0.3", json!(null), "invalid_schema"),
        ("3.1.0", json!("string"), "invalid_schema"),
        ("3.0.3", json!({"$ref": "#/components/schemas/Gone"}), "broken_reference"),
        ("3.1.0", json!({"$ref": "#/components/schemas/Gone"}), "broken_reference"),
        ("3.1.0", json!({"$ref": "#gone"}), "broken_reference"),
        ("3.1.0", json!({"$dynamicRef": "#gone"}), "broken_reference"),
        ("3.0.3", json!({"$ref": "Gone"}), "broken_reference"),
        ("3.0.3", json!({"$ref": "https://example.com/a.json"}), "broken_reference"),
        ("3.0.3", json!({"type": "array", "items": [{}, {}]}), "unenforceable_keyword"),
        ("3.1.0", json!({"type": "array", "items": [{}, {}]}), "unenforceable_keyword"),
        ("3.1.0", json!({"type": "string", "minLength": true}), "unenforceable_keyword"),
        ("3.0.3", json!({"type": "integer", "maximum": "many"}), "unenforceable_keyword"),
        ("3.0.3", json!({"multipleOf": 0}), "unenforceable_keyword"),
        ("3.1.0", json!({"$id": "https://h/a", "$ref": "./b.json"}), "invalid_schema"),
        ("3.1.0", json!({"pattern": "("}), "unusable_pattern"),
    ] {
        let whole = json!({
            "type": "object", "required": ["ok"],
            "properties": {"bad": schema, "ok": {"type": "integer"}}
        });
        let document = with_schema(version, &whole);
        let (defects, _) = codes(&document);
        assert_eq!(defects, [code], "{version} {schema}");
        let bodies = [json!({"ok": 1, "bad": [1, "x"]}), json!({"ok": "no"}), json!({})];
        let answers = verdicts(&document, &bodies.map(|body| post("/t", &body)));
        if code != "invalid_schema" || !schema.is_object() {
            assert_eq!(answers[1]["request_valid"], false, "{version} {schema}: {}", answers[1]);
            assert_eq!(answers[2]["request_valid"], false, "{version} {schema}: {}", answers[2]);
        }
        assert_ne!(answers[0]["request_valid"], false, "{version} {schema}: {}", answers[0]);
    }
}

#[test]
fn a_defect_under_a_negation_is_no_false_alarm() {
    for schema in [
        json!({"not": {"type": "int"}}),
        json!({"oneOf": [{"type": "int"}, {"type": "string"}]}),
        json!({"not": {"$ref": "#/components/schemas/Gone"}}),
    ] {
        let document = with_schema("3.1.0", &schema);
        let answers = verdicts(&document, &[post("/t", &json!("text"))]);
        assert_ne!(answers[0]["request_valid"], false, "{schema}: {}", answers[0]);
    }
}

#[test]
fn what_can_only_mean_one_thing_is_read_as_that() {
    for (version, schema, good, bad) in [
        ("3.0.3", json!({"type": "string", "minLength": "2"}), json!("ab"), json!("a")),
        ("3.0.3", json!({"type": "integer", "maximum": "100"}), json!(7), json!(101)),
        ("3.1.0", json!({"type": "integer", "maximum": "100"}), json!(7), json!(101)),
        ("3.1.0", json!({"type": ["string", null]}), json!(null), json!(1)),
        ("3.1.0", json!({"type": "object", "required": ["a", "a"]}), json!({"a": 1}), json!({})),
        ("3.0.3", json!({"type": "array", "uniqueItems": "true"}), json!([1]), json!([1, 1])),
        ("3.0.3", json!({"additionalProperties": "false"}), json!({}), json!({"a": 1})),
    ] {
        let document = with_schema(version, &schema);
        assert_eq!(codes(&document).0, Vec::<String>::new(), "{schema}");
        let answers = verdicts(&document, &[post("/t", &good), post("/t", &bad)]);
        assert_eq!(answers[0]["request_valid"], true, "{schema}: {}", answers[0]);
        assert_eq!(answers[1]["request_valid"], false, "{schema}: {}", answers[1]);
    }
}

#[test]
fn references_that_are_misspelt_or_none_do_no_harm() {
    let mut document = with_schema("3.0.3", &json!({"$ref": "#/definitions/A"}));
    document["components"] = json!({"schemas": {
        "A": {"type": "object", "properties": {"b": {"$ref": "#components/schemas/B"}}},
        "B": {"type": "integer", "example": {"$ref": "gone.yaml"}, "enum": [1, {"$ref": "gone"}]}
    }});
    document["info"]["description"] = json!({"$ref": "gone.md"});
    document["x-files"] = json!({"$ref": "gone.yaml"});
    let (defects, slips) = codes(&document);
    assert_eq!(defects, Vec::<String>::new());
    assert_eq!(slips.iter().filter(|code| *code == "misspelt").count(), 2, "{slips:?}");
    assert!(!slips.contains(&"unread_reference".to_owned()), "{slips:?}");
    let answers = verdicts(&document, &[post("/t", &json!({"b": "x"}))]);
    assert_eq!(answers[0]["request_valid"], false, "{}", answers[0]);
}

#[test]
fn parameters_responses_and_operations_with_defects_cost_only_themselves() {
    let document = json!({
        "openapi": "3.0.3", "info": {"title": "t", "version": "1"},
        "paths": {
            "/p": {"get": {
                "parameters": [
                    {"in": "query", "schema": {}},
                    {"name": "q", "in": "hedaer", "schema": {}},
                    {"$ref": "#/components/parameters/Gone"},
                    {"name": "n", "in": "query", "schema": {"type": "integer"}}
                ],
                "responses": {"200": {"$ref": "#/components/responses/Gone"}, "404": {"description": "no"}}
            }},
            "/o": {"get": "nothing", "GET ": {}},
            "/i": {"$ref": "#/x-items/gone"},
            "/u": {"POST": {"responses": {"200": {"description": "fine"}}}}
        }
    });
    let dir = in_file(&document);
    let checked = check(dir.path(), &["d.json"]);
    let defects = lints(&checked, "defect");
    assert_eq!(defects.len(), 6, "{defects:?}");
    let location = defects.iter().find(|(_, message, _)| message.contains("hedaer"));
    let (_, message, line) = location.expect("the misspelt location");
    assert!(message.contains("query, header, path and cookie"), "{message}");
    assert!(*line > 0);
    let get = |path: &str, status: u16| {
        json!({
            "request": {"method": "GET", "path": path, "headers": {}, "body": null},
            "response": {"status": status, "headers": {}, "body": null}
        })
    };
    let exchanges = [
        get("/p?n=1", 200),
        get("/p?n=x", 500),
        get("/o", 500),
        get("/i", 200),
        post("/u", &json!(1)),
    ];
    let answers = verdicts(&document, &exchanges);
    let verdict =
        |at: usize| (answers[at]["request_valid"].clone(), answers[at]["response_valid"].clone());
    assert_eq!(verdict(0), (json!(true), json!(true)), "{}", answers[0]);
    assert_eq!(verdict(1), (json!(false), json!(false)), "{}", answers[1]);
    assert_eq!(verdict(2), (json!(true), json!(true)), "{}", answers[2]);
    assert_ne!(verdict(3).0, json!(false), "{}", answers[3]);
    assert_eq!(verdict(4).0, json!(true), "{}", answers[4]);
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
