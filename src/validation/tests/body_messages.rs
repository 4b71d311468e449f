//! Whole messages: for each rule of a schema, a body and what is said about it.

use super::messages::{only, request_messages, shown};
use super::*;

/// The messages about a body under a schema.
fn body_messages(schema: &Value, body: &str) -> Vec<String> {
    let options = CompileOptions::default().with_rule(Rule::Offsets, Strictness::Strict);
    let paths = posting(&json!({"application/json": {"schema": schema}}));
    let contract = compile_with(&paths, &options);
    let all = request_messages(&contract, &head("POST", "/a", JSON), body);
    all.iter().map(|one| one.message.clone()).collect()
}

#[test]
fn schema_rules_name_their_argument_and_what_stood_there() {
    let string = "found a string of 3 characters";
    for (schema, value, message) in [
        (json!({"type": "integer"}), r#""abc""#, format!("must be an integer; {string}")),
        (json!({"type": ["integer", "null"]}), "true", "must be an integer or null; found a boolean".into()),
        (json!({"type": "string"}), "null", "must be a string; found null".into()),
        (json!({"type": "string"}), "1.5", "must be a string; found a number".into()),
        (json!({"type": "string"}), "{}", "must be a string; found an empty object".into()),
        (json!({"type": "string"}), r#"{"x": 1}"#, "must be a string; found an object of 1 property".into()),
        (json!({"enum": ["a", 1]}), r#""abc""#, format!("must be one of \"a\", 1; {string}")),
        (
            json!({"enum": ["a", "b", "c", "d", "e", "f", "g", "h", "i"]}),
            r#""abc""#,
            format!("must be one of 9 documented values: \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", …; {string}"),
        ),
        (json!({"enum": [1.5, 2]}), "1", "must be one of 1.5, 2; found an integer".into()),
        (json!({"const": "x"}), r#""abc""#, format!("must be \"x\"; {string}")),
        (json!({"pattern": "^\\d+$"}), r#""abc""#, format!("must match the pattern ^\\d+$; {string}")),
        (
            json!({"format": "date-time"}),
            r#""2024-05-31T12:00:00""#,
            "must be of the format \"date-time\" (RFC 3339, as 2024-05-31T12:00:00Z); found a string of 19 characters, which needs an offset such as Z or +02:00".into(),
        ),
        (
            json!({"type": "integer", "format": "int32"}),
            "2147483648",
            "must be an integer from -2147483648 to 2147483647 (format \"int32\"); found an integer".into(),
        ),
        (json!({"minLength": 4}), r#""abc""#, format!("must have at least 4 characters; {string}")),
        (json!({"maxLength": 1}), r#""abc""#, format!("must have at most 1 character; {string}")),
        (json!({"minimum": 4}), "3", "must be at least 4; found an integer".into()),
        (json!({"exclusiveMaximum": 4}), "4", "must be less than 4; found an integer".into()),
        (json!({"multipleOf": 0.5}), "0.3", "must be a multiple of 0.5; found a number".into()),
        (json!({"minItems": 2}), "[1]", "must have at least 2 items; found an array of 1 item".into()),
        (json!({"uniqueItems": true}), "[1, 1]", "must have no two equal items; found an array of 2 items".into()),
        (json!({"minProperties": 1}), "{}", "must have at least 1 property; found an empty object".into()),
        (json!({"not": {}}), "1", "must not conform to the schema under not; found an integer".into()),
        (json!(false), "1", "must not be there; found an integer".into()),
        (
            json!({"oneOf": [{"type": "integer"}, {"type": "number"}]}),
            "1",
            "must conform to exactly one branch of oneOf, and conforms to 0 and 1; found an integer".into(),
        ),
    ] {
        let schema = json!({"properties": {"p": schema}});
        assert_eq!(
            body_messages(&schema, &format!(r#"{{"p": {value}}}"#)),
            [format!("property \"p\" {message}")]
        );
    }
}

#[test]
fn properties_are_named() {
    let closed = json!({"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": false});
    let nested =
        json!({"properties": {"order": closed, "list": {"items": {"items": {"type": "integer"}}}}});
    let map = json!({"additionalProperties": {"type": "integer"}});
    for (schema, body, message) in [
        (
            &closed,
            r#"{"colour": "red"}"#,
            "property \"colour\" of the body is not declared, and additionalProperties is false; found a string of 3 characters",
        ),
        (
            &closed,
            r#"{"colour": "red", "size": 1}"#,
            "properties \"colour\" and \"size\" of the body are not declared, and additionalProperties is false; found an object of 2 properties",
        ),
        (
            &closed,
            r#"{"bob@corp.com": [1]}"#,
            "a property of the body, whose name is not shown, is not declared, and additionalProperties is false; found an array of 1 item",
        ),
        (
            &nested,
            r#"{"order": {"b": null}}"#,
            "property \"b\" of property \"order\" is not declared, and additionalProperties is false; found null",
        ),
        (
            &nested,
            r#"{"list": [[1, "x"]]}"#,
            "item 1 of item 0 of property \"list\" must be an integer; found a string of 1 character",
        ),
        (
            &map,
            r#"{"retries": ""}"#,
            "property \"retries\" must be an integer; found an empty string",
        ),
        (
            &map,
            r#"{"bob@corp.com": ""}"#,
            "a property of the body must be an integer; found an empty string",
        ),
        (
            &json!({"required": ["id"]}),
            "{}",
            "the required property \"id\" is missing in the body; found an empty object",
        ),
        (
            &json!({"properties": {"order": {"required": ["id"]}}}),
            r#"{"order": {"x": 1}}"#,
            "the required property \"id\" is missing in property \"order\"; found an object of 1 property",
        ),
        (
            &json!({"propertyNames": {"maxLength": 3}}),
            r#"{"colour": 1}"#,
            "the property name \"colour\" of the body is not allowed: it must have at most 3 characters",
        ),
        (
            &json!({"properties": {"a": {}}, "unevaluatedProperties": false}),
            r#"{"colour": 1}"#,
            "property \"colour\" of the body is allowed by no part of the schema, and unevaluatedProperties is false; found an integer",
        ),
    ] {
        assert_eq!(body_messages(schema, body), [message]);
    }
}

#[test]
fn additional_properties_false_beside_all_of_explains_itself() {
    let explained = "property \"b\" of the body is not declared, and additionalProperties is false; found an integer; additionalProperties: false sees only the properties declared beside it, not those of other schemas in allOf, oneOf, anyOf or $ref";
    let other = json!({"properties": {"b": {}}});
    let closed = json!({"properties": {"a": {}}, "additionalProperties": false});
    let beside = json!({"allOf": [other], "properties": {"a": {}}, "additionalProperties": false});
    let inside = json!({"allOf": [other, closed]});
    for schema in [beside, inside] {
        assert_eq!(body_messages(&schema, r#"{"b": 1}"#), [explained]);
    }
    assert!(!body_messages(&closed, r#"{"b": 1}"#)[0].contains("sees only"));
}

#[test]
fn branches_and_items_of_streams_are_named() {
    let schema = json!({"oneOf": [{"type": "string"}, {"type": "object", "required": ["a"]}]});
    assert_eq!(
        body_messages(&schema, "{}"),
        [
            "the body must conform to one branch of oneOf; found an empty object; branch 1 comes closest",
            "the required property \"a\" is missing in the body; found an empty object",
        ]
    );
    let stream = json!({"application/x-ndjson": {"schema": {"required": ["a"], "type": "object"}}});
    let contract = compile(&posting(&stream));
    let request = head("POST", "/a", &[("content-type", "application/x-ndjson")]);
    let all = request_messages(&contract, &request, "{\"a\": 1}\n[1]\n{\n");
    assert_eq!(
        shown(&all),
        [
            "request.body.schema: item 1 of the body must be an object; found an array of 1 item at /1",
            "request.body.malformed: item 2 of the body is not JSON at /2",
        ]
    );
}

#[test]
fn parts_of_forms_are_named() {
    let schema = json!({"type": "object", "properties": {"photo": {}}});
    let content = json!({"multipart/form-data": {"schema": schema, "encoding": {"photo": {"contentType": "image/png, image/jpeg"}}}});
    let contract = compile(&posting(&content));
    let headers = &[("content-type", "multipart/form-data; boundary=x")];
    let body = "--x\r\nContent-Disposition: form-data; name=\"photo\"\r\nContent-Type: text/plain\r\n\r\nabc\r\n--x--";
    assert_eq!(
        only(&contract, "POST", "/a", headers, body),
        "request.media_type.undocumented: the media type text/plain is not documented for part \"photo\"; the document lists image/png and image/jpeg at /photo"
    );
    let xml = json!({"application/xml": {"schema": {"type": "object", "xml": {"name": "order"}}}});
    let contract = compile(&posting(&xml));
    let headers = &[("content-type", "application/xml")];
    assert_eq!(
        only(&contract, "POST", "/a", headers, "<a/>"),
        "request.body.malformed: the root element of the body must be \"order\""
    );
}
