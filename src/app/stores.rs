//! From settings to an open store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::error::StartError;
use super::keys::keyring;
use crate::config::Config;
use crate::config::encryption::EncryptionSettings;
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::storage::metrics::{MeasuredStore, StorageFaultMetrics, StorageMetrics};
use crate::storage::{self, Access, DeferredStore, EncryptedStore, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// How long traffic waits at the start for storage that it can do without.
const START_PATIENCE: Duration = Duration::from_secs(1);

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

/// Opens the store for traffic, and keeps it open until `stopped` turns true. Where every route
/// names a document, traffic waits for the database no longer than [`START_PATIENCE`], and starts
/// even if the database is unreachable, refuses, or was written by a newer version: it is then
/// opened in the background.
pub(super) async fn open_for_traffic(
    config: &Config,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
    stopped: watch::Receiver<bool>,
) -> Result<Arc<dyn Store>, StartError> {
    let faults = StorageFaultMetrics::new(metrics)?;
    let deferred = Arc::new(DeferredStore::new(&config.storage, clock.clone(), faults));
    let store = EncryptedStore::new(deferred.clone(), keyring(&config.encryption)?);
    let mut first = tokio::spawn({
        let deferred = deferred.clone();
        async move { deferred.try_open().await }
    });
    let place = config.storage.to_string();
    let needs_storage = config.routes.iter().any(|route| route.contract.spec.is_none());
    let patience = if needs_storage { Duration::MAX } else { START_PATIENCE };
    let mut unanswered = None;
    match tokio::time::timeout(patience, &mut first).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(reason))) if needs_storage || !starts_without(&config.storage, &reason) => {
            return Err(StartError::Storage { place, reason });
        }
        Ok(Ok(Err(reason))) => warn_of_deferred(&place, &reason.to_string()),
        Ok(Err(panicked)) => warn_of_deferred(&place, &panicked.to_string()),
        Err(_) => {
            warn_of_deferred(&place, "it has not answered");
            unanswered = Some(first);
        }
    }
    tokio::spawn(async move {
        if let Some(first) = unanswered
            && matches!(first.await, Ok(Ok(())))
        {
            tracing::info!(event = "storage_opened", place);
        }
        deferred.supervise(stopped).await;
    });
    Ok(Arc::new(store))
}

/// Whether traffic starts without storage that failed for `reason`. A file that cannot be used
/// is a wrong setting and reported as such; a server may accept later.
fn starts_without(settings: &StorageSettings, reason: &StoreError) -> bool {
    let refused = matches!(reason, StoreError::Refused(_));
    reason.is_transient()
        || matches!(reason, StoreError::NewerDatabase { .. })
        || refused && matches!(settings, StorageSettings::Postgres(_))
}

fn warn_of_deferred(place: &str, error: &str) {
    tracing::warn!(
        event = "storage_unavailable_at_start",
        place,
        error,
        "traffic is served without storage; records wait in the spool until storage is available"
    );
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
