//! From the spool to storage.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::Loss;
use super::delivery::{Delivery, Pauses};
use crate::observer::parcel::{Parcel, ParcelKind};
use crate::observer::spool::metrics::SpoolMetrics;
use crate::observer::spool::{Next, Place, Spool, SpoolError};

/// How often to look for what other processes left behind.
const ADOPT: Duration = Duration::from_mins(1);

/// The task that empties the spool.
pub(super) struct Replay {
    spool: Arc<Spool>,
    metrics: SpoolMetrics,
    delivery: Delivery,
    filled: Arc<Notify>,
    /// Whether nothing more will be spooled.
    last: watch::Receiver<bool>,
}

// === impl Replay ===

impl Replay {
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
        let mut pauses = Pauses::default();
        loop {
            match self.ask(Spool::next).await {
                Ok(Some(next)) => {
                    pauses = Pauses::default();
                    if !self.settle(next).await {
                        break;
                    }
                }
                Ok(None) if *self.last.borrow() => return,
                Ok(None) => self.idle().await,
                // The runtime is going down.
                Err(SpoolError::Cancelled) => return,
                Err(error) => {
                    self.note(&error);
                    if !self.delivery.pause(&mut pauses).await {
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
            () = tokio::time::sleep(ADOPT) => {
                match self.ask(Spool::adopt).await {
                    Ok(recovered) => self.metrics.torn.inc_by(recovered.torn),
                    Err(error) => self.note(&error),
                }
            }
        }
    }

    /// Does away with what waits longest; false when it must stay.
    async fn settle(&mut self, next: Next) -> bool {
        let place = match next {
            Next::Parcel(parcel, place) => {
                let kind = parcel.kind();
                let count = parcel.len() as u64;
                if !self.store(parcel).await {
                    return false;
                }
                if kind == ParcelKind::Records {
                    self.metrics.replayed.inc_by(count);
                }
                place
            }
            Next::Unreadable { kind, count, reason, place } => {
                self.lay_aside(&place, kind, &reason).await;
                if kind == ParcelKind::Records {
                    self.delivery.lose_records(count, Loss::Unreadable);
                }
                place
            }
            Next::Damage { bytes, place } => {
                tracing::error!(event = "spool_damaged", bytes, "entries of the spool are lost");
                self.metrics.damaged.inc_by(bytes);
                place
            }
        };
        match self.ask(move |spool| spool.done(&place)).await {
            Ok(lost) => self.delivery.lose_records(lost, Loss::Damaged),
            Err(error) => self.note(&error),
        }
        !self.delivery.is_over()
    }

    /// Tries until storage takes it; false when there is no time for that.
    async fn store(&self, parcel: Parcel) -> bool {
        let mut left = vec![parcel];
        let mut pauses = Pauses::default();
        loop {
            tokio::select! {
                biased;
                stored = self.delivery.attempt(&mut left) => if stored.is_ok() { return true },
                () = self.delivery.over() => return false,
            }
            if *self.last.borrow() || !self.delivery.pause(&mut pauses).await {
                return false;
            }
        }
    }

    async fn lay_aside(&self, place: &Place, kind: ParcelKind, reason: &str) {
        let place = place.clone();
        match self.ask(move |spool| spool.keep_aside(&place)).await {
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
            Err(error) => self.note(&error),
        }
    }

    fn note(&self, error: &SpoolError) {
        self.metrics.failures.inc();
        tracing::error!(event = "spool_failed", %error);
    }

    /// Asks the spool something where waiting for the disk is allowed.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Spool) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let spool = self.spool.clone();
        let asked = tokio::task::spawn_blocking(move || question(&spool)).await;
        asked.unwrap_or(Err(SpoolError::Cancelled))
    }
}
