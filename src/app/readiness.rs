//! Whether the sidecar is ready, and what is missing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;

use super::lifecycle::{Phase, PhaseWatch};
use crate::admin::{Check, Readiness};
use crate::proxy::{Enforcement, Health};
use crate::registry::LoadedContract;
use crate::storage::Store;

/// The longest that storage may take to say it is well.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks traffic, storage and registry.
pub(super) struct SidecarReadiness {
    pub(super) health: Health,
    pub(super) enforcement: Arc<Enforcement>,
    pub(super) store: Arc<dyn Store>,
    pub(super) contract: Arc<ArcSwapOption<LoadedContract>>,
    pub(super) phase: PhaseWatch,
}

#[async_trait]
impl Readiness for SidecarReadiness {
    async fn checks(&self) -> Vec<Check> {
        let mut checks =
            vec![self.phase(), self.upstream(), self.storage().await, self.contract()];
        checks.extend(self.enforcement());
        checks
    }
}

// === impl SidecarReadiness ===

impl SidecarReadiness {
    fn phase(&self) -> Check {
        let (ok, detail) = match self.phase.get() {
            Phase::Starting => (false, "starting"),
            Phase::Running => (true, "running"),
            Phase::Draining => (false, "draining"),
        };
        Check { name: "phase", ok, detail: detail.into() }
    }

    fn upstream(&self) -> Check {
        let ok = self.health.reachable();
        let detail = if ok { "takes connections" } else { "takes no connections" };
        Check { name: "upstream", ok, detail: detail.into() }
    }

    async fn storage(&self) -> Check {
        let backend = self.store.backend();
        let (ok, detail) = match tokio::time::timeout(PING_TIMEOUT, self.store.ping()).await {
            Ok(Ok(())) => (true, format!("{backend} takes writes")),
            Ok(Err(error)) => (false, format!("{backend}: {error}")),
            Err(_) => (false, format!("{backend} does not answer")),
        };
        Check { name: "storage", ok, detail }
    }

    /// Falling back to `warn` is no reason to take no traffic, but one to be seen.
    fn enforcement(&self) -> Option<Check> {
        let detail = self.enforcement.state()?;
        Some(Check { name: "enforcement", ok: true, detail })
    }

    fn contract(&self) -> Check {
        let (ok, detail) = match &*self.contract.load() {
            Some(loaded) => {
                (true, format!("{}@{} in force", loaded.schema_id, loaded.contract.version()))
            }
            None => (false, "none is loaded".to_owned()),
        };
        Check { name: "contract", ok, detail }
    }
}
