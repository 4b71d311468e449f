//! The ids of rollup keys that this process used recently.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::db::Db;
use super::rollup_key::{KeyHash, RollupIds, RollupKey, resolve};
use crate::storage::store::StoreResult;

/// Keys cached at most; beyond that the cache is cleared.
const CACHE_CAPACITY: usize = 50_000;
/// The ids by the hash of their key.
#[derive(Debug, Default)]
pub(crate) struct RollupKeyCache(Mutex<HashMap<KeyHash, Arc<RollupIds>>>);

// === impl RollupKeyCache ===

impl RollupKeyCache {
    /// The ids of `keys`, in their order; inserts those that are missing.
    pub(crate) async fn resolve(
        &self,
        db: &Db,
        keys: &[RollupKey<'_>],
    ) -> StoreResult<Vec<Arc<RollupIds>>> {
        let wanted: Vec<_> = keys.iter().map(|one| (one.hash(), one)).collect();
        let new: Vec<_> = {
            let known = self.0.lock();
            wanted.iter().filter(|(hash, _)| !known.contains_key(hash)).collect()
        };
        let mut named = HashMap::new();
        if !new.is_empty() {
            let mut handle = db.begin().await?;
            named = resolve(&mut handle.conn(), &new).await?;
            handle.commit().await?;
        }
        let mut known = self.0.lock();
        let all = wanted.iter().map(|(hash, _)| known.get(hash).or_else(|| named.get(hash)));
        let all = all.flatten().cloned().collect();
        if known.len() + named.len() > CACHE_CAPACITY {
            known.clear();
        }
        known.extend(named);
        Ok(all)
    }

    /// Clears the cache.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}
