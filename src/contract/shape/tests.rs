use serde_json::{Value, json};

use super::{ShapeBuilder, Types};
use crate::contract::{CompileOptions, Document};

fn document(version: &str, schemas: &Value) -> Document {
    let text = json!({
        "openapi": version, "info": {"title": "t", "version": "1"}, "paths": {},
        "components": {"schemas": schemas}
    })
    .to_string();
    Document::read(text.as_bytes(), &CompileOptions::default()).unwrap()
}

fn types(version: &str, schema: &Value) -> Types {
    let document = document(
        version,
        &json!({
            "A": schema, "Text": {"type": "string"}, "Loop": {"allOf": [{"$ref": "#/components/schemas/Loop"}]}
        }),
    );
    let mut builder = ShapeBuilder::new(&document);
    let id = builder.shape("/components/schemas/A");
    builder.shapes().get(id).types()
}

#[test]
fn types_come_through_every_composition() {
    let reference = json!({"$ref": "#/components/schemas/Text"});
    for (schema, expected) in [
        (json!({}), Types::ANY),
        (json!({"type": "integer"}), Types::INTEGER),
        (json!({"type": "integer", "nullable": true}), Types::INTEGER | Types::NULL),
        (reference.clone(), Types::STRING),
        (json!({"allOf": [reference, {"type": "string", "minLength": 1}]}), Types::STRING),
        (json!({"allOf": [{"type": "number"}, {"type": "integer"}]}), Types::INTEGER),
        (json!({"oneOf": [{"type": "boolean"}, reference]}), Types::BOOLEAN | Types::STRING),
        (json!({"anyOf": [{"type": "boolean"}, {}]}), Types::ANY),
        (json!({"enum": ["a", 1]}), Types::STRING | Types::INTEGER),
        (json!({"$ref": "#/components/schemas/Loop"}), Types::ANY),
        (json!({"properties": {}}), Types::OBJECT),
    ] {
        assert_eq!(types("3.0.3", &schema), expected, "{schema}");
    }
    assert_eq!(types("3.1.0", &json!({"type": ["array", "null"]})), Types::ARRAY | Types::NULL);
    assert_eq!(types("3.1.0", &json!({"const": 1.5})), Types::NUMBER);
}

#[test]
fn properties_come_from_all_branches() {
    let document = document(
        "3.1.0",
        &json!({
            "A": {
                "allOf": [{"properties": {"a": {"type": "integer"}}}, {"$ref": "#/components/schemas/B"}],
                "oneOf": [{"properties": {"c": {"type": "boolean"}}}, {"properties": {"c": {"type": "null"}}}],
                "patternProperties": {"^x-": {"type": "string"}}
            },
            "B": {"properties": {"self": {"$ref": "#/components/schemas/A"}, "b": {"type": "array", "items": {"type": "string"}}},
                  "xml": {"name": "bee", "wrapped": true}}
        }),
    );
    let mut builder = ShapeBuilder::new(&document);
    let id = builder.shape("/components/schemas/A");
    let shape = builder.shapes().get(id);
    assert_eq!(shape.property("a").unwrap().types(), Types::INTEGER);
    assert_eq!(shape.property("c").unwrap().types(), Types::BOOLEAN | Types::NULL);
    assert_eq!(shape.property("b").unwrap().item(3).unwrap().types(), Types::STRING);
    assert_eq!(shape.property("x-1").unwrap().types(), Types::STRING);
    assert!(shape.property("z").is_none() && !shape.declares("z") && shape.declares("x-2"));
    let again = shape.property("self").unwrap().property("self").unwrap();
    assert_eq!(again.property("a").unwrap().types(), Types::INTEGER);
    assert_eq!(shape.xml().unwrap().name.as_deref(), Some("bee"));
    let names: Vec<_> = shape.properties().map(|(name, _)| name).collect();
    assert_eq!(names, ["a", "b", "c", "self"]);
}
