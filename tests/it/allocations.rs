//! What validation and compilation allocate, counted on the thread that does it.

use std::fmt::Write as _;

use allocation_counter::{AllocationInfo, measure};
use bytes::Bytes;
use cvt_sidecar::contract::{CompileOptions, Contract};
use cvt_sidecar::model::exchange::{CapturedBody, RequestHead, ResponseHead};
use cvt_sidecar::validation::Validator;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};

const BODY: &str =
    r#"{"id": 7, "name": "A Tale of Two Cities", "tags": ["new", "classic"], "price": 12.5}"#;

/// A document of `operations` operations: the one that is used, and others beside it.
fn document(operations: usize) -> String {
    let mut text = String::from(
        "openapi: 3.1.0\ninfo: {title: Books, version: '1'}\npaths:\n  /books/{id}:\n    put:\n      parameters:\n        \
         - {name: id, in: path, required: true, schema: {type: integer}}\n        - {name: dry, in: query, schema: {type: boolean}}\n      \
         requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Book'}}}}\n      \
         responses: {'200': {description: fine, content: {application/json: {schema: {$ref: '#/components/schemas/Book'}}}}}\n",
    );
    for n in 1..operations {
        let _ = writeln!(
            text,
            "  /shelf{n}/{{id}}/book{n}:\n    get:\n      parameters: [{{name: id, in: path, required: true, schema: {{type: string}}}}]\n      \
             responses: {{'200': {{description: fine, content: {{application/json: {{schema: {{type: object, properties: {{p{n}: {{type: string, maxLength: {n}}}}}}}}}}}}}}}"
        );
    }
    text.push_str(
        "components:\n  schemas:\n    Book:\n      type: object\n      required: [id, name]\n      additionalProperties: false\n      \
         properties:\n        id: {type: integer, format: int64}\n        name: {type: string, pattern: '^[A-Z]'}\n        \
         tags: {type: array, items: {type: string}}\n        price: {type: number, minimum: 0}\n",
    );
    text
}

fn compile(text: &str) -> Contract {
    Contract::compile(text.as_bytes(), &CompileOptions::default()).expect("the document is good")
}

/// What validating one valid exchange allocates once the validator is warm.
fn allocations_of_an_exchange(contract: &Contract) -> AllocationInfo {
    let json = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
    let request = RequestHead {
        method: Method::PUT,
        target: "/books/7?dry=true".parse().expect("a target"),
        version: Version::HTTP_11,
        headers: headers.clone(),
    };
    let response = ResponseHead { status: StatusCode::OK, headers };
    let body = CapturedBody::complete(&Bytes::from_static(BODY.as_bytes()));
    let mut validator = Validator::default();
    let mut round = || {
        let validation =
            validator.validate_exchange(contract, &request, &body, Some((&response, &body)));
        assert!(validation.request.violations.is_empty(), "{validation:?}");
        assert!(validation.response.is_some_and(|verdict| verdict.violations.is_empty()));
    };
    round();
    measure(round)
}

#[test]
fn trap_t17_no_allocation_grows_with_the_number_of_operations() {
    let few = allocations_of_an_exchange(&compile(&document(5)));
    let many = allocations_of_an_exchange(&compile(&document(5_000)));
    println!("{} allocations, {} bytes an exchange", few.count_total, few.bytes_total);
    assert!(measure(|| drop(vec![7u8; 64])).count_total >= 1, "the counter counts");
    assert_eq!(few.count_total, many.count_total);
    assert_eq!(few.bytes_total, many.bytes_total);
    assert_eq!((few.count_current, few.bytes_current), (0, 0), "nothing is kept");
    assert!(few.count_total <= 4, "{few:?}");
}

/// Bytes that compiling and dropping a document `times` leaves behind.
fn left_behind(text: &str, times: usize) -> i64 {
    let rounds = measure(|| {
        for _ in 0..times {
            drop(compile(text));
        }
    });
    rounds.bytes_current
}

#[test]
fn compiling_again_and_again_leaves_memory_flat() {
    let text = document(50);
    // What is made once for all documents, such as the meta-schemas.
    drop(compile(&text));
    assert_eq!(left_behind(&text, 3), 0);
    assert_eq!(left_behind(&text, 20), 0);
}

#[test]
#[ignore = "half an hour in a debug build; run it on a release build: cargo test --release --test it -- --ignored"]
fn the_largest_document_a_thousand_times_leaves_memory_flat() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/specs/github-api.github.com.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        println!("skipped: there is no {path}");
        return;
    };
    drop(compile(&text));
    assert_eq!(left_behind(&text, 1_000), 0);
}

#[test]
#[ignore = "prints what each document of ../shared/specs holds; minutes in a debug build"]
fn what_the_real_documents_hold() {
    let specs = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/specs");
    let Ok(directory) = std::fs::read_dir(specs) else { return };
    let mut files: Vec<_> = directory.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        path.extension().is_some_and(|it| it == "json") && !path.ends_with("INDEX.json")
    });
    files.sort();
    let wanted = std::env::var("SPECS").unwrap_or_default();
    for path in files.iter().filter(|path| path.to_string_lossy().contains(&wanted)) {
        let text = std::fs::read_to_string(path).expect("a document");
        let mut kept = None;
        let info =
            measure(|| kept = Contract::compile(text.as_bytes(), &CompileOptions::default()).ok());
        let megabytes = |bytes: i64| bytes as f64 / 1e6;
        println!(
            "{:40} {:6.1} MB text, {:6.1} MB held, {:6.1} MB at most",
            path.file_name().unwrap_or_default().to_string_lossy(),
            text.len() as f64 / 1e6,
            megabytes(info.bytes_current),
            megabytes(i64::try_from(info.bytes_max).unwrap_or(i64::MAX)),
        );
        drop(kept);
    }
}
