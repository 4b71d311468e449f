//! Bringing a database to this version's form.

use std::sync::Arc;
use std::time::Duration;

use cvt_sidecar::model::page::MAX_PAGE_SIZE;
use cvt_sidecar::storage::{
    Access, AnalyticsOptions, ExpireKind, OnConflict, PageRequest, Store, StoreError,
    ValidationFilter,
};

use super::fixtures::{at, hash, record, redact, redact_all, schema};
use super::raw_database::RawDatabase;
use super::store_fixture::memory;

/// The migrations of one kind of database, in order: number, name, text.
fn migrations(kind: &str) -> Vec<(usize, String, String)> {
    let dir = format!("{}/migrations/{kind}", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let named = files.iter().enumerate().map(|(index, path)| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (index + 1, name, std::fs::read_to_string(path).unwrap())
    });
    named.collect()
}

/// Puts a database into the form of version `version`, as that version left it.
async fn at_version(raw: &RawDatabase, version: usize) {
    let (number, time) = match raw.kind() {
        "sqlite" => ("INTEGER", "INTEGER"),
        _ => ("BIGINT", "TIMESTAMPTZ"),
    };
    let now = if raw.kind() == "sqlite" { "0" } else { "now()" };
    raw.run(&format!(
        "CREATE TABLE migrations (version {number} NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
         hash TEXT NOT NULL, applied_at {time} NOT NULL)"
    ))
    .await;
    for (number, name, text) in migrations(raw.kind()).into_iter().take(version) {
        let hash = hash(&text);
        raw.run(&text).await;
        raw.run(&format!("INSERT INTO migrations VALUES ({number}, '{name}', '{hash}', {now})"))
            .await;
    }
}

#[tokio::test]
async fn both_databases_have_the_same_migrations() {
    let names = |kind: &str| -> Vec<_> {
        migrations(kind).into_iter().map(|(number, name, _)| (number, name)).collect()
    };
    assert_eq!(names("sqlite"), names("postgres"));
}

#[tokio::test]
async fn every_earlier_version_is_brought_up_and_works() {
    let newest = migrations("sqlite").len();
    for version in 0..=newest {
        for raw in RawDatabase::both() {
            if version > 0 {
                at_version(&raw, version).await;
            }
            let store = raw.open(Access::Migrate).await.unwrap();
            let plan = store.migrate(true).await.unwrap();
            assert_eq!(plan.from, i64::try_from(version).unwrap());
            assert_eq!((plan.steps.len(), plan.applied), (newest - version, false));
            let report = store.migrate(false).await.unwrap();
            assert_eq!(report.steps, plan.steps);
            assert!(report.applied);
            assert_eq!(store.migrate(false).await.unwrap().steps, []);
            store.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
            store.record_validation(&redact(record(1))).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    for raw in RawDatabase::both() {
        let store = raw.open(Access::Migrate).await.unwrap();
        assert_eq!(store.migrate(true).await.unwrap().from, 0);
        assert_eq!(store.migrate(true).await.unwrap().from, 0);
        let refused = raw.open(Access::Read).await.err();
        assert!(matches!(refused, Some(StoreError::NotMigrated { found: 0, .. })), "{refused:?}");
    }
}

/// Enters migrations of a version to come, each with the oldest version that can use the tables.
async fn add_newer(raw: &RawDatabase, newer: &[(usize, Option<usize>)]) {
    let time = if raw.kind() == "sqlite" { "0" } else { "now()" };
    for (version, reader) in newer {
        let reader = reader.map_or("NULL".to_owned(), |reader| reader.to_string());
        raw.run(&format!(
            "INSERT INTO migrations (version, name, hash, applied_at, oldest_reader) \
             VALUES ({version}, 'future', 'x', {time}, {reader})"
        ))
        .await;
    }
}

#[tokio::test]
async fn a_newer_database_that_shuts_this_version_out_is_refused() {
    let known = migrations("sqlite").len();
    let newest = i64::try_from(known).unwrap();
    for raw in RawDatabase::both() {
        drop(raw.open(Access::Write).await.unwrap());
        // the second step alone is readable; the first is not
        add_newer(&raw, &[(known + 1, Some(known + 1)), (known + 2, Some(known))]).await;
        for access in [Access::Write, Access::Read] {
            let refused = raw.open(access).await.err();
            let Some(StoreError::NewerDatabase { found, oldest_reader, .. }) = refused else {
                panic!("{refused:?}")
            };
            assert_eq!((found, oldest_reader), (newest + 2, newest + 1));
        }
    }
}

#[tokio::test]
async fn without_a_statement_one_step_is_usable_and_two_are_not() {
    let known = migrations("sqlite").len();
    for raw in RawDatabase::both() {
        drop(raw.open(Access::Write).await.unwrap());
        add_newer(&raw, &[(known + 1, None)]).await;
        drop(raw.open(Access::Write).await.unwrap());
        add_newer(&raw, &[(known + 2, None)]).await;
        let refused = raw.open(Access::Write).await.err();
        assert!(matches!(refused, Some(StoreError::NewerDatabase { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn a_newer_database_that_admits_this_version_is_read_and_written() {
    let known = migrations("sqlite").len();
    for raw in RawDatabase::both() {
        drop(raw.open(Access::Write).await.unwrap());
        add_newer(&raw, &[(known + 1, Some(known)), (known + 2, Some(known - 1))]).await;
        let store = raw.open(Access::Write).await.unwrap();
        let report = store.migrate(false).await.unwrap();
        let newest = i64::try_from(known + 2).unwrap();
        assert_eq!((report.from, report.to, report.steps), (newest, newest, Vec::new()));
        store.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
        store.record_validation(&redact(record(1))).await.unwrap();
        let reader = raw.open(Access::Read).await.unwrap();
        let page = PageRequest::first(10);
        let found = reader.list_validations(&ValidationFilter::default(), &page).await.unwrap();
        assert_eq!(found.items.len(), 1, "{}", raw.kind());
    }
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    for raw in RawDatabase::both() {
        drop(raw.open(Access::Write).await.unwrap());
        raw.run("UPDATE migrations SET hash = 'x' WHERE version = 1").await;
        let refused = raw.open(Access::Write).await.err();
        assert!(matches!(refused, Some(StoreError::Foreign(_))), "{refused:?}");
    }
}

#[tokio::test]
async fn a_database_of_cvt_itself_is_refused_untouched() {
    for raw in RawDatabase::both() {
        raw.run("CREATE TABLE migrations (version INTEGER PRIMARY KEY, applied_at TEXT)").await;
        raw.run("CREATE TABLE schemas (id TEXT)").await;
        let refused = raw.open(Access::Write).await.err();
        assert!(matches!(refused, Some(StoreError::Foreign(_))), "{refused:?}");
        raw.run("SELECT id FROM schemas").await;
        raw.run("DROP TABLE migrations").await;
        let refused = raw.open(Access::Write).await.err();
        assert!(matches!(refused, Some(StoreError::Foreign(_))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_may_migrate_at_once() {
    for raw in RawDatabase::both() {
        let raw = std::sync::Arc::new(raw);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let raw = raw.clone();
                tokio::spawn(async move { raw.open(Access::Write).await.map(drop) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let store = raw.open(Access::Read).await.unwrap();
        assert_eq!(store.list_schema_ids().await.unwrap(), Vec::<String>::new());
    }
}

/// The first migration runs and then meets a table that is in its way: nothing of it may stay.
#[tokio::test]
async fn a_migration_that_breaks_off_leaves_nothing() {
    for raw in RawDatabase::both() {
        raw.run("CREATE TABLE consumer_usage (x INTEGER)").await;
        assert!(raw.open(Access::Write).await.is_err());
        raw.run("DROP TABLE consumer_usage").await;
        let store = raw.open(Access::Migrate).await.unwrap();
        assert_eq!(store.migrate(false).await.unwrap().from, 0, "{}", raw.kind());
    }
}

/// A process dies while it migrates; one that waits for its lock goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_while_migrating_hands_over() {
    use sqlx::{Connection as _, PgConnection, SqliteConnection};
    let raw = RawDatabase::sqlite();
    raw.run("PRAGMA journal_mode = WAL").await;
    let url = raw.settings.to_string();
    let mut dying = SqliteConnection::connect(&format!("sqlite://{url}")).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE; CREATE TABLE schemas (half INTEGER)")
        .execute(&mut dying)
        .await
        .unwrap();
    let next = tokio::spawn(async move { raw.open(Access::Write).await.map(|_| raw) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!next.is_finished(), "it waits for the lock");
    dying.close_hard().await.unwrap();
    next.await.unwrap().unwrap();

    let raw = RawDatabase::postgres();
    let url = raw.settings.to_string();
    let mut dying = PgConnection::connect(&format!("{url}?sslmode=disable")).await.unwrap();
    sqlx::raw_sql(
        "BEGIN; SELECT pg_advisory_xact_lock(7167043595565360229); CREATE TABLE schemas (half INT)",
    )
    .execute(&mut dying)
    .await
    .unwrap();
    let next = tokio::spawn(async move { raw.open(Access::Write).await.map(|_| raw) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!next.is_finished(), "it waits for the lock");
    dying.close_hard().await.unwrap();
    next.await.unwrap().unwrap();
}

/// Stores `count` records as the first versions did, one a minute from the start; every tenth
/// carries a code, every twentieth two.
async fn records_of_an_earlier_version(raw: &RawDatabase, count: u32) {
    const VIOLATION: &str = r#"{"code":"CODE","name":null,"instance_pointer":"/a",
        "schema_pointer":"/b","keyword":"type","position":null,"message":"expected text"}"#;
    let one = VIOLATION.replace("CODE", "request.body.schema");
    let two = format!("{one},{}", VIOLATION.replace("CODE", "request.query.missing"));
    let last = count - 1;
    let (numbers, id, time, json) = match raw.kind() {
        "sqlite" => (
            format!(
                "(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) \
                 SELECT i FROM n)"
            ),
            "printf('01900000-0000-7000-8000-%012x', i)",
            "1700000000000000 + i * 60000000",
            "TEXT",
        ),
        _ => (
            format!("(SELECT i FROM generate_series(0, {last}) AS i)"),
            "CAST('01900000-0000-7000-8000-' || lpad(to_hex(i), 12, '0') AS UUID)",
            "to_timestamp(1700000000) + i * interval '1 minute'",
            "JSONB",
        ),
    };
    if raw.kind() == "postgres" {
        for table in ["validation_runs", "validation_violations"] {
            for (day, next) in
                [("20231114", "20231115"), ("20231115", "20231116"), ("20231116", "20231117")]
            {
                raw.run(&format!(
                    "CREATE TABLE {table}_{day} PARTITION OF {table} FOR VALUES FROM ('{day}') TO ('{next}')"
                ))
                .await;
            }
        }
    }
    raw.run(&format!(
        "INSERT INTO validation_runs (id, schema_id, schema_version, schema_hash, request_method, \
         request_path, request_headers, request_body, response_status, response_headers, \
         response_body, valid, errors, duration_ms, validated_at, environment, client_id, \
         client_ip, operation, violations, skipped, consumer_id, consumer_version, mode, \
         request_id, duration_us, request_size, response_size) \
         SELECT {id}, 'schema-' || (i % 3), '1', 'ab', 'GET', '/a', '[]', NULL, 200, '[]', 'x', \
         i % 10 > 0, '[]', 1, {time}, 'prod', 'c', '10.0.0.1', \
         CASE WHEN i % 7 = 0 THEN NULL ELSE '/a' END, \
         CAST(CASE WHEN i % 20 = 0 THEN '[{two}]' WHEN i % 10 = 0 THEN '[{one}]' ELSE '[]' END AS {json}), \
         '[]', 'consumer-' || (i % 5), '1', 'warn', 'req', 1, 0, 1 FROM {numbers} AS numbers"
    ))
    .await;
    for (code, every) in [("request.body.schema", 10), ("request.query.missing", 20)] {
        raw.run(&format!(
            "INSERT INTO validation_violations (code, validated_at, run_id) \
             SELECT '{code}', {time}, {id} FROM {numbers} AS numbers WHERE i % {every} = 0"
        ))
        .await;
    }
}

/// Every number a store gives, against one that counts its records anew.
async fn numbers_are_right(store: &Arc<dyn Store>) -> u64 {
    let reference = memory();
    let mut page = PageRequest::first(MAX_PAGE_SIZE);
    loop {
        let found = store.list_validations(&ValidationFilter::default(), &page).await.unwrap();
        reference.store.record_validations(&redact_all(&found.items)).await.unwrap();
        let Some(cursor) = found.next else { break };
        page = PageRequest::after(MAX_PAGE_SIZE, cursor);
    }
    let none = ValidationFilter::default;
    let options = AnalyticsOptions { bucket: Some(Duration::from_hours(1)), top: 10 };
    let mut total = 0;
    for filter in [
        none(),
        ValidationFilter { code: Some("request.query.missing".into()), ..none() },
        ValidationFilter { schema_id: Some("schema-1".into()), from: Some(at(9_999)), ..none() },
        ValidationFilter { valid: Some(false), until: Some(at(9_999)), ..none() },
    ] {
        let found = store.get_validation_analytics(&filter, &options).await.unwrap();
        let expected = reference.store.get_validation_analytics(&filter, &options).await.unwrap();
        assert_eq!(found, expected, "{filter:?}");
        total = total.max(found.total_validations);
    }
    total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_earlier_versions_are_counted() {
    for version in 1..=3 {
        for raw in RawDatabase::both() {
            at_version(&raw, version).await;
            records_of_an_earlier_version(&raw, 2_500).await;
            let store = raw.open(Access::Write).await.unwrap();
            assert_eq!(numbers_are_right(&store).await, 2_500, "{} {version}", raw.kind());
            // and they leave again with their numbers
            store.expire_validations(ExpireKind::Invalid, at(6_000), 1_000).await.unwrap();
            while store.expire_validations(ExpireKind::All, at(30_000), 700).await.unwrap() > 0 {}
            assert_eq!(numbers_are_right(&store).await, 2_000, "{} {version}", raw.kind());
        }
    }
}

/// A process was interrupted between the migration and counting; three go on at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counting_is_shared_and_goes_on_where_it_stopped() {
    for raw in RawDatabase::both() {
        at_version(&raw, 4).await;
        records_of_an_earlier_version(&raw, 2_900).await;
        let raw = Arc::new(raw);
        let tasks: Vec<_> = (0..3)
            .map(|_| {
                let raw = raw.clone();
                tokio::spawn(async move { raw.open(Access::Write).await.map(drop) })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
        let store = raw.open(Access::Read).await.unwrap();
        assert_eq!(numbers_are_right(&store).await, 2_900, "{}", raw.kind());
    }
}
