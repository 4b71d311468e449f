//! What each part of an exchange's way through validation costs on one core: finding the operation,
//! reading parameters, validating both sides, redacting the record.
//!
//! `cargo bench --bench parts`; `-- routing` measures the routing alone.
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench may stop at a surprise")]

use std::fmt::Write;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use cvt_sidecar::contract::{CompileOptions, Contract};
use cvt_sidecar::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::redaction::{RedactionContext, RedactionRules, Redactor};
use cvt_sidecar::validation::{Validator, ValidatorOptions};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ORDERS: &str = include_str!("compare/contract.yaml");
const ORDER: &str = include_str!("compare/body.json");

/// Nine parameters in three places, in the forms that documents use most.
const PARAMETERS: &str = "
openapi: 3.1.0
info: {title: Parameters, version: 1.0.0}
paths:
  /shops/{shop}/orders/{order}:
    get:
      parameters:
        - {name: shop, in: path, required: true, schema: {type: string, pattern: '^[a-z-]+$'}}
        - {name: order, in: path, required: true, schema: {type: integer, minimum: 1}}
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}
        - {name: since, in: query, schema: {type: string, format: date}}
        - {name: fields, in: query, explode: false, schema: {type: array, items: {type: string}}}
        - {name: tag, in: query, schema: {type: array, items: {type: string}, maxItems: 10}}
        - {name: filter, in: query, style: deepObject, schema: {type: object, properties: {paid: {type: boolean}}}}
        - {name: x-request-id, in: header, schema: {type: string, format: uuid}}
        - {name: session, in: cookie, schema: {type: string, minLength: 8}}
      responses: {'200': {description: fine}}
";

fn contract(text: &str) -> Contract {
    Contract::compile(text.as_bytes(), &CompileOptions::default()).unwrap()
}

/// A contract of `count` operations with two parameters in each path.
fn large(count: usize) -> Contract {
    let mut text = String::from("openapi: 3.1.0\ninfo: {title: Large, version: '1'}\npaths:\n");
    for n in 0..count {
        let parameter = |name: &str| {
            format!("{{name: {name}, in: path, required: true, schema: {{type: string}}}}")
        };
        let (first, second) = (parameter("a"), parameter("b"));
        writeln!(
            text,
            "  /v1/service-{n}/{{a}}/items/{{b}}:\n    get:\n      parameters: [{first}, {second}]\n      \
             responses: {{'200': {{description: fine}}}}"
        )
        .unwrap();
    }
    contract(&text)
}

fn request(
    method: Method,
    target: &'static str,
    headers: &[(&'static str, &'static str)],
) -> RequestHead {
    let field = |(name, value): &(&'static str, &'static str)| {
        (name.parse().unwrap(), HeaderValue::from_static(value))
    };
    let headers: HeaderMap = headers.iter().map(field).collect();
    RequestHead { method, target: Uri::from_static(target), version: Version::HTTP_11, headers }
}

fn routing(c: &mut Criterion) {
    let mut group = c.benchmark_group("routing");
    for count in [5, 5_000] {
        let contract = large(count);
        let path = format!("/v1/service-{}/one/items/two", count / 2);
        group.bench_function(format!("{count} operations"), |bencher| {
            bencher.iter(|| black_box(contract.find(&Method::GET, black_box(&path), None)));
        });
    }
    group.finish();
}

fn parameters(c: &mut Criterion) {
    let contract = contract(PARAMETERS);
    let head = request(
        Method::GET,
        "/shops/covent-garden/orders/17?limit=20&since=2024-05-17&fields=id,total&tag=a&tag=b&filter%5Bpaid%5D=true",
        &[
            ("x-request-id", "6f1c2a4e-98d1-4b0e-9a4f-2f2f1d5a7c10"),
            ("cookie", "session=0123456789"),
        ],
    );
    let mut validator = Validator::new(ValidatorOptions::default());
    let validation = validator.validate_request(&contract, &head, &CapturedBody::default());
    assert!(
        validation.operation.is_some() && validation.verdict.violations.is_empty(),
        "{validation:?}"
    );
    c.bench_function("parameters/nine, valid", |bencher| {
        bencher.iter(|| {
            validator.validate_request(&contract, black_box(&head), &CapturedBody::default())
        });
    });
}

fn exchange(c: &mut Criterion) {
    let contract = contract(ORDERS);
    let json = [("content-type", "application/json")];
    let head = request(Method::POST, "/shops/covent-garden/orders?dry_run=true", &json);
    let body = CapturedBody::complete(&Bytes::from_static(ORDER.as_bytes()));
    let headers = request(Method::POST, "/", &json).headers;
    let response = ResponseHead { status: StatusCode::OK, headers };
    let mut validator = Validator::new(ValidatorOptions::default());
    let validation = validator.validate_exchange(&contract, &head, &body, Some((&response, &body)));
    assert!(validation.request.violations.is_empty(), "{validation:?}");
    assert!(validation.response.as_ref().unwrap().violations.is_empty(), "{validation:?}");
    c.bench_function("exchange/1 KiB of JSON each way, valid", |bencher| {
        bencher.iter(|| {
            validator.validate_exchange(
                &contract,
                black_box(&head),
                &body,
                Some((&response, &body)),
            )
        });
    });
    let wrong = ORDER.replacen("\"quantity\": 2", "\"quantity\": \"two\"", 1);
    let wrong = CapturedBody::complete(&Bytes::from(wrong));
    c.bench_function("exchange/1 KiB of JSON each way, one violation", |bencher| {
        bencher.iter(|| {
            validator.validate_exchange(
                &contract,
                black_box(&head),
                &wrong,
                Some((&response, &body)),
            )
        });
    });
}

fn record() -> ValidationRecord {
    let header = |name: &str, value: &str| serde_json::json!([name, value]);
    serde_json::from_value(serde_json::json!({
        "id": "0190b0a0-0000-7000-8000-000000000000", "schema_id": "orders", "schema_version": "1",
        "schema_hash": "", "request_method": "POST", "request_path": "/shops/covent-garden/orders?api_key=secret",
        "request_headers": [
            header("content-type", "application/json"), header("authorization", "Bearer abc.def.ghi"),
            header("user-agent", "bench/1"), header("cookie", "session=0123456789"),
        ],
        "request_body": ORDER, "response_status": 200,
        "response_headers": [header("content-type", "application/json"), header("set-cookie", "a=b")],
        "response_body": ORDER, "valid": true, "errors": [], "duration_ms": 1, "validated_at": "2024-05-17T09:31:44.000000Z",
        "environment": "bench", "client_id": "bench", "client_ip": "127.0.0.1", "operation": null,
        "violations": [], "skipped": [], "consumer_id": "bench", "consumer_version": "", "mode": "warn",
        "request_id": "", "trace_id": null, "upstream_us": 1, "duration_us": 1, "request_size": 1,
        "response_size": 1,
    }))
    .unwrap()
}

fn redaction(c: &mut Criterion) {
    let redactor = Redactor::new(&RedactionRules::default()).unwrap();
    let record = record();
    c.bench_function("redaction/1 KiB of JSON each way", |bencher| {
        bencher.iter_batched(
            || record.clone(),
            |record| redactor.record(record, RedactionContext::default()),
            BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, routing, parameters, exchange, redaction);
criterion_main!(benches);
