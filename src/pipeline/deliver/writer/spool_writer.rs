//! From memory to the spool.
//!
//! Invariants: of a batch that has no room in the spool, the part that has is kept, also
//! when the batch is bigger than the whole spool; the rest is lost, and counted. What the disk
//! does not take stays in memory.

use std::sync::Arc;

use tokio::sync::Notify;

use super::delivery::Delivery;
use crate::pipeline::deliver::batch::{BatchKind, WriteBatch};
use crate::pipeline::deliver::drop_reason::DropReason;
use crate::pipeline::deliver::spool::metrics::SpoolMetrics;
use crate::pipeline::deliver::spool::{Spool, SpoolError};

/// A batch is halved no further when even a record this many times smaller than its others has
/// no room: a full spool costs one look per batch, not one per record.
const SMALLEST_PART: u64 = 4;

/// The spool as the side that fills it sees it.
pub(super) struct SpoolWriter {
    pub(super) spool: Arc<Spool>,
    pub(super) metrics: SpoolMetrics,
    /// Wakes the side that empties it.
    pub(super) filled: Arc<Notify>,
    /// Whether the disk failed last time: said once.
    failing: bool,
}

/// What became of batches.
#[derive(Default)]
struct SpoolOutcome {
    /// Records that were written.
    written: u64,
    /// What has no room.
    full: Vec<WriteBatch>,
    /// What the disk did not take, in the order it came in.
    left: Vec<WriteBatch>,
    /// Why it did not.
    error: Option<SpoolError>,
}

// === impl SpoolWriter ===

impl SpoolWriter {
    pub(super) fn new(spool: Arc<Spool>, metrics: SpoolMetrics) -> Self {
        Self { spool, metrics, filled: Arc::new(Notify::new()), failing: false }
    }

    /// Spools batches, the last one first as [`Delivery::attempt`] stores them, and gives back
    /// those that the disk does not take. What a full spool has no room for is counted as lost.
    pub(super) async fn take(
        &mut self,
        batches: Vec<WriteBatch>,
        delivery: &Delivery,
    ) -> Vec<WriteBatch> {
        let (spool, batches) = (self.spool.clone(), Arc::new(batches));
        let spool_writer = tokio::task::spawn_blocking({
            let batches = batches.clone();
            move || {
                let mut outcome = SpoolOutcome::default();
                batches.iter().rev().for_each(|batch| outcome.put(&spool, batch));
                outcome
            }
        });
        let outcome = spool_writer.await.unwrap_or_else(|_| SpoolOutcome {
            // the task was cut off: it is all still here
            left: Arc::try_unwrap(batches).unwrap_or_else(|shared| (*shared).clone()),
            error: Some(SpoolError::Cancelled),
            ..SpoolOutcome::default()
        });
        self.filled.notify_one();
        self.metrics.written.inc_by(outcome.written);
        for batch in &outcome.full {
            delivery.drop_batch(batch, DropReason::SpoolFull);
        }
        self.report(outcome.error);
        outcome.left
    }

    fn report(&mut self, error: Option<SpoolError>) {
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

// === impl SpoolOutcome ===

impl SpoolOutcome {
    /// Appends a batch, or what there is room for of it. Blocks on the disk.
    fn put(&mut self, spool: &Spool, batch: &WriteBatch) {
        match spool.append(batch) {
            Ok(()) if batch.kind() == BatchKind::Records => self.written += batch.len() as u64,
            Ok(()) => {}
            Err(SpoolError::Full { room, needed }) => {
                let least = needed / (batch.len() as u64 * SMALLEST_PART).max(1);
                match batch.split().filter(|_| room >= least) {
                    Some((first, second)) => {
                        self.put(spool, &first);
                        self.put(spool, &second);
                    }
                    None => self.full.push(batch.clone()),
                }
            }
            Err(error) => {
                self.error = Some(error);
                self.left.insert(0, batch.clone());
            }
        }
    }
}
