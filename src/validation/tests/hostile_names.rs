//! No value of a message and no name that may be a secret shows in a violation, wherever it is.

use super::*;
use crate::model::violation::MAX_FOUND;
use crate::validation::RequestValidation;

/// Names that callers may invent and no output may show.
const HOSTILE: [&str; 16] = [
    "canary@example.org",
    "4111111111111111",
    "ghp_canaryabcdefghijklmn",
    "eyJjYW5hcnki.eyJjYW5hcnki.c2ln",
    "AKIACANARYCANARYCANARY",
    "canary_12345",
    "c4n4ryc4n4ry",
    "deadbeefcafebabe",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "canarycanarycanarycanarycanary",
    "canary secret",
    "canary_password",
    "Canary; DROP TABLE",
    "DE89370400440532013000",
    "čanary",
    "bcdfghjklmnpqrst",
];

fn contract() -> Contract {
    let body = json!({"type": "object", "additionalProperties": false,
    "properties": {
        "map": {"additionalProperties": {"type": "integer"}},
        "named": {"propertyNames": {"maxLength": 0}},
        "closed": {"unevaluatedProperties": false},
        "text": {"type": "integer"},
        "choice": {"oneOf": [{"const": "x"}, {"type": "object", "required": ["k"]}]},
        "when": {"type": "string", "format": "date-time"},
        "code": {"type": "string", "pattern": "^[0-9]$", "enum": ["1"]}
    }});
    compile_with(
        &json!({"/a/{id}": {"post": {
            "parameters": [
                {"name": "id", "in": "path", "required": true, "schema": {"type": "boolean"}},
                {"name": "n", "in": "query", "schema": {"type": "boolean"}},
                {"name": "X-N", "in": "header", "schema": {"type": "boolean"}}],
            "requestBody": {"content": {"application/json": {"schema": body}}},
            "responses": {"200": {"description": ""}}}}}),
        &strict(),
    )
}

/// Everything that is kept and shown of the violations of a request.
fn everything(contract: &Contract, request: &RequestHead, body: &str) -> String {
    let body = captured(body.as_bytes());
    let RequestValidation { verdict, .. } =
        Validator::default().validate_request(contract, request, &body);
    assert!(!verdict.violations.is_empty(), "nothing is wrong with {request:?}");
    assert!(verdict.violations.iter().all(|one| one.found.len() <= MAX_FOUND));
    serde_json::to_string(&verdict.violations).unwrap()
}

/// A name as a part of a target.
fn encoded(name: &str) -> String {
    name.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("%{byte:02X}"));
        }
        text
    })
}

fn bodies(text: &str) -> Vec<String> {
    let value = json!(text);
    [
        json!({text: value}),
        json!({"map": {text: value}}),
        json!({"named": {text: value}}),
        json!({"closed": {text: value}}),
        json!({"text": value}),
        json!({"choice": value}),
        json!({"when": value}),
        json!({"code": value}),
        json!([value]),
        value,
    ]
    .iter()
    .map(Value::to_string)
    .chain([format!("{{{text}"), format!("\"{text}")])
    .collect()
}

fn assert_hidden(shown: &str, name: &str) {
    assert!(!shown.contains(name) && !shown.contains(&encoded(name)), "{name} in {shown}");
}

#[test]
fn hostile_names_and_values_do_not_show() {
    let contract = contract();
    for name in HOSTILE {
        for body in bodies(name) {
            assert_hidden(&everything(&contract, &head("POST", "/a/1", JSON), &body), name);
        }
        let part = encoded(name);
        // `/reset-password` is a path like others: the word is not the secret
        if !name.ends_with("_password") {
            for target in [format!("/{part}"), format!("/a/1/{part}")] {
                assert_hidden(&everything(&contract, &head("POST", &target, &[]), ""), name);
            }
        }
        for target in [format!("/a/{part}"), format!("/a/1?n={part}"), format!("/a/1?{part}=1")] {
            assert_hidden(&everything(&contract, &head("POST", &target, &[]), ""), name);
        }
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.bytes().all(is_token) {
            let media_type = format!("application/{name}");
            for headers in [[("x-n", name)], [("content-type", &*media_type)], [(name, "1")]] {
                let shown = everything(&contract, &head("POST", "/a/1", &headers), "{}");
                assert_hidden(&shown.to_ascii_lowercase(), &name.to_ascii_lowercase());
            }
            assert_hidden(&everything(&contract, &head(name, "/a/1", &[]), ""), name);
        }
    }
}

proptest! {
    #[test]
    fn values_never_show(value in "[a-zA-Z0-9@:/ +_.-]{12,60}") {
        let contract = contract();
        for key in ["text", "when", "code", "choice"] {
            let body = json!({key: value}).to_string();
            let shown = everything(&contract, &head("POST", "/a/1", JSON), &body);
            prop_assert!(!shown.contains(&value), "{value} in {shown}");
        }
    }
}
