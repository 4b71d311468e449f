//! A masked message gets the verdict of the original, as far as types and formats go.
//!
//! Where a schema asks for an exact value (`enum`, `const`, `pattern`, bounds other than zero,
//! exact lengths) a mask cannot conform: those keywords are not generated here.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;
use cvt_sidecar::contract::{CompileOptions, Contract};
use cvt_sidecar::model::exchange::{CapturedBody, RequestHead};
use cvt_sidecar::model::violation::Violation;
use cvt_sidecar::redaction::{
    ContractMasks, PointerSet, RedactionContext, RedactionRules, Redactor,
};
use cvt_sidecar::validation::Validator;
use http::{HeaderMap, Method, Uri, Version};
use proptest::prelude::*;

use crate::storage::fixtures::record;

/// A property of each kind that a mask promises to keep.
const PROPERTIES: &[(&str, &str)] = &[
    ("text", "{type: string, minLength: 1}"),
    ("mail", "{type: string, format: email}"),
    ("key", "{type: string, format: uuid}"),
    ("day", "{type: string, format: date}"),
    ("moment", "{type: string, format: date-time}"),
    ("clock", "{type: string, format: time}"),
    ("four", "{type: string, format: ipv4}"),
    ("six", "{type: string, format: ipv6}"),
    ("link", "{type: string, format: uri}"),
    ("reference", "{type: string, format: uri-reference}"),
    ("place", "{type: string, format: json-pointer}"),
    ("span", "{type: string, format: duration}"),
    ("whole", "{type: integer, minimum: 0}"),
    ("below", "{type: integer, exclusiveMaximum: 0}"),
    ("number", "{type: number, exclusiveMinimum: 0}"),
    ("flag", "{type: boolean}"),
    ("nothing", "{type: [string, 'null']}"),
    ("list", "{type: array, items: {type: integer}}"),
];

fn document() -> String {
    let mut text = "openapi: 3.1.0\ninfo: {title: Masks, version: '1'}\npaths:\n  /:\n    post:\n      \
        requestBody:\n        content:\n          application/json:\n            schema:\n              \
        type: object\n              properties:\n"
        .to_owned();
    for (name, schema) in PROPERTIES {
        let _ = writeln!(text, "                {name}: {schema}");
    }
    text.push_str("      responses: {default: {description: any}}\n");
    text
}

fn value() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z ]{0,12}",
        "[a-z]{1,8}@[a-z]{1,8}\\.[a-z]{2,3}",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}",
        "20[0-9]{2}-0[1-9]-1[0-9]",
        "20[0-9]{2}-0[1-9]-1[0-9]T1[0-9]:[0-5][0-9]:[0-5][0-9](Z|\\+0[0-9]:30|\\.[0-9]{1,6}Z)",
        "1[0-9]:[0-5][0-9]:[0-5][0-9](Z|-0[0-9]:30)",
        "1[0-9]{1,2}\\.[1-9][0-9]?\\.[1-9]\\.[1-9]",
        "fe80::[0-9a-f]{1,4}:[1-9]",
        "(https|http|ftp|ldap)://[a-z]{1,8}\\.example/[a-z]{0,8}",
        "(mailto|urn|tel):[a-z]{1,9}",
        "/[a-z]{1,5}/[a-z]{0,5}",
        "P[1-9]D",
        "P[1-9]DT[1-9]H[1-9]M",
    ];
    prop_oneof![
        4 => text.prop_map(|text| format!("\"{text}\"")),
        2 => "-?[1-9][0-9]{0,20}(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        1 => "-?0(\\.0)?",
        1 => prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(str::to_owned),
        1 => proptest::collection::vec("[1-9](\\.5)?", 0..3).prop_map(|all| format!("[{}]", all.join(","))),
    ]
}

fn violations(contract: &Contract, body: &str) -> Vec<Violation> {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    let head = RequestHead {
        method: Method::POST,
        target: Uri::from_static("/"),
        version: Version::HTTP_11,
        headers,
    };
    let body = CapturedBody::complete(&Bytes::from(body.to_owned()));
    Validator::default().validate_request(contract, &head, &body).verdict.violations
}

fn places(all: &[Violation], only_types: bool) -> BTreeSet<(String, String)> {
    let kept = all.iter().filter(|violation| !only_types || violation.keyword == "type");
    kept.map(|violation| (violation.instance_pointer.clone(), violation.keyword.to_string()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn masking_adds_no_violation_and_keeps_type_violations(
        chosen in proptest::collection::vec((0..PROPERTIES.len(), value()), 1..8),
    ) {
        let contract = Contract::compile(document().as_bytes(), &CompileOptions::default()).unwrap();
        let members: Vec<_> = chosen
            .iter()
            .map(|(property, value)| format!("\"{}\":{value}", PROPERTIES[*property].0))
            .collect();
        let body = format!("{{{}}}", members.join(","));
        let masks = ContractMasks { request_body: PointerSet::new([""]).unwrap(), ..ContractMasks::default() };
        let mut original = record(1);
        original.request_headers = vec![("content-type".into(), "application/json".into())];
        original.request_body = Some(body.clone());
        let redactor = Redactor::new(&RedactionRules::default()).unwrap();
        let masked = redactor.record(original, RedactionContext { masks: Some(&masks), ..RedactionContext::default() });
        let masked = masked.into_inner().request_body.unwrap();
        let (before, after) = (violations(&contract, &body), violations(&contract, &masked));
        prop_assert!(places(&after, false).is_subset(&places(&before, false)), "{body}\n{masked}\n{after:?}");
        prop_assert_eq!(places(&after, true), places(&before, true), "{}\n{}", body, masked);
    }
}
