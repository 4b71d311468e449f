//! A store that is opened later, and again: the sidecar starts although its database cannot be
//! reached, and goes on although its file is deleted, replaced or damaged.
//!
//! Invariants:
//! - While the database is not open, every operation fails as unavailable, so that callers keep
//!   what they wanted to store. Registrations alone are accepted and queued.
//! - Queued registrations run in their order before any other operation.
//! - While it is open every call is forwarded. What is done counts only if the file still lies
//!   at its path afterwards: otherwise it failed, and the caller repeats it.
//! - A fault is logged and counted once until it is over, and is part of every failure and of
//!   `/readyz`.

mod supervise;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::RwLock;
use tokio::sync::{Mutex, Notify};

use super::error::StoreError;
use super::fault::StorageFault;
use super::metrics::StorageFaultMetrics;
use super::operations::operations_of;
use super::query::{MigrationReport, OnConflict, SchemaChange, StoredSchema};
use super::sqlite::database_files::DatabaseFiles;
use super::store::{
    ComparisonStore, ConsumerStore, GroupStore, PurgeStore, SchemaStore, Store, StoreResult,
    UsageStore, ValidationStore,
};
use super::{Access, open};
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::model::schema::SchemaRecord;

/// The operations that show by their success that there is room again.
const WRITES: [&str; 3] = ["record_validations", "merge_usage", "merge_groups"];

/// A store that is opened as soon as the database can be reached.
pub struct DeferredStore {
    state: RwLock<State>,
    pending_registrations: Mutex<Vec<(SchemaRecord, OnConflict)>>,
    /// Wakes the supervising task.
    suspected: Notify,
    /// Whether the last write found no room.
    full: AtomicBool,
    /// Whether the database was damaged and has not been found well since.
    damaged: AtomicBool,
    fault_metrics: StorageFaultMetrics,
    settings: StorageSettings,
    clock: Arc<dyn Clock>,
}

enum State {
    Closed {
        reason: String,
        /// Whether it was open before.
        was_open: bool,
    },
    Open(OpenStore),
    /// Open, but not to be used for now.
    Suspended(OpenStore, StorageFault),
}

#[derive(Clone)]
struct OpenStore {
    store: Arc<dyn Store>,
    /// The files of a SQLite database.
    files: Option<Arc<DatabaseFiles>>,
}

// === impl DeferredStore ===

impl DeferredStore {
    /// The store that `settings` name, not open yet.
    pub fn new(
        settings: &StorageSettings,
        clock: Arc<dyn Clock>,
        fault_metrics: StorageFaultMetrics,
    ) -> Self {
        Self {
            state: RwLock::new(State::Closed {
                reason: "it has not answered".to_owned(),
                was_open: false,
            }),
            pending_registrations: Mutex::default(),
            suspected: Notify::new(),
            full: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
            fault_metrics,
            settings: settings.clone(),
            clock,
        }
    }

    /// Makes one attempt to open the database and to store the queued registrations.
    pub async fn try_open(&self) -> StoreResult<()> {
        let opened = self.open_and_register().await;
        if let Err(error) = &opened {
            let mut state = self.state.write();
            let was_open = !matches!(&*state, State::Closed { was_open: false, .. });
            let reason = if self.damaged.load(Ordering::Relaxed) {
                format!("{}: {error}", StorageFault::Corrupt.sentence())
            } else {
                error.to_string()
            };
            *state = State::Closed { reason, was_open };
        }
        opened
    }

    async fn open_and_register(&self) -> StoreResult<()> {
        let store = open(&self.settings, Access::Write, self.clock.clone()).await?;
        let files = match &self.settings {
            StorageSettings::Sqlite { path } => Some(Arc::new(DatabaseFiles::of(path))),
            StorageSettings::Memory | StorageSettings::Postgres(_) => None,
        };
        if self.damaged.load(Ordering::Relaxed) {
            store.ping().await?;
            self.damaged.store(false, Ordering::Relaxed);
        }
        // Concurrent registrations wait for this lock and then find the store open.
        let mut registrations = self.pending_registrations.lock().await;
        for (record, on_conflict) in registrations.iter() {
            match store.set_schema(record, *on_conflict).await {
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    let schema_id = record.schema_id.as_str();
                    tracing::error!(event = "schema_not_registered", schema_id, %error);
                }
                Ok(_) => {}
            }
        }
        registrations.clear();
        *self.state.write() = State::Open(OpenStore { store, files });
        Ok(())
    }

    fn is_closed(&self) -> bool {
        matches!(&*self.state.read(), State::Closed { .. })
    }

    /// Registers a schema with the open store.
    async fn register(
        &self,
        record: &SchemaRecord,
        on_conflict: OnConflict,
    ) -> StoreResult<StoredSchema> {
        let open = self.usable()?;
        let done = open.store.set_schema(record, on_conflict).await;
        self.checked(&open, "set_schema", done)
    }

    /// The store to use for an operation.
    fn usable(&self) -> StoreResult<OpenStore> {
        let unavailable = |reason: &str| StoreError::Unavailable(reason.to_owned());
        let open = match &*self.state.read() {
            State::Closed { reason, was_open: true } => return Err(unavailable(reason)),
            State::Closed { reason, was_open: false } => {
                return Err(unavailable(&format!("not opened since the start: {reason}")));
            }
            State::Suspended(_, fault) => return Err(unavailable(fault.sentence())),
            State::Open(open) => open.clone(),
        };
        self.check_files(&open)?;
        Ok(open)
    }

    fn check_files(&self, open: &OpenStore) -> StoreResult<()> {
        let Some(fault) = open.files.as_ref().and_then(|files| files.fault()) else {
            return Ok(());
        };
        self.suspected.notify_one();
        Err(StoreError::Unavailable(fault.sentence().to_owned()))
    }

    /// What an operation's outcome is worth, and what it says about the database.
    fn checked<T>(
        &self,
        open: &OpenStore,
        operation: &str,
        done: StoreResult<T>,
    ) -> StoreResult<T> {
        self.check_files(open)?;
        let is_write = WRITES.contains(&operation);
        match &done {
            Ok(_) if is_write && self.full.load(Ordering::Relaxed) => {
                self.full.store(false, Ordering::Relaxed);
                self.suspected.notify_one();
            }
            Err(error) => {
                if matches!(error, StoreError::Full(_)) && is_write {
                    self.full.store(true, Ordering::Relaxed);
                }
                if open.files.is_some() && StorageFault::of(error).is_some() {
                    self.suspected.notify_one();
                }
            }
            Ok(_) => {}
        }
        done
    }
}

/// Implements a trait by forwarding to the opened store.
macro_rules! forward_when_open {
    ($store:ident: $($name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*) => {
        #[async_trait]
        impl $store for DeferredStore {
            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                let open = self.usable()?;
                let done = open.store.$name($($argument),*).await;
                self.checked(&open, stringify!($name), done)
            })*
        }
    };
}

/// The same for schemas, except that registrations are queued until the store is open.
macro_rules! queue_registrations {
    ($store:ident: set_schema($($ignored:tt)*) -> $stored:ty;
        $($name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*
    ) => {
        #[async_trait]
        impl $store for DeferredStore {
            async fn set_schema(
                &self,
                record: &SchemaRecord,
                on_conflict: OnConflict,
            ) -> StoreResult<StoredSchema> {
                if !self.is_closed() {
                    return self.register(record, on_conflict).await;
                }
                let mut registrations = self.pending_registrations.lock().await;
                if !self.is_closed() {
                    return self.register(record, on_conflict).await;
                }
                registrations.push((record.clone(), on_conflict));
                Ok(StoredSchema { record: record.clone(), change: SchemaChange::Created })
            }

            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                let open = self.usable()?;
                let done = open.store.$name($($argument),*).await;
                self.checked(&open, stringify!($name), done)
            })*
        }
    };
}

operations_of!(SchemaStore, queue_registrations);
operations_of!(ValidationStore, forward_when_open);
operations_of!(ComparisonStore, forward_when_open);
operations_of!(ConsumerStore, forward_when_open);
operations_of!(GroupStore, forward_when_open);
operations_of!(UsageStore, forward_when_open);
operations_of!(PurgeStore, forward_when_open);

#[async_trait]
impl Store for DeferredStore {
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport> {
        self.usable()?.store.migrate(dry_run).await
    }

    async fn close(&self) {
        let open = match &*self.state.read() {
            State::Closed { .. } => return,
            State::Open(open) | State::Suspended(open, _) => open.clone(),
        };
        open.store.close().await;
    }

    async fn ping(&self) -> StoreResult<()> {
        let open = self.usable()?;
        let pinged = open.store.ping().await;
        self.checked(&open, "ping", pinged)?;
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::Full("the last write found no room".to_owned()));
        }
        Ok(())
    }

    fn backend(&self) -> &'static str {
        match self.settings {
            StorageSettings::Memory => "memory",
            StorageSettings::Sqlite { .. } => "sqlite",
            StorageSettings::Postgres(_) => "postgres",
        }
    }
}
