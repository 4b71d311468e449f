use serde_json::{Value, json};

use crate::contract::{CompileOptions, Document};

fn read(document: &Value) -> Document {
    let text = serde_json::to_string_pretty(document).unwrap();
    Document::read(text.as_bytes(), &CompileOptions::default()).unwrap()
}

fn petstore() -> Value {
    json!({
        "swagger": "2.0",
        "info": {"title": "t", "version": "1"},
        "host": "h.example", "basePath": "/v1", "schemes": ["http", "https"],
        "consumes": ["application/json"], "produces": ["application/json", "application/xml"],
        "securityDefinitions": {
            "b": {"type": "basic"},
            "o": {"type": "oauth2", "flow": "accessCode", "authorizationUrl": "https://h/a",
                  "tokenUrl": "https://h/t", "scopes": {"r": "read"}}
        },
        "parameters": {"limit": {"name": "limit", "in": "query", "type": "integer", "maximum": 5}},
        "responses": {"Bad": {"description": "bad", "schema": {"$ref": "#/definitions/E"}}},
        "definitions": {"E": {"type": "object"}},
        "paths": {
            "/pets": {
                "parameters": [
                    {"$ref": "#/parameters/limit"},
                    {"name": "ids", "in": "query", "type": "array", "items": {"type": "integer"},
                     "collectionFormat": "tsv"}
                ],
                "get": {
                    "parameters": [{"name": "ids", "in": "query", "type": "string"}],
                    "responses": {
                        "200": {"description": "ok", "headers": {
                            "X-A": {"type": "array", "items": {"type": "string"}, "collectionFormat": "pipes"}}},
                        "400": {"$ref": "#/responses/Bad"}
                    }
                },
                "put": {
                    "parameters": [{"name": "pet", "in": "body", "required": true,
                                    "schema": {"$ref": "#/definitions/E"}}],
                    "responses": {"204": {"description": "none"}}
                },
                "post": {
                    "consumes": ["multipart/form-data"],
                    "parameters": [
                        {"name": "f", "in": "formData", "type": "file", "required": true},
                        {"name": "tags", "in": "formData", "type": "array",
                         "items": {"type": "string"}, "collectionFormat": "multi"}
                    ],
                    "responses": {"default": {"description": "any"}}
                }
            }
        }
    })
}

#[test]
fn parameters_bodies_and_forms_are_upgraded() {
    let document = read(&petstore());
    let root = document.root();
    assert_eq!(root["servers"][1]["url"], "https://h.example/v1");
    let get = &root["paths"]["/pets"]["get"];
    assert_eq!(get["parameters"][0]["schema"], json!({"type": "integer", "maximum": 5}));
    assert_eq!(get["parameters"].as_array().unwrap().len(), 2);
    assert_eq!(get["parameters"][1]["schema"], json!({"type": "string"}));
    let header = &get["responses"]["200"]["headers"]["X-A"];
    assert_eq!(header["x-cvt-collection-format"], "pipes");
    assert_eq!(header["style"], "simple");
    let bad = &get["responses"]["400"]["content"];
    assert_eq!(bad["application/xml"]["schema"], json!({"$ref": "#/definitions/E"}));
    let put = &root["paths"]["/pets"]["put"];
    assert_eq!(put["requestBody"]["required"], true);
    assert_eq!(put["parameters"][1]["x-cvt-collection-format"], "tsv");
    let form = &root["paths"]["/pets"]["post"]["requestBody"]["content"]["multipart/form-data"];
    assert_eq!(form["schema"]["required"], json!(["f"]));
    assert_eq!(form["schema"]["properties"]["f"], json!({"type": "string", "format": "binary"}));
    assert_eq!(form["encoding"]["tags"]["explode"], true);
    let schemes = &root["components"]["securitySchemes"];
    assert_eq!(schemes["b"], json!({"type": "http", "scheme": "basic"}));
    assert_eq!(schemes["o"]["flows"]["authorizationCode"]["scopes"]["r"], "read");
}

#[test]
fn upgraded_parts_keep_their_original_position() {
    let document = read(&petstore());
    for (upgraded, original) in [
        ("/paths/~1pets/get/parameters/0/schema/maximum", "/parameters/limit/maximum"),
        ("/paths/~1pets/get/parameters/1/schema/type", "/paths/~1pets/get/parameters/0/type"),
        (
            "/paths/~1pets/put/parameters/1/schema/items/type",
            "/paths/~1pets/parameters/1/items/type",
        ),
        (
            "/paths/~1pets/put/requestBody/content/application~1json/schema",
            "/paths/~1pets/put/parameters/0/schema",
        ),
        (
            "/paths/~1pets/get/responses/400/content/application~1xml/schema",
            "/responses/Bad/schema",
        ),
        (
            "/paths/~1pets/get/responses/200/headers/X-A/schema/items",
            "/paths/~1pets/get/responses/200/headers/X-A/items",
        ),
        (
            "/paths/~1pets/post/requestBody/content/multipart~1form-data/schema/properties/tags/items",
            "/paths/~1pets/post/parameters/1/items",
        ),
        ("/definitions/E/type", "/definitions/E/type"),
    ] {
        let origin = document.origin(upgraded);
        assert_eq!(&*origin.pointer, original);
        assert!(origin.position.is_some(), "{upgraded}");
    }
}
