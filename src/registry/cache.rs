//! Compiled contracts in memory: TinyLFU admission, bounded by entries and by bytes.
//!
//! Keys are the seed's: `id` for the latest version, `id@version` for one version.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future::Cache;

use super::metrics::RegistryMetrics;
use super::{LoadedContract, RegisterError};
use crate::model::id::SchemaId;

/// How much is cached, and how long.
#[derive(Debug, Clone, Copy)]
pub struct CacheLimits {
    /// Entries at most.
    pub entries: u64,
    /// Bytes of compiled contracts at most.
    pub bytes: u64,
    /// How long an entry lives.
    pub time_to_live: Duration,
    /// How long it is remembered that a schema is not there.
    pub absence: Duration,
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub(super) struct ContractCache {
    entries: Cache<String, Option<Arc<LoadedContract>>>,
    metrics: RegistryMetrics,
}

struct Lifetimes {
    present: Duration,
    absent: Duration,
}

// === impl CacheLimits ===

impl Default for CacheLimits {
    /// The seed's limits, and 512 MiB.
    fn default() -> Self {
        Self {
            entries: 1_000,
            bytes: 512 << 20,
            time_to_live: Duration::from_hours(24),
            absence: Duration::from_secs(2),
        }
    }
}

// === impl ContractCache ===

impl ContractCache {
    pub(super) fn new(limits: CacheLimits, metrics: RegistryMetrics) -> Self {
        // One capacity for two limits: an entry weighs its bytes, but never less than its
        // share of the number of entries.
        let share = (limits.bytes / limits.entries.max(1)).max(1);
        let weight = move |_: &String, entry: &Option<Arc<LoadedContract>>| {
            let bytes = entry.as_ref().map_or(0, |loaded| loaded.contract.weight() as u64);
            u32::try_from(bytes.max(share)).unwrap_or(u32::MAX)
        };
        let lifetimes = Lifetimes { present: limits.time_to_live, absent: limits.absence };
        let entries = Cache::builder()
            .weigher(weight)
            .max_capacity(limits.bytes)
            .expire_after(lifetimes)
            .build();
        Self { entries, metrics }
    }

    /// Makes `loaded` the latest of its schema, and the one of its version.
    pub(super) async fn put(&self, loaded: &Arc<LoadedContract>) {
        let id = &loaded.schema_id;
        for key in [key(id, None), key(id, Some(loaded.contract.version()))] {
            self.entries.insert(key, Some(loaded.clone())).await;
        }
        self.measure().await;
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
        self.measure().await;
        Ok(entry)
    }

    async fn measure(&self) {
        self.entries.run_pending_tasks().await;
        self.metrics.cached(self.entries.entry_count(), self.entries.weighted_size());
    }
}

fn key(id: &SchemaId, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{id}@{version}"),
        None => id.to_string(),
    }
}

// === impl Lifetimes ===

impl Expiry<String, Option<Arc<LoadedContract>>> for Lifetimes {
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
