//! Whole responses validated on one core, by size and validity, and where the time goes: undoing the
//! content coding, parsing, validation. The body is that of `benches/compare`, about twenty properties
//! with patterns and formats.
//!
//! `cargo bench --bench engine`
#![allow(missing_docs, reason = "criterion's macros make undocumented items")]
#![allow(clippy::unwrap_used, reason = "a bench may stop at a surprise")]

#[path = "support/workload.rs"]
mod workload;

use std::hint::black_box;
use std::io::Write as _;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use cvt_sidecar::contract::{Contract, SchemaIndex};
use cvt_sidecar::json::Arena;
use cvt_sidecar::validation::Validator;
use serde_json::Value;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The schema of the list's answer.
fn schema_of_list(contract: &Contract) -> SchemaIndex {
    let operation = contract.operations().iter().find(|one| &*one.template == "/orders").unwrap();
    let plan = operation.responses.find(200).unwrap();
    plan.content.only().unwrap().1.schema.unwrap()
}

fn gzip(body: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn bench_body(c: &mut Criterion, contract: &Contract, kibibytes: usize, valid: bool) {
    let schema = schema_of_list(contract);
    let body = workload::orders(kibibytes, valid);
    let word = if valid { "valid" } else { "invalid" };
    let mut group = c.benchmark_group(format!("{kibibytes} KiB {word} ({} bytes)", body.len()));
    group.throughput(Throughput::Elements(1));
    let request = workload::request_for_list();
    let mut validator = Validator::default();
    let found = Validator::find_operation(contract, &request.head);
    for coding in [None, Some("gzip")] {
        let sent = if coding.is_some() { gzip(&body) } else { body.clone().into_bytes() };
        let response = workload::response(&sent, coding);
        let name = if coding.is_some() { "whole, gzip" } else { "whole" };
        group.bench_function(name, |b| {
            b.iter(|| {
                let verdict = validator.validate_response(
                    contract,
                    found,
                    &request.head,
                    &response.head,
                    black_box(&response.body),
                );
                assert_eq!(verdict.violations.is_empty(), valid);
            });
        });
    }
    let mut arena = Arena::default();
    group.bench_function("parse", |b| {
        b.iter(|| {
            arena.clear();
            black_box(arena.parse(black_box(body.as_bytes())).unwrap());
        });
    });
    arena.clear();
    let node = arena.parse(body.as_bytes()).unwrap();
    group.bench_function("validate", |b| {
        b.iter(|| black_box(contract.schemas().is_valid(schema, arena.node(node))));
    });
    group.bench_function("serde_json::Value, for comparison", |b| {
        b.iter(|| black_box(serde_json::from_str::<Value>(black_box(&body)).unwrap()));
    });
    group.finish();
}

fn bench(c: &mut Criterion) {
    let contract = workload::contract(0);
    for kibibytes in [1, 16, 64, 256] {
        for valid in [true, false] {
            bench_body(c, &contract, kibibytes, valid);
        }
    }
    for operations in [5, 5_000] {
        let contract = workload::contract(operations - 2);
        let request = workload::request(&workload::order(true));
        let mut validator = Validator::default();
        c.bench_function(&format!("a request of 1 KiB, {operations} operations"), |b| {
            b.iter(|| {
                let validation =
                    validator.validate_request(&contract, &request.head, black_box(&request.body));
                assert!(validation.verdict.violations.is_empty());
            });
        });
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
