//! No target and no header fields whatever make the reading of parameters panic or loop.
//!
//! The input's lines are the path, the query, and the values of header fields and cookies.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use cvt_sidecar::contract::{CompileOptions, Contract};
use cvt_sidecar::model::exchange::{CapturedBody, RequestHead};
use cvt_sidecar::model::rule::{Rule, Strictness};
use cvt_sidecar::validation::{Validator, ValidatorOptions};
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use libfuzzer_sys::fuzz_target;

const DOCUMENT: &str = r##"
openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /m/{matrix}/{label}/x{simple}.{ext}:
    get:
      parameters:
        - {name: matrix, in: path, required: true, style: matrix, explode: true, schema: {$ref: '#/components/schemas/O'}}
        - {name: label, in: path, required: true, style: label, schema: {type: array, items: {type: integer}}}
        - {name: simple, in: path, required: true, schema: {type: [integer, 'null']}}
        - {name: ext, in: path, required: true, schema: {type: string, pattern: '^(?!x)[a-z]+$'}}
        - {name: deep, in: query, style: deepObject, explode: true, schema: {$ref: '#/components/schemas/O'}}
        - {name: form, in: query, schema: {$ref: '#/components/schemas/O'}}
        - {name: space, in: query, style: spaceDelimited, explode: false, schema: {type: array, items: {type: number}}}
        - {name: pipe, in: query, style: pipeDelimited, explode: false, schema: {type: array, items: {type: boolean}}}
        - {name: json, in: query, content: {application/json: {schema: {$ref: '#/components/schemas/O'}}}}
        - {name: x-list, in: header, schema: {type: array, items: {type: integer}}}
        - {name: x-object, in: header, explode: true, schema: {$ref: '#/components/schemas/O'}}
        - {name: jar, in: cookie, explode: false, schema: {type: array, items: {type: string, format: date}}}
      responses: {'200': {description: fine}}
components:
  schemas:
    O:
      type: object
      required: [a]
      properties:
        a: {type: integer, multipleOf: 0.01}
        b: {type: array, uniqueItems: true, items: {type: string, format: uuid}}
        c: {$ref: '#/components/schemas/O'}
      additionalProperties: {oneOf: [{type: number}, {type: string, maxLength: 3}]}
"##;

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let options =
        CompileOptions::default().with_rule(Rule::UndeclaredFields, Strictness::Strict);
    Contract::compile(DOCUMENT.as_bytes(), &options).expect("the document is fine")
});

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path, query) = (line(), line());
    let target = [b"/m/", path, b"?", query].concat();
    let Ok(target) = Uri::try_from(target.as_slice()) else { return };
    let mut headers = HeaderMap::new();
    for name in ["x-list", "x-object", "cookie", "x-list", "x-object"] {
        if let Ok(value) = HeaderValue::from_bytes(line()) {
            headers.append(name, value);
        }
    }
    let head = RequestHead { method: Method::GET, target, version: Version::HTTP_11, headers };
    let mut validator = Validator::new(ValidatorOptions::default());
    let _ = validator.validate_request(&CONTRACT, &head, &CapturedBody::complete(&Bytes::new()));
});
