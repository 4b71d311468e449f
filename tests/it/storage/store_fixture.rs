//! The fixture of a case: a fresh store of one backend, and a manual clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::model::clock::{ManualClock, Timestamp};
use cvt_sidecar::storage::{self, Access, MemoryStore, Store};
use tempfile::TempDir;

use super::server::Server;

/// 2023-11-14T22:13:20Z.
pub(crate) const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A fresh store.
pub(crate) struct StoreFixture {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
    location: Option<DatabaseLocation>,
}

/// Where the database is; `None` for memory.
struct DatabaseLocation {
    settings: StorageSettings,
    /// Removed when dropped.
    _dir: Option<TempDir>,
}

pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START))
}

pub(crate) fn memory() -> StoreFixture {
    let clock = clock();
    StoreFixture { store: Arc::new(MemoryStore::new(clock.clone())), clock, location: None }
}

pub(crate) async fn sqlite() -> StoreFixture {
    let dir = TempDir::new().unwrap();
    let settings = StorageSettings::Sqlite { path: dir.path().join("cvt.db") };
    open(DatabaseLocation { settings, _dir: Some(dir) }).await
}

pub(crate) async fn postgres() -> StoreFixture {
    let settings = StorageSettings::Postgres(server().settings(&new_database()));
    open(DatabaseLocation { settings, _dir: None }).await
}

async fn open(location: DatabaseLocation) -> StoreFixture {
    let clock = clock();
    let store = storage::open(&location.settings, Access::Write, clock.clone()).await.unwrap();
    StoreFixture { store, clock, location: Some(location) }
}

/// The server that all cases share; a static is never dropped, its watchdog cleans up.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::start(&["fsync = off", "synchronous_commit = off", "full_page_writes = off"])
    })
}

/// Makes an empty database.
pub(crate) fn new_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("fixture_{}", NEXT.fetch_add(1, Ordering::SeqCst));
    server().psql("postgres", &format!("CREATE DATABASE {name}"));
    name
}

impl StoreFixture {
    /// Another handle on the same database, as a second process would have; for memory, which
    /// has no second process, the store itself.
    pub(crate) async fn second(&self) -> Arc<dyn Store> {
        let Some(location) = &self.location else { return self.store.clone() };
        storage::open(&location.settings, Access::Write, self.clock.clone()).await.unwrap()
    }

    /// Closes the store and opens the database again; memory stays as it is.
    pub(crate) async fn restart(&mut self) {
        if self.location.is_some() {
            self.store.close().await;
            self.store = self.second().await;
        }
    }
}
