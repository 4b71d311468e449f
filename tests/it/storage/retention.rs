//! Expiring records.

use std::time::Duration;

use cvt_sidecar::config::retention::RetentionSettings;
use cvt_sidecar::model::clock::Timestamp;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::retention::Retention;
use cvt_sidecar::storage::{AnalyticsOptions, ExpireKind, PageRequest, ValidationFilter};

use super::fixtures::{at, invalid, record, redact_all};
use super::store_fixture::StoreFixture;

super::cases! {
    the_oldest_expire_first_in_bounded_batches
    valid_and_invalid_expire_apart
    bodies_expire_and_records_stay
    whole_days_expire_and_younger_ones_stay
    counting_changes_nothing
    expired_records_leave_no_codes_behind
    records_can_be_stored_after_their_day_expired
    nothing_expires_from_an_empty_store
    a_stopped_round_ends_between_two_batches
}

const DAY: i64 = 86_400;
const CODE: ViolationCode = ViolationCode::REQUEST_BODY_SCHEMA;

async fn store(fixture: &StoreFixture, records: &[ValidationRecord]) {
    fixture.store.record_validations(&redact_all(records)).await.unwrap();
}

async fn left(fixture: &StoreFixture) -> Vec<String> {
    let (filter, page) = (ValidationFilter::default(), PageRequest::first(1_000));
    let page = fixture.store.list_validations(&filter, &page).await.unwrap();
    page.items.into_iter().map(|record| record.request_id).collect()
}

/// Expires until nothing is left to; says how many rows and steps that were.
async fn expire(
    fixture: &StoreFixture,
    kind: ExpireKind,
    older_than: Timestamp,
    batch: u32,
) -> (u64, u32) {
    let (mut rows, mut steps) = (0, 0);
    loop {
        let touched = fixture.store.expire_validations(kind, older_than, batch).await.unwrap();
        if touched == 0 {
            return (rows, steps);
        }
        rows += touched;
        steps += 1;
    }
}

async fn the_oldest_expire_first_in_bounded_batches(fixture: StoreFixture) {
    store(&fixture, &(1..=10).map(record).collect::<Vec<_>>()).await;
    let touched = fixture.store.expire_validations(ExpireKind::All, at(8), 3).await.unwrap();
    assert_eq!(touched, 3);
    assert_eq!(left(&fixture).await.last().unwrap(), "req-4");
    assert_eq!(expire(&fixture, ExpireKind::All, at(8), 3).await, (4, 2));
    assert_eq!(left(&fixture).await, ["req-10", "req-9", "req-8"]);
}

async fn valid_and_invalid_expire_apart(fixture: StoreFixture) {
    store(&fixture, &[record(1), invalid(2, CODE), record(3), invalid(4, CODE), record(9)]).await;
    assert_eq!(expire(&fixture, ExpireKind::Valid, at(5), 100).await.0, 2);
    assert_eq!(left(&fixture).await, ["req-9", "req-4", "req-2"]);
    assert_eq!(expire(&fixture, ExpireKind::Invalid, at(4), 100).await.0, 1);
    assert_eq!(left(&fixture).await, ["req-9", "req-4"]);
}

async fn bodies_expire_and_records_stay(fixture: StoreFixture) {
    let mut bare = record(2);
    bare.response_body = None;
    store(&fixture, &[record(1), bare, record(3), record(9)]).await;
    assert_eq!(expire(&fixture, ExpireKind::Bodies, at(5), 1).await, (2, 2));
    let (filter, page) = (ValidationFilter::default(), PageRequest::default());
    let page = fixture.store.list_validations(&filter, &page).await.unwrap();
    let bodies: Vec<_> = page.items.iter().map(|record| record.response_body.is_some()).collect();
    assert_eq!(bodies, [true, false, false, false]);
}

async fn whole_days_expire_and_younger_ones_stay(fixture: StoreFixture) {
    let records: Vec<_> = (0..5)
        .flat_map(|day| {
            (0..3).map(move |n| ValidationRecord {
                validated_at: at(day * DAY + n),
                ..record(day * 10 + n)
            })
        })
        .collect();
    store(&fixture, &records).await;
    let older_than = at(3 * DAY + 1);
    assert_eq!(expire(&fixture, ExpireKind::All, older_than, 1_000).await.0, 10);
    assert_eq!(left(&fixture).await, ["req-42", "req-41", "req-40", "req-32", "req-31"]);
}

async fn counting_changes_nothing(fixture: StoreFixture) {
    store(&fixture, &[record(1), invalid(2, CODE), record(3)]).await;
    for (kind, expected) in [
        (ExpireKind::All, 3),
        (ExpireKind::Valid, 2),
        (ExpireKind::Invalid, 1),
        (ExpireKind::Bodies, 3),
    ] {
        assert_eq!(fixture.store.count_expirable(kind, at(9)).await.unwrap(), expected, "{kind:?}");
        assert_eq!(fixture.store.count_expirable(kind, at(1)).await.unwrap(), 0, "{kind:?}");
    }
    assert_eq!(left(&fixture).await.len(), 3);
}

async fn expired_records_leave_no_codes_behind(fixture: StoreFixture) {
    store(&fixture, &[invalid(1, CODE), invalid(2, CODE), invalid(8, CODE)]).await;
    assert_eq!(expire(&fixture, ExpireKind::Invalid, at(5), 1).await.0, 2);
    let answer = fixture
        .store
        .get_validation_analytics(&ValidationFilter::default(), &AnalyticsOptions::default())
        .await
        .unwrap();
    assert_eq!(answer.top_violations[0].count, 1);
}

async fn records_can_be_stored_after_their_day_expired(fixture: StoreFixture) {
    store(&fixture, &[record(1)]).await;
    assert_eq!(expire(&fixture, ExpireKind::All, at(2 * DAY), 10).await.0, 1);
    store(&fixture, &[record(2)]).await;
    assert_eq!(left(&fixture).await, ["req-2"]);
}

async fn nothing_expires_from_an_empty_store(fixture: StoreFixture) {
    for kind in [ExpireKind::All, ExpireKind::Valid, ExpireKind::Invalid, ExpireKind::Bodies] {
        assert_eq!(expire(&fixture, kind, at(9), 10).await, (0, 0));
    }
}

async fn a_stopped_round_ends_between_two_batches(fixture: StoreFixture) {
    store(&fixture, &(1..=25).map(record).collect::<Vec<_>>()).await;
    // an hour later it is the same day, which PostgreSQL cannot drop as a whole
    fixture.clock.advance(Duration::from_hours(1));
    let period = Some(Duration::from_mins(30));
    let settings = RetentionSettings {
        valid: period,
        invalid: period,
        bodies: None,
        interval: Duration::from_hours(1),
        batch: 10,
    };
    let retention = Retention::new(settings, fixture.store.clone(), fixture.clock.clone(), None);
    let left = async || retention.preview().await.unwrap()[0].rows;
    let (stop, stopped) = tokio::sync::watch::channel(true);
    assert_eq!(retention.round(&stopped).await.unwrap()[0].rows, 0);
    assert_eq!(left().await, 25);
    stop.send(false).unwrap();
    let (round, ()) = tokio::join!(retention.round(&stopped), async {
        while left().await == 25 {
            tokio::task::yield_now().await;
        }
        stop.send(true).unwrap();
    });
    let gone = round.unwrap()[0].rows;
    // the round may have begun another batch before it saw the stop
    assert!(gone == 10 || gone == 20, "{gone}");
    assert_eq!(left().await, 25 - gone);
}
