//! Numbers about records.

use std::time::Duration;

use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{
    AnalyticsOptions, MAX_BUCKETS, NamedCount, OutcomeCount, ValidationAnalytics, ValidationFilter,
};

use super::fixtures::{at, invalid, record, redact_all, violation};
use super::store_fixture::{START, StoreFixture};

super::cases! {
    no_rows_give_zeros
    a_filter_without_rows_gives_zeros
    totals_and_rate
    analytics_count_outcomes_by_every_dimension
    violations_count_records_not_repetitions
    violations_under_a_filter
    lists_hold_the_biggest_and_break_ties_by_name
    the_series_has_buckets_of_the_width_asked
    the_series_is_widened_to_its_limit
    every_filter_restricts_the_numbers
}

async fn ask(
    fixture: &StoreFixture,
    filter: ValidationFilter,
    bucket: Option<Duration>,
) -> ValidationAnalytics {
    let options = AnalyticsOptions { bucket, ..AnalyticsOptions::default() };
    fixture.store.get_validation_analytics(&filter, &options).await.unwrap()
}

async fn store(fixture: &StoreFixture, records: &[ValidationRecord]) {
    fixture.store.record_validations(&redact_all(records)).await.unwrap();
}

fn outcomes(name: &str, total: u64, failed: u64) -> OutcomeCount {
    OutcomeCount { name: name.into(), total, failed }
}

async fn no_rows_give_zeros(fixture: StoreFixture) {
    let answer = ask(&fixture, ValidationFilter::default(), Some(Duration::from_mins(1))).await;
    assert_eq!(answer, ValidationAnalytics::default());
}

async fn a_filter_without_rows_gives_zeros(fixture: StoreFixture) {
    store(&fixture, &[record(1)]).await;
    for filter in [
        ValidationFilter { valid: Some(false), ..ValidationFilter::default() },
        ValidationFilter { from: Some(at(100)), ..ValidationFilter::default() },
        ValidationFilter { code: Some("x".into()), ..ValidationFilter::default() },
    ] {
        let answer = ask(&fixture, filter, Some(Duration::from_mins(1))).await;
        assert_eq!(answer, ValidationAnalytics::default());
    }
}

async fn totals_and_rate(fixture: StoreFixture) {
    let code = ViolationCode::REQUEST_BODY_SCHEMA;
    store(&fixture, &[record(1), record(2), invalid(3, code), record(4)]).await;
    let answer = ask(&fixture, ValidationFilter::default(), None).await;
    assert_eq!((answer.total_validations, answer.pass_count, answer.fail_count), (4, 3, 1));
    assert!((answer.pass_rate - 75.0).abs() < f64::EPSILON);
    assert_eq!(answer.series, []);
}

async fn analytics_count_outcomes_by_every_dimension(fixture: StoreFixture) {
    let mut records =
        vec![record(1), record(2), invalid(3, ViolationCode::REQUEST_BODY_SCHEMA), record(4)];
    records[0].request_method = "PUT".into();
    records[1].schema_id = "films".into();
    records[2].consumer_id = "mobile".into();
    records[2].path_template = None;
    store(&fixture, &records).await;
    let answer = ask(&fixture, ValidationFilter::default(), None).await;
    assert_eq!(answer.by_method, [outcomes("GET", 3, 1), outcomes("PUT", 1, 0)]);
    assert_eq!(answer.by_schema, [outcomes("books", 3, 1), outcomes("films", 1, 0)]);
    assert_eq!(answer.by_consumer, [outcomes("shop", 3, 0), outcomes("mobile", 1, 1)]);
    assert_eq!(answer.by_path_template, [outcomes("/books/{id}", 3, 0), outcomes("", 1, 1)]);
}

async fn violations_count_records_not_repetitions(fixture: StoreFixture) {
    let (one, two) = (ViolationCode::REQUEST_BODY_SCHEMA, ViolationCode::REQUEST_QUERY_MISSING);
    let mut twice = invalid(1, one);
    twice.violations = vec![violation(one), violation(one), violation(two)];
    store(&fixture, &[twice, invalid(2, one), record(3)]).await;
    let answer = ask(&fixture, ValidationFilter::default(), None).await;
    let count = |code: ViolationCode, count| NamedCount { name: code.to_string(), count };
    assert_eq!(answer.top_violations, [count(one, 2), count(two, 1)]);
}

async fn violations_under_a_filter(fixture: StoreFixture) {
    let (one, two) = (ViolationCode::REQUEST_BODY_SCHEMA, ViolationCode::REQUEST_QUERY_MISSING);
    let mut other = invalid(2, two);
    other.schema_id = "films".into();
    store(&fixture, &[invalid(1, one), other, invalid(3, one)]).await;
    let names = async |filter| -> Vec<(String, u64)> {
        let answer = ask(&fixture, filter, None).await;
        answer.top_violations.into_iter().map(|found| (found.name, found.count)).collect()
    };
    let none = ValidationFilter::default;
    let films = ValidationFilter { schema_id: Some("films".into()), ..none() };
    assert_eq!(names(films).await, [(two.to_string(), 1)]);
    let late = ValidationFilter { from: Some(at(2)), ..none() };
    assert_eq!(names(late).await, [(one.to_string(), 1), (two.to_string(), 1)]);
    let early = ValidationFilter { schema_id: Some("books".into()), until: Some(at(2)), ..none() };
    assert_eq!(names(early).await, [(one.to_string(), 1)]);
}

async fn lists_hold_the_biggest_and_break_ties_by_name(fixture: StoreFixture) {
    let mut records = Vec::new();
    for (n, name) in ["b", "c", "a", "d", "d", "e"].into_iter().enumerate() {
        let mut record = record(i64::try_from(n).unwrap());
        record.consumer_id = name.into();
        records.push(record);
    }
    store(&fixture, &records).await;
    let options = AnalyticsOptions { bucket: None, top: 3 };
    let filter = ValidationFilter::default();
    let answer = fixture.store.get_validation_analytics(&filter, &options).await.unwrap();
    assert_eq!(answer.by_consumer, [outcomes("d", 2, 0), outcomes("a", 1, 0), outcomes("b", 1, 0)]);
}

async fn the_series_has_buckets_of_the_width_asked(fixture: StoreFixture) {
    let code = ViolationCode::REQUEST_BODY_SCHEMA;
    // the start lies 20 seconds into a minute
    store(&fixture, &[record(0), record(39), invalid(40, code), record(200)]).await;
    let answer = ask(&fixture, ValidationFilter::default(), Some(Duration::from_mins(1))).await;
    let points: Vec<_> =
        answer.series.iter().map(|point| (point.start, point.total, point.failed)).collect();
    assert_eq!(points, [(at(-20), 2, 0), (at(40), 1, 1), (at(160), 1, 0)]);
    assert_eq!(START.as_seconds() % 60, 20);
}

async fn the_series_is_widened_to_its_limit(fixture: StoreFixture) {
    let records: Vec<_> =
        (0..2_500).map(|n| ValidationRecord { validated_at: at(n * 10), ..record(n) }).collect();
    store(&fixture, &records).await;
    let answer = ask(&fixture, ValidationFilter::default(), Some(Duration::from_secs(1))).await;
    assert!(answer.series.len() <= MAX_BUCKETS as usize, "{}", answer.series.len());
    assert!(answer.series.len() > MAX_BUCKETS as usize / 2, "{}", answer.series.len());
    assert_eq!(answer.series.iter().map(|point| point.total).sum::<u64>(), 2_500);
}

async fn every_filter_restricts_the_numbers(fixture: StoreFixture) {
    let mut records =
        vec![record(1), record(2), invalid(3, ViolationCode::REQUEST_BODY_SCHEMA), record(4)];
    records[0].request_method = "PUT".into();
    records[1].environment = "dev".into();
    store(&fixture, &records).await;
    let none = ValidationFilter::default;
    for (filter, expected) in [
        (none(), 4),
        (ValidationFilter { method: Some("PUT".into()), ..none() }, 1),
        (ValidationFilter { environment: Some("prod".into()), ..none() }, 3),
        (ValidationFilter { code: Some("request.body.schema".into()), ..none() }, 1),
        (ValidationFilter { valid: Some(true), ..none() }, 3),
        (ValidationFilter { until: Some(at(3)), from: Some(at(2)), ..none() }, 1),
        (ValidationFilter { path_template: Some("/none".into()), ..none() }, 0),
    ] {
        let answer = ask(&fixture, filter.clone(), None).await;
        assert_eq!(answer.total_validations, expected, "{filter:?}");
    }
}
