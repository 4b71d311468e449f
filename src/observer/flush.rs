//! Groups and usage on their way to storage, every few seconds.
//!
//! What must hold: what was counted is packed once and stays packed until the writer takes it;
//! nothing is packed while an earlier batch waits, so memory stays bounded by the tables
//! themselves; a kind of violation that is new is sent on at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::kinds::Kinds;
use super::metrics::{ObserverMetrics, RecordMetrics};
use super::notice::Teller;
use super::parcel::Parcel;
use super::usage::{Packing, UsageBook};
use super::writer::{Loss, Outbox};
use crate::model::clock::Clock;
use crate::model::id::IdSource;
use crate::model::verdict::SkipReason;

/// Groups in one batch.
const GROUPS: usize = 500;
/// How long to wait for more after a new kind, before it is sent on.
const SETTLE: Duration = Duration::from_millis(100);
/// Tries to hand the last batches over.
const LAST_TRIES: u32 = 50;

/// Packs what was counted.
pub struct Flusher {
    parts: FlusherParts,
    /// Usage that the writer could not take yet.
    waiting: Vec<Parcel>,
    skipped: [u64; SkipReason::ALL.len()],
}

/// What a [`Flusher`] is made of.
pub struct FlusherParts {
    /// Kinds of violation.
    pub kinds: Arc<Kinds>,
    /// Usage.
    pub usage: UsageBook,
    /// Tells operators.
    pub teller: Arc<Teller>,
    /// Where batches go.
    pub outbox: Outbox,
    /// Counters of exchanges that nobody judged.
    pub metrics: ObserverMetrics,
    /// Counts what is lost.
    pub record_metrics: RecordMetrics,
    /// Time between two rounds.
    pub interval: Duration,
    /// Environment of this sidecar.
    pub environment: String,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Ids of batches.
    pub ids: Arc<dyn IdSource>,
}

// === impl Flusher ===

impl Flusher {
    /// A flusher made of `parts`.
    pub fn new(parts: FlusherParts) -> Self {
        Self { parts, waiting: Vec::new(), skipped: [0; SkipReason::ALL.len()] }
    }

    /// Sends on what was counted, round after round; once more when `stop` says so, and ends.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let kinds = self.parts.kinds.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = tokio::time::sleep(self.parts.interval) => {
                    self.send_groups();
                    self.send_usage();
                }
                () = kinds.first() => {
                    tokio::time::sleep(SETTLE).await;
                    self.send_groups();
                }
            }
            self.parts.teller.overdue();
        }
        self.finish().await;
    }

    /// The writer may be behind: what it cannot take now it can take soon, or never.
    async fn finish(&mut self) {
        for _ in 0..LAST_TRIES {
            let sent = self.send_groups() && self.send_usage();
            if sent {
                return;
            }
            tokio::time::sleep(SETTLE).await;
        }
        let groups = self.parts.kinds.pack(self.parts.clock.now());
        let groups = (!groups.is_empty()).then(|| Parcel::Groups(self.parts.ids.next_id(), groups));
        for parcel in self.waiting.drain(..).chain(groups) {
            self.parts.record_metrics.lost_parcel(&parcel, Loss::Backlog);
        }
    }

    /// Hands groups over; false when some have to wait.
    fn send_groups(&self) -> bool {
        let parts = &self.parts;
        let groups = parts.kinds.pack(parts.clock.now());
        let mut sent = true;
        for batch in groups.chunks(GROUPS) {
            let parcel = Parcel::Groups(parts.ids.next_id(), batch.to_vec());
            if let Err(Parcel::Groups(_, groups)) = parts.outbox.offer(parcel) {
                parts.kinds.put_back(groups);
                sent = false;
            }
        }
        sent
    }

    /// Hands usage over; false when some has to wait.
    fn send_usage(&mut self) -> bool {
        if self.waiting.is_empty() {
            let mut packing = Packing::new(&self.parts.environment);
            // waits for judging threads: not on a thread that others need
            tokio::task::block_in_place(|| self.parts.usage.drain(&mut packing));
            self.add_unjudged(&mut packing);
            let batches = packing.into_batches().into_iter();
            let ids = &self.parts.ids;
            self.waiting.extend(batches.map(|batch| Parcel::Usage(ids.next_id(), batch)));
        }
        while let Some(parcel) = self.waiting.pop() {
            if let Err(parcel) = self.parts.outbox.offer(parcel) {
                self.waiting.push(parcel);
                return false;
            }
        }
        true
    }

    /// Exchanges that nobody judged leave no other trace that outlives the process.
    fn add_unjudged(&mut self, packing: &mut Packing) {
        let now = self.parts.clock.now();
        for reason in SkipReason::ALL {
            let total = self.parts.metrics.skipped(reason);
            let known = &mut self.skipped[reason as usize];
            let more = total.saturating_sub(*known);
            if more > 0 {
                packing.unjudged(reason, more, now);
                *known = total;
            }
        }
    }
}

/// Waits until told to stop; also when nobody is left to tell.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
