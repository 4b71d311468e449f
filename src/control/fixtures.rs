//! A store in memory with one schema and what was seen of it.

use std::sync::Arc;

use uuid::Uuid;

use crate::model::clock::{ManualClock, Timestamp};
use crate::model::fault::Fault;
use crate::model::group::ViolationGroup;
use crate::model::id::SchemaId;
use crate::model::mode::Mode;
use crate::model::record::ValidationRecord;
use crate::model::schema::{Ownership, SchemaRecord};
use crate::model::usage::{OperationUsage, UsageFact, UsageKind};
use crate::model::violation::{Violation, ViolationCode};
use crate::pipeline::record::group_id::GroupId;
use crate::redaction::{Redacted, RedactionContext, RedactionRules, Redactor};
use crate::storage::{
    GroupStore as _, MemoryStore, OnConflict, SchemaStore as _, UsageStore as _,
    ValidationStore as _,
};

/// Its schema.
pub(super) const SCHEMA: &str = "books";
/// The pointer of the rule that [`violation`] breaks, in line 18 of [`DOCUMENT`].
pub(super) const RULE: &str = "/paths/~1books~1{id}/get/responses/200/content/\
     application~1json/schema/properties/title/maxLength";
/// Its document.
pub(super) const DOCUMENT: &str = "\
openapi: 3.0.3
info: { title: Books, version: '1.0.0' }
paths:
  /books/{id}:
    get:
      operationId: getBook
      parameters:
        - { name: id, in: path, required: true, schema: { type: string } }
      responses:
        '200':
          description: a book
          content:
            application/json:
              schema:
                type: object
                properties:
                  title:
                    maxLength: 5
                    type: string
                  pages: { type: integer }
    delete:
      deprecated: true
      parameters:
        - { name: id, in: path, required: true, schema: { type: string } }
      responses:
        '204': { description: gone }
";

/// The time `seconds` after the start.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
}

/// A store with the schema and nothing seen of it.
pub(super) async fn store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new(Arc::new(ManualClock::new(at(1_000)))));
    store.set_schema(&schema("1.0.0"), OnConflict::Refuse).await.unwrap();
    store
}

/// A store with 2 records of `shop` and 1 of `app` that breaks a rule, their usage, its group.
pub(super) async fn used_store() -> Arc<MemoryStore> {
    let store = store().await;
    let records = [record(1, "shop"), record(2, "shop"), broken_record(3, "app")];
    let records: Vec<_> = records.into_iter().map(redacted).collect();
    store.record_validations(&records).await.unwrap();
    store.merge_usage(Uuid::from_u128(1), &[usage("shop", 2), usage("app", 1)]).await.unwrap();
    store.merge_groups(Uuid::from_u128(2), &[group()]).await.unwrap();
    store
}

pub(super) fn schema(version: &str) -> SchemaRecord {
    SchemaRecord {
        id: Uuid::from_u128(version.len() as u128),
        schema_id: SchemaId::new(SCHEMA).unwrap(),
        version: version.into(),
        content: DOCUMENT.into(),
        content_hash: "ab".repeat(32),
        openapi_version: "3.0.3".into(),
        endpoint_count: 2,
        is_latest: true,
        registered_at: at(0),
        updated_at: at(0),
        ownership: Ownership::default(),
        environment: "prod".into(),
    }
}

pub(super) fn record(n: i64, consumer: &str) -> ValidationRecord {
    ValidationRecord {
        id: Uuid::from_u128(u128::try_from(n).unwrap()),
        schema_id: SCHEMA.into(),
        schema_version: "1.0.0".into(),
        schema_hash: "ab".repeat(32),
        request_method: "GET".into(),
        request_path: "/books/7?page=2".into(),
        request_headers: vec![("accept".into(), "*/*".into())],
        request_body: None,
        response_status: Some(200),
        response_headers: vec![("content-type".into(), "application/json".into())],
        response_body: Some(r#"{"title":"Dune"}"#.into()),
        valid: true,
        errors: Vec::new(),
        duration_ms: 12,
        validated_at: at(n),
        environment: "prod".into(),
        client_id: consumer.into(),
        client_ip: "10.0.0.7".into(),
        path_template: Some("/books/{id}".into()),
        violations: Vec::new(),
        skipped: Vec::new(),
        consumer_id: consumer.into(),
        consumer_version: String::new(),
        mode: Mode::Warn,
        request_id: format!("request-{n}"),
        trace_id: None,
        upstream_us: Some(9_000),
        duration_us: 12_345,
        request_size: 0,
        response_size: 16,
        rejected: None,
        fault: None,
    }
}

pub(super) fn broken_record(n: i64, consumer: &str) -> ValidationRecord {
    let violation = violation();
    ValidationRecord {
        valid: false,
        errors: vec![violation.message.clone()],
        violations: vec![violation],
        fault: Some(Fault::Service),
        ..record(n, consumer)
    }
}

pub(super) fn redacted(record: ValidationRecord) -> Redacted<ValidationRecord> {
    let rules = RedactionRules {
        headers: Vec::new(),
        names: Vec::new(),
        name_parts: Vec::new(),
        pointers: Vec::new(),
        patterns: false,
    };
    Redactor::new(&rules).unwrap().record(record, RedactionContext::default())
}

pub(super) fn violation() -> Violation {
    Violation {
        code: ViolationCode::RESPONSE_BODY_SCHEMA,
        name: None,
        instance_pointer: "/title".into(),
        schema_pointer: RULE.into(),
        keyword: "maxLength".into(),
        found: String::new(),
        position: None,
        message: "is longer than 5 characters".into(),
    }
}

/// The group of [`violation`], with record 3 as its example.
pub(super) fn group() -> ViolationGroup {
    let violation = violation();
    ViolationGroup {
        fingerprint: GroupId::of(SCHEMA, "GET /books/{id}", &violation, Fault::Service, "")
            .to_string(),
        earlier_fingerprint: None,
        fault: Some(Fault::Service),
        found: None,
        statuses: Vec::new(),
        schema_id: SCHEMA.into(),
        method: "GET".into(),
        path_template: "/books/{id}".into(),
        code: violation.code,
        name: None,
        schema_pointer: violation.schema_pointer.to_string(),
        instance_pointer: violation.instance_pointer,
        message: violation.message,
        count: 1,
        first_seen: at(3),
        last_seen: at(3),
        consumers: vec!["app".into()],
        versions: vec!["1.0.0".into()],
        example: Some(Uuid::from_u128(3)),
    }
}

/// `calls` calls of the documented operation, and one of an operation that no document lists.
fn usage(consumer: &str, calls: u64) -> OperationUsage {
    let fact = |kind, name: &str, count| UsageFact {
        kind,
        name: name.into(),
        count,
        first_seen: at(1),
        last_seen: at(3),
    };
    OperationUsage {
        schema_id: SCHEMA.into(),
        schema_version: "1.0.0".into(),
        consumer_id: consumer.into(),
        consumer_version: String::new(),
        environment: "prod".into(),
        method: "GET".into(),
        path: "/books/{id}".into(),
        facts: vec![
            fact(UsageKind::Operation, "", calls),
            fact(UsageKind::Parameter, "path:id", calls),
            fact(UsageKind::Status, "200", calls),
            fact(UsageKind::ResponseField, "title", calls),
            fact(UsageKind::ResponseField, "author", 1),
        ],
    }
}
