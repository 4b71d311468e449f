//! Numbers about random records, against a count of the records themselves.
//!
//! After storing, repeating, expiring and purging by several writers at once, the numbers equal
//! those that the memory store counts from its records.

use std::time::Duration;

use cvt_sidecar::model::clock::Timestamp;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{
    AnalyticsOptions, ExpireKind, OnSchemaDelete, Purge, Store, StoreResult, ValidationAnalytics,
    ValidationFilter,
};

use super::fixtures::{invalid, record, redact_all, violation};
use super::store_fixture::{START, StoreFixture, memory};

super::cases! {
    analytics_equal_a_count_of_the_records
    analytics_follow_deletions
    repeated_records_count_once
    concurrent_writers_add_up
    analytics_survive_a_restart
    rollup_keys_without_counts_are_deleted_and_recreated
}

/// A seeded generator: the same values in every run.
struct TestRandom(u64);

impl TestRandom {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn pick<'n>(&mut self, names: &[&'n str]) -> &'n str {
        names[self.below(names.len())]
    }

    /// A time in the seventy days from the start, some of them close to each other and to the
    /// edges of hours and days.
    fn time(&mut self) -> Timestamp {
        let day = 86_400_000_000_i64;
        let within = |random: &mut Self, range: i64| {
            i64::try_from(random.below(usize::try_from(range).unwrap())).unwrap()
        };
        let micros = match self.below(4) {
            0 => within(self, 70 * day),
            1 => within(self, 70) * day - START.as_micros() % day + 69 * day / 10 + within(self, 3),
            2 => within(self, 3_600_000_000),
            _ => within(self, 70 * 24) * 3_600_000_000 + within(self, 2),
        };
        Timestamp::from_micros(START.as_micros() + micros.rem_euclid(70 * day))
    }

    fn record(&mut self, n: usize) -> ValidationRecord {
        const CODES: [ViolationCode; 3] = [
            ViolationCode::REQUEST_BODY_SCHEMA,
            ViolationCode::REQUEST_QUERY_MISSING,
            ViolationCode::RESPONSE_BODY_SCHEMA,
        ];
        let n = i64::try_from(n).unwrap();
        let mut record = if self.below(3) == 0 {
            let mut record = invalid(n, CODES[self.below(3)]);
            for _ in 0..self.below(3) {
                record.violations.push(violation(CODES[self.below(3)]));
            }
            record
        } else {
            record(n)
        };
        record.validated_at = self.time();
        record.schema_id = self.pick(&["books", "films", "bücher"]).into();
        record.request_method = self.pick(&["GET", "POST"]).into();
        record.environment = self.pick(&["prod", "dev"]).into();
        record.consumer_id = self.pick(&["shop", "mobile", "unknown"]).into();
        record.path_template = match self.below(4) {
            0 => None,
            1 => Some("/films".into()),
            _ => Some("/books/{id}".into()),
        };
        record
    }

    fn filter(&mut self) -> ValidationFilter {
        let mut some = |names: &[&str]| (self.below(3) == 0).then(|| self.pick(names).to_owned());
        let mut filter = ValidationFilter {
            schema_id: some(&["books", "films", "none"]),
            method: some(&["GET", "PUT"]),
            environment: some(&["prod", "dev"]),
            consumer_id: some(&["shop", "mobile"]),
            path_template: some(&["/books/{id}", "/films", ""]),
            code: some(&["request.body.schema", "request.query.missing"]),
            ..ValidationFilter::default()
        };
        // filters of one name and of none have ways of their own
        match self.below(4) {
            0 => filter = ValidationFilter::default(),
            1 => {
                filter = ValidationFilter {
                    consumer_id: filter.consumer_id,
                    code: None,
                    ..ValidationFilter::default()
                }
            }
            _ => {}
        }
        filter.valid = [None, Some(true), Some(false)][self.below(3)];
        if self.below(2) == 0 {
            filter.from = Some(self.time());
        }
        if self.below(2) == 0 {
            filter.until = Some(self.time());
        }
        filter
    }

    fn options(&mut self) -> AnalyticsOptions {
        const WIDTHS: [u64; 6] = [1, 60, 77, 3_600, 7_200, 86_400];
        let width = WIDTHS[self.below(WIDTHS.len())];
        let bucket = (self.below(3) > 0).then(|| Duration::from_secs(width));
        AnalyticsOptions { bucket, top: [1, 3, 100][self.below(3)] }
    }
}

fn records(seed: u64, count: usize) -> Vec<ValidationRecord> {
    let mut random = TestRandom::new(seed);
    (0..count).map(|n| random.record(n)).collect()
}

async fn store(store: &dyn Store, records: &[ValidationRecord]) -> u64 {
    let mut stored = 0;
    for batch in records.chunks(97) {
        stored += store.record_validations(&redact_all(batch)).await.unwrap();
    }
    stored
}

/// Removes until nothing is left to remove; says how much that was.
async fn remove(mut step: impl AsyncFnMut() -> StoreResult<u64>) -> u64 {
    let mut removed = 0;
    loop {
        match step().await.unwrap() {
            0 => return removed,
            rows => removed += rows,
        }
    }
}

async fn ask(
    store: &dyn Store,
    filter: &ValidationFilter,
    options: &AnalyticsOptions,
) -> ValidationAnalytics {
    store.get_validation_analytics(filter, options).await.unwrap()
}

/// Asks both stores for the same numbers, many times.
async fn same_numbers(
    fixture: &StoreFixture,
    reference: &StoreFixture,
    seed: u64,
    questions: usize,
) {
    let mut random = TestRandom::new(seed);
    for _ in 0..questions {
        let (filter, options) = (random.filter(), random.options());
        let expected = ask(&*reference.store, &filter, &options).await;
        let found = ask(&*fixture.store, &filter, &options).await;
        assert_eq!(found, expected, "{filter:?} {options:?}");
    }
}

async fn analytics_equal_a_count_of_the_records(fixture: StoreFixture) {
    let (reference, records) = (memory(), records(1, 1_500));
    store(&*reference.store, &records).await;
    store(&*fixture.store, &records).await;
    same_numbers(&fixture, &reference, 2, 150).await;
}

async fn analytics_follow_deletions(fixture: StoreFixture) {
    let (reference, records) = (memory(), records(3, 900));
    for place in [&reference, &fixture] {
        store(&*place.store, &records).await;
    }
    let at = |days: u64| START.plus(Duration::from_hours(days * 24 + 5));
    for step in 0..6 {
        for place in [&reference, &fixture] {
            let store = &place.store;
            let removed = match step {
                0 => store.expire_validations(ExpireKind::Valid, at(10), 40).await.unwrap(),
                1 => remove(async || store.purge(Purge::ConsumerRecords("mobile"), 60).await).await,
                2 => store.expire_validations(ExpireKind::Invalid, at(12), 30).await.unwrap(),
                // whole days go at once on PostgreSQL
                3 => {
                    let expire = || store.expire_validations(ExpireKind::All, at(20), 500);
                    remove(async || expire().await).await
                }
                4 => store.expire_validations(ExpireKind::Bodies, at(60), 500).await.unwrap(),
                _ => u64::from(
                    store.delete_schema("films", OnSchemaDelete::DeleteRecords).await.unwrap(),
                ),
            };
            assert!(removed > 0 || step == 5, "step {step}");
        }
        if step >= 3 {
            same_numbers(&fixture, &reference, 10 + step, 60).await;
        }
    }
    for place in [&reference, &fixture] {
        while place.store.expire_validations(ExpireKind::All, at(90), 500).await.unwrap() > 0 {}
    }
    let answer =
        ask(&*fixture.store, &ValidationFilter::default(), &AnalyticsOptions::default()).await;
    assert_eq!(answer, ValidationAnalytics::default());
}

async fn repeated_records_count_once(fixture: StoreFixture) {
    let (reference, records) = (memory(), records(4, 300));
    store(&*reference.store, &records).await;
    assert_eq!(store(&*fixture.store, &records[..200]).await, 200);
    // whole batches, parts of batches, and records twice in one batch
    assert_eq!(store(&*fixture.store, &records[..200]).await, 0);
    let mut twice = records[150..250].to_vec();
    twice.extend_from_slice(&records[240..300]);
    assert_eq!(fixture.store.record_validations(&redact_all(&twice)).await.unwrap(), 100);
    assert_eq!(store(&*fixture.store, &records).await, 0);
    same_numbers(&fixture, &reference, 5, 40).await;
}

async fn concurrent_writers_add_up(fixture: StoreFixture) {
    let (reference, all) = (memory(), records(6, 1_200));
    store(&*reference.store, &all).await;
    let mut tasks = Vec::new();
    for n in 0..6 {
        let writer = if n % 2 == 0 { fixture.store.clone() } else { fixture.second().await };
        // neighbours overlap: two writers store the same records
        let mine = all[n * 190..(n * 190 + 250).min(1_200)].to_vec();
        tasks.push(tokio::spawn(async move { store(&*writer, &mine).await }));
    }
    let mut stored = 0;
    for task in tasks {
        stored += task.await.unwrap();
    }
    assert_eq!(stored, 1_200);
    same_numbers(&fixture, &reference, 7, 60).await;
}

async fn analytics_survive_a_restart(mut fixture: StoreFixture) {
    let (reference, records) = (memory(), records(8, 300));
    store(&*reference.store, &records).await;
    store(&*fixture.store, &records[..150]).await;
    fixture.restart().await;
    if fixture.store.backend() == "memory" {
        return;
    }
    store(&*fixture.store, &records[150..]).await;
    same_numbers(&fixture, &reference, 9, 40).await;
}

async fn rollup_keys_without_counts_are_deleted_and_recreated(fixture: StoreFixture) {
    let (reference, records) = (memory(), records(10, 200));
    let other = fixture.second().await;
    for round in 0..3 {
        store(&*fixture.store, &records[..100]).await;
        // a second process remembers the same series
        store(&*other, &records[100..]).await;
        if round == 2 {
            break;
        }
        let end = START.plus(Duration::from_hours(24 * 90));
        while fixture.store.expire_validations(ExpireKind::All, end, 1_000).await.unwrap() > 0 {}
    }
    store(&*reference.store, &records).await;
    same_numbers(&fixture, &reference, 11, 40).await;
}
