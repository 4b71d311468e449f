//! Judgements of JSON bodies on one core, by size and validity, broken down into their parts.
//!
//! `cargo bench --bench engine`
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench may stop at a surprise")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cvt_sidecar::contract::instance::Arena;
use cvt_sidecar::contract::{
    CompileOptions, Direction, Document, SchemaCompiler, SchemaId, SchemaSet,
};
use cvt_sidecar::model::verdict::Verdict;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::validation::report::{self, Report, Subject};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn compile() -> (SchemaSet, SchemaId, SchemaId) {
    let document = json!({
        "openapi": "3.0.3", "info": {"title": "bench", "version": "1"}, "paths": {},
        "components": {"schemas": {
            "Orders": {"type": "array", "items": {"$ref": "#/components/schemas/Order"}},
            "Order": {
                "type": "object",
                "required": ["id", "number", "status", "customer", "lines", "total", "created"],
                "properties": {
                    "id": {"type": "string", "format": "uuid"},
                    "number": {"type": "integer", "format": "int64", "minimum": 1},
                    "status": {"type": "string", "enum": ["open", "paid", "sent", "done"]},
                    "total": {"type": "number", "minimum": 0, "multipleOf": 0.01},
                    "currency": {"type": "string", "pattern": "^[A-Z]{3}$"},
                    "created": {"type": "string", "format": "date-time"},
                    "note": {"type": "string", "maxLength": 500, "nullable": true},
                    "gift": {"type": "boolean"},
                    "customer": {"$ref": "#/components/schemas/Customer"},
                    "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Line"}}
                }
            },
            "Customer": {
                "type": "object", "required": ["name", "email"],
                "properties": {
                    "name": {"type": "string", "minLength": 1}, "email": {"type": "string", "format": "email"},
                    "phone": {"type": "string"}, "city": {"type": "string"}, "street": {"type": "string"},
                    "country": {"type": "string", "minLength": 2, "maxLength": 2}
                }
            },
            "Line": {
                "type": "object", "required": ["sku", "quantity", "price"], "additionalProperties": false,
                "properties": {
                    "sku": {"type": "string", "maxLength": 40}, "title": {"type": "string"},
                    "quantity": {"type": "integer", "minimum": 1, "maximum": 1000},
                    "price": {"type": "number", "minimum": 0}
                }
            }
        }}
    });
    let options = CompileOptions::default();
    let document = Document::read(document.to_string().as_bytes(), &options).unwrap();
    let mut compiler = SchemaCompiler::new(&document, &options);
    let order = compiler.compile("/components/schemas/Order", Direction::Request).unwrap();
    let orders = compiler.compile("/components/schemas/Orders", Direction::Request).unwrap();
    (compiler.finish().unwrap().0, order, orders)
}

fn order() -> Value {
    json!({
        "id": "0b9bf4a6-9f0f-4d9a-8a52-6a3f5f0d3e11", "number": 1_234_567, "status": "paid",
        "total": 129.95, "currency": "EUR", "created": "2024-05-06T07:08:09.123Z",
        "note": "Leave the parcel with the neighbours on the first floor, please; they are at home until six o'clock every day, and the dog is friendly.",
        "gift": true,
        "customer": {"name": "Ada Lovelace", "email": "ada@example.org", "phone": "+44 20 7946 0958",
                     "city": "London", "street": "12 St James's Square", "country": "GB"},
        "lines": [
            {"sku": "BOOK-978-0-19-953556-9", "title": "A Tale of Two Cities, hardcover edition", "quantity": 1, "price": 29.95},
            {"sku": "BOOK-978-0-14-043944-8", "title": "The Voyage of the Beagle, illustrated edition", "quantity": 4, "price": 25.00}
        ]
    })
}

fn body(kibibytes: usize, valid: bool) -> Vec<u8> {
    let mut one = order();
    let mut last = order();
    if !valid {
        last["lines"][1]["quantity"] = json!("four");
    }
    if kibibytes == 1 {
        if !valid {
            one = last;
        }
        return one.to_string().into_bytes();
    }
    let count = kibibytes * 1024 / one.to_string().len();
    let mut orders = vec![one; count - 1];
    orders.push(last);
    Value::Array(orders).to_string().into_bytes()
}

fn bench(c: &mut Criterion) {
    let (set, order, orders) = compile();
    for kibibytes in [1, 16, 256] {
        let id = if kibibytes == 1 { order } else { orders };
        for valid in [true, false] {
            let body = body(kibibytes, valid);
            let what = if valid { "valid" } else { "invalid" };
            let mut group =
                c.benchmark_group(format!("{kibibytes} KiB {what} ({} bytes)", body.len()));
            group.throughput(Throughput::Elements(1));
            let mut arena = Arena::default();
            group.bench_function("parse", |b| {
                b.iter(|| {
                    arena.clear();
                    black_box(arena.parse(black_box(&body)).unwrap());
                });
            });
            arena.clear();
            let node = arena.parse(&body).unwrap();
            assert_eq!(set.is_valid(id, arena.node(node)), valid);
            group.bench_function("judge", |b| {
                b.iter(|| black_box(set.is_valid(id, arena.node(node))));
            });
            let mut arena = Arena::default();
            let subject = Subject { code: ViolationCode::REQUEST_BODY_SCHEMA, name: None };
            group.bench_function("parse, judge and report", |b| {
                b.iter(|| {
                    arena.clear();
                    let node = arena.parse(black_box(&body)).unwrap();
                    let mut verdict = Verdict::default();
                    let mut report = Report::new(&mut verdict, report::DEFAULT_CAP);
                    report::judge(&set, id, arena.node(node), &subject, &mut report);
                    black_box(verdict.violations.len())
                });
            });
            group.bench_function("serde_json::Value, for comparison", |b| {
                b.iter(|| black_box(serde_json::from_slice::<Value>(black_box(&body)).unwrap()));
            });
            group.finish();
        }
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
