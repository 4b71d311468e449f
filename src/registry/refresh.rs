//! What other processes register on the same database.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::Registry;
use super::loaded_contract::LoadedContract;

/// The longest wait for a change before the store is asked again.
const MAX_WAIT: Duration = Duration::from_secs(30);
/// The pause after the store could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// The contract of a route. Cheap to clone.
#[derive(Clone)]
pub struct ContractSlot {
    /// The active contract.
    pub contract: Arc<ArcSwapOption<LoadedContract>>,
    /// Whether it is replaced by the latest version; a route with its own document is not.
    pub follows_latest: bool,
}

/// The slots of all routes; replaced when the routes are.
pub type ContractSlots = Arc<ArcSwap<Vec<ContractSlot>>>;

// === impl Registry ===

impl Registry {
    /// Clears the cache whenever any process changes a schema, and loads the latest version into
    /// each slot that follows it; a slot keeps its contract when the new one cannot be loaded.
    /// Ends when `stop` turns true.
    pub fn run_refresh(
        &self,
        slots: ContractSlots,
        mut stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let registry = self.clone();
        async move {
            tokio::select! {
                () = registry.follow_changes(&slots) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    async fn follow_changes(&self, slots: &ContractSlots) {
        let store = &self.inner.store;
        let mut seen = None;
        let mut is_away = false;
        loop {
            let revision = match seen {
                None => store.schema_revision().await,
                Some(seen) => store.wait_schema_change(seen, MAX_WAIT).await,
            };
            // Said once for each time that storage goes away, however long it stays so.
            let was_away = std::mem::replace(&mut is_away, revision.is_err());
            match revision {
                // The first time too: something may have changed between start and now.
                Ok(revision) if seen != Some(revision) => {
                    seen = Some(revision);
                    self.inner.cache.clear().await;
                    self.refresh_slots(slots).await;
                }
                Ok(_) => {}
                Err(error) => {
                    if !was_away {
                        tracing::warn!(
                            event = "registry_unavailable",
                            %error,
                            "the registry asks for changes again every second"
                        );
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Loads the latest version into each slot that follows it, and publishes the active contracts.
    pub async fn refresh_slots(&self, slots: &ContractSlots) {
        for slot in slots.load_full().iter().filter(|slot| slot.follows_latest) {
            self.refresh(slot).await;
        }
        self.publish_contracts(slots);
    }

    /// Publishes the active contracts as metrics. The last call after a change publishes that
    /// change, even when several run at once.
    pub fn publish_contracts(&self, slots: &ContractSlots) {
        let _guard = self.inner.metrics_lock.lock();
        let slots = slots.load();
        let loaded: Vec<_> = slots.iter().filter_map(|slot| slot.contract.load_full()).collect();
        self.inner.metrics.set_active_contracts(&loaded);
    }

    async fn refresh(&self, slot: &ContractSlot) {
        let Some(current) = slot.contract.load_full() else { return };
        match self.lookup(&current.schema_id, None).await {
            Ok(Some(latest)) if latest.contract.hash() != current.contract.hash() => {
                tracing::info!(
                    event = "contract_replaced",
                    schema_id = current.schema_id.as_str(),
                    version = latest.contract.version(),
                    "the version registered last is in force"
                );
                slot.contract.store(Some(latest));
            }
            Ok(_) => {}
            Err(error) => tracing::error!(
                event = "contract_not_replaced",
                schema_id = current.schema_id.as_str(),
                %error,
                "the contract in force stays"
            ),
        }
    }
}
