//! Rewriting payloads, and forgetting usage.

use cvt_sidecar::model::page::Cursor;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{PageRequest, Purge, StoreError, UsageFilter, ValidationFilter};
use uuid::Uuid;

use super::fixtures::{at, id, invalid, record, redact, redact_all, usage};
use super::store_fixture::StoreFixture;

super::cases! {
    usage_is_purged_by_age_and_registrations_stay
    payloads_are_rewritten_page_by_page
    a_rewrite_resumes_where_it_stopped
    a_rewrite_that_fails_changes_nothing
    a_rewrite_changes_the_payload_alone
}

const CODE: ViolationCode = ViolationCode::REQUEST_BODY_SCHEMA;

async fn store(fixture: &StoreFixture, records: &[ValidationRecord]) {
    fixture.store.record_validations(&redact_all(records)).await.unwrap();
}

async fn records(fixture: &StoreFixture) -> Vec<ValidationRecord> {
    let (filter, page) = (ValidationFilter::default(), PageRequest::first(1_000));
    fixture.store.list_validations(&filter, &page).await.unwrap().items
}

async fn usage_is_purged_by_age_and_registrations_stay(fixture: StoreFixture) {
    let seen = [usage("shop", "/old", 1, &["x"]), usage("shop", "/new", 9, &["x"])];
    fixture.store.merge_usage(Uuid::from_u128(1), &seen).await.unwrap();
    let old = Purge::UsageLastSeenBefore(at(9));
    assert_eq!(fixture.store.purge(old, 2).await.unwrap(), 2);
    assert_eq!(fixture.store.purge(old, 2).await.unwrap(), 1);
    assert_eq!(fixture.store.purge(old, 2).await.unwrap(), 0);
    let page = PageRequest::default();
    let left = fixture.store.list_usage(&UsageFilter::default(), &page).await.unwrap().items;
    assert_eq!(left, [seen[1].clone()]);
    assert!(fixture.store.get_consumer("shop", "books", "prod").await.unwrap().is_some());
}

/// Marks a record's response body once.
fn mark(record: &mut ValidationRecord) -> bool {
    let Some(body) = record.response_body.as_mut().filter(|body| !body.starts_with("marked:"))
    else {
        return false;
    };
    body.insert_str(0, "marked:");
    record.request_headers = vec![("marked".into(), "ü".into())];
    true
}

async fn payloads_are_rewritten_page_by_page(fixture: StoreFixture) {
    let mut all: Vec<_> = (1..=7).map(record).collect();
    all[3].response_body = None;
    store(&fixture, &all).await;
    let (mut page, mut seen, mut changed) = (PageRequest::first(3), 0, 0);
    loop {
        let done =
            fixture.store.rewrite_validations(&page, &|record| Ok(mark(record))).await.unwrap();
        seen += done.seen;
        changed += done.changed;
        // what is stored meanwhile is newer and does not come up
        let late = record(100 + i64::try_from(seen).unwrap());
        fixture.store.record_validation(&redact(late)).await.unwrap();
        let Some(cursor) = done.next else { break };
        page = PageRequest::after(3, cursor);
    }
    assert_eq!((seen, changed), (7, 6));
    for record in records(&fixture).await {
        let old = record.validated_at < at(100);
        let marked = record.request_headers == [("marked".to_owned(), "ü".to_owned())];
        assert_eq!(marked, old && record.id != id(4), "{}", record.request_id);
        if marked {
            assert_eq!(record.response_body.as_deref(), Some(r#"marked:{"title":"Dune"}"#));
        }
    }
}

async fn a_rewrite_resumes_where_it_stopped(mut fixture: StoreFixture) {
    store(&fixture, &(1..=5).map(record).collect::<Vec<_>>()).await;
    let rewrite = |record: &mut ValidationRecord| Ok(mark(record));
    let done = fixture.store.rewrite_validations(&PageRequest::first(2), &rewrite).await.unwrap();
    let kept = done.next.unwrap().to_string();
    fixture.restart().await;
    let page = PageRequest::after(10, kept.parse::<Cursor>().unwrap());
    let done = fixture.store.rewrite_validations(&page, &rewrite).await.unwrap();
    assert_eq!((done.seen, done.changed, done.next), (3, 3, None));
}

async fn a_rewrite_that_fails_changes_nothing(fixture: StoreFixture) {
    store(&fixture, &(1..=4).map(record).collect::<Vec<_>>()).await;
    let before = records(&fixture).await;
    let failing = |record: &mut ValidationRecord| {
        if record.id == id(2) {
            return Err(StoreError::Refused("no key".into()));
        }
        Ok(mark(record))
    };
    let failed = fixture.store.rewrite_validations(&PageRequest::first(10), &failing).await;
    assert!(matches!(failed, Err(StoreError::Refused(_))), "{failed:?}");
    assert_eq!(records(&fixture).await, before);
}

async fn a_rewrite_changes_the_payload_alone(fixture: StoreFixture) {
    store(&fixture, &[invalid(1, CODE)]).await;
    let all = PageRequest::default();
    let done = fixture
        .store
        .rewrite_validations(&all, &|record| {
            record.request_headers.clear();
            record.request_body = Some("b".into());
            record.response_headers.clear();
            record.response_body = None;
            record.valid = true;
            record.schema_id = "other".into();
            record.violations.clear();
            Ok(true)
        })
        .await;
    assert_eq!(done.unwrap().changed, 1);
    let expected = ValidationRecord {
        request_headers: Vec::new(),
        request_body: Some("b".into()),
        response_headers: Vec::new(),
        response_body: None,
        ..invalid(1, CODE)
    };
    assert_eq!(records(&fixture).await, [expected]);
}
