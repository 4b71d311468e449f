//! From settings to an open store.

use std::sync::Arc;

use super::error::StartError;
use super::keys::keyring;
use crate::config::Config;
use crate::config::encryption::EncryptionSettings;
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::storage::metrics::{MeasuredStore, StorageMetrics};
use crate::storage::{self, Access, DeferredStore, EncryptedStore, Store};
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
    Ok(Arc::new(EncryptedStore::new(store, keys)))
}

/// Opens the store for traffic. Where it is unreachable and every route names a document,
/// it is opened later: the second of the answer does that.
pub(super) async fn open_for_traffic(
    config: &Config,
    clock: &Arc<dyn Clock>,
) -> Result<(Arc<dyn Store>, Option<Arc<DeferredStore>>), StartError> {
    let documents = config.routes.iter().all(|route| route.contract.spec.is_some());
    match open_store(&config.storage, &config.encryption, false, clock).await {
        Err(StartError::Storage { place, reason }) if documents && reason.is_transient() => {
            tracing::warn!(
                event = "storage_unavailable_at_start",
                place,
                error = %reason,
                "traffic is taken; what is recorded waits until storage is there"
            );
            let deferred = Arc::new(DeferredStore::new(&config.storage, clock.clone()));
            let store = EncryptedStore::new(deferred.clone(), keyring(&config.encryption)?);
            Ok((Arc::new(store), Some(deferred)))
        }
        opened => opened.map(|store| (store, None)),
    }
}

/// The store, with metrics.
pub(super) fn with_metrics(
    store: Arc<dyn Store>,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StartError> {
    let instruments = StorageMetrics::new(metrics)?;
    Ok(Arc::new(MeasuredStore::new(store, instruments, clock.clone())))
}
