//! Whole messages: for each kind of violation of a head, an exchange and what is said about it.

use super::*;
use crate::model::violation::Violation;

pub(super) fn shown(violations: &[Violation]) -> Vec<String> {
    violations.iter().map(Violation::to_sentence).collect()
}

pub(super) fn request_messages(
    contract: &Contract,
    request: &RequestHead,
    body: &str,
) -> Vec<Violation> {
    let body = captured(body.as_bytes());
    Validator::default().validate_request(contract, request, &body).verdict.violations
}

pub(super) fn only(
    contract: &Contract,
    method: &str,
    target: &str,
    headers: Headers<'_>,
    body: &str,
) -> String {
    let found = shown(&request_messages(contract, &head(method, target, headers), body));
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap_or_default()
}

fn response_message(contract: &Contract, status: u16, headers: Headers<'_>, body: &str) -> String {
    let request = head("GET", "/orders/17", &[]);
    let response = ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers: header_map(headers),
    };
    let body = captured(body.as_bytes());
    let verdicts = Validator::default().validate_exchange(
        contract,
        &request,
        &CapturedBody::default(),
        Some((&response, &body)),
    );
    let found = shown(&verdicts.response.unwrap().violations);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap_or_default()
}

/// An API under a base path with a parameter of each kind.
fn orders() -> Contract {
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "servers": [{"url": "https://api.example/v1"}],
        "paths": {
            "/orders/{id}": {"get": {
                "parameters": [
                    {"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}},
                    {"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}},
                    {"name": "tags", "in": "query", "style": "form", "explode": false,
                     "schema": {"type": "array", "items": {"enum": ["new", "paid"]}, "maxItems": 2}},
                    {"name": "filter", "in": "query", "style": "deepObject",
                     "schema": {"type": "object", "properties": {"since": {"type": "string", "format": "date"}}}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string", "pattern": "^[a-f]{4}$"}},
                    {"name": "theme", "in": "cookie", "schema": {"enum": ["dark"]}}
                ],
                "responses": {"200": {"description": "", "content": {"application/json": {"schema": {}}}},
                              "4XX": {"description": ""}}
            }, "put": {
                "parameters": [{"name": "id", "in": "path", "required": true, "schema": {}},
                               {"name": "reason", "in": "query", "required": true, "schema": {}}],
                "security": [{"key": []}],
                "requestBody": {"required": true, "content": {"application/json": {"schema": {"type": "object"}}}},
                "responses": {}
            }},
            "/customers": {"get": {"responses": {}}}
        },
        "components": {"securitySchemes": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}}}
    });
    Contract::compile(document.to_string().as_bytes(), &strict()).unwrap()
}

#[test]
fn an_undocumented_path_is_folded_and_names_the_nearest_and_the_base() {
    let contract = orders();
    for (target, message, found) in [
        (
            "/v1/orders/17/refund?a=b",
            "the document lists no path /v1/orders/{id}/refund; the nearest documented path is /v1/orders/{id}",
            "/v1/orders/{id}/refund",
        ),
        (
            "/orders/17",
            "the document lists no path /orders/{id}; the nearest documented path is /v1/orders/{id}; documented paths begin with /v1",
            "/orders/{id}",
        ),
        (
            "/wp-login.php",
            "the document lists no path /wp-login.php; documented paths begin with /v1",
            "/wp-login.php",
        ),
        (
            "/v1/costumers",
            "the document lists no path /v1/costumers; the nearest documented path is /v1/customers",
            "/v1/costumers",
        ),
        (
            "/v1/reset/ghp_abcdefghijklmnopqrst/bob@corp.com",
            "the document lists no path /v1/reset/{id}/{id}",
            "/v1/reset/{id}/{id}",
        ),
    ] {
        let all = request_messages(&contract, &head("GET", target, &[]), "");
        let one = &all[0];
        assert_eq!((one.message.as_str(), one.found.as_str()), (message, found));
        assert_eq!((all.len(), one.code.as_str()), (1, "request.path.undocumented"));
    }
}

#[test]
fn an_undocumented_method_status_or_media_type_is_named() {
    let contract = orders();
    let all = request_messages(&contract, &head("DELETE", "/v1/orders/1", &[]), "");
    assert_eq!(
        (all[0].to_sentence().as_str(), all[0].found.as_str()),
        (
            "request.method.undocumented: the method DELETE is not documented for /orders/{id}, which has GET and PUT",
            "DELETE"
        )
    );
    let all = request_messages(&contract, &head("SK4711081542", "/v1/orders/1", &[]), "");
    assert_eq!(
        (all[0].message.as_str(), all[0].found.as_str()),
        ("the method is not documented for /orders/{id}, which has GET and PUT", "")
    );
    let headers = &[("x-key", "k"), ("content-type", "Text/HTML; charset=utf-8")];
    let all = request_messages(&contract, &head("PUT", "/v1/orders/1?reason=x", headers), "<p>");
    assert_eq!(
        (all[0].to_sentence().as_str(), all[0].found.as_str()),
        (
            "request.media_type.undocumented: the media type text/html is not documented for the body; the document lists application/json",
            "text/html"
        )
    );
}

#[test]
fn responses_name_status_and_media_type() {
    let paths = json!({"/orders/{id}": {"get": {
        "parameters": [{"name": "id", "in": "path", "required": true, "schema": {}}],
        "responses": {
            "200": {"description": "", "content": {"application/json": {"schema": {"type": "object"}}},
                    "headers": {"X-Total": {"required": true, "schema": {"type": "integer"}}}},
            "404": {"description": ""}}}}});
    let contract = compile(&paths);
    let total = ("x-total", "1");
    for (status, headers, body, message) in [
        (
            418,
            &[][..],
            "",
            "response.status.undocumented: the status 418 is not documented for GET /orders/{id}, which lists 200 and 404",
        ),
        (
            200,
            &[total],
            "",
            "response.body.missing: the response with status 200 has no body; the document lists application/json",
        ),
        (
            200,
            &[total, ("content-type", "text/html")],
            "<p>",
            "response.media_type.undocumented: the media type text/html is not documented for the body; the document lists application/json",
        ),
        (
            200,
            &[total, ("content-type", "html")],
            "<p>",
            "response.media_type.malformed: header \"Content-Type\" of 4 bytes is no media type; the document lists application/json",
        ),
        (
            200,
            &[total],
            "<p>",
            "response.media_type.missing: the body has no Content-Type and is not JSON",
        ),
        (
            200,
            &[JSON[0]],
            "{}",
            "response.header.missing: header \"X-Total\" is required and is not there",
        ),
        (
            200,
            &[JSON[0], ("x-total", "many")],
            "{}",
            "response.header.schema: header \"X-Total\" must be an integer; found a string of 4 characters",
        ),
        (
            200,
            &[JSON[0], total],
            "[1]",
            "response.body.schema: the body must be an object; found an array of 1 item",
        ),
    ] {
        assert_eq!(response_message(&contract, status, headers, body), message);
    }
}

#[test]
fn parameters_are_named_with_what_was_sent_for_them() {
    let contract = orders();
    for (target, headers, message) in [
        (
            "/v1/orders/abc",
            &[][..],
            "request.path.schema: path parameter \"id\" must be an integer; found a string of 3 characters",
        ),
        (
            "/v1/orders/1?limit=250",
            &[],
            "request.query.schema: query parameter \"limit\" must be at most 100; found an integer",
        ),
        (
            "/v1/orders/1?tags=new,lost",
            &[],
            "request.query.schema: item 1 of query parameter \"tags\" must be one of \"new\", \"paid\"; found a string of 4 characters at /1",
        ),
        (
            "/v1/orders/1?tags=new,paid,new",
            &[],
            "request.query.schema: query parameter \"tags\" must have at most 2 items; found an array of 3 items",
        ),
        (
            "/v1/orders/1?filter%5Bsince%5D=2024-05-31T10:00:00Z",
            &[],
            "request.query.schema: property \"since\" of query parameter \"filter\" must be of the format \"date\" (as 2024-05-31); found a string of 20 characters, which has a time, and a date has none at /since",
        ),
        (
            "/v1/orders/1?limit=1&limit=2",
            &[],
            "request.query.malformed: query parameter \"limit\" is sent more than once, which the document does not allow",
        ),
        (
            "/v1/orders/1?limit=%ff",
            &[],
            "request.query.malformed: query parameter \"limit\" is not UTF-8 text",
        ),
        (
            "/v1/orders/1",
            &[("x-trace", "xyz")],
            "request.header.schema: header \"X-Trace\" must match the pattern ^[a-f]{4}$; found a string of 3 characters",
        ),
        (
            "/v1/orders/1",
            &[("cookie", "theme=light")],
            "request.cookie.schema: cookie \"theme\" must be \"dark\"; found a string of 5 characters",
        ),
        (
            "/v1/orders/1?colour=red",
            &[],
            "request.query.undeclared: query parameter \"colour\" is sent and not declared in the document at /*",
        ),
        (
            "/v1/orders/1?colour=red&bob@corp.com=1&session_token=2",
            &[],
            "request.query.undeclared: query parameters \"colour\" and 2 more are sent and not declared in the document at /*",
        ),
        (
            "/v1/orders/1",
            &[("x-tenant", "acme")],
            "request.header.undeclared: header \"x-tenant\" is sent and not declared in the document at /*",
        ),
        (
            "/v1/orders/1",
            &[("cookie", "sid4711081542=1")],
            "request.cookie.undeclared: a cookie, whose name is not shown, is sent and not declared in the document at /*",
        ),
    ] {
        assert_eq!(only(&contract, "GET", target, headers, ""), message);
    }
}

#[test]
fn what_a_request_lacks_is_named() {
    let contract = orders();
    let (key, reason) = (("x-key", "k"), "/v1/orders/1?reason=x");
    for (target, headers, body, message) in [
        (
            "/v1/orders/1",
            &[key, JSON[0]][..],
            "{}",
            "request.query.missing: query parameter \"reason\" is required and is not there",
        ),
        (
            reason,
            &[key, JSON[0]],
            "",
            "request.body.missing: the body is required and is not there; the document lists application/json",
        ),
        (
            reason,
            &[JSON[0]],
            "{}",
            "request.security.missing: credential \"key\" is missing; it is sent as header \"X-Key\"",
        ),
        (
            reason,
            &[("x-key", ""), JSON[0]],
            "{}",
            "request.security.malformed: credential \"key\" is malformed or empty; it is sent as header \"X-Key\"",
        ),
        (
            reason,
            &[key, JSON[0]],
            "{\"a\": ",
            "request.body.malformed: the body is not JSON: the text ends too early, expected a value at byte 6",
        ),
    ] {
        assert_eq!(only(&contract, "PUT", target, headers, body), message);
    }
}
