//! Giving parcels to storage.
//!
//! What must hold: a parcel that storage takes or refuses is counted once; a batch that
//! storage refuses for what is in it is halved until what it refuses stands alone; that
//! storage went away, and that it came back, is said once each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Loss;
use crate::model::chance::{Chance, jitter};
use crate::model::group::MergedGroup;
use crate::observer::metrics::RecordMetrics;
use crate::observer::notice::Teller;
use crate::observer::parcel::Parcel;
use crate::storage::{Store, StoreError};

/// Pauses between tries grow from here …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The way to storage. Cheap to clone.
#[derive(Clone)]
pub(super) struct Delivery {
    store: Arc<dyn Store>,
    metrics: RecordMetrics,
    chance: Arc<dyn Chance>,
    deadline: watch::Receiver<Option<Instant>>,
    away: Arc<AtomicBool>,
    /// Told about groups that were stored.
    teller: Option<Arc<Teller>>,
}

/// Growing pauses between tries.
#[derive(Debug)]
pub(super) struct Pauses(Duration);

// === impl Delivery ===

impl Delivery {
    pub(super) fn new(
        store: Arc<dyn Store>,
        metrics: RecordMetrics,
        chance: Arc<dyn Chance>,
        deadline: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self { store, metrics, chance, deadline, away: Arc::default(), teller: None }
    }

    /// From now on `teller` hears of groups that were stored.
    pub(super) fn telling(&mut self, teller: Arc<Teller>) {
        self.teller = Some(teller);
    }

    /// Gives storage the parcels, the last one first; those it took or refused for good are
    /// gone from the list, also when this is cut off. An error says that storage is away.
    pub(super) async fn attempt(&self, left: &mut Vec<Parcel>) -> Result<(), StoreError> {
        while let Some(parcel) = left.last() {
            let started = Instant::now();
            let error = match parcel.store(&*self.store).await {
                Ok(merged) => {
                    self.metrics.stored(parcel, started.elapsed());
                    self.note_back();
                    left.pop();
                    self.tell(&merged);
                    continue;
                }
                Err(error) => error,
            };
            self.metrics.failed();
            if !is_about_the_parcel(&error) {
                self.note_away(&error);
                return Err(error);
            }
            let halves = parcel.halves();
            if halves.is_none() {
                let kind = parcel.kind().as_str();
                tracing::error!(event = "batch_rejected", kind, %error, "storage never takes it");
                self.lose(parcel, Loss::Refused);
            }
            left.pop();
            left.extend(halves.into_iter().flat_map(|(first, second)| [second, first]));
        }
        Ok(())
    }

    /// Counts a parcel that will not be stored.
    pub(super) fn lose(&self, parcel: &Parcel, loss: Loss) {
        self.metrics.lost_parcel(parcel, loss);
    }

    /// Counts records that will not be stored.
    pub(super) fn lose_records(&self, records: u64, loss: Loss) {
        self.metrics.lost(loss, usize::try_from(records).unwrap_or(usize::MAX));
    }

    /// Waits before the next try; false when the deadline has passed, or when nobody is left to
    /// set one: whoever started this is gone.
    pub(super) async fn pause(&self, pauses: &mut Pauses) -> bool {
        let pause = pauses.next().mul_f64(jitter(&*self.chance));
        let mut deadline = self.deadline.clone();
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            Ok(()) = deadline.changed() => {}
        }
        !self.is_over()
    }

    /// Whether the deadline has passed, or can no more be set.
    pub(super) fn is_over(&self) -> bool {
        let passed = self.deadline.borrow().is_some_and(|deadline| Instant::now() >= deadline);
        passed || self.deadline.has_changed().is_err()
    }

    /// Ends when the deadline passes.
    pub(super) async fn over(&self) {
        let mut deadline = self.deadline.clone();
        let set = deadline.wait_for(Option::is_some).await.ok().and_then(|deadline| *deadline);
        match set {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Notes that storage took too long over what it was given.
    pub(super) fn note_slow(&self) {
        self.metrics.failed();
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(event = "storage_slow", "records go to the spool meanwhile");
        }
    }

    fn tell(&self, merged: &[MergedGroup]) {
        if let (Some(teller), false) = (&self.teller, merged.is_empty()) {
            teller.merged(merged);
        }
    }

    fn note_away(&self, error: &StoreError) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(event = "storage_unavailable", %error, "records wait until it is back");
        }
    }

    fn note_back(&self) {
        if self.away.load(Ordering::Relaxed) && self.away.swap(false, Ordering::Relaxed) {
            tracing::info!(event = "storage_recovered", "what waited is being stored");
        }
    }
}

/// Whether storage refuses what is in the parcel, rather than us: other parcels may fare better,
/// and this one never will.
fn is_about_the_parcel(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_)
        | StoreError::Full(_)
        | StoreError::Refused(_)
        | StoreError::NewerDatabase { .. }
        | StoreError::Foreign(_)
        | StoreError::NotMigrated { .. } => false,
        StoreError::Conflict { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Sealed { .. }
        | StoreError::InvalidCursor
        | StoreError::Unexpected(_) => true,
    }
}

// === impl Pauses ===

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let next = (self.0 * 2).min(LONGEST_PAUSE);
        std::mem::replace(&mut self.0, next)
    }
}
