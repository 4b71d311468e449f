//! From settings to an open store.

use std::sync::Arc;

use super::{StartError, keyring};
use crate::config::encryption::EncryptionSettings;
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::storage::metrics::{MeasuredStore, StorageMetrics};
use crate::storage::{self, Access, SealedStore, Store};
use crate::telemetry::metrics::Metrics;

/// Opens the store that `settings` name, with the keys that `encryption` names; for reading only
/// when `read_only`.
pub async fn open_store(
    settings: &StorageSettings,
    encryption: &EncryptionSettings,
    read_only: bool,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StartError> {
    let keys = keyring(encryption)?;
    let access = if read_only { Access::Read } else { Access::Write };
    let opened = storage::open(settings, access, clock.clone()).await;
    let store =
        opened.map_err(|reason| StartError::Storage { place: settings.to_string(), reason })?;
    Ok(Arc::new(SealedStore::new(store, keys)))
}

/// The store, measured.
pub(super) fn measured(
    store: Arc<dyn Store>,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StartError> {
    let instruments = StorageMetrics::new(metrics)?;
    Ok(Arc::new(MeasuredStore::new(store, instruments, clock.clone())))
}
