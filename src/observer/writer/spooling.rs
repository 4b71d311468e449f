//! From memory to the spool.
//!
//! What must hold: of a parcel that has no room in the spool, the part that has is kept, also
//! when the parcel is bigger than the whole spool; the rest is lost, and counted. What the disk
//! does not take stays in memory.

use std::sync::Arc;

use tokio::sync::Notify;

use super::Loss;
use super::delivery::Delivery;
use crate::observer::parcel::{Parcel, ParcelKind};
use crate::observer::spool::metrics::SpoolMetrics;
use crate::observer::spool::{Spool, SpoolError};

/// A parcel is halved no further when even a record this many times smaller than its others has
/// no room: a full spool costs one look per parcel, not one per record.
const SMALL: u64 = 4;

/// The spool as the side that fills it sees it.
pub(super) struct Spooling {
    pub(super) spool: Arc<Spool>,
    pub(super) metrics: SpoolMetrics,
    /// Wakes the side that empties it.
    pub(super) filled: Arc<Notify>,
    /// Whether the disk failed last time: said once.
    failing: bool,
}

/// What became of parcels.
#[derive(Default)]
struct Outcome {
    /// Records that were written.
    written: u64,
    /// What has no room.
    full: Vec<Parcel>,
    /// What the disk did not take, in the order it came in.
    left: Vec<Parcel>,
    /// Why it did not.
    error: Option<SpoolError>,
}

// === impl Spooling ===

impl Spooling {
    pub(super) fn new(spool: Arc<Spool>, metrics: SpoolMetrics) -> Self {
        Self { spool, metrics, filled: Arc::new(Notify::new()), failing: false }
    }

    /// Spools parcels, the last one first as [`Delivery::attempt`] stores them, and gives back
    /// those that the disk does not take. What a full spool has no room for is counted as lost.
    pub(super) async fn take(&mut self, parcels: Vec<Parcel>, delivery: &Delivery) -> Vec<Parcel> {
        let (spool, parcels) = (self.spool.clone(), Arc::new(parcels));
        let spooling = tokio::task::spawn_blocking({
            let parcels = parcels.clone();
            move || {
                let mut outcome = Outcome::default();
                parcels.iter().rev().for_each(|parcel| outcome.put(&spool, parcel));
                outcome
            }
        });
        let outcome = spooling.await.unwrap_or_else(|_| Outcome {
            // the task was cut off: it is all still here
            left: Arc::try_unwrap(parcels).unwrap_or_else(|shared| (*shared).clone()),
            error: Some(SpoolError::Cancelled),
            ..Outcome::default()
        });
        self.filled.notify_one();
        self.metrics.written.inc_by(outcome.written);
        for parcel in &outcome.full {
            delivery.lose(parcel, Loss::SpoolFull);
        }
        self.note(outcome.error);
        outcome.left
    }

    fn note(&mut self, error: Option<SpoolError>) {
        let Some(error) = error else {
            self.failing = false;
            return;
        };
        self.metrics.failures.inc();
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(event = "spool_failed", %error, "records wait in memory");
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Appends a parcel, or what there is room for of it. Blocks on the disk.
    fn put(&mut self, spool: &Spool, parcel: &Parcel) {
        match spool.append(parcel) {
            Ok(()) if parcel.kind() == ParcelKind::Records => self.written += parcel.len() as u64,
            Ok(()) => {}
            Err(SpoolError::Full { room, needed }) => {
                let least = needed / (parcel.len() as u64 * SMALL).max(1);
                match parcel.halves().filter(|_| room >= least) {
                    Some((first, second)) => {
                        self.put(spool, &first);
                        self.put(spool, &second);
                    }
                    None => self.full.push(parcel.clone()),
                }
            }
            Err(error) => {
                self.error = Some(error);
                self.left.insert(0, parcel.clone());
            }
        }
    }
}
