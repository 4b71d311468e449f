//! What happens when the database misbehaves: clear errors, and nothing acknowledged is lost.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cvt_sidecar::config::storage::{PostgresSettings, StorageSettings};
use cvt_sidecar::model::clock::{Clock as _, SystemClock};
use cvt_sidecar::model::page::MAX_PAGE_SIZE;
use cvt_sidecar::storage::{
    self, Access, ConsumerFilter, OnConflict, PageRequest, SqliteOptions, Store, StoreError,
    ValidationFilter,
};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::fixtures::{consumer, id, record, redact, redact_all, schema};
use super::raw_database::RawDatabase;
use super::server::Server;
use super::store_fixture::{clock, new_database, server};
use crate::support::SmallDisk;

/// The numbers of all stored records.
async fn stored(store: &Arc<dyn Store>) -> BTreeSet<i64> {
    let mut page = PageRequest::first(MAX_PAGE_SIZE);
    let mut seen = BTreeSet::new();
    loop {
        let found = store.list_validations(&ValidationFilter::default(), &page).await.unwrap();
        for record in found.items {
            let number = record.request_id.strip_prefix("req-").unwrap().parse().unwrap();
            assert!(seen.insert(number), "{number} is stored twice");
        }
        let Some(cursor) = found.next else { return seen };
        page = PageRequest::after(MAX_PAGE_SIZE, cursor);
    }
}

/// Writes batches, repeating what failed for a while, until stopped; returns what was
/// acknowledged.
async fn write_until(store: Arc<dyn Store>, stop: Arc<AtomicBool>) -> BTreeSet<i64> {
    let mut acknowledged = BTreeSet::new();
    let mut next = 0;
    while !stop.load(Ordering::SeqCst) {
        let batch: Vec<_> = (next..next + 7).map(record).collect();
        match store.record_validations(&redact_all(&batch)).await {
            Ok(_) => {
                acknowledged.extend(next..next + 7);
                next += 7;
            }
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    acknowledged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_t20_a_server_that_dies_and_returns_loses_nothing_acknowledged() {
    let server = Server::start(&[]);
    let settings = StorageSettings::Postgres(server.settings("postgres"));
    let store = storage::open(&settings, Access::Write, clock()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let writing = tokio::spawn(write_until(store.clone(), stop.clone()));
    let server = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(400));
            server.run("stop");
            std::thread::sleep(Duration::from_millis(300));
            server.run("start");
        }
        std::thread::sleep(Duration::from_millis(400));
        server
    })
    .await
    .unwrap();
    stop.store(true, Ordering::SeqCst);
    let acknowledged = writing.await.unwrap();
    assert!(acknowledged.len() >= 21, "{} were written", acknowledged.len());
    let kept = stored(&store).await;
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{lost:?}");
    store.ping().await.unwrap();
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trap_t20_a_locked_file_is_waited_for_and_then_named() {
    let dir = TempDir::new().unwrap();
    let mut options = SqliteOptions::new(dir.path().join("cvt.db"));
    options.busy_timeout = Duration::from_millis(300);
    let store = options.open(clock()).await.unwrap();
    store.record_validation(&redact(record(1))).await.unwrap();
    let url = format!("sqlite://{}", options.path.display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let start = SystemClock.instant();
    let refused = store.record_validation(&redact(record(2))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
    assert_eq!(stored(&store).await, BTreeSet::from([1]), "readers go on");
    let held = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    });
    store.record_validation(&redact(record(2))).await.unwrap();
    held.await.unwrap();
    assert_eq!(stored(&store).await, BTreeSet::from([1, 2]));
}

/// Writes until the database is full, then checks what is left.
async fn fill_up(store: &Arc<dyn Store>) {
    let mut acknowledged = BTreeSet::new();
    let refused = loop {
        let first = i64::try_from(acknowledged.len()).unwrap();
        let mut batch: Vec<_> = (first..first + 50).map(record).collect();
        for record in &mut batch {
            record.response_body = Some("x".repeat(4_000));
        }
        match store.record_validations(&redact_all(&batch)).await {
            Ok(_) => acknowledged.extend(first..first + 50),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 100_000, "it never got full");
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused:?}");
    assert!(!acknowledged.is_empty());
    assert_eq!(stored(store).await, acknowledged);
}

#[tokio::test]
async fn trap_t20_a_full_database_says_so_and_keeps_what_it_has() {
    let dir = TempDir::new().unwrap();
    let mut options = SqliteOptions::new(dir.path().join("cvt.db"));
    options.max_pages = Some(500);
    let store = options.open(clock()).await.unwrap();
    fill_up(&store).await;
    store.close().await;
    options.max_pages = None;
    let store = options.open(clock()).await.unwrap();
    store.record_validation(&redact(record(1_000_000))).await.unwrap();
}

#[tokio::test]
async fn trap_t20_a_full_disk_says_so_and_keeps_what_it_has() {
    let Some(disk) = SmallDisk::mount() else { return };
    let options = SqliteOptions::new(disk.path().join("cvt.db"));
    let store = options.open(clock()).await.unwrap();
    fill_up(&store).await;
    store.close().await;
}

#[tokio::test]
async fn a_corrupted_row_is_named() {
    for raw in RawDatabase::both() {
        let store = raw.open(Access::Write).await.unwrap();
        store.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
        store.record_validation(&redact(record(1))).await.unwrap();
        store.register_consumer(&consumer("shop", "books", "prod")).await.unwrap();
        raw.run("UPDATE validation_runs SET mode = 'loud'").await;
        raw.run("UPDATE consumers SET used_endpoints = '{\"a\": 1}'").await;
        raw.run("UPDATE schemas SET endpoint_count = -1").await;
        let error = store.get_validation(id(1)).await.unwrap_err().to_string();
        for part in ["validation_runs", "mode", &id(1).to_string()] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!error.contains("loud"), "{error}");
        let page = PageRequest::default();
        let error = store.list_consumers(&ConsumerFilter::default(), &page).await.unwrap_err();
        let row = consumer("shop", "books", "prod").id;
        for part in ["consumers", "used_endpoints", &row.to_string()] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
        let error = store.get_schema("books").await.unwrap_err();
        assert!(error.to_string().contains("endpoint_count"), "{error}");
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_kind_is_named() {
    let raw = RawDatabase::sqlite();
    let store = raw.open(Access::Write).await.unwrap();
    store.record_validation(&redact(record(1))).await.unwrap();
    for (column, value) in [
        ("duration_us", "'x'"),
        ("response_status", "70000"),
        ("violations", "'{'"),
        ("valid", "1"),
    ] {
        raw.run(&format!("UPDATE validation_runs SET {column} = {value}")).await;
        let read = store.get_validation(id(1)).await;
        if column == "valid" {
            continue;
        }
        let error = read.unwrap_err();
        assert!(
            matches!(&error, StoreError::Corrupt { column: found, .. } if found == column),
            "{error}"
        );
        let repair = match column {
            "violations" => "'[]'",
            _ => "1",
        };
        raw.run(&format!("UPDATE validation_runs SET {column} = {repair}")).await;
    }
}

#[tokio::test]
async fn what_cannot_be_opened_is_named() {
    let dir = TempDir::new().unwrap();
    let open = async |path: &Path| {
        let settings = StorageSettings::Sqlite { path: path.into() };
        storage::open(&settings, Access::Write, clock()).await.err().expect("it is refused")
    };
    let missing = dir.path().join("no/such/cvt.db");
    let error = open(&missing).await;
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    assert!(error.to_string().contains("no/such/cvt.db"), "{error}");
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "not a database ".repeat(100)).unwrap();
    let error = open(&text).await;
    assert!(matches!(error, StoreError::Foreign(_)), "{error:?}");
    assert!(error.to_string().contains("notes.txt"), "{error}");
    assert!(std::fs::read_to_string(&text).unwrap().starts_with("not a database"));
}

#[tokio::test]
async fn a_reader_reads_while_a_sidecar_writes_and_writes_nothing() {
    let raw = RawDatabase::sqlite();
    let refused = raw.open(Access::Read).await.err();
    assert!(matches!(refused, Some(StoreError::Refused(_))), "{refused:?}");
    let writer = raw.open(Access::Write).await.unwrap();
    let reader = raw.open(Access::Read).await.unwrap();
    writer.record_validation(&redact(record(1))).await.unwrap();
    assert!(reader.get_validation(id(1)).await.unwrap().is_some());
    let refused = reader.record_validation(&redact(record(2))).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    writer.close().await;
    reader.close().await;
    let alone = raw.open(Access::Read).await.unwrap();
    assert!(alone.get_validation(id(1)).await.unwrap().is_some(), "also without a writer");
}

#[tokio::test]
async fn a_refusing_server_is_distinguished_from_an_absent_one() {
    let open = async |settings: PostgresSettings| {
        let settings = StorageSettings::Postgres(settings);
        storage::open(&settings, Access::Write, clock()).await.err().expect("it fails")
    };
    let error = open(server().settings("no_such_database")).await;
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    let mut away = server().settings("postgres");
    away.port = 1;
    let start = SystemClock.instant();
    let error = open(away).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    let mut secure = server().settings("postgres");
    secure.ssl_mode = cvt_sidecar::config::storage::SslMode::Require;
    let error = open(secure).await;
    assert!(matches!(error, StoreError::Refused(_)), "a server without TLS: {error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_is_given_up() {
    let mut settings = server().settings(&new_database());
    settings.statement_timeout = Duration::from_millis(300);
    let settings = StorageSettings::Postgres(settings);
    let store = storage::open(&settings, Access::Write, clock()).await.unwrap();
    let url = format!("{settings}?sslmode=disable");
    let mut other = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE schemas").execute(&mut other).await.unwrap();
    let error = store.get_schema("books").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    other.close().await.unwrap();
    assert_eq!(store.get_schema("books").await.unwrap(), None);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    for raw in RawDatabase::both() {
        let store = raw.open(Access::Write).await.unwrap();
        store.close().await;
        let error = store.ping().await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    }
}
