//! The kinds of faults that documents have, each with a document of its own.

use serde_json::json;

use super::{check, codes, in_file, lints, post, verdicts, with_schema};

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
        ("3.1.0", json!({"minLength": true}), "unenforceable_keyword"),
        ("3.0.3", json!({"maximum": "many"}), "unenforceable_keyword"),
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
