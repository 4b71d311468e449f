//! CompiledDocument contracts in memory: TinyLFU admission, bounded by entries and by bytes.
//!
//! Keys are the seed's: `id` for the latest version, `id@version` for one version.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;

use super::error::RegisterError;
use super::loaded_contract::LoadedContract;
use super::metrics::RegistryMetrics;
use crate::config::cache::CacheSettings;
use crate::model::id::SchemaId;

/// How long a missing schema is cached.
const NEGATIVE_TTL: Duration = Duration::from_secs(2);

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(super) struct ContractCache {
    entries: Cache<String, Option<Arc<LoadedContract>>>,
    metrics: RegistryMetrics,
}

struct EntryTtl {
    present: Duration,
    absent: Duration,
}

// === impl ContractCache ===

impl ContractCache {
    pub(super) fn new(limits: &CacheSettings, metrics: RegistryMetrics) -> Self {
        // One capacity for two limits: an entry weighs its bytes, but never less than its
        // share of the number of entries.
        let share = (limits.max_bytes / limits.max_schemas.max(1)).max(1);
        let weight = move |_: &String, entry: &Option<Arc<LoadedContract>>| {
            let bytes = entry.as_ref().map_or(0, |loaded| loaded.contract.weight() as u64);
            u32::try_from(bytes.max(share)).unwrap_or(u32::MAX)
        };
        let entry_ttl = EntryTtl { present: limits.ttl, absent: NEGATIVE_TTL };
        let entries = Cache::builder()
            .weigher(weight)
            .max_capacity(if limits.enabled { limits.max_bytes } else { 0 })
            .expire_after(entry_ttl)
            .build();
        Self { entries, metrics }
    }

    /// Makes `loaded` the latest of its schema, and the one of its version.
    pub(super) async fn insert(&self, loaded: &Arc<LoadedContract>) {
        let id = &loaded.schema_id;
        for key in [key(id, None), key(id, Some(loaded.contract.version()))] {
            self.entries.insert(key, Some(loaded.clone())).await;
        }
        self.update_metrics().await;
    }

    /// The entry, loaded by `load` when it is not there. Callers that ask for the same one at
    /// once share one `load`; that nothing was found is remembered for a short while.
    pub(super) async fn get(
        &self,
        id: &SchemaId,
        version: Option<&str>,
        load: impl Future<Output = Result<Option<Arc<LoadedContract>>, RegisterError>>,
    ) -> Result<Option<Arc<LoadedContract>>, Arc<RegisterError>> {
        let key = key(id, version);
        if let Some(entry) = self.entries.get(&key).await {
            self.metrics.hits.inc();
            return Ok(entry);
        }
        self.metrics.misses.inc();
        let entry = self.entries.try_get_with(key, load).await?;
        self.update_metrics().await;
        Ok(entry)
    }

    /// Removes all entries.
    pub(super) async fn clear(&self) {
        self.entries.invalidate_all();
        self.update_metrics().await;
    }

    async fn update_metrics(&self) {
        self.entries.run_pending_tasks().await;
        self.metrics.set_cache_size(self.entries.entry_count(), self.entries.weighted_size());
    }
}

fn key(id: &SchemaId, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{id}@{version}"),
        None => id.to_string(),
    }
}

// === impl EntryTtl ===

impl Expiry<String, Option<Arc<LoadedContract>>> for EntryTtl {
    fn expire_after_create(
        &self,
        _key: &String,
        entry: &Option<Arc<LoadedContract>>,
        _created: Instant,
    ) -> Option<Duration> {
        Some(if entry.is_some() { self.present } else { self.absent })
    }

    fn expire_after_update(
        &self,
        key: &String,
        entry: &Option<Arc<LoadedContract>>,
        updated: Instant,
        _remaining: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, entry, updated)
    }
}
