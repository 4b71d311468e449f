//! Whether the sidecar is ready, and what is missing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::lifecycle::{Phase, PhaseWatch};
use crate::control::health::{self, Check, Readiness};
use crate::proxy::RoutingTable;
use crate::storage::Store;

/// Asks traffic, storage and registry.
pub(super) struct SidecarReadiness {
    pub(super) routes: Arc<ArcSwap<RoutingTable>>,
    pub(super) store: Arc<dyn Store>,
    pub(super) phase: PhaseWatch,
}

#[async_trait]
impl Readiness for SidecarReadiness {
    async fn checks(&self) -> Vec<Check> {
        let storage = health::storage_check(&*self.store).await;
        let mut checks = vec![self.phase(), self.upstream(), storage, self.contract()];
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
        Check { name: "phase", ok, detail: detail.into(), blocks_traffic: true }
    }

    fn upstream(&self) -> Check {
        let table = self.routes.load();
        let down = table.routes().iter().filter(|route| !route.upstream.reachable());
        let down: Vec<&str> = down.map(|route| route.name.as_str()).collect();
        let detail = match down.as_slice() {
            [] => "accepts connections".to_owned(),
            _ if table.routes().len() == 1 => "refuses connections".to_owned(),
            names => format!("refuses connections: {}", names.join(", ")),
        };
        Check { name: "upstream", ok: down.is_empty(), detail, blocks_traffic: true }
    }

    /// Falling back to `warn` is no reason to take no traffic, but one to be seen.
    fn enforcement(&self) -> Option<Check> {
        let table = self.routes.load();
        let sole = table.routes().len() == 1;
        let states = table.routes().iter().filter_map(|route| {
            let state = route.enforcement.state()?;
            Some(if sole { state } else { format!("{}: {state}", route.name) })
        });
        let states: Vec<String> = states.collect();
        if states.is_empty() {
            return None;
        }
        let detail = states.join(", ");
        Some(Check { name: "enforcement", ok: true, detail, blocks_traffic: false })
    }

    /// A route that enforces cannot serve without its contract; others pass traffic unvalidated.
    fn contract(&self) -> Check {
        let table = self.routes.load();
        let mut details = Vec::new();
        let (mut ok, mut blocks_traffic) = (true, false);
        for route in table.routes() {
            let detail = if let Some(loaded) = &*route.contract.load() {
                format!("{}@{} in force", loaded.schema_id, loaded.contract.version())
            } else {
                ok = false;
                blocks_traffic |= route.enforcement.enforces();
                format!("none is loaded for {}", route.name)
            };
            if !details.contains(&detail) {
                details.push(detail);
            }
        }
        Check { name: "contract", ok, detail: details.join(", "), blocks_traffic }
    }
}
