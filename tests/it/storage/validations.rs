//! Validation records.

use cvt_sidecar::model::clock::Timestamp;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{AnalyticsOptions, PageRequest, ValidationFilter};

use super::fixtures::{at, id, invalid, record, redact, redact_all, violation};
use super::store_fixture::StoreFixture;

super::cases! {
    a_record_comes_back_whole
    an_unknown_record_is_none
    a_record_without_answer_comes_back_whole
    unicode_and_odd_characters_come_back
    a_mebibyte_of_body_comes_back
    microseconds_are_kept
    a_time_written_with_an_offset_is_the_same_instant
    the_same_batch_twice_is_stored_once
    a_batch_that_overlaps_stores_what_is_new
    a_batch_that_repeats_itself_stores_once
    an_empty_batch_is_nothing
    a_big_batch_is_stored_once
    concurrent_writers_lose_nothing
    records_are_listed_last_first
    records_of_one_instant_go_by_id
    each_filter_alone
    filters_combined
    a_code_finds_every_record_that_carries_it
    days_long_apart_are_listed_together
    stored_records_survive_a_restart
    another_process_sees_what_was_stored
}

async fn store(fixture: &StoreFixture, records: &[ValidationRecord]) -> u64 {
    fixture.store.record_validations(&redact_all(records)).await.unwrap()
}

/// The numbers of the records that a filter finds, in order.
async fn found(fixture: &StoreFixture, filter: &ValidationFilter) -> Vec<u128> {
    let page = fixture.store.list_validations(filter, &PageRequest::default()).await.unwrap();
    assert_eq!(page.next, None);
    page.items.iter().map(|record| record.id.as_u128() - id(0).as_u128()).collect()
}

async fn a_record_comes_back_whole(fixture: StoreFixture) {
    let record = invalid(1, ViolationCode::REQUEST_BODY_SCHEMA);
    assert_eq!(fixture.store.record_validation(&redact(record.clone())).await.unwrap(), 1);
    assert_eq!(fixture.store.get_validation(record.id).await.unwrap().as_ref(), Some(&record));
    let filter = ValidationFilter::default();
    let page = fixture.store.list_validations(&filter, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items, [record]);
}

async fn an_unknown_record_is_none(fixture: StoreFixture) {
    assert_eq!(fixture.store.get_validation(id(1)).await.unwrap(), None);
    assert_eq!(found(&fixture, &ValidationFilter::default()).await, Vec::<u128>::new());
}

async fn a_record_without_answer_comes_back_whole(fixture: StoreFixture) {
    let mut lonely = record(1);
    lonely.schema_id = String::new();
    lonely.response_status = None;
    lonely.response_headers = Vec::new();
    lonely.response_body = None;
    lonely.path_template = None;
    lonely.skipped = Vec::new();
    lonely.trace_id = None;
    lonely.upstream_us = None;
    store(&fixture, std::slice::from_ref(&lonely)).await;
    assert_eq!(fixture.store.get_validation(lonely.id).await.unwrap(), Some(lonely));
}

async fn unicode_and_odd_characters_come_back(fixture: StoreFixture) {
    let odd = "ünï \u{1f4d6} \u{202e} '\"\\ $1 %s ;-- \r\n\t \u{7f} \u{1}";
    let mut strange = invalid(1, ViolationCode::REQUEST_BODY_SCHEMA);
    strange.request_body = Some(odd.into());
    strange.response_body = Some(String::new());
    strange.consumer_id = odd.into();
    strange.request_headers = vec![(odd.into(), odd.into())];
    strange.violations[0].instance_pointer = odd.into();
    strange.request_headers.push(("Content-Type".into(), "text/plain".into()));
    store(&fixture, std::slice::from_ref(&strange)).await;
    let stored = fixture.store.get_validation(strange.id).await.unwrap().unwrap();
    assert_eq!(stored, strange);
}

async fn a_mebibyte_of_body_comes_back(fixture: StoreFixture) {
    let mut big = record(1);
    big.response_body = Some(format!("\"{}\"", "ä€𝄞x".repeat(1 << 17)));
    store(&fixture, std::slice::from_ref(&big)).await;
    let stored = fixture.store.get_validation(big.id).await.unwrap().unwrap();
    assert!(stored.response_body == big.response_body);
}

async fn microseconds_are_kept(fixture: StoreFixture) {
    let mut records = Vec::new();
    for (n, micros) in [(1, 1), (2, 999_999), (3, 123_456), (4, 0)] {
        let mut record = record(n);
        record.validated_at = Timestamp::from_micros(at(0).as_micros() + micros);
        records.push(record);
    }
    store(&fixture, &records).await;
    for record in &records {
        let stored = fixture.store.get_validation(record.id).await.unwrap().unwrap();
        assert_eq!(stored.validated_at, record.validated_at);
    }
    assert_eq!(found(&fixture, &ValidationFilter::default()).await, [2, 3, 1, 4]);
    let from = Timestamp::from_micros(at(0).as_micros() + 1);
    let until = Timestamp::from_micros(at(0).as_micros() + 999_999);
    let filter =
        ValidationFilter { from: Some(from), until: Some(until), ..ValidationFilter::default() };
    assert_eq!(found(&fixture, &filter).await, [3, 1], "from is within, until is not");
}

async fn a_time_written_with_an_offset_is_the_same_instant(fixture: StoreFixture) {
    let mut east = record(1);
    east.validated_at = Timestamp::parse("2023-11-15T07:13:20.5+09:00").unwrap();
    let mut west = record(2);
    west.validated_at = Timestamp::parse("2023-11-14T14:13:20.25-08:00").unwrap();
    store(&fixture, &[east, west]).await;
    assert_eq!(found(&fixture, &ValidationFilter::default()).await, [1, 2]);
    let stored = fixture.store.get_validation(id(1)).await.unwrap().unwrap();
    assert_eq!(stored.validated_at.to_string(), "2023-11-14T22:13:20.500000Z");
}

async fn the_same_batch_twice_is_stored_once(fixture: StoreFixture) {
    let batch: Vec<_> = (1..=100).map(record).collect();
    assert_eq!(store(&fixture, &batch).await, 100);
    assert_eq!(store(&fixture, &batch).await, 0);
    assert_eq!(found(&fixture, &ValidationFilter::default()).await.len(), 100);
}

async fn a_batch_that_overlaps_stores_what_is_new(fixture: StoreFixture) {
    let code = ViolationCode::REQUEST_BODY_SCHEMA;
    store(&fixture, &[invalid(1, code), invalid(2, code)]).await;
    assert_eq!(store(&fixture, &[invalid(2, code), invalid(3, code)]).await, 1);
    let filter = ValidationFilter { code: Some(code.to_string()), ..ValidationFilter::default() };
    assert_eq!(found(&fixture, &filter).await, [3, 2, 1]);
}

async fn a_batch_that_repeats_itself_stores_once(fixture: StoreFixture) {
    assert_eq!(store(&fixture, &[record(1), record(1), record(2)]).await, 2);
}

async fn an_empty_batch_is_nothing(fixture: StoreFixture) {
    assert_eq!(store(&fixture, &[]).await, 0);
}

async fn a_big_batch_is_stored_once(fixture: StoreFixture) {
    let code = ViolationCode::REQUEST_BODY_SCHEMA;
    let batch: Vec<_> = (1..=2_345)
        .map(|n| ValidationRecord { response_status: None, ..invalid(n, code) })
        .collect();
    assert_eq!(store(&fixture, &batch[..2_300]).await, 2_300);
    assert_eq!(store(&fixture, &batch).await, 45);
    let stored = fixture.store.get_validation(id(2_001)).await.unwrap();
    assert_eq!(stored.as_ref(), batch.get(2_000));
    let analytics = fixture
        .store
        .get_validation_analytics(&ValidationFilter::default(), &AnalyticsOptions::default())
        .await
        .unwrap();
    assert_eq!(analytics.total_validations, 2_345);
}

async fn concurrent_writers_lose_nothing(fixture: StoreFixture) {
    let mut tasks = Vec::new();
    for writer in 0..8_i64 {
        let store = if writer % 2 == 0 { fixture.store.clone() } else { fixture.second().await };
        tasks.push(tokio::spawn(async move {
            for batch in 0..5_i64 {
                // every other record is written by the next writer too
                let first = writer * 50 + batch * 10;
                let records: Vec<_> = (first..first + 15).map(record).collect();
                store.record_validations(&redact_all(&records)).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let analytics = fixture
        .store
        .get_validation_analytics(&ValidationFilter::default(), &AnalyticsOptions::default())
        .await
        .unwrap();
    assert_eq!(analytics.total_validations, 405);
}

async fn records_are_listed_last_first(fixture: StoreFixture) {
    store(&fixture, &[record(2), record(1), record(3)]).await;
    assert_eq!(found(&fixture, &ValidationFilter::default()).await, [3, 2, 1]);
}

async fn records_of_one_instant_go_by_id(fixture: StoreFixture) {
    let batch: Vec<_> = [3, 1, 2]
        .map(|n| cvt_sidecar::model::record::ValidationRecord { validated_at: at(0), ..record(n) })
        .to_vec();
    store(&fixture, &batch).await;
    assert_eq!(found(&fixture, &ValidationFilter::default()).await, [3, 2, 1]);
}

async fn six(fixture: &StoreFixture) {
    let mut batch = vec![
        record(1),
        record(2),
        invalid(3, ViolationCode::REQUEST_BODY_SCHEMA),
        invalid(4, ViolationCode::RESPONSE_STATUS_UNDOCUMENTED),
        record(5),
        invalid(6, ViolationCode::REQUEST_BODY_SCHEMA),
    ];
    batch[1].schema_id = "films".into();
    batch[2].request_method = "POST".into();
    batch[3].environment = "dev".into();
    batch[4].consumer_id = "mobile".into();
    batch[5].path_template = None;
    store(fixture, &batch).await;
}

async fn each_filter_alone(fixture: StoreFixture) {
    six(&fixture).await;
    let none = ValidationFilter::default;
    for (filter, expected) in [
        (none(), vec![6, 5, 4, 3, 2, 1]),
        (ValidationFilter { schema_id: Some("films".into()), ..none() }, vec![2]),
        (ValidationFilter { method: Some("POST".into()), ..none() }, vec![3]),
        (ValidationFilter { environment: Some("dev".into()), ..none() }, vec![4]),
        (ValidationFilter { consumer_id: Some("mobile".into()), ..none() }, vec![5]),
        (
            ValidationFilter { path_template: Some("/books/{id}".into()), ..none() },
            vec![5, 4, 3, 2, 1],
        ),
        (ValidationFilter { valid: Some(true), ..none() }, vec![5, 2, 1]),
        (ValidationFilter { valid: Some(false), ..none() }, vec![6, 4, 3]),
        (ValidationFilter { from: Some(at(5)), ..none() }, vec![6, 5]),
        (ValidationFilter { until: Some(at(3)), ..none() }, vec![2, 1]),
        (ValidationFilter { code: Some("request.body.schema".into()), ..none() }, vec![6, 3]),
        (ValidationFilter { code: Some("no.such.code".into()), ..none() }, vec![]),
        (ValidationFilter { schema_id: Some(String::new()), ..none() }, vec![]),
    ] {
        assert_eq!(found(&fixture, &filter).await, expected, "{filter:?}");
    }
}

async fn filters_combined(fixture: StoreFixture) {
    six(&fixture).await;
    let none = ValidationFilter::default;
    let whole = ValidationFilter {
        fault: None,
        side: None,
        status: None,
        schema_id: Some("books".into()),
        method: Some("POST".into()),
        environment: Some("prod".into()),
        valid: Some(false),
        from: Some(at(3)),
        until: Some(at(4)),
        consumer_id: Some("shop".into()),
        path_template: Some("/books/{id}".into()),
        code: Some("request.body.schema".into()),
    };
    for (filter, expected) in [
        (whole.clone(), vec![3]),
        (ValidationFilter { method: Some("GET".into()), ..whole.clone() }, vec![]),
        (ValidationFilter { until: Some(at(3)), ..whole }, vec![]),
        (
            ValidationFilter {
                code: Some("request.body.schema".into()),
                from: Some(at(4)),
                ..none()
            },
            vec![6],
        ),
        (
            ValidationFilter { valid: Some(true), consumer_id: Some("shop".into()), ..none() },
            vec![2, 1],
        ),
    ] {
        assert_eq!(found(&fixture, &filter).await, expected, "{filter:?}");
    }
}

async fn a_code_finds_every_record_that_carries_it(fixture: StoreFixture) {
    let (one, two) = (ViolationCode::REQUEST_BODY_SCHEMA, ViolationCode::REQUEST_QUERY_MISSING);
    let mut both = invalid(1, one);
    both.violations = vec![violation(one), violation(two), violation(one)];
    store(&fixture, &[both, invalid(2, two)]).await;
    let filter = |code: ViolationCode| ValidationFilter {
        code: Some(code.to_string()),
        ..ValidationFilter::default()
    };
    assert_eq!(found(&fixture, &filter(one)).await, [1]);
    assert_eq!(found(&fixture, &filter(two)).await, [2, 1]);
}

async fn days_long_apart_are_listed_together(fixture: StoreFixture) {
    const DAY: i64 = 86_400;
    let mut batch: Vec<_> = (1..=5).map(record).collect();
    for (record, day) in batch.iter_mut().zip([0, 1, 40, 400, 9_000]) {
        record.validated_at = at(day * DAY);
    }
    store(&fixture, &batch).await;
    assert_eq!(found(&fixture, &ValidationFilter::default()).await, [5, 4, 3, 2, 1]);
    let filter = ValidationFilter {
        from: Some(at(DAY)),
        until: Some(at(400 * DAY)),
        ..ValidationFilter::default()
    };
    assert_eq!(found(&fixture, &filter).await, [3, 2]);
}

async fn stored_records_survive_a_restart(mut fixture: StoreFixture) {
    store(&fixture, &[record(1), record(2)]).await;
    fixture.restart().await;
    assert_eq!(found(&fixture, &ValidationFilter::default()).await, [2, 1]);
}

async fn another_process_sees_what_was_stored(fixture: StoreFixture) {
    let other = fixture.second().await;
    store(&fixture, &[record(1)]).await;
    assert!(other.get_validation(id(1)).await.unwrap().is_some());
}
