//! Deleting by choice, and rewriting payloads.

use cvt_sidecar::model::page::Cursor;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{
    AnalyticsOptions, ConsumerFilter, GroupFilter, PageRequest, StoreError, UsageFilter,
    ValidationFilter,
};
use uuid::Uuid;

use super::bed::Bed;
use super::fixtures::{at, consumer, group, id, invalid, record, redact, redact_all, usage};

super::cases! {
    records_are_purged_by_filter_in_bounded_batches
    purged_records_leave_no_codes_behind
    groups_are_purged_by_age
    usage_is_purged_by_age_and_registrations_stay
    a_purged_consumer_leaves_nothing
    purging_what_is_not_there_does_nothing
    payloads_are_rewritten_page_by_page
    a_rewrite_goes_on_where_it_stopped
    a_rewrite_that_fails_changes_nothing
    a_rewrite_changes_the_payload_alone
}

const CODE: ViolationCode = ViolationCode::REQUEST_BODY_SCHEMA;

async fn store(bed: &Bed, records: &[ValidationRecord]) {
    bed.store.record_validations(&redact_all(records)).await.unwrap();
}

async fn records(bed: &Bed) -> Vec<ValidationRecord> {
    let (filter, page) = (ValidationFilter::default(), PageRequest::first(1_000));
    bed.store.list_validations(&filter, &page).await.unwrap().items
}

async fn numbers(bed: &Bed) -> Vec<String> {
    records(bed).await.into_iter().map(|record| record.request_id).collect()
}

fn of_consumer(consumer_id: &str) -> ValidationFilter {
    ValidationFilter { consumer_id: Some(consumer_id.into()), ..ValidationFilter::default() }
}

async fn records_are_purged_by_filter_in_bounded_batches(bed: Bed) {
    let mut all: Vec<_> = (1..=9).map(record).collect();
    for record in all.iter_mut().step_by(2) {
        record.consumer_id = "mobile".into();
    }
    store(&bed, &all).await;
    assert_eq!(bed.store.purge_validations(&of_consumer("mobile"), 2).await.unwrap(), 2);
    assert_eq!(numbers(&bed).await.last().unwrap(), "req-2", "the oldest go first");
    assert_eq!(bed.store.purge_validations(&of_consumer("mobile"), 2).await.unwrap(), 2);
    assert_eq!(bed.store.purge_validations(&of_consumer("mobile"), 2).await.unwrap(), 1);
    assert_eq!(bed.store.purge_validations(&of_consumer("mobile"), 2).await.unwrap(), 0);
    assert_eq!(numbers(&bed).await, ["req-8", "req-6", "req-4", "req-2"]);
    let early = ValidationFilter { until: Some(at(6)), ..ValidationFilter::default() };
    assert_eq!(bed.store.purge_validations(&early, 100).await.unwrap(), 2);
    assert_eq!(numbers(&bed).await, ["req-8", "req-6"]);
    let all = ValidationFilter::default();
    assert_eq!(bed.store.purge_validations(&all, 100).await.unwrap(), 2);
    assert_eq!(numbers(&bed).await, Vec::<String>::new());
}

async fn purged_records_leave_no_codes_behind(bed: Bed) {
    store(&bed, &[invalid(1, CODE), record(2), invalid(3, CODE)]).await;
    let coded = ValidationFilter { code: Some(CODE.to_string()), ..ValidationFilter::default() };
    assert_eq!(bed.store.purge_validations(&coded, 1).await.unwrap(), 1);
    let (all, options) = (ValidationFilter::default(), AnalyticsOptions::default());
    let answer = bed.store.get_validation_analytics(&all, &options).await.unwrap();
    assert_eq!((answer.total_validations, answer.fail_count), (2, 1));
    assert_eq!(answer.top_violations[0].count, 1);
}

async fn groups_are_purged_by_age(bed: Bed) {
    let groups = ["a", "b", "c", "d"].map(|name| group(name, i64::from(name.as_bytes()[0])));
    bed.store.merge_groups(Uuid::from_u128(1), &groups).await.unwrap();
    let older_than = at(i64::from(b'd'));
    assert_eq!(bed.store.purge_groups(older_than, 2).await.unwrap(), 2);
    let left = async || -> Vec<String> {
        let page = PageRequest::default();
        let groups = bed.store.list_groups(&GroupFilter::default(), &page).await.unwrap();
        groups.items.into_iter().map(|group| group.fingerprint).collect()
    };
    assert_eq!(left().await, ["d", "c"]);
    assert_eq!(bed.store.purge_groups(older_than, 2).await.unwrap(), 1);
    assert_eq!(bed.store.purge_groups(older_than, 2).await.unwrap(), 0);
    assert_eq!(left().await, ["d"]);
}

async fn usage_is_purged_by_age_and_registrations_stay(bed: Bed) {
    let seen = [usage("shop", "/old", 1, &["x"]), usage("shop", "/new", 9, &["x"])];
    bed.store.merge_usage(Uuid::from_u128(1), &seen).await.unwrap();
    assert_eq!(bed.store.purge_usage(at(9), 2).await.unwrap(), 2);
    assert_eq!(bed.store.purge_usage(at(9), 2).await.unwrap(), 1);
    assert_eq!(bed.store.purge_usage(at(9), 2).await.unwrap(), 0);
    let page = PageRequest::default();
    let left = bed.store.list_usage(&UsageFilter::default(), &page).await.unwrap().items;
    assert_eq!(left, [seen[1].clone()]);
    assert!(bed.store.get_consumer("shop", "books", "prod").await.unwrap().is_some());
}

async fn a_purged_consumer_leaves_nothing(bed: Bed) {
    let store = &bed.store;
    store.register_consumer(&consumer("shop", "films", "dev")).await.unwrap();
    let seen = [usage("shop", "/a", 1, &["x"]), usage("mobile", "/a", 1, &["x"])];
    store.merge_usage(Uuid::from_u128(1), &seen).await.unwrap();
    let mut shared = group("shared", 1);
    shared.consumers = vec!["mobile".into(), "shop".into()];
    let mut others = group("others", 1);
    others.consumers = vec!["a shop".into(), "shop2".into()];
    let groups = [group("own", 1), shared, others];
    store.merge_groups(Uuid::from_u128(2), &groups).await.unwrap();
    // two registrations, three facts, two groups
    assert_eq!(store.purge_consumer("shop").await.unwrap(), 7);
    assert_eq!(store.purge_consumer("shop").await.unwrap(), 0);
    let page = PageRequest::default();
    let consumers = store.list_consumers(&ConsumerFilter::default(), &page).await.unwrap().items;
    let consumers: Vec<_> = consumers.into_iter().map(|found| found.consumer_id).collect();
    assert_eq!(consumers, ["mobile"]);
    let usage = store.list_usage(&UsageFilter::default(), &page).await.unwrap().items;
    assert_eq!(usage, [seen[1].clone()]);
    let groups = store.list_groups(&GroupFilter::default(), &page).await.unwrap().items;
    let groups: Vec<_> =
        groups.into_iter().map(|group| (group.fingerprint, group.consumers)).collect();
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        groups,
        [("shared".into(), names(&["mobile"])), ("others".into(), names(&["a shop", "shop2"]))]
    );
}

async fn purging_what_is_not_there_does_nothing(bed: Bed) {
    store(&bed, &[record(1)]).await;
    assert_eq!(bed.store.purge_validations(&of_consumer("x"), 10).await.unwrap(), 0);
    assert_eq!(bed.store.purge_groups(at(0), 10).await.unwrap(), 0);
    assert_eq!(bed.store.purge_usage(at(0), 10).await.unwrap(), 0);
    assert_eq!(bed.store.purge_consumer("x").await.unwrap(), 0);
    assert_eq!(numbers(&bed).await, ["req-1"]);
}

/// Marks a record's response body once.
fn seal(record: &mut ValidationRecord) -> bool {
    let Some(body) = record.response_body.as_mut().filter(|body| !body.starts_with("sealed:"))
    else {
        return false;
    };
    body.insert_str(0, "sealed:");
    record.request_headers = vec![("sealed".into(), "ü".into())];
    true
}

async fn payloads_are_rewritten_page_by_page(bed: Bed) {
    let mut all: Vec<_> = (1..=7).map(record).collect();
    all[3].response_body = None;
    store(&bed, &all).await;
    let (mut page, mut seen, mut changed) = (PageRequest::first(3), 0, 0);
    loop {
        let done = bed.store.rewrite_validations(&page, &|record| Ok(seal(record))).await.unwrap();
        seen += done.seen;
        changed += done.changed;
        // what is stored meanwhile is newer and does not come up
        let late = record(100 + i64::try_from(seen).unwrap());
        bed.store.record_validation(&redact(late)).await.unwrap();
        let Some(cursor) = done.next else { break };
        page = PageRequest::after(3, cursor);
    }
    assert_eq!((seen, changed), (7, 6));
    for record in records(&bed).await {
        let old = record.validated_at < at(100);
        let sealed = record.request_headers == [("sealed".to_owned(), "ü".to_owned())];
        assert_eq!(sealed, old && record.id != id(4), "{}", record.request_id);
        if sealed {
            assert_eq!(record.response_body.as_deref(), Some(r#"sealed:{"title":"Dune"}"#));
        }
    }
}

async fn a_rewrite_goes_on_where_it_stopped(mut bed: Bed) {
    store(&bed, &(1..=5).map(record).collect::<Vec<_>>()).await;
    let rewrite = |record: &mut ValidationRecord| Ok(seal(record));
    let done = bed.store.rewrite_validations(&PageRequest::first(2), &rewrite).await.unwrap();
    let kept = done.next.unwrap().to_string();
    bed.restart().await;
    let page = PageRequest::after(10, kept.parse::<Cursor>().unwrap());
    let done = bed.store.rewrite_validations(&page, &rewrite).await.unwrap();
    assert_eq!((done.seen, done.changed, done.next), (3, 3, None));
}

async fn a_rewrite_that_fails_changes_nothing(bed: Bed) {
    store(&bed, &(1..=4).map(record).collect::<Vec<_>>()).await;
    let before = records(&bed).await;
    let failing = |record: &mut ValidationRecord| {
        if record.id == id(2) {
            return Err(StoreError::Refused("no key".into()));
        }
        Ok(seal(record))
    };
    let failed = bed.store.rewrite_validations(&PageRequest::first(10), &failing).await;
    assert!(matches!(failed, Err(StoreError::Refused(_))), "{failed:?}");
    assert_eq!(records(&bed).await, before);
}

async fn a_rewrite_changes_the_payload_alone(bed: Bed) {
    store(&bed, &[invalid(1, CODE)]).await;
    let all = PageRequest::default();
    let done = bed
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
    assert_eq!(records(&bed).await, [expected]);
}
