//! Where the versions of the specification differ, and what an operator may choose.

use serde_json::{Value, json};

use super::{Headers, codes, validate};
use crate::contract::{CompileOptions, Contract};
use crate::model::rule::{Rule, Strictness};
use crate::model::verdict::SkipReason;

fn contract(document: &Value, options: &CompileOptions<'_>) -> Contract {
    Contract::compile(document.to_string().as_bytes(), options).unwrap()
}

/// A document of one operation with one query parameter.
fn asking(version: &str, parameter: &Value, options: &CompileOptions<'_>) -> Contract {
    let document = json!({
        "openapi": version, "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": {"parameters": [parameter], "responses": {"200": {"description": ""}}}}}
    });
    contract(&document, options)
}

fn sent_empty(version: &str, schema: &Value, said: Option<bool>) -> Vec<String> {
    let mut parameter = json!({"name": "q", "in": "query", "schema": schema});
    if let Some(said) = said {
        parameter["allowEmptyValue"] = json!(said);
    }
    let strict = CompileOptions::default().with_rule(Rule::EmptyValues, Strictness::Strict);
    let contract = asking(version, &parameter, &strict);
    codes(&contract, "GET", "/a?q=", &[], "")
}

#[test]
fn a_query_parameter_without_a_value_follows_the_openapi_version() {
    let text = || json!({"type": "string"});
    let refused = ["request.query.malformed"];
    assert_eq!(sent_empty("3.0.3", &text(), None), refused);
    assert_eq!(sent_empty("3.1.0", &text(), None), refused);
    assert_eq!(sent_empty("3.0.4", &text(), None), [""; 0]);
    assert_eq!(sent_empty("3.0.4", &text(), Some(false)), refused);
    assert_eq!(sent_empty("3.0.3", &json!({"type": "integer"}), Some(true)), [""; 0]);
    assert_eq!(sent_empty("3.0.4", &json!({"type": "integer"}), None), ["request.query.schema"]);
    // What the document lists among its values is allowed.
    assert_eq!(sent_empty("3.0.3", &json!({"type": "string", "enum": ["", "x"]}), None), [""; 0]);
    assert_eq!(sent_empty("3.0.3", &json!({"type": "integer", "nullable": true}), None), [""; 0]);
    assert_eq!(sent_empty("3.0.3", &json!({"type": "array", "items": {}}), None), [""; 0]);
    let text =
        json!({"name": "q", "in": "query", "allowEmptyValue": false, "schema": {"type": "string"}});
    let integer = json!({"name": "q", "in": "query", "schema": {"type": "integer"}});
    let lenient = CompileOptions::default();
    let lenient = |parameter| asking("3.0.3", parameter, &lenient);
    assert_eq!(codes(&lenient(&text), "GET", "/a?q=", &[], ""), [""; 0]);
    assert_eq!(codes(&lenient(&integer), "GET", "/a?q=", &[], ""), ["request.query.schema"]);
}

#[test]
fn swagger_2_0_validates_headers_that_openapi_3_ignores() {
    let document = json!({
        "swagger": "2.0", "info": {"title": "t", "version": "1"},
        "paths": {"/a": {"get": {
            "parameters": [{"name": "Authorization", "in": "header", "type": "string", "required": true}],
            "responses": {"200": {"description": ""}}
        }}}
    });
    let contract = contract(&document, &CompileOptions::default());
    assert_eq!(codes(&contract, "GET", "/a", &[], ""), ["request.header.missing"]);
    let sent: Headers<'_> = &[("authorization", "Basic dTpw")];
    assert_eq!(codes(&contract, "GET", "/a", sent, ""), [""; 0]);
}

#[test]
fn form_fields_of_swagger_2_0_may_be_empty_where_they_are_allowed_to() {
    let form = |field: Value| {
        let document = json!({
            "swagger": "2.0", "info": {"title": "t", "version": "1"},
            "paths": {"/a": {"post": {
                "consumes": ["application/x-www-form-urlencoded"], "parameters": [field],
                "responses": {"200": {"description": ""}}
            }}}
        });
        let contract = contract(&document, &CompileOptions::default());
        let form: Headers<'_> = &[("content-type", "application/x-www-form-urlencoded")];
        move |body: &str| codes(&contract, "POST", "/a", form, body)
    };
    let allowed =
        form(json!({"name": "n", "in": "formData", "type": "integer", "allowEmptyValue": true}));
    assert_eq!(allowed("n="), [""; 0]);
    assert_eq!(allowed("n=5"), [""; 0]);
    assert!(!allowed("n=x").is_empty());
    let refused =
        form(json!({"name": "n", "in": "formData", "type": "string", "allowEmptyValue": false}));
    assert_eq!(refused("n="), ["request.body.schema"]);
    let unsaid = form(json!({"name": "n", "in": "formData", "type": "string"}));
    assert_eq!(unsaid("n="), [""; 0]);
}

#[test]
fn a_free_form_object_takes_every_unassigned_key() {
    let parameter = json!({
        "name": "filter", "in": "query", "required": true,
        "schema": {"type": "object", "minProperties": 2}
    });
    let contract = asking("3.0.3", &parameter, &CompileOptions::default());
    assert_eq!(codes(&contract, "GET", "/a?x=1&y=2", &[], ""), [""; 0]);
    assert_eq!(codes(&contract, "GET", "/a?x=1", &[], ""), ["request.query.schema"]);
}

#[test]
fn a_parameter_of_an_unsupported_media_type_is_skipped() {
    let parameter = json!({
        "name": "q", "in": "query",
        "content": {"application/xml": {"schema": {"type": "object"}}}
    });
    let contract = asking("3.0.3", &parameter, &CompileOptions::default());
    let validated = validate(&contract, &super::head("GET", "/a?q=%3Ca/%3E", &[]), b"");
    assert_eq!(validated, (vec![], vec![SkipReason::UnsupportedMediaType]));
}

#[test]
fn a_document_may_be_written_in_an_older_draft() {
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "jsonSchemaDialect": "http://json-schema.org/draft-07/schema#",
        "paths": {"/a": {"post": {
            "requestBody": {"content": {"application/json": {"schema": {
                "items": [{"type": "integer"}], "additionalItems": false, "dependencies": {"a": ["b"]}
            }}}},
            "responses": {"200": {"description": ""}}
        }}}
    });
    let contract = contract(&document, &CompileOptions::default());
    for (body, valid) in [("[1]", true), ("[1, 2]", false), ("{\"a\": 1}", false)] {
        let found = codes(&contract, "POST", "/a", super::JSON, body);
        assert_eq!(found.is_empty(), valid, "{body} {found:?}");
    }
}

#[test]
fn trailing_slashes_and_formats_are_configurable() {
    let options = CompileOptions {
        formats_off: ["uuid".to_owned()].into(),
        ..CompileOptions::default().with_rule(Rule::TrailingSlash, Strictness::Lenient)
    };
    let parameter =
        json!({"name": "q", "in": "query", "schema": {"type": "string", "format": "uuid"}});
    let contract = asking("3.1.1", &parameter, &options);
    assert_eq!(codes(&contract, "GET", "/a/?q=nothing", &[], ""), [""; 0]);
    let exact = asking("3.1.1", &parameter, &CompileOptions::default());
    assert_eq!(codes(&exact, "GET", "/a/", &[], ""), ["request.path.undocumented"]);
    assert_eq!(codes(&exact, "GET", "/a?q=nothing", &[], ""), ["request.query.schema"]);
}
