//! Whole exchanges through the validator, and the traps of other validators.

mod bodies;
mod body_messages;
mod choices;
mod hostile_names;
mod messages;

use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ExchangeVerdicts, Validator, ValidatorOptions};
use crate::contract::{CompileOptions, Contract};
use crate::model::exchange::{BodyEnd, CapturedBody, RequestHead, ResponseHead};
use crate::model::rule::{Rule, Strictness};
use crate::model::verdict::SkipReason;

type Headers<'h> = &'h [(&'h str, &'h str)];

fn compile(paths: &Value) -> Contract {
    compile_with(paths, &CompileOptions::default())
}

fn compile_with(paths: &Value, options: &CompileOptions<'_>) -> Contract {
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": paths,
        "components": {"securitySchemes": {
            "key": {"type": "apiKey", "in": "header", "name": "X-Key"},
            "jwt": {"type": "http", "scheme": "bearer"},
            "tls": {"type": "mutualTLS"}
        }}
    });
    Contract::compile(document.to_string().as_bytes(), options).unwrap()
}

fn strict() -> CompileOptions<'static> {
    CompileOptions::default().with_rule(Rule::UndeclaredFields, Strictness::Strict)
}

fn header_map(headers: Headers<'_>) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

fn head(method: &str, target: &str, headers: Headers<'_>) -> RequestHead {
    RequestHead {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: target.parse().unwrap(),
        version: Version::HTTP_11,
        headers: header_map(headers),
    }
}

fn captured(body: &[u8]) -> CapturedBody {
    if body.is_empty() {
        CapturedBody::default()
    } else {
        CapturedBody::complete(&Bytes::copy_from_slice(body))
    }
}

fn validate(
    contract: &Contract,
    request: &RequestHead,
    body: &[u8],
) -> (Vec<String>, Vec<SkipReason>) {
    let validated = Validator::default().validate_request(contract, request, &captured(body));
    codes_and_skips(&validated.verdict)
}

fn codes_and_skips(verdict: &crate::model::verdict::Verdict) -> (Vec<String>, Vec<SkipReason>) {
    let codes = verdict.violations.iter().map(|one| one.code.as_str().to_owned()).collect();
    (codes, verdict.skipped.to_vec())
}

fn codes(
    contract: &Contract,
    method: &str,
    target: &str,
    headers: Headers<'_>,
    body: &str,
) -> Vec<String> {
    validate(contract, &head(method, target, headers), body.as_bytes()).0
}

fn response(
    contract: &Contract,
    method: &str,
    status: u16,
    headers: Headers<'_>,
    body: &str,
) -> Vec<String> {
    let request = head(method, "/a", &[]);
    let response = ResponseHead {
        status: StatusCode::from_u16(status).unwrap(),
        headers: header_map(headers),
    };
    let body = captured(body.as_bytes());
    let ExchangeVerdicts { response, .. } = Validator::default().validate_exchange(
        contract,
        &request,
        &CapturedBody::default(),
        Some((&response, &body)),
    );
    codes_and_skips(&response.unwrap()).0
}

fn posting(content: &Value) -> Value {
    json!({"/a": {"post": {"requestBody": {"required": true, "content": content}, "responses": {"default": {"description": ""}}}}})
}

const JSON: Headers<'_> = &[("content-type", "application/json")];

#[test]
fn unknown_paths_methods_and_preflights_are_distinguished() {
    let contract =
        compile(&json!({"/a": {"get": {"responses": {"default": {"description": ""}}}}}));
    assert_eq!(codes(&contract, "GET", "/b", &[], ""), ["request.path.undocumented"]);
    assert_eq!(codes(&contract, "PUT", "/a", &[], ""), ["request.method.undocumented"]);
    let cors: Headers<'_> = &[("origin", "http://x"), ("access-control-request-method", "PUT")];
    let preflight = validate(&contract, &head("OPTIONS", "/a", cors), b"");
    assert_eq!(preflight, (vec![], vec![SkipReason::Preflight]));
    assert_eq!(codes(&contract, "OPTIONS", "/a", &[], ""), ["request.method.undocumented"]);
}

#[test]
fn trap_t10_digits_under_a_string_schema_stay_a_string() {
    let parameter = |schema: Value| {
        compile(&json!({"/a/{x}": {
            "parameters": [{"name": "x", "in": "path", "required": true, "schema": schema}],
            "get": {"responses": {"default": {"description": ""}}}
        }}))
    };
    let string = parameter(json!({"type": "string", "maxLength": 3}));
    assert_eq!(codes(&string, "GET", "/a/123", &[], ""), [""; 0]);
    assert_eq!(codes(&string, "GET", "/a/1234", &[], ""), ["request.path.schema"]);
    let either =
        parameter(json!({"oneOf": [{"type": "integer"}, {"type": "string", "pattern": "^x"}]}));
    assert_eq!(codes(&either, "GET", "/a/12", &[], ""), [""; 0]);
    assert_eq!(codes(&either, "GET", "/a/x12", &[], ""), [""; 0]);
    assert!(codes(&either, "GET", "/a/y12", &[], "").contains(&"request.path.schema".into()));
    let digits = parameter(
        json!({"anyOf": [{"type": "integer", "maximum": 9}, {"type": "string", "minLength": 3}]}),
    );
    assert_eq!(codes(&digits, "GET", "/a/1234", &[], ""), [""; 0]);
    assert!(codes(&digits, "GET", "/a/12", &[], "").contains(&"request.path.schema".into()));
}

#[test]
fn lists_with_encoded_commas_are_split() {
    let contract = compile(
        &json!({"/a": {"get": {"responses": {"default": {"description": ""}}, "parameters": [
            {"name": "ids", "in": "query", "explode": false,
             "schema": {"type": "array", "items": {"type": "integer"}}}
        ]}}}),
    );
    assert_eq!(codes(&contract, "GET", "/a?ids=1,2", &[], ""), [""; 0]);
    assert_eq!(codes(&contract, "GET", "/a?ids=1%2C2", &[], ""), [""; 0]);
    assert_eq!(codes(&contract, "GET", "/a?ids=1%2Cx", &[], ""), ["request.query.schema"]);
    assert_eq!(codes(&contract, "GET", "/a?ids=1&ids=2", &[], ""), ["request.query.malformed"]);
}

#[test]
fn trap_t11_undeclared_fields_respect_every_form_of_declaration() {
    let paths = json!({"/a": {"post": {
        "parameters": [
            {"name": "f", "in": "query", "style": "deepObject",
             "schema": {"type": "object", "properties": {"x": {}}}},
            {"name": "page", "in": "query",
             "schema": {"type": "object", "properties": {"size": {"type": "integer"}}}}
        ],
        "requestBody": {"content": {"application/json": {"schema": {
            "allOf": [
                {"properties": {"a": {"type": "object", "properties": {"b": {}}}}},
                {"oneOf": [{"required": ["c"], "properties": {"c": {}}}, {"required": ["d"], "properties": {"d": {}}}]}
            ],
            "patternProperties": {"^x-": {}}
        }}}},
        "responses": {"default": {"description": ""}}
    }}});
    let lax = compile(&paths);
    let strict = compile_with(&paths, &strict());
    let url = "/a?f%5Bx%5D=1&size=3";
    let declared = r#"{"a": {"b": 1}, "c": 1, "x-y": 1}"#;
    assert_eq!(codes(&strict, "POST", url, JSON, declared), [""; 0]);
    let other = r#"{"a": {"z": 1}, "c": 1, "w": 1}"#;
    assert_eq!(codes(&lax, "POST", "/a?q=1", JSON, other), [""; 0]);
    let expected =
        ["request.query.undeclared", "request.body.undeclared", "request.body.undeclared"];
    assert_eq!(codes(&strict, "POST", "/a?q=1", JSON, other), expected);
    let cookies: Headers<'_> = &[("cookie", "s=1"), ("x-other", "1"), ("user-agent", "u")];
    let expected = ["request.cookie.undeclared", "request.header.undeclared"];
    assert_eq!(codes(&strict, "POST", "/a", cookies, ""), expected);
}

#[test]
fn trap_t12_compressed_bodies_are_validated_decoded_and_bombs_are_skipped() {
    let contract = compile(&posting(&json!({"application/json": {"schema": {"type": "array"}}})));
    let gzipped: Headers<'_> =
        &[("content-type", "application/json"), ("content-encoding", "gzip")];
    let request = head("POST", "/a", gzipped);
    let pack = |body: &[u8]| {
        let mut out = Vec::new();
        let level = flate2::Compression::best();
        std::io::Read::read_to_end(&mut flate2::read::GzEncoder::new(body, level), &mut out)
            .unwrap();
        out
    };
    assert_eq!(validate(&contract, &request, &pack(b"[1]")), (vec![], vec![]));
    assert_eq!(validate(&contract, &request, &pack(b"{}")).0, ["request.body.schema"]);
    assert_eq!(validate(&contract, &request, b"[1]").0, ["request.body.malformed"]);
    let bomb = pack(&vec![b' '; 9 << 20]);
    assert_eq!(validate(&contract, &request, &bomb), (vec![], vec![SkipReason::DecodedOverLimit]));
    let unknown: Headers<'_> = &[("content-type", "application/json"), ("content-encoding", "x")];
    let skipped = (vec![], vec![SkipReason::UnknownContentEncoding]);
    assert_eq!(validate(&contract, &head("POST", "/a", unknown), b"[1]"), skipped);
}

#[test]
fn trap_t14_content_types_missing_wrong_and_in_ranges() {
    let schema = json!({"schema": {"type": "integer"}});
    let one = compile(&posting(&json!({"application/json": schema})));
    let typed = |contract: &Contract, content_type: &str, body: &str| {
        codes(contract, "POST", "/a", &[("content-type", content_type)], body)
    };
    assert_eq!(codes(&one, "POST", "/a", &[], "1"), [""; 0]);
    assert_eq!(codes(&one, "POST", "/a", &[], "x"), ["request.media_type.missing"]);
    assert_eq!(codes(&one, "POST", "/a", &[], "\"x\""), ["request.body.schema"]);
    assert_eq!(codes(&one, "POST", "/a", &[], ""), ["request.body.missing"]);
    assert_eq!(typed(&one, "application/json; charset=UTF-8", "1"), [""; 0]);
    assert_eq!(typed(&one, "text/plain", "1"), ["request.media_type.undocumented"]);
    assert_eq!(typed(&one, "nonsense", "1"), ["request.media_type.malformed"]);
    let ranges = compile(&posting(
        &json!({"application/*+json": schema, "text/*": {"schema": {"maxLength": 1}}}),
    ));
    assert_eq!(typed(&ranges, "application/vnd.x+json", "1"), [""; 0]);
    assert_eq!(typed(&ranges, "application/vnd.x+json", "{}"), ["request.body.schema"]);
    assert_eq!(typed(&ranges, "text/csv", "ab"), ["request.body.schema"]);
    assert_eq!(typed(&ranges, "image/png", "ab"), ["request.media_type.undocumented"]);
    let any = compile(&posting(&json!({"*/*": schema})));
    assert_eq!(typed(&any, "application/x+json", "\"\""), ["request.body.schema"]);
    let form = compile(&posting(&json!({"application/x-www-form-urlencoded": {}})));
    assert_eq!(codes(&form, "POST", "/a", &[], "a=1"), ["request.media_type.missing"]);
}

#[test]
fn trap_t15_missing_credentials_do_not_stop_the_other_checks() {
    let operation = |security: Value| {
        compile(&json!({"/a": {"get": {
            "security": security, "responses": {"default": {"description": ""}},
            "parameters": [{"name": "n", "in": "query", "schema": {"type": "integer"}}]
        }}}))
    };
    let both = operation(json!([{"key": [], "jwt": []}]));
    let missing = ["request.security.missing", "request.security.missing", "request.query.schema"];
    assert_eq!(codes(&both, "GET", "/a?n=x", &[], ""), missing);
    let sent: Headers<'_> = &[("x-key", "k"), ("authorization", "Bearer t")];
    assert_eq!(codes(&both, "GET", "/a?n=1", sent, ""), [""; 0]);
    let malformed: Headers<'_> = &[("x-key", "k"), ("authorization", "Bearer")];
    assert_eq!(codes(&both, "GET", "/a", malformed, ""), ["request.security.malformed"]);
    let tls = operation(json!([{"tls": []}]));
    let validated = validate(&tls, &head("GET", "/a?n=x", &[]), b"");
    assert_eq!(validated, (vec!["request.query.schema".into()], vec![SkipReason::Unenforceable]));
    assert_eq!(codes(&operation(json!([{"key": []}, {}])), "GET", "/a", &[], ""), [""; 0]);
    let options = ValidatorOptions { security: false, ..ValidatorOptions::default() };
    let validated =
        Validator::new(options).validate_request(&both, &head("GET", "/a", &[]), &captured(b""));
    assert!(validated.verdict.violations.is_empty());
}

#[test]
fn trap_t18_hostile_sizes_are_bounded() {
    let contract = compile(&json!({"/a": {"post": {
        "parameters": [
            {"name": "a", "in": "query", "style": "deepObject", "schema": {"type": "array", "items": {"type": "integer"}}},
            {"name": "b", "in": "query", "schema": {"type": "array", "items": {"type": "integer"}}},
            {"name": "h", "in": "header", "schema": {"type": "array", "items": {"type": "string"}}}
        ],
        "requestBody": {"content": {"application/json": {"schema": {"type": "array"}}}},
        "responses": {"default": {"description": ""}}
    }}}));
    assert_eq!(codes(&contract, "POST", "/a?a[999999999]=1", &[], ""), [""; 0]);
    let mut request = head("POST", "/a", &[]);
    let keys: Vec<String> = (0..4_000).map(|n| format!("b={n}&k{n}")).collect();
    request.target = format!("/a?{}", keys.join("&")).parse().unwrap();
    assert_eq!(validate(&contract, &request, b""), (vec![], vec![]));
    request.headers.insert("h", HeaderValue::from_str(&"x,".repeat(500_000)).unwrap());
    assert_eq!(validate(&contract, &request, b""), (vec![], vec![]));
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    let validated = validate(&contract, &head("POST", "/a", JSON), deep.as_bytes());
    assert_eq!(validated, (vec![], vec![SkipReason::WorkBudget]));
    let brackets = format!("/a?a{}=1", "[x]".repeat(1_000));
    assert_eq!(validate(&contract, &head("POST", &brackets, &[]), b"").1, [SkipReason::WorkBudget]);
}

#[test]
fn trap_t05_responses_without_a_body() {
    let contract = compile(&json!({"/a": {
        "get": {"responses": {
            "2XX": {"description": "", "content": {"application/json": {"schema": {"type": "integer"}}},
                    "headers": {"X-N": {"required": true, "schema": {"type": "integer"}}}},
            "404": {"description": ""}
        }}
    }}));
    let n: Headers<'_> = &[("x-n", "1"), ("content-type", "application/json")];
    assert_eq!(response(&contract, "GET", 200, n, "1"), [""; 0]);
    assert_eq!(response(&contract, "GET", 200, n, "\"\""), ["response.body.schema"]);
    assert_eq!(response(&contract, "GET", 200, n, ""), ["response.body.missing"]);
    assert_eq!(response(&contract, "HEAD", 200, n, ""), [""; 0]);
    assert_eq!(response(&contract, "GET", 204, n, ""), [""; 0]);
    assert_eq!(response(&contract, "GET", 304, &[], ""), [""; 0]);
    assert_eq!(response(&contract, "GET", 103, &[], ""), [""; 0]);
    assert_eq!(response(&contract, "GET", 404, &[], "anything"), [""; 0]);
    assert_eq!(response(&contract, "GET", 500, &[], ""), ["response.status.undocumented"]);
    assert_eq!(response(&contract, "GET", 204, &[], ""), ["response.header.missing"]);
    let twice: Headers<'_> = &[("x-n", "1"), ("x-n", "2")];
    assert_eq!(response(&contract, "GET", 204, twice, ""), ["response.header.schema"]);
}

#[test]
fn a_head_is_validated_without_a_captured_body() {
    let contract = compile(&json!({"/a": {"post": {
        "parameters": [{"name": "n", "in": "query", "required": true, "schema": {}}],
        "requestBody": {"content": {"application/json": {"schema": {"type": "array"}}}},
        "responses": {"default": {"description": ""}}
    }}}));
    let mut body = CapturedBody::default();
    body.push(&Bytes::from_static(b"{\"a\": 1}"), 3);
    let request = head("POST", "/a", JSON);
    let validated = Validator::default().validate_request(&contract, &request, &body);
    let expected = (vec!["request.query.missing".into()], vec![SkipReason::BodyOverLimit]);
    assert_eq!(codes_and_skips(&validated.verdict), expected);
    let mut body = captured(b"{}");
    body.end = BodyEnd::Reset;
    let validated = Validator::default().validate_request(&contract, &request, &body);
    assert_eq!(validated.verdict.skipped.as_slice(), [SkipReason::BodyIncomplete]);
}

#[test]
fn an_exploded_object_that_needs_nothing_may_be_left_out() {
    let contract = compile(
        &json!({"/a": {"get": {"responses": {"default": {"description": ""}}, "parameters": [
            {"name": "pageable", "in": "query", "required": true, "schema": {"type": "object", "properties": {
                "page": {"type": "integer"}, "sort": {"type": "array", "items": {"type": "string"}}}}}
        ]}}}),
    );
    assert_eq!(codes(&contract, "GET", "/a", &[], ""), [""; 0]);
    assert_eq!(codes(&contract, "GET", "/a?page=1&sort=a,asc&sort=b", &[], ""), [""; 0]);
    assert_eq!(codes(&contract, "GET", "/a?page=x", &[], ""), ["request.query.schema"]);
}

#[test]
fn violations_contain_places_and_no_values() {
    let contract = compile(&posting(&json!({"application/json": {"schema": {
        "type": "object", "properties": {"a": {"type": "integer"}}
    }}})));
    let request = head("POST", "/a", JSON);
    let body = captured(br#"{"a": "secret-value"}"#);
    let validated = Validator::default().validate_request(&contract, &request, &body);
    let [violation] = validated.verdict.violations.as_slice() else { panic!("one violation") };
    assert_eq!(violation.instance_pointer, "/a");
    assert!(violation.schema_pointer.ends_with("/schema/properties/a/type"), "{violation:?}");
    assert!(violation.position.is_some());
    assert!(!format!("{violation:?}").contains("secret-value"));
}

/// One contract with a place for every reader, compiled once for all cases.
fn any_contract() -> &'static Contract {
    static CONTRACT: OnceLock<Contract> = OnceLock::new();
    CONTRACT.get_or_init(compile_any)
}

fn compile_any() -> Contract {
    let schema = json!({"type": "object", "properties": {
        "a": {"type": "array", "items": {"type": ["integer", "string", "null"]}},
        "b": {"type": "object", "additionalProperties": {"type": "boolean"}, "xml": {"name": "c"}}
    }});
    let parameters: Vec<Value> = [
        ("query", "form", true), ("query", "deepObject", true), ("query", "pipeDelimited", false),
        ("header", "simple", true), ("cookie", "form", true), ("path", "matrix", true),
    ]
    .iter()
    .enumerate()
    .map(|(at, (place, style, explode))| {
        let name = if *place == "path" { "x".to_owned() } else { format!("p{at}") };
        json!({"name": name, "in": place, "style": style, "explode": explode, "required": true, "schema": schema})
    })
    .collect();
    let media = json!({"schema": schema, "encoding": {"a": {"style": "form", "explode": false}}});
    compile_with(
        &json!({"/a/{x}": {"post": {
            "parameters": parameters, "responses": {"default": {"description": ""}},
            "requestBody": {"content": {
                "application/json": media, "application/xml": media, "application/x-www-form-urlencoded": media,
                "multipart/form-data": media, "application/x-ndjson": media, "text/event-stream": media, "*/*": media
            }}
        }}}),
        &strict(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_validator_panic(
        path in "[ -~]{0,20}", query in "([ap&=\\[\\]%,|;+0-9]|p0|p1){0,40}",
        header in "[ -~]{0,30}", cookie in "[ -~]{0,30}",
        kind in 0usize..8, body in prop::collection::vec(any::<u8>(), 0..200),
        text in "(\\PC|[<>&;=\\[\\]{}\":\\n-]|--b\\r\\n|data:|<a>|</a>){0,60}", as_text in any::<bool>(),
    ) {
        let contract = any_contract();
        let types = [
            "application/json", "application/xml", "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=b", "application/x-ndjson", "text/event-stream", "text/plain",
            "application/octet-stream",
        ];
        let Ok(target) = format!("/a/{}?{query}", path.replace(['/', '?', '#'], "")).parse() else {
            return Ok(());
        };
        let mut request = head("POST", "/", &[("content-type", types[kind])]);
        request.target = target;
        request.headers.insert("p3", HeaderValue::from_str(&header).unwrap());
        request.headers.insert("cookie", HeaderValue::from_str(&cookie).unwrap());
        let body = if as_text { text.into_bytes() } else { body };
        let validated = validate(contract, &request, &body);
        prop_assert_eq!(validate(contract, &request, &body), validated, "validation is repeatable");
    }
}
