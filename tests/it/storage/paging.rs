//! Pages, while rows come and go.

use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{OnSchemaDelete, PageRequest, ValidationFilter};

use super::fixtures::{at, invalid, record, redact, redact_all};
use super::store_fixture::StoreFixture;

super::cases! {
    pages_follow_to_the_end_while_records_come_in
    pages_follow_to_the_end_while_records_go
    pages_follow_under_a_filter
    pages_of_a_code_follow_within_its_time
    pages_follow_over_many_days
    records_of_one_instant_are_neither_lost_nor_repeated
    page_sizes_are_kept_within_limits
    a_last_page_that_is_full_has_no_next
    a_cursor_survives_being_written_down
}

async fn fill(fixture: &StoreFixture, count: i64) {
    let records: Vec<_> = (1..=count).map(record).collect();
    fixture.store.record_validations(&redact_all(&records)).await.unwrap();
}

/// Walks to the end, `between` pages doing something.
async fn walk<F: AsyncFnMut(usize)>(
    fixture: &StoreFixture,
    filter: &ValidationFilter,
    size: u32,
    mut between: F,
) -> Vec<String> {
    let mut page = PageRequest::first(size);
    let mut seen = Vec::new();
    for number in 0.. {
        let found = fixture.store.list_validations(filter, &page).await.unwrap();
        assert!(found.items.len() <= size as usize);
        seen.extend(found.items.into_iter().map(|record| record.request_id));
        between(number).await;
        match found.next {
            Some(cursor) => page = PageRequest::after(size, cursor),
            None => break,
        }
    }
    seen
}

fn names(numbers: impl Iterator<Item = i64>) -> Vec<String> {
    numbers.map(|n| format!("req-{n}")).collect()
}

async fn pages_follow_to_the_end_while_records_come_in(fixture: StoreFixture) {
    fill(&fixture, 50).await;
    let seen = walk(&fixture, &ValidationFilter::default(), 7, async |page| {
        let newer = record(1_000 + i64::try_from(page).unwrap());
        fixture.store.record_validation(&redact(newer)).await.unwrap();
    })
    .await;
    assert_eq!(seen, names((1..=50).rev()));
}

async fn pages_follow_to_the_end_while_records_go(fixture: StoreFixture) {
    fill(&fixture, 50).await;
    let mut doomed = record(51);
    doomed.schema_id = "films".into();
    fixture.store.record_validation(&redact(doomed)).await.unwrap();
    let seen = walk(&fixture, &ValidationFilter::default(), 10, async |page| {
        if page == 0 {
            // takes the row the cursor may not depend on: the first one shown
            fixture.store.delete_schema("films", OnSchemaDelete::DeleteRecords).await.unwrap();
        }
    })
    .await;
    assert_eq!(seen, names((1..=51).rev()));
}

async fn pages_follow_under_a_filter(fixture: StoreFixture) {
    fill(&fixture, 30).await;
    let others: Vec<_> = (31..=60)
        .map(|n| ValidationRecord {
            consumer_id: "mobile".into(),
            validated_at: record(n - 30).validated_at,
            ..record(n)
        })
        .collect();
    fixture.store.record_validations(&redact_all(&others)).await.unwrap();
    let filter =
        ValidationFilter { consumer_id: Some("mobile".into()), ..ValidationFilter::default() };
    let seen = walk(&fixture, &filter, 4, async |_| {}).await;
    assert_eq!(seen, names((31..=60).rev()));
}

async fn pages_of_a_code_follow_within_its_time(fixture: StoreFixture) {
    let (one, other) = (ViolationCode::REQUEST_BODY_SCHEMA, ViolationCode::REQUEST_QUERY_MISSING);
    let records: Vec<_> = (1..=60)
        .map(|n| ValidationRecord {
            // four share an instant, two of them the code
            validated_at: record(n / 4).validated_at,
            ..invalid(n, if n % 2 == 0 { one } else { other })
        })
        .collect();
    fixture.store.record_validations(&redact_all(&records)).await.unwrap();
    let filter = ValidationFilter { code: Some(one.to_string()), ..ValidationFilter::default() };
    let even = |from: i64, until: i64| names((from..until).rev().filter(|n| n % 2 == 0));
    for size in [1, 3, 4, 100] {
        assert_eq!(walk(&fixture, &filter, size, async |_| {}).await, even(1, 61), "{size}");
    }
    let times = ValidationFilter { from: Some(at(5)), until: Some(at(9)), ..filter.clone() };
    assert_eq!(walk(&fixture, &times, 3, async |_| {}).await, even(20, 36));
    let valid = ValidationFilter { valid: Some(true), ..filter };
    assert_eq!(walk(&fixture, &valid, 3, async |_| {}).await, [""; 0]);
}

async fn pages_follow_over_many_days(fixture: StoreFixture) {
    const DAY: i64 = 86_400;
    /// Seconds from the fixtures' start to the next midnight.
    const MIDNIGHT: i64 = 6_400;
    // a day without records after every second; the first two of a day share its first instant
    let day = |n: i64| (n - 1) / 4 + (n - 1) / 8;
    let records: Vec<_> = (1..=90)
        .map(|n| ValidationRecord {
            validated_at: at(MIDNIGHT + day(n) * DAY + ((n - 1) % 4 - 1).max(0)),
            consumer_id: if n % 30 == 0 { "mobile" } else { "shop" }.into(),
            ..record(n)
        })
        .collect();
    fixture.store.record_validations(&redact_all(&records)).await.unwrap();
    let all = ValidationFilter::default();
    for size in [1, 2, 7, 30, 100] {
        assert_eq!(walk(&fixture, &all, size, async |_| {}).await, names((1..=90).rev()), "{size}");
    }
    let rare = ValidationFilter { consumer_id: Some("mobile".into()), ..all.clone() };
    assert_eq!(walk(&fixture, &rare, 2, async |_| {}).await, names([90, 60, 30].into_iter()));
    let (from, until) = (Some(at(MIDNIGHT + day(9) * DAY)), Some(at(MIDNIGHT + day(41) * DAY)));
    let times = ValidationFilter { from, until, ..all.clone() };
    assert_eq!(walk(&fixture, &times, 5, async |_| {}).await, names((9..=40).rev()));
    let unknown = ValidationFilter { consumer_id: Some("absent".into()), ..all };
    assert_eq!(walk(&fixture, &unknown, 5, async |_| {}).await, [""; 0]);
}

async fn records_of_one_instant_are_neither_lost_nor_repeated(fixture: StoreFixture) {
    let at = record(0).validated_at;
    let records: Vec<_> =
        (1..=25).map(|n| ValidationRecord { validated_at: at, ..record(n) }).collect();
    fixture.store.record_validations(&redact_all(&records)).await.unwrap();
    let seen = walk(&fixture, &ValidationFilter::default(), 3, async |_| {}).await;
    assert_eq!(seen, names((1..=25).rev()));
}

async fn page_sizes_are_kept_within_limits(fixture: StoreFixture) {
    fill(&fixture, 1_050).await;
    let filter = ValidationFilter::default();
    for (asked, expected) in [(0, 100), (1, 1), (999, 999), (u32::MAX, 1_000)] {
        let page = PageRequest::first(asked);
        let found = fixture.store.list_validations(&filter, &page).await.unwrap();
        assert_eq!(found.items.len(), expected, "asked for {asked}");
        assert!(found.next.is_some());
    }
}

async fn a_last_page_that_is_full_has_no_next(fixture: StoreFixture) {
    fill(&fixture, 10).await;
    let filter = ValidationFilter::default();
    let found = fixture.store.list_validations(&filter, &PageRequest::first(10)).await.unwrap();
    assert_eq!((found.items.len(), found.next), (10, None));
}

async fn a_cursor_survives_being_written_down(fixture: StoreFixture) {
    fill(&fixture, 3).await;
    let filter = ValidationFilter::default();
    let found = fixture.store.list_validations(&filter, &PageRequest::first(1)).await.unwrap();
    let text = found.next.unwrap().to_string();
    let page = PageRequest::after(5, text.parse().unwrap());
    let found = fixture.store.list_validations(&filter, &page).await.unwrap();
    assert_eq!(found.items.len(), 2);
}
