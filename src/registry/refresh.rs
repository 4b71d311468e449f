//! What other processes register on the same database.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::watch;

use super::{LoadedContract, Registry};

/// The longest wait for a change before the store is asked again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after the store could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a route finds its contract.
pub struct Slot {
    /// The contract in force.
    pub contract: Arc<ArcSwapOption<LoadedContract>>,
    /// Whether it follows the latest version; a route with a document of its own does not.
    pub follows: bool,
}

// === impl Registry ===

impl Registry {
    /// Forgets what is cached whenever any process changes a schema, and puts the latest
    /// version into `slot` if it follows; the last good contract stays where the new one
    /// cannot be loaded. Ends when `stop` turns true.
    pub fn follow(
        &self,
        slot: Slot,
        mut stop: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let registry = self.clone();
        async move {
            tokio::select! {
                () = registry.follow_changes(&slot) => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        }
    }

    async fn follow_changes(&self, slot: &Slot) {
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
                    if slot.follows {
                        self.refresh(slot).await;
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(event = "registry_unavailable", %error, "asked again soon");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
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
                self.parts.metrics.in_force(&latest);
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
