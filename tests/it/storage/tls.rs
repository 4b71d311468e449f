//! TLS to PostgreSQL: each mode against a server that has a certificate of our own authority.

use std::path::{Path, PathBuf};

use cvt_sidecar::config::storage::{PostgresSettings, SslMode, StorageSettings};
use cvt_sidecar::storage::{self, Access, StoreError, StoreResult};

use super::server::Server;
use super::store_fixture::clock;
use crate::support::certificates::Authority;

/// Opens, pings and closes; says whether the connection was encrypted.
async fn connect(server: &Server, settings: PostgresSettings) -> StoreResult<bool> {
    let settings = StorageSettings::Postgres(settings);
    let store = storage::open(&settings, Access::Write, clock()).await?;
    store.ping().await?;
    let encrypted = server.psql(
        "postgres",
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = 'cvt-sidecar'",
    );
    store.close().await;
    Ok(encrypted.trim() == "t")
}

fn settings(server: &Server, host: &str, mode: SslMode, root: Option<&Path>) -> PostgresSettings {
    PostgresSettings {
        host: host.into(),
        ssl_mode: mode,
        ssl_root_cert: root.map(PathBuf::from),
        ..server.settings("postgres")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mode_encrypts_and_verifies_what_it_says() {
    let authority = Authority::new();
    let identity = authority.sign("server", "postgres", 2099);
    let server = Server::start(&["fsync = off", "listen_addresses = '127.0.0.1,127.0.0.2'"]);
    server.encrypt(&identity.cert, &identity.key);
    let (ours, stranger) = (authority.file(), Authority::new());
    let theirs = stranger.file();
    // the certificate names localhost and 127.0.0.1, not 127.0.0.2
    for (mode, host, root, expected) in [
        (SslMode::Disable, "127.0.0.1", None, Some(false)),
        (SslMode::Allow, "127.0.0.1", None, None),
        (SslMode::Prefer, "127.0.0.1", None, Some(true)),
        (SslMode::Require, "127.0.0.1", None, Some(true)),
        (SslMode::VerifyCa, "127.0.0.1", Some(&*ours), Some(true)),
        (SslMode::VerifyCa, "127.0.0.2", Some(&*ours), Some(true)),
        (SslMode::VerifyFull, "127.0.0.1", Some(&*ours), Some(true)),
        (SslMode::VerifyFull, "localhost", Some(&*ours), Some(true)),
    ] {
        match connect(&server, settings(&server, host, mode, root)).await {
            Ok(encrypted) => assert!(
                expected.is_none_or(|expected| encrypted == expected),
                "{mode:?} {host}: encrypted {encrypted}"
            ),
            Err(error) => panic!("{mode:?} {host}: {error}"),
        }
    }
    for (what, mode, host, root) in [
        ("another host", SslMode::VerifyFull, "127.0.0.2", Some(&*ours)),
        ("another authority", SslMode::VerifyFull, "127.0.0.1", Some(&*theirs)),
        ("another authority", SslMode::VerifyCa, "127.0.0.1", Some(&*theirs)),
        ("an unknown authority", SslMode::VerifyFull, "127.0.0.1", None),
        ("a missing file", SslMode::VerifyFull, "127.0.0.1", Some(Path::new("/no/such/ca.crt"))),
    ] {
        let refused = connect(&server, settings(&server, host, mode, root)).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{what}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_tls_gets_no_plain_connection() {
    let authority = Authority::new();
    let identity = authority.sign("server", "postgres", 2099);
    let server = Server::start(&["fsync = off"]);
    server.encrypt(&identity.cert, &identity.key);
    server.refuse_plain_connections();
    let plain = connect(&server, settings(&server, "127.0.0.1", SslMode::Disable, None)).await;
    assert!(matches!(plain, Err(StoreError::Refused(_))), "{plain:?}");
    for mode in [SslMode::Prefer, SslMode::Require] {
        let encrypted = connect(&server, settings(&server, "127.0.0.1", mode, None)).await;
        assert!(matches!(encrypted, Ok(true)), "{mode:?}: {encrypted:?}");
    }
}
