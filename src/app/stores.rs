//! From settings to an open store.

use std::sync::Arc;

use super::StartError;
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::storage::{self, Access, Store};

/// Opens the store that `settings` name; for reading only when `read_only`.
pub async fn open_store(
    settings: &StorageSettings,
    read_only: bool,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn Store>, StartError> {
    let access = if read_only { Access::Read } else { Access::Write };
    let opened = storage::open(settings, access, clock.clone()).await;
    opened.map_err(|reason| StartError::Storage { place: settings.to_string(), reason })
}
