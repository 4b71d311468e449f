//! From settings to an open store.

use std::sync::Arc;

use super::StartError;
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::storage::{MemoryStore, SqliteOptions, Store};

/// Opens the store that `settings` name; for reading only when `read_only`.
pub async fn open_store(
    settings: &StorageSettings,
    read_only: bool,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StartError> {
    match settings {
        StorageSettings::Memory => Ok(Arc::new(MemoryStore::new(clock.clone()))),
        StorageSettings::Sqlite { path } => {
            let mut options = SqliteOptions::new(path);
            options.read_only = read_only;
            let place = path.display().to_string();
            let opened = options.open(clock.clone()).await;
            opened.map_err(|reason| StartError::Storage { place, reason })
        }
    }
}
