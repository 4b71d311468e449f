//! How a running sidecar is.

use std::time::Duration;

use serde::Serialize;

use crate::storage::Store;

/// The longest that storage may take to say it is well.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// The name of the check of storage.
const STORAGE: &str = "storage";

/// One part of the sidecar that can fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// `upstream`, `storage`, `contract` or `phase`.
    pub name: &'static str,
    /// Whether it is well.
    pub ok: bool,
    /// A sentence about it.
    pub detail: String,
    /// Whether traffic cannot be served as configured while it is not well. Other failures leave
    /// the sidecar ready, and degraded.
    pub blocks_traffic: bool,
}

/// Asks every part how it is; `app` binds it to the parts.
#[async_trait::async_trait]
pub trait Readiness: Send + Sync + 'static {
    /// The checks, in a stable order.
    async fn checks(&self) -> Vec<Check>;
}

/// All checks, and what they mean for traffic.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct HealthSummary {
    /// Whether traffic can be served as configured.
    pub(crate) ready: bool,
    /// Whether something is not well that traffic does without.
    pub(crate) degraded: bool,
    /// The checks, in a stable order.
    pub(crate) checks: Vec<Check>,
}

/// Asks every part and sums up; with `storage_counts` the sidecar is not ready without storage.
pub(crate) async fn summary(readiness: &dyn Readiness, storage_counts: bool) -> HealthSummary {
    let checks = readiness.checks().await;
    let blocks = |check: &Check| check.blocks_traffic || storage_counts && check.name == STORAGE;
    let ready = checks.iter().all(|check| check.ok || !blocks(check));
    let degraded = checks.iter().any(|check| !check.ok && !check.blocks_traffic);
    HealthSummary { ready, degraded, checks }
}

/// Whether storage accepts writes, within two seconds.
pub(crate) async fn storage_check(store: &dyn Store) -> Check {
    let backend = store.backend();
    let (ok, detail) = match tokio::time::timeout(PING_TIMEOUT, store.ping()).await {
        Ok(Ok(())) => (true, format!("{backend} accepts writes")),
        Ok(Err(error)) => (false, format!("{backend}: {error}")),
        Err(_) => (false, format!("{backend} does not answer")),
    };
    Check { name: STORAGE, ok, detail, blocks_traffic: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures;

    struct Checks(Vec<Check>);

    #[async_trait::async_trait]
    impl Readiness for Checks {
        async fn checks(&self) -> Vec<Check> {
            self.0.clone()
        }
    }

    fn check(name: &'static str, ok: bool, blocks_traffic: bool) -> Check {
        Check { name, ok, detail: String::new(), blocks_traffic }
    }

    #[tokio::test]
    async fn what_blocks_traffic_makes_unready_and_the_rest_degraded() {
        for (upstream, storage, storage_counts, ready, degraded) in [
            (true, true, true, true, false),
            (false, true, false, false, false),
            (true, false, false, true, true),
            (true, false, true, false, true),
        ] {
            let checks = vec![check("upstream", upstream, true), check(STORAGE, storage, false)];
            let summary = summary(&Checks(checks), storage_counts).await;
            assert_eq!((summary.ready, summary.degraded), (ready, degraded), "{summary:?}");
        }
    }

    #[tokio::test]
    async fn storage_that_answers_is_well() {
        let check = storage_check(&*fixtures::store().await).await;
        assert_eq!((check.ok, check.detail.as_str()), (true, "memory accepts writes"));
    }
}
