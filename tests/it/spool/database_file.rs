//! A SQLite file that is full, deleted, replaced, read-only or damaged while it is open: it is
//! noticed, told and counted, and records wait until it is well.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::{ADA, assert_each_once, send, wait_until_spooled, wait_until_stored};
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, SmallDisk, eventually};

fn recording(upstream: &ScriptedUpstream) -> SidecarSetup {
    SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"])
}

fn upstream() -> ScriptedUpstream {
    ScriptedUpstream::json("200 OK", ADA)
}

/// Waits until a fault is counted, logged, and part of the answer of `/readyz`.
#[track_caller]
fn wait_for_fault(sidecar: &Sidecar, fault: &str, detail: &str) {
    sidecar.wait_for_metrics(fault, |metrics| {
        metrics.sum("cvt_storage_faults_total", &[("fault", fault)]) > 0.5
    });
    eventually("the fault in the readiness", || {
        let ready = Client::get(sidecar.admin, "/readyz");
        assert_eq!(ready.status(), 200, "traffic goes on");
        if ready.text().contains(detail) { Ok(()) } else { Err(ready.text()) }
    });
    assert_told(sidecar, fault);
}

#[track_caller]
fn assert_told(sidecar: &Sidecar, fault: &str) {
    let told = format!(r#""fault":"{fault}""#);
    assert_eq!(sidecar.said().matches(&told).count(), 1, "told once: {}", sidecar.said());
}

#[track_caller]
fn wait_until_well(sidecar: &Sidecar) {
    eventually("storage that accepts writes", || {
        let ready = Client::get(sidecar.admin, "/readyz?storage=1");
        if ready.status() == 200 { Ok(()) } else { Err(ready.text()) }
    });
}

#[track_caller]
fn assert_nothing_dropped(sidecar: &Sidecar) {
    let dropped = sidecar.metrics().sum("cvt_records_dropped_total", &[]);
    assert!(dropped < 0.5, "{dropped} dropped: {}", sidecar.said());
}

/// The request ids in a database, which is first checked for damage.
fn stored_in(path: &Path) -> Vec<String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.expect("a database");
        let checked = sqlx::query("PRAGMA integrity_check").fetch_one(&mut connection).await;
        assert_eq!(checked.expect("a check").get::<String, _>(0), "ok");
        let rows = sqlx::query("SELECT request_id FROM validation_runs");
        let rows = rows.fetch_all(&mut connection).await.expect("records");
        connection.close().await.expect("closed");
        rows.iter().map(|row| row.get(0)).collect()
    })
}

/// The files of a database that is open.
fn files_of(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", path.display())))
}

#[test]
fn a_full_disk_under_the_database_loses_nothing_and_needs_no_restart() {
    let Some(disk) = SmallDisk::of_size("2m") else { return };
    let upstream = upstream();
    let path = disk.path().join("cvt.db");
    let spool = tempfile::tempdir().expect("a directory");
    let sidecar = recording(&upstream)
        .args(&["--storage", path.to_str().unwrap()])
        .env("CVT_SPOOL_DIR", spool.path().join("spool").to_str().unwrap())
        .start();
    send(&sidecar, 0, 3_000);
    sidecar.wait_for_metrics("records that wait", |metrics| {
        metrics.sum("cvt_spool_records", &[]) > 100.0
    });
    wait_for_fault(&sidecar, "full", "full");
    assert!(sidecar.said().contains("the disk is full"), "{}", sidecar.said());
    disk.resize("64m");
    // what a busy machine has no time to validate never became a record
    let shed = sidecar.metrics().sum("cvt_exchanges_skipped_total", &[("reason", "shed")]);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
    let recorded = 3_000 - shed as usize;
    wait_until_stored(&sidecar, recorded);
    wait_until_well(&sidecar);
    assert_nothing_dropped(&sidecar);
    let mut ids = stored_in(&path);
    ids.sort_unstable();
    let all = ids.len();
    ids.dedup();
    assert_eq!((all, ids.len()), (recorded, recorded), "each once");
    drop(sidecar);
}

#[test]
fn a_database_deleted_under_load_is_created_anew_and_loses_nothing_that_came_later() {
    let upstream = upstream();
    let sidecar = recording(&upstream).start();
    let path = sidecar.dir().join("cvt.db");
    send(&sidecar, 0, 50);
    wait_until_stored(&sidecar, 50);
    let load = 50..1_050;
    std::thread::scope(|scope| {
        let sending = scope.spawn(|| send(&sidecar, load.start, load.len()));
        eventually("requests under way", || {
            let written = sidecar.metrics().sum("cvt_records_written_total", &[]);
            if written > 100.0 { Ok(()) } else { Err(written.to_string()) }
        });
        for file in &files_of(&path) {
            let _ = fs::remove_file(file);
        }
        sending.join().expect("every request is answered");
    });
    send(&sidecar, 1_050, 500);
    sidecar.wait_for_metrics("a fault", |metrics| {
        metrics.sum("cvt_storage_faults_total", &[("fault", "deleted")]) > 0.5
    });
    assert_told(&sidecar, "deleted");
    wait_until_stored(&sidecar, 1_550);
    wait_until_well(&sidecar);
    assert_nothing_dropped(&sidecar);
    let stored = stored_in(&path);
    for id in 1_050..1_550 {
        let id = format!("request-{id}");
        assert_eq!(stored.iter().filter(|stored| **stored == id).count(), 1, "{id}");
    }
    let schemas = Client::get(sidecar.admin, "/api/v1/schemas");
    assert!(schemas.status() == 404 || schemas.text().contains("users"), "{}", schemas.text());
}

#[test]
fn a_replaced_database_is_opened_and_does_not_get_the_old_log() {
    let upstream = upstream();
    let first = recording(&upstream).start();
    send(&first, 0, 30);
    wait_until_stored(&first, 30);
    let (_, backup) = first.terminate();
    let sidecar = recording(&upstream).start();
    let path = sidecar.dir().join("cvt.db");
    send(&sidecar, 30, 30);
    wait_until_stored(&sidecar, 30);
    let copy = sidecar.dir().join("copy");
    fs::copy(backup.path().join("cvt.db"), &copy).expect("a copy");
    fs::rename(&copy, &path).expect("replaced");
    sidecar.wait_for_metrics("a fault", |metrics| {
        metrics.sum("cvt_storage_faults_total", &[("fault", "replaced")]) > 0.5
    });
    assert_told(&sidecar, "replaced");
    send(&sidecar, 30, 30);
    wait_until_stored(&sidecar, 60);
    wait_until_well(&sidecar);
    assert_nothing_dropped(&sidecar);
    assert_each_once(stored_in(&path).into_iter(), 60);
}

#[test]
fn a_database_made_read_only_is_reported_and_records_wait_until_it_is_writable() {
    let upstream = upstream();
    let sidecar = recording(&upstream).start();
    let path = sidecar.dir().join("cvt.db");
    send(&sidecar, 0, 10);
    wait_until_stored(&sidecar, 10);
    let writable = fs::metadata(&path).expect("a file").permissions();
    let mut read_only = writable.clone();
    read_only.set_readonly(true);
    fs::set_permissions(&path, read_only).expect("read-only");
    wait_for_fault(&sidecar, "read_only", "read only");
    send(&sidecar, 10, 40);
    wait_until_spooled(&sidecar, 40);
    fs::set_permissions(&path, writable).expect("writable");
    wait_until_stored(&sidecar, 50);
    wait_until_well(&sidecar);
    assert_nothing_dropped(&sidecar);
    assert_each_once(stored_in(&path).into_iter(), 50);
}

/// Overwrites the head of every page but the first two.
fn damage(path: &Path) {
    let pages = fs::metadata(path).expect("a file").len() / 4_096;
    let mut file: File = OpenOptions::new().write(true).open(path).expect("the file");
    for page in 2..pages {
        file.seek(SeekFrom::Start(page * 4_096)).expect("a page");
        file.write_all(&[0xa5; 512]).expect("written");
    }
}

#[test]
fn a_damaged_database_is_reported_and_records_wait_until_it_is_deleted() {
    let upstream = upstream();
    let sidecar = recording(&upstream).start();
    let path = sidecar.dir().join("cvt.db");
    send(&sidecar, 0, 100);
    wait_until_stored(&sidecar, 100);
    checkpoint(&path);
    damage(&path);
    wait_for_fault(&sidecar, "corrupt", "damaged");
    send(&sidecar, 100, 50);
    wait_until_spooled(&sidecar, 50);
    for file in &files_of(&path) {
        let _ = fs::remove_file(file);
    }
    wait_until_stored(&sidecar, 150);
    wait_until_well(&sidecar);
    assert_nothing_dropped(&sidecar);
    let stored = stored_in(&path);
    for id in 100..150 {
        assert!(stored.contains(&format!("request-{id}")), "{id}");
    }
}

fn checkpoint(path: &Path) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
        let mut connection = options.connect().await.expect("a database");
        let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection);
        emptied.await.expect("a checkpoint");
        connection.close().await.expect("closed");
    });
}
