//! Storage that is refused, newer, hung or away at the start: the port opens at once, traffic is
//! served, records wait in the spool, and the sidecar says that it is degraded.

use std::net::TcpListener;

use sqlx::{ConnectOptions as _, Connection as _};

use crate::storage::server::Server;
use crate::support::documents::USERS;
use crate::support::{Client, ScriptedUpstream, Sidecar, SidecarSetup, eventually};

const ADA: &str = r#"{"name":"Ada","age":36}"#;

/// Starts with storage that cannot be used and checks that traffic does not notice.
#[track_caller]
fn serves_degraded(setup: SidecarSetup, reason: &str) -> Sidecar {
    let sidecar = setup.start_unready();
    eventually("readiness without storage", || {
        let ready = Client::get(sidecar.admin, "/readyz");
        if ready.status() == 200 { Ok(()) } else { Err(ready.text()) }
    });
    for _ in 0..5 {
        assert_eq!(Client::get(sidecar.traffic, "/users/1").status(), 200);
    }
    eventually("the reason", || {
        let ready = Client::get(sidecar.admin, "/readyz");
        assert_eq!(ready.json()["degraded"], true, "{}", ready.text());
        if ready.text().contains(reason) { Ok(()) } else { Err(ready.text()) }
    });
    let strict = Client::get(sidecar.admin, "/readyz?storage=1");
    assert_eq!(strict.status(), 503, "{}", strict.text());
    assert!(sidecar.metrics().sum("cvt_degraded", &[]) > 0.5);
    sidecar
}

#[track_caller]
fn wait_until_stored(sidecar: &Sidecar) {
    eventually("storage and the records that waited", || {
        let ready = Client::get(sidecar.admin, "/readyz?storage=1");
        let stored = sidecar.metrics().sum("cvt_records_written_total", &[]);
        if ready.status() == 200 && stored > 4.5 {
            Ok(())
        } else {
            Err(format!("{stored} stored, {}", ready.text()))
        }
    });
}

#[test]
fn a_wrong_password_at_the_start_keeps_no_traffic_from_being_served() {
    let server = Server::start(&["fsync = off"]);
    server.require_password("right");
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let port = server.settings("postgres").port;
    let dsn = format!("postgres://cvt:wr0ngsecret@127.0.0.1:{port}/postgres");
    let setup =
        SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all", "--storage", &dsn]);
    let sidecar = serves_degraded(setup, "password");
    let ready = Client::get(sidecar.admin, "/readyz").text();
    assert!(!ready.contains("wr0ngsecret"), "{ready}");
    server.trust_everyone();
    wait_until_stored(&sidecar);
}

#[tokio::test]
async fn a_newer_database_at_the_start_keeps_no_traffic_from_being_served() {
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let first = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).start();
    let (_, dir) = first.terminate();
    let path = dir.path().join("cvt.db");
    let mut database = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .connect()
        .await
        .expect("the database opens");
    sqlx::query(
        "INSERT INTO migrations (version, name, hash, applied_at) VALUES (999, 'x', 'x', 0)",
    )
    .execute(&mut database)
    .await
    .expect("a migration of the future");
    database.close().await.expect("it closes");
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--record", "all"]).inside(dir);
    serves_degraded(setup, "migration 999");
}

#[test]
fn a_database_that_never_answers_keeps_no_traffic_from_being_served() {
    // It accepts connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let upstream = ScriptedUpstream::json("200 OK", ADA);
    let dsn = format!("postgres://cvt@127.0.0.1:{port}/postgres");
    let setup = SidecarSetup::new(USERS, upstream.address()).args(&["--storage", &dsn]);
    serves_degraded(setup, "not opened since the start");
}
