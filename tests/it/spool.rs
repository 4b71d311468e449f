//! Storage that is away, slow or full: traffic goes on, and what was recorded is stored later,
//! each record once.

mod database_file;
mod outage;
mod room;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::model::clock::{Clock, SystemClock, Timestamp};
use cvt_sidecar::model::random::SystemRandom;
use cvt_sidecar::model::usage::{OperationUsage, UsageFact, UsageKind};
use cvt_sidecar::pipeline::deliver::batch::WriteBatch;
use cvt_sidecar::pipeline::deliver::metrics::RecordMetrics;
use cvt_sidecar::pipeline::deliver::spool::metrics::SpoolMetrics;
use cvt_sidecar::pipeline::deliver::writer::{self, WriterParts};
use cvt_sidecar::storage::{self, Access};
use cvt_sidecar::telemetry::metrics::Metrics;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use uuid::Uuid;

use crate::storage::server::Server;
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

/// A sidecar that keeps everything in a server's database.
fn on_postgres(server: &Server, upstream: &ScriptedUpstream) -> SidecarSetup {
    let settings = server.settings("postgres");
    let dsn = format!("postgres://cvt@127.0.0.1:{}/postgres", settings.port);
    SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all", "--storage", &dsn])
}

/// Sends `count` requests whose ids begin at `first`; each must be answered.
#[track_caller]
fn send(sidecar: &Sidecar, first: usize, count: usize) {
    let mut client = Client::connect(sidecar.traffic);
    for id in first..first + count {
        let request =
            format!("GET /users/1 HTTP/1.1\r\nHost: a\r\nX-Request-Id: request-{id}\r\n\r\n");
        assert_eq!(client.ask(request).status(), 200);
    }
}

/// Waits until nothing waits in the spool and `stored` records were stored by this process.
#[track_caller]
fn wait_until_stored(sidecar: &Sidecar, stored: usize) {
    sidecar.wait_for_metrics("an empty spool", |metrics| {
        metrics.sum("cvt_spool_records", &[]) < 0.5
            && metrics.sum("cvt_records_written_total", &[]) >= stored as f64 - 0.5
    });
}

/// Waits until the spool holds `count` records.
#[track_caller]
fn wait_until_spooled(sidecar: &Sidecar, count: usize) {
    sidecar.wait_for_metrics("records in the spool", |metrics| {
        metrics.sum("cvt_spool_records", &[]) >= count as f64 - 0.5
    });
}

/// Whether each of `ids` is `request-0` to `request-{count - 1}`, and stands once.
#[track_caller]
fn assert_each_once(ids: impl Iterator<Item = String>, count: usize) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    ids.for_each(|id| *seen.entry(id).or_default() += 1);
    let missing: Vec<_> =
        (0..count).filter(|id| !seen.contains_key(&format!("request-{id}"))).collect();
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(missing.is_empty() && twice.is_empty(), "missing {missing:?}, repeated {twice:?}");
    assert_eq!(seen.len(), count);
}

#[track_caller]
fn assert_stored_once(server: &Server, count: usize) {
    let ids = server.psql("postgres", "SELECT request_id FROM validation_runs");
    assert_each_once(ids.lines().map(str::to_owned), count);
}

/// Holds the write lock of a SQLite file, as another process may.
struct Locked {
    runtime: tokio::runtime::Runtime,
    connection: SqliteConnection,
}

impl Locked {
    fn hold(file: &Path) -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let connection = runtime.block_on(async {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
            let mut connection = options.connect().await.expect("the sidecar's file");
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.expect("the lock");
            connection
        });
        Self { runtime, connection }
    }

    fn release(self) {
        let Self { runtime, connection } = self;
        runtime.block_on(connection.close()).expect("the lock goes");
    }
}

#[test]
fn trap_t20_records_of_an_outage_are_stored_once_when_storage_is_back() {
    let server = Server::start(&["fsync = off"]);
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = on_postgres(&server, &upstream).start();
    send(&sidecar, 0, 40);
    wait_until_stored(&sidecar, 40);
    server.run("stop");
    send(&sidecar, 40, 100);
    wait_until_spooled(&sidecar, 100);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_spool_written_total", &[]) >= 99.5);
    assert!(metrics.sum("cvt_spool_bytes", &[]) > 10_000.0);
    sidecar.wait_for_metrics("age", |m| m.sum("cvt_spool_oldest_seconds", &[]) >= 1.0);
    server.run("start");
    wait_until_stored(&sidecar, 140);
    send(&sidecar, 140, 10);
    wait_until_stored(&sidecar, 150);
    assert_stored_once(&server, 150);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_spool_replayed_total", &[]) >= 99.5);
    assert!(metrics.sum("cvt_records_dropped_total", &[]) < 0.5, "nothing is lost");
    let said = sidecar.said();
    // A server that is gone may look slow first.
    let gone = said.matches("storage_unavailable").count() + said.matches("storage_slow").count();
    assert_eq!((gone, said.matches("storage_recovered").count()), (1, 1), "said once each: {said}");
}

#[test]
fn trap_t20_a_sidecar_killed_while_storage_is_away_loses_nothing_it_spooled() {
    let server = Server::start(&["fsync = off"]);
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = on_postgres(&server, &upstream).start();
    send(&sidecar, 0, 10);
    wait_until_stored(&sidecar, 10);
    server.run("stop");
    send(&sidecar, 10, 80);
    wait_until_spooled(&sidecar, 80);
    let dir = sidecar.kill();
    // The kill may have come in the middle of a write.
    let slot = fs::read_dir(dir.path().join("cvt-spool/slot-0")).expect("the spool").flatten();
    let files = slot.map(|file| file.path()).filter(|path| path.extension().is_some());
    let last = files.max().expect("a file");
    let mut bytes = fs::read(&last).expect("a file");
    let half = bytes[..bytes.len() / 2].to_vec();
    bytes.extend(&half[..100.min(half.len())]);
    fs::write(&last, bytes).expect("a file");
    server.run("start");
    let again = on_postgres(&server, &upstream).inside(dir).start();
    wait_until_stored(&again, 80);
    assert_stored_once(&server, 90);
    let torn = again.metrics().sum("cvt_spool_bad_bytes_total", &[("kind", "torn")]);
    assert!((torn - 100.0).abs() < 0.5, "{torn}");
}

#[test]
fn a_sidecar_stopped_while_storage_is_away_leaves_its_records_to_the_next() {
    let server = Server::start(&["fsync = off"]);
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = on_postgres(&server, &upstream).start();
    server.run("stop");
    send(&sidecar, 0, 30);
    let (finished, dir) = sidecar.terminate();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.contains("records_spooled"), "{finished:?}");
    assert!(finished.stderr.contains(r#""records_dropped":0"#), "{finished:?}");
    server.run("start");
    let again = on_postgres(&server, &upstream).inside(dir).start();
    wait_until_stored(&again, 30);
    assert_stored_once(&server, 30);
}

#[test]
fn trap_t20_a_sidecar_starts_while_storage_is_away_and_records_wait() {
    let server = Server::start(&["fsync = off"]);
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    server.run("stop");
    let sidecar = on_postgres(&server, &upstream).start_unready();
    send(&sidecar, 0, 20);
    wait_until_spooled(&sidecar, 20);
    let answer = Client::get(sidecar.admin, "/readyz");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    assert_eq!(answer.json()["degraded"], true, "{}", answer.text());
    let asked = Client::get(sidecar.admin, "/readyz?storage=1");
    assert_eq!(asked.status(), 503, "{}", asked.text());
    server.run("start");
    wait_until_stored(&sidecar, 20);
    assert_stored_once(&server, 20);
    let schemas = server.psql("postgres", "SELECT schema_id, is_latest FROM schemas");
    assert_eq!(schemas.trim(), "users|t", "the document is registered too");
}

#[test]
fn without_a_document_a_start_without_storage_says_why_not() {
    let server = Server::start(&["fsync = off"]);
    server.run("stop");
    let dsn = format!("postgres://cvt@127.0.0.1:{}/postgres", server.settings("postgres").port);
    let upstream = ["--upstream", "http://127.0.0.1:1", "--schema", "users"];
    let refused = SidecarSetup::bare().args(&upstream).args(&["--storage", &dsn]).refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("storage postgres://"), "{refused:?}");
}

#[test]
fn trap_t20_a_locked_database_is_slow_and_costs_nothing() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    let locked = Locked::hold(&sidecar.dir().join("cvt.db"));
    send(&sidecar, 0, 50);
    wait_until_spooled(&sidecar, 50);
    locked.release();
    wait_until_stored(&sidecar, 50);
    let ids = sidecar.records(50).into_iter().map(|record| record["request_id"].clone());
    assert_each_once(ids.map(|id| id.as_str().expect("an id").to_owned()), 50);
    let files = |dir: &Path| fs::read_dir(dir).expect("the spool").count();
    assert_eq!(files(&sidecar.dir().join("cvt-spool/slot-0")), 1, "only the lock is left");
}

#[test]
fn without_a_disk_for_the_spool_records_wait_in_memory() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let sidecar = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    fs::remove_dir_all(sidecar.dir().join("cvt-spool")).expect("the spool");
    let locked = Locked::hold(&sidecar.dir().join("cvt.db"));
    send(&sidecar, 0, 20);
    sidecar.wait_for_metrics("a spool that fails", |metrics| {
        metrics.sum("cvt_spool_failures_total", &[]) > 0.5
    });
    locked.release();
    wait_until_stored(&sidecar, 20);
    let ids = sidecar.records(20).into_iter().map(|record| record["request_id"].clone());
    assert_each_once(ids.map(|id| id.as_str().expect("an id").to_owned()), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_storage_refuses_for_good_is_counted_by_kind() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("cvt.db");
    let settings = StorageSettings::Sqlite { path: path.clone() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = storage::open(&settings, Access::Write, clock).await.expect("a store");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
    let mut connection = options.connect().await.expect("the file");
    let refuse = "CREATE TRIGGER refuse BEFORE INSERT ON consumer_usage \
         BEGIN SELECT RAISE(ABORT, 'refused by a test'); END";
    sqlx::raw_sql(refuse).execute(&mut connection).await.expect("a trigger");
    let metrics = Metrics::default();
    let (deadline, set) = tokio::sync::watch::channel(None);
    let (writes, writer) = writer::channel(WriterParts {
        store,
        spool: None,
        metrics: RecordMetrics::new(&metrics).expect("counters"),
        spool_metrics: SpoolMetrics::new(&metrics).expect("counters"),
        random: Arc::new(SystemRandom),
        deadline: set,
    });
    let usage = OperationUsage {
        schema_id: "users".into(),
        schema_version: "1".into(),
        consumer_id: "shop".into(),
        consumer_version: String::new(),
        environment: "test".into(),
        method: "GET".into(),
        path: "/users".into(),
        facts: vec![UsageFact {
            kind: UsageKind::Operation,
            name: String::new(),
            count: 1,
            first_seen: Timestamp::default(),
            last_seen: Timestamp::default(),
        }],
    };
    writes.offer(WriteBatch::Usage(Uuid::from_u128(1), vec![usage])).expect("room");
    drop(writes);
    writer.run().await;
    drop(deadline);
    let text = metrics.encode().expect("metrics");
    let line = r#"cvt_batches_dropped_total{kind="usage",reason="rejected"} 1"#;
    assert!(text.contains(line), "{text}");
}

#[test]
fn a_spool_that_was_named_must_be_usable_and_the_default_need_not() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let named = SidecarSetup::new(USERS, upstream.address()).file("taken", "a file");
    let refused = named.env("CVT_SPOOL_DIR", "taken/spool").refuse();
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("CVT_SPOOL_DIR"), "{refused:?}");
    let sidecar = SidecarSetup::new(USERS, upstream.address()).file("cvt-spool", "a file").start();
    assert!(sidecar.said().contains("spool_unusable"), "{}", sidecar.said());
}
