//! No body whatever makes multipart, form, XML or JSON code panic or loop.
//!
//! The input's first line is the media type, the rest the body.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use cvt_sidecar::contract::{CompileOptions, Contract};
use cvt_sidecar::model::exchange::{CapturedBody, RequestHead};
use cvt_sidecar::model::rule::{Rule, Strictness};
use cvt_sidecar::validation::{Validator, ValidatorOptions};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use libfuzzer_sys::fuzz_target;

const DOCUMENT: &str = r##"
openapi: 3.1.0
info: {title: t, version: '1'}
paths:
  /b:
    post:
      requestBody:
        required: true
        content:
          multipart/form-data:
            schema: {$ref: '#/components/schemas/O'}
            encoding:
              meta: {contentType: application/json}
              file: {contentType: 'image/png, text/*', headers: {x-n: {required: true, schema: {type: integer}}}}
          application/x-www-form-urlencoded: {schema: {$ref: '#/components/schemas/O'}}
          application/xml: {schema: {$ref: '#/components/schemas/O'}}
          application/json: {schema: {$ref: '#/components/schemas/O'}}
          application/x-ndjson: {schema: {$ref: '#/components/schemas/O'}}
          text/event-stream: {schema: {$ref: '#/components/schemas/O'}}
          text/*: {schema: {type: string, maxLength: 10}}
      responses: {'200': {description: fine}}
components:
  schemas:
    O:
      type: object
      required: [meta]
      properties:
        meta: {type: object, properties: {n: {type: integer}, again: {$ref: '#/components/schemas/O'}}}
        file: {type: array, items: {type: string, format: binary}}
        tags: {type: array, xml: {wrapped: true}, items: {type: string, xml: {name: tag}}}
        at: {type: string, format: date-time, xml: {attribute: true}}
"##;

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let options =
        CompileOptions::default().with_rule(Rule::UndeclaredFields, Strictness::Strict);
    Contract::compile(DOCUMENT.as_bytes(), &options).expect("the document is fine")
});

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (media_type, rest) = bytes.split_at(end);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(media_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    let body = Bytes::copy_from_slice(rest.get(1..).unwrap_or_default());
    let target = Uri::from_static("/b");
    let head = RequestHead { method: Method::POST, target, version: Version::HTTP_11, headers };
    let mut validator = Validator::new(ValidatorOptions::default());
    let _ = validator.validate_request(&CONTRACT, &head, &CapturedBody::complete(&body));
});
