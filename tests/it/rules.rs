//! Where documents are loose, `validate` reads them fairly: each rule in both readings, with the
//! whole answer.

#![allow(clippy::needless_pass_by_value, reason = "JSON made in place reads best")]

use cvt_sidecar::cli::validate::{ValidateArgs, run};
use serde_json::{Value, json};

/// The sides that conform, and every violation as `code keyword: message at place`.
fn answer(rules: &[&str], spec: &Value, request: Value, response: Option<Value>) -> String {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("exchange.jsonl");
    let line = json!({"id": 1, "spec": spec, "request": request, "response": response});
    std::fs::write(&path, line.to_string()).expect("the exchange");
    let mut args = ValidateArgs { exchange: path, json: true, ..ValidateArgs::default() };
    args.rules.rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&args, &[], &mut out, &mut err);
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
    let answer: Value = serde_json::from_slice(&out).expect("an answer");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let violations = answer["violations"].as_array().into_iter().flatten().map(|one| {
        let place = text(&one["instance_pointer"]);
        format!(
            "{} {}: {} at {place:?}",
            text(&one["code"]),
            text(&one["keyword"]),
            text(&one["message"])
        )
    });
    let mut lines: Vec<String> = violations.collect();
    lines.extend(answer["error"].as_str().map(str::to_owned));
    if lines.is_empty() {
        assert_ne!(answer["request_valid"], json!(false), "{answer}");
        assert_ne!(answer["response_valid"], json!(false), "{answer}");
        lines.push("conforms".to_owned());
    }
    lines.join("\n")
}

fn document(operation: Value) -> Value {
    let mut operation = operation;
    if operation["responses"].is_null() {
        operation["responses"] = json!({"200": {"description": "ok"}});
    }
    json!({"openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {"/a": {"post": operation}}})
}

/// A document of one operation with a JSON body of `schema`, and component schemas.
fn taking(schema: Value, components: Value) -> Value {
    let mut spec =
        document(json!({"requestBody": {"content": {"application/json": {"schema": schema}}}}));
    spec["components"] = json!({"schemas": components});
    spec
}

fn post(media_type: &str, body: &str) -> Value {
    json!({"method": "POST", "path": "/a", "headers": {"content-type": media_type}, "body": body})
}

fn sent(rules: &[&str], spec: &Value, body: &str) -> String {
    answer(rules, spec, post("application/json", body), None)
}

const CONFORMS: &str = "conforms";

#[test]
fn a_json_file_is_bytes_to_a_schema_of_text_and_json_to_one_of_objects() {
    let multipart = |schema: Value| {
        let schema = json!({"type": "object", "properties": {"file": schema}});
        document(json!({"requestBody": {"content": {"multipart/form-data": {"schema": schema}}}}))
    };
    let part = |content: &str| {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\
             Content-Type: application/json\r\n\r\n{content}\r\n--b--\r\n"
        );
        post("multipart/form-data; boundary=b", &body)
    };
    let file = multipart(json!({"type": "string", "format": "binary"}));
    assert_eq!(answer(&[], &file, part("{\"a\": 1}"), None), CONFORMS);
    assert_eq!(answer(&[], &file, part("{broken"), None), CONFORMS);
    let text = multipart(json!({"type": "string"}));
    assert_eq!(answer(&[], &text, part("[1]"), None), CONFORMS);
    let files =
        multipart(json!({"type": "array", "items": {"type": "string", "format": "binary"}}));
    assert_eq!(answer(&[], &files, part("[1, 2]"), None), CONFORMS);
    let object = multipart(json!({"type": "object", "required": ["a"]}));
    assert_eq!(answer(&[], &object, part("{\"a\": 1}"), None), CONFORMS);
    let missing = answer(&[], &object, part("{}"), None);
    assert!(missing.starts_with("request.body.schema required:"), "{missing}");
}

#[test]
fn nullable_beside_more_than_a_type_admits_null_unless_the_rule_is_strict() {
    let strict = &["nullable=strict"];
    let components = json!({"A": {"type": "object"}});
    for schema in [
        json!({"type": "string", "nullable": true, "enum": ["x", "y"]}),
        json!({"type": "integer", "nullable": true, "enum": [1, 2.5]}),
        json!({"nullable": true, "allOf": [{"$ref": "#/components/schemas/A"}]}),
        json!({"nullable": true, "oneOf": [{"$ref": "#/components/schemas/A"}]}),
        json!({"nullable": true, "anyOf": [{"type": "string"}]}),
        json!({"nullable": true, "$ref": "#/components/schemas/A"}),
    ] {
        let spec =
            taking(json!({"type": "object", "properties": {"s": schema}}), components.clone());
        assert_eq!(sent(&[], &spec, r#"{"s": null}"#), CONFORMS, "{schema}");
        assert_ne!(sent(strict, &spec, r#"{"s": null}"#), CONFORMS, "{schema}");
        assert_ne!(sent(&[], &spec, r#"{"s": true}"#), CONFORMS, "{schema}");
    }
    let all = json!({"nullable": true, "allOf": [{"$ref": "#/components/schemas/A"}]});
    let spec = taking(json!({"type": "object", "properties": {"s": all}}), components);
    let expected = "request.body.schema type: property \"s\" must be ";
    let found = sent(&[], &spec, r#"{"s": 1}"#);
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn null_for_optional_properties_is_admitted_where_the_rule_is_lenient() {
    let spec = taking(
        json!({"type": "object", "required": ["r"], "properties":
            {"r": {"type": "string"}, "o": {"type": "string"}}}),
        json!({}),
    );
    assert_eq!(sent(&["nulls=lenient"], &spec, r#"{"r": "x", "o": null}"#), CONFORMS);
    assert_ne!(sent(&["nulls=lenient"], &spec, r#"{"r": null}"#), CONFORMS);
    assert_ne!(sent(&["nulls=lenient"], &spec, r#"{"r": "x", "o": 1}"#), CONFORMS);
    assert_ne!(sent(&[], &spec, r#"{"r": "x", "o": null}"#), CONFORMS);
}

#[test]
fn the_branch_that_a_discriminator_names_decides_among_several() {
    let one = json!({"type": "object", "properties": {"kind": {"type": "string"}, "x": {"type": "string"}}});
    let two = json!({"type": "object", "properties": {"kind": {"type": "string"}, "y": {"type": "integer"}}});
    let spec = taking(
        json!({
            "oneOf": [{"$ref": "#/components/schemas/A"}, {"$ref": "#/components/schemas/B"}],
            "discriminator": {"propertyName": "kind", "mapping":
                {"a": "#/components/schemas/A", "b": "#/components/schemas/B"}}
        }),
        json!({"A": one, "B": two}),
    );
    assert_eq!(sent(&[], &spec, r#"{"kind": "a", "x": "1"}"#), CONFORMS);
    assert_ne!(sent(&["discriminator=strict"], &spec, r#"{"kind": "a", "x": "1"}"#), CONFORMS);
    assert_ne!(sent(&[], &spec, r#"{"kind": "c", "x": "1"}"#), CONFORMS);
    // The branch that is named does not conform, another one does alone: as a oneOf has it.
    assert_eq!(sent(&[], &spec, r#"{"kind": "a", "x": 1}"#), CONFORMS);
    assert_ne!(sent(&[], &spec, r#"{"kind": "a", "x": 1, "y": "no"}"#), CONFORMS);
}

#[test]
fn an_empty_value_of_a_query_parameter_is_validated_by_its_schema() {
    let spec = |schema: &str| {
        document(json!({"parameters": [{"name": "q", "in": "query", "schema": {"type": schema}}]}))
    };
    let request = || json!({"method": "POST", "path": "/a?q=", "headers": {}, "body": null});
    assert_eq!(answer(&[], &spec("string"), request(), None), CONFORMS);
    let integer = answer(&[], &spec("integer"), request(), None);
    assert!(integer.starts_with("request.query.schema type:"), "{integer}");
    assert_eq!(
        answer(&["empty_values=strict"], &spec("string"), request(), None),
        "request.query.malformed : query parameter \"q\" is sent without a value, which the document does not allow \
         at \"\""
    );
}

#[test]
fn an_email_is_a_mailbox_without_a_name() {
    let spec = taking(json!({"type": "string", "format": "email"}), json!({}));
    for good in ["a@b.de", "\"a b\"@b.de", "a@[127.0.0.1]"] {
        assert_eq!(sent(&[], &spec, &json!(good).to_string()), CONFORMS, "{good}");
    }
    for bad in ["Joe <a@b.de>", "\"Joe B\" <a@b.de>", "<a@b.de>", "a@b.de (Joe)"] {
        assert_ne!(sent(&[], &spec, &json!(bad).to_string()), CONFORMS, "{bad}");
    }
}

#[test]
fn a_security_scheme_that_is_not_declared_is_no_pass() {
    let spec = document(json!({"security": [{"nowhere": []}]}));
    let request = || json!({"method": "POST", "path": "/a", "headers": {}, "body": null});
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("openapi.json");
    std::fs::write(&path, spec.to_string()).expect("the document");
    let contract = cvt_sidecar::contract::Contract::compile(
        spec.to_string().as_bytes(),
        &cvt_sidecar::contract::CompileOptions::default(),
    )
    .expect("it loads");
    let defects: Vec<_> =
        contract.defects().map(|lint| (lint.code.as_str(), lint.pointer.as_str())).collect();
    assert_eq!(defects, [("undeclared_security", "/paths/~1a/post/security/0/nowhere")]);
    assert_eq!(answer(&[], &spec, request(), None), CONFORMS);
    let both = document(json!({"security": [{"nowhere": [], "key": []}]}));
    let mut both = both;
    both["components"] =
        json!({"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}});
    let lacking = answer(&[], &both, request(), None);
    assert!(lacking.starts_with("request.security.missing"), "{lacking}");
}

#[test]
fn yaml_bodies_are_validated() {
    let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let spec = |schema: &Value| {
        document(json!({"requestBody": {"content": {"application/yaml": {"schema": schema}}}}))
    };
    let sent = |schema: &Value, body: &str| {
        answer(&[], &spec(schema), post("application/yaml", body), None)
    };
    assert_eq!(sent(&schema, "n: 1\nm: [a, b]\n"), CONFORMS);
    let wrong = sent(&schema, "n: x\n");
    assert!(
        wrong.starts_with("request.body.schema type:") && wrong.ends_with("at \"/n\""),
        "{wrong}"
    );
    let broken = sent(&schema, "n: [1\n");
    assert!(broken.starts_with("request.body.malformed : the body is not YAML: "), "{broken}");
    assert_eq!(sent(&json!({"type": "string"}), "n: [1\n"), CONFORMS);
}

#[test]
fn read_only_and_write_only_are_no_violation_unless_the_rule_is_strict() {
    let user = json!({"type": "object", "properties":
        {"id": {"type": "string", "readOnly": true}, "pin": {"type": "string", "writeOnly": true}}});
    let mut spec = taking(user.clone(), json!({}));
    spec["paths"]["/a"]["post"]["responses"]["200"]["content"] =
        json!({"application/json": {"schema": user}});
    let response = |body: &str| {
        Some(json!({"status": 200, "headers": {"content-type": "application/json"}, "body": body}))
    };
    let exchange = |rules: &[&str], request: &str, body: &str| {
        answer(rules, &spec, post("application/json", request), response(body))
    };
    assert_eq!(exchange(&[], r#"{"id": "1"}"#, r#"{"pin": "1"}"#), CONFORMS);
    assert_eq!(
        exchange(&["read_only=strict"], r#"{"id": "1"}"#, r#"{"pin": "1"}"#),
        "request.body.schema readOnly: property \"id\" must not be sent to the service; found a string of 1 character at \"/id\""
    );
    assert_eq!(
        exchange(&["write_only=strict"], r#"{"id": "1"}"#, r#"{"pin": "1"}"#),
        "response.body.schema writeOnly: property \"pin\" must not be sent by the service; found a string of 1 character at \"/pin\""
    );
    assert_ne!(exchange(&[], r#"{"id": 1}"#, "{}"), CONFORMS, "its type holds all the same");
}

#[test]
fn read_only_never_decides_which_branch_conforms() {
    let spec = taking(
        json!({"oneOf": [
            {"type": "object", "required": ["a"], "properties":
                {"a": {"type": "string"}, "id": {"type": "string", "readOnly": true}}},
            {"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}, "required": ["a"]}
        ]}),
        json!({}),
    );
    // Both branches conform: the read-only property makes neither of them the one.
    for rules in [&[][..], &["read_only=strict"]] {
        let both = sent(rules, &spec, r#"{"a": "x", "id": "1"}"#);
        assert!(both.contains("request.body.schema oneOf:"), "{both}");
    }
    let one = taking(
        json!({"oneOf": [
            {"type": "object", "required": ["a"], "properties":
                {"a": {"type": "string"}, "id": {"type": "string", "readOnly": true}}},
            {"type": "object", "required": ["b"]}
        ]}),
        json!({}),
    );
    assert_eq!(sent(&[], &one, r#"{"a": "x", "id": "1"}"#), CONFORMS);
    assert_eq!(
        sent(&["read_only=strict"], &one, r#"{"a": "x", "id": "1"}"#),
        "request.body.schema readOnly: property \"id\" must not be sent to the service; found a string of 1 character at \"/id\""
    );
    assert_eq!(sent(&["read_only=strict"], &one, r#"{"b": "x", "id": "1"}"#), CONFORMS);
}

#[test]
fn media_types_that_differ_in_parameters_are_distinguished() {
    let body = |name: &str| json!({"schema": {"type": "object", "required": [name]}});
    let spec = document(json!({"requestBody": {"content": {
        "application/json; version=1": body("one"), "application/json; version=2": body("two"),
        "text/json; charset=utf-8": body("three"), "text/json; charset=utf-16": body("four"),
    }}}));
    let sent = |media: &str, body: &str| answer(&[], &spec, post(media, body), None);
    assert_eq!(sent("application/json;version=\"2\"", r#"{"two": 1}"#), CONFORMS);
    assert_eq!(sent("application/json;version=1", r#"{"one": 1}"#), CONFORMS);
    let wrong = sent("application/json;version=1", r#"{"two": 1}"#);
    assert!(wrong.starts_with("request.body.schema required:"), "{wrong}");
    assert_eq!(sent("text/json;charset=UTF-8", r#"{"three": 1}"#), CONFORMS);
}

#[test]
fn a_path_with_a_query_is_matched_by_both() {
    let mut spec = document(json!({}));
    let beta = json!({"post": {
        "parameters": [{"name": "n", "in": "query", "required": true, "schema": {"type": "integer"}}],
        "responses": {"200": {"description": "ok"}}
    }});
    spec["paths"]["/a?beta=true"] = beta;
    let sent = |rules: &[&str], path: &str| {
        answer(
            rules,
            &spec,
            json!({"method": "POST", "path": path, "headers": {}, "body": null}),
            None,
        )
    };
    assert_eq!(sent(&[], "/a"), CONFORMS);
    assert_eq!(sent(&["undeclared_fields=strict"], "/a?beta=true&n=1"), CONFORMS);
    let missing = sent(&[], "/a?beta=true");
    assert!(missing.starts_with("request.query.missing"), "{missing}");
}

#[test]
fn times_without_an_offset_conform_unless_the_rule_is_strict() {
    for (format, good, bad) in [
        (
            "date-time",
            &["2024-02-29T10:00:00", "2024-01-31T10:00:00.123456", "2024-01-31T10:00:00Z"][..],
            &["2023-02-29T10:00:00", "2024-01-31", "2024-01-31T25:00:00", "2024-01-31T10:00:00+"][..],
        ),
        ("time", &["10:00:00", "10:00:00.5", "10:00:00Z"], &["10:00", "24:00:00"]),
    ] {
        let spec = taking(json!({"type": "string", "format": format}), json!({}));
        for text in good {
            assert_eq!(sent(&[], &spec, &json!(text).to_string()), CONFORMS, "{text}");
            let strict = sent(&["offsets=strict"], &spec, &json!(text).to_string());
            assert_eq!(strict == CONFORMS, text.ends_with('Z'), "{text}: {strict}");
        }
        for text in bad {
            assert_ne!(sent(&[], &spec, &json!(text).to_string()), CONFORMS, "{text}");
        }
    }
}

#[test]
fn a_key_sent_twice_is_a_violation_unless_the_rule_is_lenient() {
    let spec = taking(json!({"type": "object"}), json!({}));
    assert_eq!(
        sent(&["preset=lenient"], &spec, r#"{"a": 1, "b": {"c": 1, "c": 2}}"#),
        "request.body.malformed : the body has an object with the same key twice at \"\""
    );
    assert_eq!(sent(&["duplicate_keys=lenient"], &spec, r#"{"a": 1, "a": 2}"#), CONFORMS);
}

#[test]
fn segments_that_lead_elsewhere_and_encoded_slashes_follow_their_rules() {
    let mut spec = document(json!({}));
    let name = json!([{"name": "f", "in": "path", "required": true, "schema": {"type": "string"}}]);
    spec["paths"] = json!({"/f/{f}": {"get": {
        "parameters": name, "responses": {"200": {"description": "ok"}}
    }}});
    let sent = |rules: &[&str], path: &str| {
        answer(
            rules,
            &spec,
            json!({"method": "GET", "path": path, "headers": {}, "body": null}),
            None,
        )
    };
    let refused =
        "request.path.malformed : path parameter \"f\" has a segment . or .., or NUL at \"\"";
    for path in ["/f/..", "/f/%2e%2E", "/f/a%2F..%2Fb", "/f/a%5C..", "/f/a%00"] {
        assert_eq!(sent(&[], path), refused, "{path}");
        assert_eq!(sent(&["path_traversal=lenient"], path), CONFORMS, "{path}");
    }
    for path in ["/f/a..b", "/f/...", "/f/group%2Fproject"] {
        assert_eq!(sent(&[], path), CONFORMS, "{path}");
    }
    assert_eq!(
        sent(&["encoded_slashes=strict"], "/f/group%2Fproject"),
        "request.path.malformed : path parameter \"f\" has a percent-encoded slash at \"\""
    );
}

#[test]
fn what_is_ignored_or_never_matches_is_a_lint() {
    let header = json!({"name": "Authorization", "in": "header", "schema": {"type": "string"}});
    let mut spec = taking(
        json!({"type": "object", "properties": {
            "a": {"type": "string", "pattern": "/^[a-z]+$/i"},
            "b": {"type": "string", "pattern": "^[[:alpha:]]+$"},
            "c": {"type": "object", "discriminator": {"propertyName": "k"}},
            "d": {"additionalProperties": false, "allOf": [{"type": "object"}]},
            "e": {"type": "string", "format": "date-time"},
            "f": {"type": "string", "nullable": true, "enum": ["x"]},
        }}),
        json!({}),
    );
    spec["paths"]["/a"]["post"]["parameters"] = json!([header]);
    let contract = cvt_sidecar::contract::Contract::compile(
        spec.to_string().as_bytes(),
        &cvt_sidecar::contract::CompileOptions::default(),
    )
    .expect("it loads");
    let mut lints: Vec<String> = contract
        .lints()
        .iter()
        .map(|lint| format!("{} {}", lint.code.as_str(), lint.message))
        .collect();
    lints.sort_unstable();
    let expected = [
        "ignored_part a discriminator without oneOf or anyOf beside it chooses nothing; values are validated by this schema alone",
        "ignored_part a header parameter Authorization is ignored, as OpenAPI says; describe it by security or content",
        "lenient_reading format date-time: values without an offset are taken, which RFC 3339 asks for; rules.offsets: strict refuses that",
        "lenient_reading nullable beside enum, $ref or a composition: null is taken, which OpenAPI 3.0.3 does not say; rules.nullable: strict refuses that",
        "misleading_rule a class such as [:alpha:] is none in the regular expressions of JSON Schema, which read it as these characters; write [A-Za-z]",
        "misleading_rule additionalProperties sees only the properties declared beside it, none of those in allOf",
        "misleading_rule the pattern is written with its delimiters, so that no value matches; leave out the slashes around it, and the flags",
    ];
    assert_eq!(lints, expected);
}

#[test]
fn exchanges_with_loose_documents_have_the_right_verdict() {
    let path =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/cases/verdicts.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        println!("skipped: there is no ../shared/cases");
        return;
    };
    let args = ValidateArgs { exchange: path, json: true, ..ValidateArgs::default() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    run(&args, &[], &mut out, &mut err);
    let answers = String::from_utf8(out).expect("answers are text");
    let kinds = ["servers", "formats", "multipart", "discriminator", "empty values"];
    let mut wrong = Vec::new();
    for (line, answer) in text.lines().zip(answers.lines()) {
        let case: Value = serde_json::from_str(line).expect("a case");
        let answer: Value = serde_json::from_str(answer).expect("an answer");
        let kind = case["kind"].as_str().unwrap_or_default();
        if !kinds.contains(&kind) && !kind.starts_with("nullable") {
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
