//! A store that may be opened later: the sidecar starts although its database is away.
//!
//! What must hold: until the database is there, operations say that it is not available, and
//! nothing is lost by it that a caller would not keep; registrations alone are taken and made
//! first of all when it is there, in their order. Then this store is the other, for good.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};

use super::error::StoreError;
use super::operations::operations_of;
use super::query::{MigrationReport, OnConflict, SchemaChange, StoredSchema};
use super::store::{
    ComparisonStore, ConsumerStore, SchemaStore, Store, StoreResult, ValidationStore,
};
use super::{Access, open};
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::model::schema::SchemaRecord;

/// Time between two tries to open.
const PAUSE: Duration = Duration::from_secs(1);

/// A store that is opened as soon as it can be.
pub struct LateStore {
    opened: OnceLock<Arc<dyn Store>>,
    registrations: Mutex<Vec<(SchemaRecord, OnConflict)>>,
    settings: StorageSettings,
    clock: Arc<dyn Clock>,
}

// === impl LateStore ===

impl LateStore {
    /// The store that `settings` name, not open yet.
    pub fn new(settings: &StorageSettings, clock: Arc<dyn Clock>) -> Self {
        let (opened, registrations) = (OnceLock::new(), Mutex::new(Vec::new()));
        Self { opened, registrations, settings: settings.clone(), clock }
    }

    /// Tries until the database is there and everything taken was registered, or until `stop`
    /// turns true.
    pub async fn open(&self, mut stop: watch::Receiver<bool>) {
        while let Err(error) = self.try_open().await {
            tracing::debug!(event = "storage_not_ready", %error);
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
        tracing::info!(event = "storage_opened", place = %self.settings);
    }

    async fn try_open(&self) -> StoreResult<()> {
        let store = open(&self.settings, Access::Write, self.clock.clone()).await?;
        // Who registers meanwhile waits here, and finds the store open.
        let mut registrations = self.registrations.lock().await;
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
        // Nobody else sets it: opening is one task.
        let _ = self.opened.set(store);
        Ok(())
    }

    fn inner(&self) -> StoreResult<&Arc<dyn Store>> {
        let away = || StoreError::Unavailable("it was not reached since the start".to_owned());
        self.opened.get().ok_or_else(away)
    }
}

/// Implements a trait by calling the store's methods once it is open.
macro_rules! once_open {
    ($store:ident: $($name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*) => {
        #[async_trait]
        impl $store for LateStore {
            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                self.inner()?.$name($($argument),*).await
            })*
        }
    };
}

/// The same for schemas, but that registrations are taken.
macro_rules! taken_before {
    ($store:ident: set_schema($($ignored:tt)*) -> $stored:ty;
        $($name:ident($($argument:ident: $type:ty),* $(,)?) -> $answer:ty;)*
    ) => {
        #[async_trait]
        impl $store for LateStore {
            async fn set_schema(
                &self,
                record: &SchemaRecord,
                on_conflict: OnConflict,
            ) -> StoreResult<StoredSchema> {
                if let Some(store) = self.opened.get() {
                    return store.set_schema(record, on_conflict).await;
                }
                let mut registrations = self.registrations.lock().await;
                if let Some(store) = self.opened.get() {
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

operations_of!(SchemaStore, taken_before);
operations_of!(ValidationStore, once_open);
operations_of!(ComparisonStore, once_open);
operations_of!(ConsumerStore, once_open);

#[async_trait]
impl Store for LateStore {
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport> {
        self.inner()?.migrate(dry_run).await
    }

    async fn close(&self) {
        if let Some(store) = self.opened.get() {
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
