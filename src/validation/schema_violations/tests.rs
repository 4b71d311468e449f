use std::sync::Arc;

use serde_json::{Value, json};

use super::{DEFAULT_CAP, ViolationSink, ViolationSubject, validate};
use crate::contract::{CompileOptions, Direction, Document, SchemaCompiler};
use crate::json::Arena;
use crate::model::rule::{Rule, Strictness};
use crate::model::verdict::{SkipReason, Verdict};
use crate::model::violation::{Violation, ViolationCode};

fn subject() -> ViolationSubject {
    ViolationSubject {
        code: ViolationCode::REQUEST_BODY_SCHEMA,
        name: None,
        prefix: String::new(),
        redactor: Arc::default(),
    }
}

fn verdict_on(version: &str, schemas: &Value, body: &str, direction: Direction) -> Verdict {
    let document = json!({
        "openapi": version, "info": {"title": "t", "version": "1"}, "paths": {},
        "components": {"schemas": schemas}
    });
    let text = serde_json::to_string_pretty(&document).unwrap();
    let options = CompileOptions::default();
    let document = Document::read(text.as_bytes(), &options).unwrap();
    let mut compiler = SchemaCompiler::new(&document, &options);
    let id = compiler.compile("/components/schemas/S", direction).unwrap();
    let (set, _) = compiler.finish().unwrap();
    let mut arena = Arena::default();
    let value = arena.parse(body.as_bytes()).unwrap();
    let mut verdict = Verdict::default();
    let mut sink = ViolationSink::new(&mut verdict, DEFAULT_CAP);
    let subject = subject();
    validate(&set, id, arena.node(value), &subject, &mut sink);
    verdict
}

fn verdict(schemas: &Value, body: &str) -> Verdict {
    verdict_on("3.0.3", schemas, body, Direction::Request)
}

fn lines(verdict: &Verdict) -> Vec<String> {
    let line = |violation: &Violation| {
        format!(
            "{} | {} | {} | {}",
            violation.instance_pointer,
            violation.schema_pointer,
            violation.keyword,
            violation.message
        )
    };
    let mut lines: Vec<String> = verdict.violations.iter().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn every_violation_has_both_pointers() {
    let schemas = json!({
        "S": {"type": "object", "required": ["a"], "properties": {
            "b": {"$ref": "#/components/schemas/B"}, "c": {"type": "array", "items": {"maximum": 5}}}},
        "B": {"type": "string", "maxLength": 2}
    });
    let verdict = verdict(&schemas, r#"{"b": "secret", "c": [1, 9]}"#);
    assert_eq!(
        lines(&verdict),
        [
            " | /components/schemas/S/required | required | the required property \"a\" is missing in the body; found an object of 2 properties",
            "/b | /components/schemas/B/maxLength | maxLength | property \"b\" must have at most 2 characters; found a string of 6 characters",
            "/c/1 | /components/schemas/S/properties/c/items/maximum | maximum | item 1 of property \"c\" must be at most 5; found an integer",
        ]
    );
    assert!(verdict.violations.iter().all(|violation| violation.position.is_some()));
}

#[test]
fn no_violation_contains_a_value_of_the_message() {
    let schemas = json!({
        "S": {"type": "object", "additionalProperties": {"type": "integer"},
              "properties": {"known": {"enum": ["x"]}}, "minProperties": 9}
    });
    let body = r#"{"alice@example.org": "4111-1111", "known": "hidden-value"}"#;
    let text = format!("{:?}", verdict(&schemas, body));
    for secret in ["alice", "4111", "hidden-value"] {
        assert!(!text.contains(secret), "{text}");
    }
    assert!(text.contains("\"/*\""), "{text}");
    let closed = json!({"S": {"additionalProperties": false, "properties": {"a": {}}}});
    let text = format!("{:?}", verdict(&closed, r#"{"alice@example.org": 1}"#));
    assert!(
        !text.contains("alice")
            && text.contains("a property of the body, whose name is not shown, is not declared"),
        "{text}"
    );
}

#[test]
fn violations_beyond_the_cap_are_counted() {
    let schemas = json!({"S": {"items": {"type": "string"}, "type": "array"}});
    let verdict = verdict(&schemas, &format!("[{}1]", "1,".repeat(99)));
    assert_eq!((verdict.violations.len(), verdict.more_violations), (DEFAULT_CAP, 68));
}

#[test]
fn the_branch_of_the_discriminator_is_reported() {
    let schemas = json!({
        "S": {"oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
              "discriminator": {"propertyName": "kind", "mapping": {
                  "kitty": "#/components/schemas/Cat", "hound": "Dog"}}},
        "Cat": {"required": ["kind", "lives"], "properties": {"kind": {}, "lives": {"type": "integer"}}},
        "Dog": {"required": ["kind", "bark"], "properties": {"kind": {}, "bark": {"type": "string"}}}
    });
    for (kind, branch, missing) in
        [("kitty", 0, "lives"), ("Cat", 0, "lives"), ("hound", 1, "bark"), ("Dog", 1, "bark")]
    {
        let verdict = verdict(&schemas, &format!(r#"{{"kind": "{kind}"}}"#));
        let messages: Vec<_> = verdict.violations.iter().map(|v| v.message.as_str()).collect();
        assert_eq!(
            messages,
            [
                format!(
                    "the body must conform to one branch of oneOf; found an object of 1 property; its property \"kind\" names branch {branch}"
                ),
                format!(
                    "the required property {missing:?} is missing in the body; found an object of 1 property"
                ),
            ]
        );
    }
    let unknown = verdict(&schemas, r#"{"kind": "fish"}"#);
    assert!(unknown.violations[0].message.ends_with("names none of them"), "{unknown:?}");
    assert_eq!(unknown.violations.len(), 1);
}

#[test]
fn without_a_discriminator_the_closest_branch_is_reported() {
    let schemas = json!({"S": {"anyOf": [
        {"type": "string"},
        {"type": "object", "required": ["a", "b"], "properties": {"a": {"type": "integer"}}},
        {"type": "object", "required": ["x", "y", "z"]}
    ]}});
    let verdict = verdict(&schemas, r#"{"a": 1}"#);
    assert!(verdict.violations[0].message.contains("branch 1 comes closest"), "{verdict:?}");
    assert!(verdict.violations[1].message.contains("\"b\""), "{verdict:?}");
}

#[test]
fn overlapping_branches_are_reported() {
    let schemas = json!({"S": {"oneOf": [
        {"type": "integer"}, {"type": "string"}, {"type": "number"}, {"minimum": 10}]}});
    let verdict = verdict(&schemas, "3");
    assert!(verdict.violations[0].message.contains("conforms to 0 and 2"), "{verdict:?}");
}

#[test]
fn trap_t08_a_hostile_pattern_costs_bounded_time_and_is_no_violation() {
    let text = format!("\"{}!\"", "a".repeat(50));
    let linear = verdict(&json!({"S": {"pattern": "^(a+)+$"}}), &text);
    assert_eq!(linear.violations[0].keyword, "pattern");
    let backtracking = verdict(&json!({"S": {"pattern": "^(?:(?=a)a+)+$"}}), &text);
    assert!(backtracking.violations.is_empty(), "{backtracking:?}");
    assert_eq!(backtracking.skipped.as_slice(), [SkipReason::RegexBudget]);
}

#[test]
fn trap_t08_a_pattern_that_does_not_compile_is_skipped_and_counted() {
    let schemas = json!({"S": {"properties": {"a": {"pattern": "("}, "b": {"type": "string"}}}});
    let skipped = verdict(&schemas, r#"{"a": "x"}"#);
    assert_eq!(skipped.skipped.as_slice(), [SkipReason::Document]);
    assert!(skipped.violations.is_empty());
    assert_eq!(verdict(&schemas, r#"{"b": "x"}"#), Verdict::default());
}

#[test]
fn trap_t09_read_only_is_optional_in_requests_everywhere() {
    let schemas = json!({
        "S": {"oneOf": [{"$ref": "#/components/schemas/A"}, {"type": "string"}]},
        "A": {"allOf": [{"$ref": "#/components/schemas/B"}, {"required": ["id", "name"]}]},
        "B": {"type": "object", "properties": {"id": {"$ref": "#/components/schemas/Id"}, "name": {"type": "string"}}},
        "Id": {"type": "string", "readOnly": true}
    });
    for (direction, body, valid) in [
        (Direction::Request, r#"{"name": "n"}"#, true),
        (Direction::Request, r#"{"name": "n", "id": "i"}"#, true),
        (Direction::Request, r#"{"id": "i"}"#, false),
        (Direction::Response, r#"{"name": "n"}"#, false),
        (Direction::Response, r#"{"name": "n", "id": "i"}"#, true),
    ] {
        let verdict = verdict_on("3.0.3", &schemas, body, direction);
        assert_eq!(verdict.violations.is_empty(), valid, "{direction:?} {body} {verdict:?}");
    }
}

#[test]
fn trap_t09_read_only_reaches_a_schema_required_by_another() {
    let schemas = json!({
        "S": {"properties": {"id": {"readOnly": true}}, "allOf": [{"$ref": "#/components/schemas/R"}]},
        "R": {"required": ["id"]}
    });
    assert!(verdict(&schemas, "{}").violations.is_empty());
    assert_eq!(verdict_on("3.0.3", &schemas, "{}", Direction::Response).violations.len(), 1);
}

#[test]
fn read_only_properties_are_refused_where_configured() {
    let schemas = json!({"S": {"properties": {"id": {"type": "string", "readOnly": true}}}});
    let document = json!({
        "openapi": "3.0.3", "info": {"title": "t", "version": "1"}, "paths": {},
        "components": {"schemas": schemas}
    });
    let options = CompileOptions::default().with_rule(Rule::ReadOnly, Strictness::Strict);
    let document = Document::read(document.to_string().as_bytes(), &options).unwrap();
    let mut compiler = SchemaCompiler::new(&document, &options);
    let request = compiler.compile("/components/schemas/S", Direction::Request).unwrap();
    let response = compiler.compile("/components/schemas/S", Direction::Response).unwrap();
    let (set, _) = compiler.finish().unwrap();
    let mut arena = Arena::default();
    let value = arena.parse(br#"{"id": "x"}"#).unwrap();
    assert!(set.is_valid(response, arena.node(value)));
    let mut verdict = Verdict::default();
    let subject = subject();
    validate(&set, request, arena.node(value), &subject, &mut ViolationSink::new(&mut verdict, 9));
    assert_eq!(verdict.violations[0].keyword, "readOnly");
    assert_eq!(
        &*verdict.violations[0].schema_pointer,
        "/components/schemas/S/properties/id/readOnly"
    );
}

#[test]
fn trap_t09_recursion_and_mutual_recursion() {
    let schemas = json!({
        "S": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/T"}}, "additionalProperties": false},
        "T": {"anyOf": [{"$ref": "#/components/schemas/S"}, {"type": "array", "items": {"$ref": "#/components/schemas/T"}}]}
    });
    assert!(verdict(&schemas, r#"{"next": [{"next": {}}, []]}"#).violations.is_empty());
    let broken = verdict(&schemas, r#"{"next": [{"next": {"next": 1}}]}"#);
    assert!(!broken.violations.is_empty());
    let circle = json!({"S": {"allOf": [{"$ref": "#/components/schemas/S"}, {"type": "string"}]}});
    assert!(verdict(&circle, "\"x\"").violations.is_empty());
    assert!(!verdict(&circle, "1").violations.is_empty());
}

#[test]
fn trap_t09_nullable() {
    let schemas = json!({
        "S": {"properties": {
            "plain": {"type": "string", "nullable": true},
            "listed": {"type": "string", "nullable": true, "enum": ["a", null]},
            "composed": {"nullable": true, "allOf": [{"$ref": "#/components/schemas/N"}]},
            "strict": {"allOf": [{"$ref": "#/components/schemas/T"}]}
        }},
        "N": {"type": "object", "nullable": true},
        "T": {"type": "object"}
    });
    for name in ["plain", "listed", "composed"] {
        assert!(
            verdict(&schemas, &format!(r#"{{"{name}": null}}"#)).violations.is_empty(),
            "{name}"
        );
    }
    assert!(!verdict(&schemas, r#"{"strict": null}"#).violations.is_empty());
}

#[test]
fn trap_t13_numbers_are_exact() {
    let cases = [
        (json!({"multipleOf": 0.01}), "19.99", true),
        (json!({"multipleOf": 0.01}), "19.995", false),
        (json!({"maximum": 12_345_678_901_234_567_890_u64}), "12345678901234567891", false),
        (json!({"maximum": 12_345_678_901_234_567_890_u64}), "12345678901234567890", true),
        (json!({"minimum": 0.1}), "0.09999999999999999999999", false),
        (json!({"enum": [0.1]}), "0.10", true),
        (json!({"enum": [0.1]}), "0.1000000000000000000001", false),
        (json!({"type": "integer"}), "1e400", true),
        (json!({"type": "number", "maximum": 1}), "1e400", false),
        (json!({"type": "integer", "format": "int64"}), "9223372036854775808", false),
        (json!({"type": "array", "uniqueItems": true}), "[1, 1.0]", false),
        (
            json!({"type": "array", "uniqueItems": true}),
            "[9007199254740993, 9007199254740992]",
            true,
        ),
    ];
    for (schema, body, valid) in cases {
        let verdict = verdict(&json!({"S": schema}), body);
        assert_eq!(verdict.violations.is_empty(), valid, "{schema} {body} {verdict:?}");
    }
}

#[test]
fn a_value_with_endless_violations_costs_bounded_memory() {
    let schemas = json!({"S": {"anyOf": [
        {"type": "array", "items": {"$ref": "#/components/schemas/S"}, "minItems": 2},
        {"type": "array", "items": {"$ref": "#/components/schemas/S"}, "maxItems": 0}
    ]}});
    let body = format!("{}1{}", "[".repeat(150), "]".repeat(150));
    let verdict = verdict(&schemas, &body);
    assert!(!verdict.violations.is_empty() || !verdict.skipped.is_empty());
    assert!(verdict.violations.len() <= DEFAULT_CAP);
}
