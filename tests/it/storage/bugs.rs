//! CVT's defects in storage, by their numbers: each must not exist here.

use std::time::Duration;

use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, OnConflict, PageRequest, SchemaChange,
    SchemaFilter, StoreError, ValidationFilter,
};

use super::fixtures::{at, changed, consumer, invalid, record, redact_all, schema};
use super::store_fixture::StoreFixture;

super::cases! {
    bug_b01_the_latest_version_survives_a_restart
    bug_b02_invalid_records_are_stored_too
    bug_b03_analytics_answer_under_filters_and_on_no_rows
    bug_b04_consumers_are_read_back_after_a_restart
    bug_b05_pages_go_on_and_totals_know_the_filter
    bug_b06_old_records_do_expire
    bug_b13_the_previous_version_is_the_one_registered_before
    bug_b14_a_schema_not_there_is_no_error
    bug_b22_a_restart_keeps_the_times
    bug_b23_other_content_never_overwrites_silently
}

async fn bug_b01_the_latest_version_survives_a_restart(mut fixture: StoreFixture) {
    for version in ["1", "3", "2"] {
        let mut record = schema("books", version);
        // what the caller says about it does not count
        record.is_latest = false;
        fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    }
    for _ in 0..2 {
        let latest = fixture.store.get_schema("books").await.unwrap().unwrap();
        assert_eq!((&*latest.version, latest.is_latest), ("2", true));
        fixture.restart().await;
    }
}

async fn bug_b02_invalid_records_are_stored_too(fixture: StoreFixture) {
    let records = [record(1), invalid(2, ViolationCode::REQUEST_BODY_SCHEMA)];
    assert_eq!(fixture.store.record_validations(&redact_all(&records)).await.unwrap(), 2);
    let (all, options) = (ValidationFilter::default(), AnalyticsOptions::default());
    let answer = fixture.store.get_validation_analytics(&all, &options).await.unwrap();
    assert!((answer.pass_rate - 50.0).abs() < f64::EPSILON, "{answer:?}");
}

async fn bug_b03_analytics_answer_under_filters_and_on_no_rows(fixture: StoreFixture) {
    let options = AnalyticsOptions { bucket: Some(Duration::from_mins(1)), top: 5 };
    let failed = ValidationFilter {
        valid: Some(false),
        schema_id: Some("books".into()),
        ..ValidationFilter::default()
    };
    let none = fixture.store.get_validation_analytics(&failed, &options).await.unwrap();
    assert_eq!((none.total_validations, none.fail_count), (0, 0));
    let records = [record(1), invalid(2, ViolationCode::REQUEST_BODY_SCHEMA)];
    fixture.store.record_validations(&redact_all(&records)).await.unwrap();
    let one = fixture.store.get_validation_analytics(&failed, &options).await.unwrap();
    assert_eq!((one.total_validations, one.fail_count, one.series.len()), (1, 1, 1));
}

async fn bug_b04_consumers_are_read_back_after_a_restart(mut fixture: StoreFixture) {
    let registered = consumer("shop", "books", "prod");
    fixture.store.register_consumer(&registered).await.unwrap();
    fixture.restart().await;
    let page = PageRequest::default();
    let found = fixture.store.list_consumers(&ConsumerFilter::default(), &page).await.unwrap();
    assert_eq!(found.items, [registered]);
    assert!(fixture.store.deregister_consumer("shop", "books", "prod").await.unwrap());
}

async fn bug_b05_pages_go_on_and_totals_know_the_filter(fixture: StoreFixture) {
    for n in 0..5 {
        let mut record = schema(&format!("s{n}"), "1");
        record.ownership.owner = if n < 4 { "olga" } else { "otto" }.into();
        fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    }
    let filter = SchemaFilter { owner: Some("olga".into()), ..SchemaFilter::default() };
    let (mut page, mut pages) = (PageRequest::first(2), Vec::new());
    loop {
        let list = fixture.store.list_schemas(&filter, &page).await.unwrap();
        assert_eq!(list.total, 4);
        let ids = list.page.items.iter().map(|item| item.schema_id.to_string());
        pages.push(ids.collect::<Vec<_>>().join(" "));
        let Some(cursor) = list.page.next else { break };
        page = PageRequest::after(2, cursor);
    }
    assert_eq!(pages, ["s0 s1", "s2 s3"]);
}

async fn bug_b06_old_records_do_expire(fixture: StoreFixture) {
    fixture.store.record_validations(&redact_all(&[record(1), record(9)])).await.unwrap();
    let gone = fixture.store.expire_validations(ExpireKind::All, at(5), 100).await.unwrap();
    assert_eq!(gone, 1);
}

async fn bug_b13_the_previous_version_is_the_one_registered_before(mut fixture: StoreFixture) {
    // as texts they would be in another order
    for version in ["10.0.0", "9.0.0", "11.0.0"] {
        fixture.store.set_schema(&schema("books", version), OnConflict::Refuse).await.unwrap();
    }
    fixture.restart().await;
    for (current, previous) in
        [("11.0.0", Some("9.0.0")), ("9.0.0", Some("10.0.0")), ("10.0.0", None)]
    {
        let found = fixture.store.get_previous_version("books", current).await.unwrap();
        assert_eq!(found.as_deref(), previous, "{current}");
    }
}

async fn bug_b14_a_schema_not_there_is_no_error(fixture: StoreFixture) {
    assert_eq!(fixture.store.get_schema("books").await.unwrap(), None);
    assert_eq!(fixture.store.get_schema_version("books", "1").await.unwrap(), None);
    assert_eq!(fixture.store.get_previous_version("books", "1").await.unwrap(), None);
    let first = fixture.store.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
    assert_eq!(first.change, SchemaChange::Created);
}

async fn bug_b22_a_restart_keeps_the_times(mut fixture: StoreFixture) {
    let record = schema("books", "1");
    fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    fixture.clock.advance(Duration::from_hours(1));
    fixture.restart().await;
    let read = fixture.store.get_schema("books").await.unwrap().unwrap();
    assert_eq!((read.registered_at, read.updated_at), (record.registered_at, record.updated_at));
}

async fn bug_b23_other_content_never_overwrites_silently(fixture: StoreFixture) {
    let record = schema("books", "1");
    fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let refused = fixture.store.set_schema(&changed(&record), OnConflict::Refuse).await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })), "{refused:?}");
    let kept = fixture.store.get_schema("books").await.unwrap().unwrap();
    assert_eq!(kept.content_hash, record.content_hash);
}

/// CVT hands its SQLite driver options that the driver does not know.
#[tokio::test]
async fn bug_b21_readers_and_the_writer_do_not_hold_each_other_up() {
    use sqlx::{Connection as _, Row as _, SqliteConnection};
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("cvt.db");
    let options = cvt_sidecar::storage::SqliteOptions::new(&path);
    let store = options.open(super::store_fixture::clock()).await.unwrap();
    let url = format!("sqlite://{}", path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    let mode: String =
        sqlx::query("PRAGMA journal_mode").fetch_one(&mut other).await.unwrap().get(0);
    assert_eq!(mode, "wal");
    let count = "SELECT COUNT(*) FROM validation_runs";
    sqlx::raw_sql("BEGIN").execute(&mut other).await.unwrap();
    let before: i64 = sqlx::query(count).fetch_one(&mut other).await.unwrap().get(0);
    store.record_validations(&redact_all(&[record(1)])).await.unwrap();
    let after: i64 = sqlx::query(count).fetch_one(&mut other).await.unwrap().get(0);
    assert_eq!((before, after), (0, 0), "the reader's snapshot stays as it was");
}
