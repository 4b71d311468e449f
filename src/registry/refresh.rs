//! What other processes register on the same database.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::{LoadedContract, Registry};

/// The longest wait for a change before the store is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after the store could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a route finds its contract. Cheap to clone.
#[derive(Clone)]
pub struct Slot {
    /// The contract in force.
    pub contract: Arc<ArcSwapOption<LoadedContract>>,
    /// Whether it follows the latest version; a route with a document of its own does not.
    pub follows: bool,
}

/// The slots of all routes; replaced when the routes are.
pub type Slots = Arc<ArcSwap<Vec<Slot>>>;

// === impl Registry ===

impl Registry {
    /// Forgets what is cached whenever any process changes a schema, and puts the latest
    /// version into each of `slots` that follows; the last good contract stays where the new one
    /// cannot be loaded. Ends when `stop` turns true.
    pub fn follow(
        &self,
        slots: Slots,
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

    async fn follow_changes(&self, slots: &Slots) {
        let store = &self.parts.store;
        let mut seen = None;
        loop {
            let revision = match seen {
                None => store.schema_revision().await,
                Some(seen) => store.wait_schema_change(seen, PATIENCE).await,
            };
            match revision {
                // The first time too: something may have changed between start and now.
                Ok(revision) if seen != Some(revision) => {
                    seen = Some(revision);
                    self.parts.cache.forget().await;
                    self.catch_up(slots).await;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(event = "registry_unavailable", %error, "asked again soon");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Puts the latest version into each of `slots` that follows, and shows what is in force.
    pub async fn catch_up(&self, slots: &Slots) {
        for slot in slots.load_full().iter().filter(|slot| slot.follows) {
            self.refresh(slot).await;
        }
        self.show(slots);
    }

    /// Shows which contracts are in force. Whoever calls it last, after a change, shows that
    /// change, however many call it at once.
    pub fn show(&self, slots: &Slots) {
        let _turn = self.parts.showing.lock();
        let slots = slots.load();
        let loaded: Vec<_> = slots.iter().filter_map(|slot| slot.contract.load_full()).collect();
        self.parts.metrics.in_force(&loaded);
    }

    async fn refresh(&self, slot: &Slot) {
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
