//! Groups and usage on their way to storage, every few seconds.
//!
//! Invariants: what was counted is packed once and stays packed until the writer takes it;
//! nothing is packed while an earlier batch waits, so memory stays bounded by the tables
//! themselves; a kind of violation that is new is sent on at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::exchange::metrics::ExchangeMetrics;
use crate::model::clock::Clock;
use crate::model::id::IdSource;
use crate::model::verdict::SkipReason;
use crate::pipeline::deliver::batch::WriteBatch;
use crate::pipeline::deliver::drop_reason::DropReason;
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::writer::WriteQueue;
use crate::pipeline::record::notifier::Notifier;
use crate::pipeline::record::violation_groups::ViolationGroups;
use crate::pipeline::usage::{UsageBatchBuilder, UsageRegistry};

/// Groups in one batch.
const MAX_GROUPS_PER_BATCH: usize = 500;
/// How long to wait for more after a new kind, before it is sent on.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// Tries to hand the last batches over.
const LAST_TRIES: u32 = 50;

/// Packs what was counted.
pub struct Flusher {
    parts: FlusherParts,
    /// Usage that the writer could not take yet.
    waiting: Vec<WriteBatch>,
    skipped: [u64; SkipReason::ALL.len()],
}

/// What a [`Flusher`] is made of.
pub struct FlusherParts {
    /// ViolationGroups of violation.
    pub groups: Arc<ViolationGroups>,
    /// Usage.
    pub usage: UsageRegistry,
    /// Tells operators.
    pub notifier: Arc<Notifier>,
    /// Where batches go.
    pub writes: WriteQueue,
    /// Counters of exchanges that were not validated.
    pub metrics: ExchangeMetrics,
    /// Counts what is lost.
    pub record_metrics: RecordMetrics,
    /// Time between two rounds.
    pub interval: Duration,
    /// Environment of this sidecar.
    pub environment: String,
    /// The clock.
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
        let groups = self.parts.groups.clone();
        loop {
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = tokio::time::sleep(self.parts.interval) => {
                    self.send_groups();
                    self.send_usage();
                }
                () = groups.wait_for_new() => {
                    tokio::time::sleep(GATHER_TIME).await;
                    self.send_groups();
                }
            }
            self.parts.notifier.notify_overdue();
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
            tokio::time::sleep(GATHER_TIME).await;
        }
        let groups = self.parts.groups.take_unsent(self.parts.clock.now());
        let groups =
            (!groups.is_empty()).then(|| WriteBatch::Groups(self.parts.ids.next_id(), groups));
        for batch in self.waiting.drain(..).chain(groups) {
            self.parts.record_metrics.count_dropped_batch(&batch, DropReason::Backlog);
        }
    }

    /// Hands groups over; false when some have to wait.
    fn send_groups(&self) -> bool {
        let parts = &self.parts;
        let groups = parts.groups.take_unsent(parts.clock.now());
        let mut sent = true;
        for batch in groups.chunks(MAX_GROUPS_PER_BATCH) {
            let batch = WriteBatch::Groups(parts.ids.next_id(), batch.to_vec());
            if let Err(WriteBatch::Groups(_, groups)) = parts.writes.offer(batch) {
                parts.groups.restore(groups);
                sent = false;
            }
        }
        sent
    }

    /// Hands usage over; false when some has to wait.
    fn send_usage(&mut self) -> bool {
        if self.waiting.is_empty() {
            let mut batches = UsageBatchBuilder::new(&self.parts.environment);
            // waits for validator threads: not on a thread that others need
            tokio::task::block_in_place(|| self.parts.usage.drain(&mut batches));
            self.add_unvalidated(&mut batches);
            let batches = batches.into_batches().into_iter();
            let ids = &self.parts.ids;
            self.waiting.extend(batches.map(|batch| WriteBatch::Usage(ids.next_id(), batch)));
        }
        while let Some(batch) = self.waiting.pop() {
            if let Err(batch) = self.parts.writes.offer(batch) {
                self.waiting.push(batch);
                return false;
            }
        }
        true
    }

    /// Exchanges that were not validated leave no other trace that outlives the process.
    fn add_unvalidated(&mut self, batches: &mut UsageBatchBuilder) {
        let now = self.parts.clock.now();
        for reason in SkipReason::ALL {
            let total = self.parts.metrics.skipped(reason);
            let known = &mut self.skipped[reason as usize];
            let more = total.saturating_sub(*known);
            if more > 0 {
                batches.add_unvalidated(reason, more, now);
                *known = total;
            }
        }
    }
}

/// Waits until the stop signal, or until its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
