//! Records to store.

use std::time::Duration;

use cvt_sidecar::model::clock::Timestamp;
use cvt_sidecar::model::comparison::{BreakingChange, BreakingChangeType, ComparisonRecord};
use cvt_sidecar::model::consumer::{ConsumerRecord, EndpointUsage};
use cvt_sidecar::model::fault::Fault;
use cvt_sidecar::model::group::ViolationGroup;
use cvt_sidecar::model::id::SchemaId;
use cvt_sidecar::model::mode::Mode;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::schema::{Ownership, SchemaRecord};
use cvt_sidecar::model::usage::{OperationUsage, UsageFact, UsageKind};
use cvt_sidecar::model::verdict::SkipReason;
use cvt_sidecar::model::violation::{Position, Violation, ViolationCode};
use cvt_sidecar::redaction::{Redacted, RedactionContext, RedactionRules, Redactor};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::store_fixture::START;

/// The time `seconds` after the start.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(START.as_micros() + seconds * 1_000_000)
}

/// The `n`th id; ids sort as their numbers.
pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + n)
}

/// A redactor that changes nothing in these records.
pub(crate) fn redact(record: ValidationRecord) -> Redacted<ValidationRecord> {
    let rules = RedactionRules {
        headers: Vec::new(),
        names: Vec::new(),
        name_parts: Vec::new(),
        pointers: Vec::new(),
        patterns: false,
    };
    Redactor::new(&rules).unwrap().record(record, RedactionContext::default())
}

pub(crate) fn redact_all(records: &[ValidationRecord]) -> Vec<Redacted<ValidationRecord>> {
    records.iter().cloned().map(redact).collect()
}

/// A schema version with content of its own.
pub(crate) fn schema(schema_id: &str, version: &str) -> SchemaRecord {
    let content = format!("openapi: 3.1.0 # {schema_id} {version}");
    SchemaRecord {
        id: Uuid::from_bytes(*Sha256::digest(&content).first_chunk::<16>().unwrap()),
        schema_id: SchemaId::new(schema_id).unwrap(),
        version: version.into(),
        content_hash: hash(&content),
        content,
        openapi_version: "3.1.0".into(),
        endpoint_count: 3,
        is_latest: false,
        registered_at: START,
        updated_at: START,
        ownership: Ownership {
            owner: "olga".into(),
            team: "books".into(),
            contact_email: "books@example.com".into(),
            read_only: true,
        },
        environment: "prod".into(),
    }
}

/// Hex SHA-256.
pub(crate) fn hash(content: &str) -> String {
    use std::fmt::Write as _;
    let mut hex = String::new();
    for byte in Sha256::digest(content) {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

/// The same version with other content.
pub(crate) fn changed(record: &SchemaRecord) -> SchemaRecord {
    let content = format!("{}\n# changed", record.content);
    SchemaRecord {
        content_hash: hash(&content),
        content,
        endpoint_count: 4,
        updated_at: record.updated_at.plus(Duration::from_mins(1)),
        ..record.clone()
    }
}

/// The `n`th record, `n` seconds after the start, every field filled, valid.
pub(crate) fn record(n: i64) -> ValidationRecord {
    ValidationRecord {
        id: id(u128::try_from(n).unwrap()),
        schema_id: "books".into(),
        schema_version: "1.0.0".into(),
        schema_hash: "ab".repeat(32),
        request_method: "GET".into(),
        request_path: "/books/7?page=2".into(),
        request_headers: vec![
            ("Accept".into(), "a".into()),
            ("Via".into(), "1".into()),
            ("Via".into(), "2".into()),
        ],
        request_body: None,
        response_status: Some(200),
        response_headers: vec![("Content-Type".into(), "application/json".into())],
        response_body: Some(r#"{"title":"Dune"}"#.into()),
        valid: true,
        errors: Vec::new(),
        duration_ms: 12,
        validated_at: at(n),
        environment: "prod".into(),
        client_id: "shop".into(),
        client_ip: "10.0.0.7".into(),
        path_template: Some("/books/{id}".into()),
        violations: Vec::new(),
        skipped: vec![SkipReason::Unenforceable],
        consumer_id: "shop".into(),
        consumer_version: "2.1.0".into(),
        mode: Mode::Warn,
        request_id: format!("req-{n}"),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        upstream_us: Some(9_000),
        duration_us: 12_345,
        rejected: None,
        fault: None,
        request_size: 0,
        response_size: 16,
    }
}

/// The `n`th record, breaking `code`.
pub(crate) fn invalid(n: i64, code: ViolationCode) -> ValidationRecord {
    ValidationRecord {
        valid: false,
        errors: vec![format!("{code}: expected an integer")],
        violations: vec![violation(code)],
        fault: Some(Fault::Service),
        ..record(n)
    }
}

pub(crate) fn violation(code: ViolationCode) -> Violation {
    Violation {
        code,
        name: Some("page".into()),
        instance_pointer: "/a/0".into(),
        schema_pointer: "/paths/~1books/get".into(),
        keyword: "type".into(),
        found: String::new(),
        position: Some(Position { line: 3, column: 7 }),
        message: "expected an integer".into(),
    }
}

pub(crate) fn consumer(consumer_id: &str, schema_id: &str, environment: &str) -> ConsumerRecord {
    let key = format!("{consumer_id}/{schema_id}/{environment}");
    ConsumerRecord {
        id: Uuid::from_bytes(*Sha256::digest(key).first_chunk::<16>().unwrap()),
        consumer_id: consumer_id.into(),
        consumer_version: "2.1.0".into(),
        schema_id: SchemaId::new(schema_id).unwrap(),
        schema_version: "1.0.0".into(),
        environment: environment.into(),
        registered_at: START,
        last_validated_at: START,
        used_endpoints: vec![EndpointUsage {
            method: "GET".into(),
            path: "/books/{id}".into(),
            used_fields: vec!["author.name".into(), "title".into()],
        }],
    }
}

/// Usage of `GET path` by `consumer_id`: one call at `seconds` that received `fields`.
pub(crate) fn usage(
    consumer_id: &str,
    path: &str,
    seconds: i64,
    fields: &[&str],
) -> OperationUsage {
    let fact = |kind, name: &str| UsageFact {
        kind,
        name: name.into(),
        count: 1,
        first_seen: at(seconds),
        last_seen: at(seconds),
    };
    let mut facts = vec![fact(UsageKind::Operation, ""), fact(UsageKind::Status, "200")];
    facts.extend(fields.iter().map(|field| fact(UsageKind::ResponseField, field)));
    OperationUsage {
        schema_id: "books".into(),
        schema_version: "1.0.0".into(),
        consumer_id: consumer_id.into(),
        consumer_version: "2.1.0".into(),
        environment: "prod".into(),
        method: "GET".into(),
        path: path.into(),
        facts,
    }
}

/// A group named `fingerprint` with one violation at `seconds`.
pub(crate) fn group(fingerprint: &str, seconds: i64) -> ViolationGroup {
    ViolationGroup {
        fingerprint: fingerprint.into(),
        earlier_fingerprint: None,
        schema_id: "books".into(),
        method: "GET".into(),
        path_template: "/books/{id}".into(),
        code: ViolationCode::RESPONSE_BODY_SCHEMA,
        name: None,
        fault: Some(Fault::Service),
        found: None,
        statuses: vec!["200".into()],
        schema_pointer: "/paths/~1books/get".into(),
        instance_pointer: "/items/*/title".into(),
        message: "expected text".into(),
        count: 1,
        first_seen: at(seconds),
        last_seen: at(seconds),
        consumers: vec!["shop".into()],
        versions: vec!["1.0.0".into()],
        example: None,
    }
}

pub(crate) fn comparison(n: u128, old: &str, new: &str, seconds: i64) -> ComparisonRecord {
    ComparisonRecord {
        id: id(n),
        schema_id: SchemaId::new("books").unwrap(),
        old_version: old.into(),
        new_version: new.into(),
        compatible: false,
        breaking_changes: vec![BreakingChange {
            change_type: BreakingChangeType::EndpointRemoved,
            path: "/books".into(),
            method: "GET".into(),
            description: "the operation is gone – für immer".into(),
            old_value: "x".into(),
            new_value: String::new(),
        }],
        compared_at: at(seconds),
    }
}
