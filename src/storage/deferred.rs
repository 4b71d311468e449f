//! A store that is opened later: the sidecar starts although its database cannot be reached.
//!
//! Invariants:
//! - Until the database is reached, every operation fails as unavailable, so that callers keep
//!   what they wanted to store. Registrations alone are accepted and queued.
//! - Queued registrations run in their order before any other operation.
//! - From then on every call is forwarded.
//! - Why it is not open yet is part of every failure, and so of `/readyz`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use super::error::StoreError;
use super::operations::operations_of;
use super::query::{MigrationReport, OnConflict, SchemaChange, StoredSchema};
use super::store::{
    ComparisonStore, ConsumerStore, GroupStore, PurgeStore, SchemaStore, Store, StoreResult,
    UsageStore, ValidationStore,
};
use super::{Access, open};
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::model::schema::SchemaRecord;

/// Time between two attempts to reach the database.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two attempts where the database refuses: only an operator can change that, and
/// a server may count wrong passwords.
const REFUSED_INTERVAL: Duration = Duration::from_secs(10);

/// A store that is opened as soon as the database can be reached.
pub struct DeferredStore {
    store: OnceLock<Arc<dyn Store>>,
    pending_registrations: Mutex<Vec<(SchemaRecord, OnConflict)>>,
    last_error: parking_lot::Mutex<Option<String>>,
    settings: StorageSettings,
    clock: Arc<dyn Clock>,
}

// === impl DeferredStore ===

impl DeferredStore {
    /// The store that `settings` name, not open yet.
    pub fn new(settings: &StorageSettings, clock: Arc<dyn Clock>) -> Self {
        let (store, registrations) = (OnceLock::new(), Mutex::new(Vec::new()));
        let (last_error, settings) = (parking_lot::Mutex::default(), settings.clone());
        Self { store, pending_registrations: registrations, last_error, settings, clock }
    }

    /// Retries until the database is open and the queued registrations are stored, or until
    /// `stop` turns true. Says whether the database is open.
    pub async fn open(&self, mut stop: watch::Receiver<bool>) -> bool {
        while let Err(error) = self.try_open().await {
            tracing::debug!(event = "storage_not_ready", %error);
            let interval = if error.is_transient() { RETRY_INTERVAL } else { REFUSED_INTERVAL };
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                _ = stop.wait_for(|stop| *stop) => return false,
            }
        }
        true
    }

    /// Makes one attempt to open the database and to store the queued registrations.
    pub async fn try_open(&self) -> StoreResult<()> {
        let opened = self.open_and_register().await;
        *self.last_error.lock() = opened.as_ref().err().map(ToString::to_string);
        opened
    }

    async fn open_and_register(&self) -> StoreResult<()> {
        let store = open(&self.settings, Access::Write, self.clock.clone()).await?;
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
        // Only this task sets it.
        let _ = self.store.set(store);
        Ok(())
    }

    fn inner(&self) -> StoreResult<&Arc<dyn Store>> {
        self.store.get().ok_or_else(|| {
            let reason = self.last_error.lock().clone();
            let reason = reason.unwrap_or_else(|| "it has not answered".to_owned());
            StoreError::Unavailable(format!("not opened since the start: {reason}"))
        })
    }
}

/// Implements a trait by forwarding to the opened store.
macro_rules! forward_when_open {
    ($store:ident: $($name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*) => {
        #[async_trait]
        impl $store for DeferredStore {
            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                self.inner()?.$name($($argument),*).await
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
                if let Some(store) = self.store.get() {
                    return store.set_schema(record, on_conflict).await;
                }
                let mut registrations = self.pending_registrations.lock().await;
                if let Some(store) = self.store.get() {
                    return store.set_schema(record, on_conflict).await;
                }
                registrations.push((record.clone(), on_conflict));
                Ok(StoredSchema { record: record.clone(), change: SchemaChange::Created })
            }

            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                self.inner()?.$name($($argument),*).await
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
        self.inner()?.migrate(dry_run).await
    }

    async fn close(&self) {
        if let Some(store) = self.store.get() {
            store.close().await;
        }
    }

    async fn ping(&self) -> StoreResult<()> {
        self.inner()?.ping().await
    }

    fn backend(&self) -> &'static str {
        match self.settings {
            StorageSettings::Memory => "memory",
            StorageSettings::Sqlite { .. } => "sqlite",
            StorageSettings::Postgres(_) => "postgres",
        }
    }
}
