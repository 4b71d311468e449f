//! From the spool to storage.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::delivery::{Backoff, Delivery};
use crate::pipeline::deliver::batch::{BatchKind, WriteBatch};
use crate::pipeline::deliver::drop_reason::DropReason;
use crate::pipeline::deliver::spool::metrics::SpoolMetrics;
use crate::pipeline::deliver::spool::{Spool, SpoolEntry, SpoolError, SpoolPosition};

/// How often to look for what other processes left behind.
const ADOPT_INTERVAL: Duration = Duration::from_mins(1);

/// The task that empties the spool.
pub(super) struct SpoolReplay {
    spool: Arc<Spool>,
    metrics: SpoolMetrics,
    delivery: Delivery,
    filled: Arc<Notify>,
    /// Whether nothing more will be spooled.
    last: watch::Receiver<bool>,
}

// === impl SpoolReplay ===

impl SpoolReplay {
    pub(super) fn new(
        spool: Arc<Spool>,
        metrics: SpoolMetrics,
        delivery: Delivery,
        filled: Arc<Notify>,
        last: watch::Receiver<bool>,
    ) -> Self {
        Self { spool, metrics, delivery, filled, last }
    }

    /// Stores what waits, in order. At the end of the process what storage does not take in
    /// time stays in the spool.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            match self.on_blocking_thread(Spool::next).await {
                Ok(Some(next)) => {
                    backoff = Backoff::default();
                    if !self.process(next).await {
                        break;
                    }
                }
                Ok(None) if *self.last.borrow() => return,
                Ok(None) => self.idle().await,
                // The runtime is going down.
                Err(SpoolError::Cancelled) => return,
                Err(error) => {
                    self.report(&error);
                    if !self.delivery.pause(&mut backoff).await {
                        break;
                    }
                }
            }
        }
        let records = self.spool.state().records();
        let directory = self.spool.directory().display();
        tracing::warn!(event = "records_spooled", records, %directory, "the next start stores them");
    }

    /// Waits until there may be something to do.
    async fn idle(&mut self) {
        tokio::select! {
            () = self.filled.notified() => {}
            _ = self.last.changed() => {}
            () = tokio::time::sleep(ADOPT_INTERVAL) => {
                match self.on_blocking_thread(Spool::adopt_abandoned).await {
                    Ok(recovered) => self.metrics.torn.inc_by(recovered.torn),
                    Err(error) => self.report(&error),
                }
            }
        }
    }

    /// Does away with what waits longest; false when it must stay.
    async fn process(&mut self, next: SpoolEntry) -> bool {
        let position = match next {
            SpoolEntry::Batch(batch, position) => {
                let kind = batch.kind();
                let count = batch.len() as u64;
                if !self.store(batch).await {
                    return false;
                }
                if kind == BatchKind::Records {
                    self.metrics.replayed.inc_by(count);
                }
                position
            }
            SpoolEntry::Unreadable { kind, count, reason, position } => {
                self.quarantine(&position, kind, &reason).await;
                if kind == BatchKind::Records {
                    self.delivery.drop_records(count, DropReason::Unreadable);
                }
                position
            }
            SpoolEntry::Damage { bytes, position } => {
                tracing::error!(event = "spool_damaged", bytes, "entries of the spool are lost");
                self.metrics.damaged.inc_by(bytes);
                position
            }
        };
        match self.on_blocking_thread(move |spool| spool.acknowledge(&position)).await {
            Ok(lost) => self.delivery.drop_records(lost, DropReason::Damaged),
            Err(error) => self.report(&error),
        }
        !self.delivery.is_over()
    }

    /// Tries until storage takes it; false when there is no time for that.
    async fn store(&self, batch: WriteBatch) -> bool {
        let mut left = vec![batch];
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                biased;
                stored = self.delivery.attempt(&mut left) => if stored.is_ok() { return true },
                () = self.delivery.over() => return false,
            }
            if *self.last.borrow() || !self.delivery.pause(&mut backoff).await {
                return false;
            }
        }
    }

    async fn quarantine(&self, position: &SpoolPosition, kind: BatchKind, reason: &str) {
        let position = position.clone();
        match self.on_blocking_thread(move |spool| spool.quarantine(&position)).await {
            Ok(path) => {
                let (kind, path) = (kind.as_str(), path.display());
                tracing::error!(
                    event = "spool_unreadable",
                    kind,
                    reason,
                    kept = %path,
                    "give what is missing, name the file .spool again and start again"
                );
            }
            Err(error) => self.report(&error),
        }
    }

    fn report(&self, error: &SpoolError) {
        self.metrics.failures.inc();
        tracing::error!(event = "spool_failed", %error);
    }

    /// Asks the spool something where waiting for the disk is allowed.
    async fn on_blocking_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Spool) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let spool = self.spool.clone();
        let done = tokio::task::spawn_blocking(move || work(&spool)).await;
        done.unwrap_or(Err(SpoolError::Cancelled))
    }
}
