//! A spool with too little room, or a disk with none.

use std::path::Path;
use std::sync::Arc;

use cvt_sidecar::config::spool::{Fsync, SpoolSettings};
use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::encryption::Keyring;
use cvt_sidecar::model::clock::{Clock, SystemClock};
use cvt_sidecar::model::random::SystemRandom;
use cvt_sidecar::pipeline::deliver::metrics::RecordMetrics;
use cvt_sidecar::pipeline::deliver::spool::Spool;
use cvt_sidecar::pipeline::deliver::spool::metrics::SpoolMetrics;
use cvt_sidecar::pipeline::deliver::writer::{self, WriterParts};
use cvt_sidecar::storage::{self, Access};
use cvt_sidecar::telemetry::metrics::Metrics as Instruments;

use super::{Locked, assert_each_once, on_postgres, send, wait_until_stored};
use crate::storage::fixtures::{record, redact};
use crate::storage::server::Server;
use crate::support::documents::USERS;
use crate::support::{
    Client, MetricsScrape, ScriptedUpstream, SidecarSetup, SmallDisk, eventually, records_in,
};

/// A body of 60 kB.
fn big() -> String {
    format!(r#"{{"name":"{}","age":36}}"#, "x".repeat(60_000))
}

fn written(metrics: &MetricsScrape) -> f64 {
    metrics.sum("cvt_records_written_total", &[])
}

fn without_room(metrics: &MetricsScrape) -> f64 {
    metrics.sum("cvt_records_dropped_total", &[("reason", "spool_full")])
}

#[test]
fn what_the_spool_has_no_room_for_is_counted() {
    let upstream = ScriptedUpstream::json("200 OK", Box::leak(big().into_boxed_str()));
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]);
    let sidecar = setup.env("CVT_SPOOL_LIMIT", "1MiB").start();
    let locked = Locked::hold(&sidecar.dir().join("cvt.db"));
    send(&sidecar, 0, 60);
    sidecar.wait_for_metrics("a full spool", |metrics| without_room(metrics) > 0.5);
    locked.release();
    let metrics = sidecar.wait_for_metrics("every record", |metrics| {
        written(metrics) + without_room(metrics) > 59.5
    });
    assert!(written(&metrics) > 5.0, "what fitted is stored");
    let (_, dir) = sidecar.terminate();
    assert!((records_in(dir.path()).len() as f64 - written(&metrics)).abs() < 0.5);
}

fn spool(directory: &Path) -> Arc<Spool> {
    let settings = SpoolSettings {
        enabled: true,
        directory: directory.to_owned(),
        explicit: true,
        limit: 1 << 20,
        fsync: Fsync::Never,
    };
    let keys = Keyring::new(&[], Arc::new(SystemRandom));
    let (spool, _) = Spool::open(&settings, keys, Arc::new(SystemClock)).expect("a spool");
    Arc::new(spool)
}

/// Everything comes in one batch, which is three times as big as the spool: it is not lost as a
/// whole.
#[test]
fn a_batch_bigger_than_the_spool_is_kept_as_far_as_there_is_room() {
    let dir = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let path = dir.path().join("cvt.db");
    let settings = StorageSettings::Sqlite { path: path.clone() };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let store = runtime.block_on(storage::open(&settings, Access::Write, clock)).expect("a store");
    let locked = Locked::hold(&path);
    let instruments = Instruments::default();
    let (deadline, set) = tokio::sync::watch::channel(None);
    let (writes, writer) = writer::channel(WriterParts {
        store: store.clone(),
        spool: Some(spool(&dir.path().join("spool"))),
        metrics: RecordMetrics::new(&instruments).expect("counters"),
        spool_metrics: SpoolMetrics::new(&instruments).expect("counters"),
        random: Arc::new(SystemRandom),
        deadline: set,
    });
    for n in 0..60 {
        let mut record = record(n);
        record.response_body = Some(big());
        writes.send(redact(record));
    }
    let writing = runtime.spawn(writer.run());
    let metrics = || MetricsScrape::parse(&instruments.encode().expect("metrics"));
    eventually("a full spool", || match metrics() {
        full if without_room(&full) > 0.5 => Ok(()),
        metrics => Err(format!("{metrics:?}")),
    });
    locked.release();
    let all = eventually("every record", || match metrics() {
        all if written(&all) + without_room(&all) > 59.5 => Ok(all),
        metrics => Err(format!("{metrics:?}")),
    });
    drop(writes);
    runtime.block_on(writing).expect("the writer ends");
    drop(deadline);
    // 60 kB sixteen times are more than the fifteen sixteenths that records may fill
    assert!((10.5..16.5).contains(&written(&all)), "{}", written(&all));
    runtime.block_on(store.close());
    let kept = records_in(dir.path());
    assert!((kept.len() as f64 - written(&all)).abs() < 0.5, "{}", kept.len());
}

/// The disk is full before the spool's limit is reached: what it does not take waits in memory,
/// and is stored from there; nothing is lost, and traffic goes on.
#[test]
fn trap_t20_a_full_disk_under_the_spool_loses_nothing() {
    let Some(disk) = SmallDisk::mount() else { return };
    let server = Server::start(&["fsync = off"]);
    let upstream = ScriptedUpstream::json("200 OK", Box::leak(big().into_boxed_str()));
    let directory = disk.path().join("spool");
    let setup = on_postgres(&server, &upstream).env("CVT_SPOOL_DIR", directory.to_str().unwrap());
    let sidecar = setup.start();
    server.run("stop");
    // What fits first: all of it at once might be one batch, which the disk takes whole or not.
    send(&sidecar, 0, 20);
    sidecar.wait_for_metrics("records on the disk", |metrics| {
        metrics.sum("cvt_spool_records", &[]) > 5.0
    });
    send(&sidecar, 20, 100);
    sidecar.wait_for_metrics("a disk that takes no more", |metrics| {
        metrics.sum("cvt_spool_failures_total", &[]) > 0.5
    });
    assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200, "traffic goes on");
    server.run("start");
    wait_until_stored(&sidecar, 121);
    let metrics = sidecar.metrics();
    assert!(metrics.sum("cvt_records_dropped_total", &[]) < 0.5, "{metrics:?}");
    let ids = server.psql("postgres", "SELECT request_id FROM validation_runs");
    let ids = ids.lines().filter(|id| id.starts_with("request-"));
    assert_each_once(ids.map(str::to_owned), 120);
    drop(sidecar);
}
