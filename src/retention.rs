//! Expiring what was recorded, by age.
//!
//! Invariants:
//! - Rows are deleted in bounded batches with a pause for other writers between them.
//! - A round can be stopped between two batches.
//! - Nothing is removed that is younger than its period, by the clock passed in.

pub mod metrics;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use crate::config::retention::RetentionSettings;
use crate::model::clock::{Clock, Timestamp};
use crate::storage::{ExpireKind, Store, StoreError};
use metrics::RetentionMetrics;

/// Pause between two batches, so that other writers get through.
const BATCH_PAUSE: Duration = Duration::from_millis(20);

/// What one round removed, or would remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// What expired.
    pub kind: ExpireKind,
    /// Records older than this instant.
    pub older_than: Timestamp,
    /// Rows.
    pub rows: u64,
}

/// Expires records periodically.
pub struct Retention {
    settings: RetentionSettings,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    metrics: Option<RetentionMetrics>,
}

// === impl Retention ===

impl Retention {
    /// Retention by `settings`.
    pub fn new(
        settings: RetentionSettings,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        metrics: Option<RetentionMetrics>,
    ) -> Self {
        Self { settings, store, clock, metrics }
    }

    /// Runs a round now and then one every interval, until `stop` turns true.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            match self.round(&stop).await {
                Ok(expired) => {
                    let rows: u64 = expired.iter().map(|expired| expired.rows).sum();
                    if rows > 0 {
                        tracing::info!(event = "records_expired", rows, "old records are gone");
                    }
                }
                Err(error) => {
                    tracing::warn!(event = "retention_failed", %error, "tried again later");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.settings.interval) => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Expires everything that is old enough; stops between two batches when `stop` is true.
    pub async fn round(&self, stop: &watch::Receiver<bool>) -> Result<Vec<Expired>, StoreError> {
        let outcome = self.try_round(stop).await;
        if let Some(metrics) = &self.metrics {
            metrics.round(outcome.as_deref().ok());
        }
        outcome
    }

    /// What a round would remove now.
    pub async fn preview(&self) -> Result<Vec<Expired>, StoreError> {
        let mut preview = Vec::new();
        for (kind, older_than) in self.due() {
            let rows = self.store.count_expirable(kind, older_than).await?;
            preview.push(Expired { kind, older_than, rows });
        }
        Ok(preview)
    }

    async fn try_round(&self, stop: &watch::Receiver<bool>) -> Result<Vec<Expired>, StoreError> {
        let mut done = Vec::new();
        for (kind, older_than) in self.due() {
            let mut expired = Expired { kind, older_than, rows: 0 };
            while !*stop.borrow() {
                let batch = self.settings.batch;
                let rows = self.store.expire_validations(kind, older_than, batch).await?;
                expired.rows += rows;
                if rows == 0 {
                    break;
                }
                tokio::time::sleep(BATCH_PAUSE).await;
            }
            done.push(expired);
        }
        Ok(done)
    }

    /// Kinds and the instants before which they expire. One period for both kinds of record is
    /// one kind of its own: PostgreSQL then drops whole days.
    fn due(&self) -> Vec<(ExpireKind, Timestamp)> {
        let now = self.clock.now();
        let RetentionSettings { valid, invalid, bodies, .. } = self.settings;
        let records = if valid == invalid {
            vec![(ExpireKind::All, valid)]
        } else {
            vec![(ExpireKind::Valid, valid), (ExpireKind::Invalid, invalid)]
        };
        records
            .into_iter()
            .chain([(ExpireKind::Bodies, bodies)])
            .filter_map(|(kind, age)| Some((kind, now.minus(age?))))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::ManualClock;
    use crate::storage::MemoryStore;

    fn retention(valid: u64, invalid: u64, bodies: u64) -> Retention {
        let age = |days: u64| (days > 0).then(|| Duration::from_secs(days * 86_400));
        let clock: Arc<dyn Clock> =
            Arc::new(ManualClock::new(Timestamp::from_micros(1_700_000_000_000_000)));
        let settings = RetentionSettings {
            valid: age(valid),
            invalid: age(invalid),
            bodies: age(bodies),
            interval: Duration::from_secs(1),
            batch: 10,
        };
        Retention::new(settings, Arc::new(MemoryStore::new(clock.clone())), clock, None)
    }

    #[test]
    fn equal_periods_expire_as_one_kind_and_zero_days_never_expire() {
        let kinds = |retention: Retention| {
            retention.due().into_iter().map(|(kind, _)| kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(retention(90, 90, 0)), [ExpireKind::All]);
        assert_eq!(
            kinds(retention(7, 90, 3)),
            [ExpireKind::Valid, ExpireKind::Invalid, ExpireKind::Bodies]
        );
        assert_eq!(kinds(retention(0, 90, 0)), [ExpireKind::Invalid]);
        assert_eq!(kinds(retention(0, 0, 0)), []);
    }

    #[test]
    fn the_period_counts_back_from_now() {
        let retention = retention(1, 1, 0);
        let [(_, older_than)] = retention.due()[..] else { panic!("one kind") };
        assert_eq!(retention.clock.now().since(older_than), Duration::from_hours(24));
    }
}
