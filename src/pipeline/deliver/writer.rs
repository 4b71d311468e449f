//! Records, usage and groups on their way to storage: a bounded backlog, batches, a spool.
//!
//! Invariants: handing something over never waits; what is not stored is counted with a
//! reason; what storage does not take at once, because it is away or slow, goes to the spool
//! and from there to storage in order; only without a spool, or when its disk fails, it waits
//! in memory, bounded by bytes. At the end of the process nothing waits in memory: it is
//! stored, spooled, or counted as lost.

mod delivery;
mod replay;
mod spool_writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::exchange::memory_budget::{Budget, Reservation};
use crate::model::random::RandomSource;
use crate::model::record::ValidationRecord;
use crate::pipeline::deliver::batch::{WriteBatch, memory_size};
use crate::pipeline::deliver::drop_reason::DropReason;
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::spool::Spool;
use crate::pipeline::deliver::spool::metrics::SpoolMetrics;
use crate::pipeline::record::notifier::Notifier;
use crate::redaction::Redacted;
use crate::storage::Store;
use delivery::{Backoff, Delivery};
use replay::SpoolReplay;
use spool_writer::SpoolWriter;

/// Records in one batch at most: only under pressure is it reached, and there the larger one stores
/// half as many rows a second again as one of a quarter of its size.
const MAX_BATCH_ITEMS: usize = 4_000;
/// Bytes in one batch, beyond which no more is added.
const MAX_BATCH_BYTES: usize = 8 << 20;
/// How long a batch may gather.
const GATHER_TIME: Duration = Duration::from_millis(100);
/// Things that may wait.
const MAX_WAITING: usize = 65_536;
/// Bytes that may wait.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// How long storage may take over a batch before the batch goes to the spool …
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// … unless this much has gathered behind it.
const PRESSURE_BYTES: usize = MAX_WAITING_BYTES / 4;
/// How often that is looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// Where batches to be stored are handed over. Cheap to clone.
#[derive(Clone)]
pub struct WriteQueue {
    sender: mpsc::Sender<QueuedWrite>,
    budget: Budget,
    metrics: RecordMetrics,
}

/// The task that stores it.
pub struct Writer {
    receiver: mpsc::Receiver<QueuedWrite>,
    /// The memory of what waits behind it.
    budget: Budget,
    delivery: Delivery,
    spool: Option<SpoolWriter>,
}

/// What a [`Writer`] is made of.
pub struct WriterParts {
    /// Where everything goes.
    pub store: Arc<dyn Store>,
    /// Where it waits while storage is away.
    pub spool: Option<Arc<Spool>>,
    /// Counters.
    pub metrics: RecordMetrics,
    /// Counters of the spool.
    pub spool_metrics: SpoolMetrics,
    /// Spreads tries of several sidecars.
    pub random: Arc<dyn RandomSource>,
    /// Storing may not go on beyond this instant once it is set.
    pub deadline: watch::Receiver<Option<Instant>>,
}

struct QueuedWrite {
    item: QueuedItem,
    reservation: Reservation,
}

enum QueuedItem {
    Record(Box<Redacted<ValidationRecord>>),
    Batch(WriteBatch),
}

/// What was gathered for one go: records in one batch, and batches as they came.
#[derive(Default)]
struct GatheredWrites {
    records: Vec<Redacted<ValidationRecord>>,
    batches: Vec<WriteBatch>,
    bytes: usize,
    reservations: Vec<Reservation>,
}

/// Makes both ends. The writer ends when every writes is gone and everything is stored or
/// spooled, or at the instant that the deadline names.
pub fn channel(parts: WriterParts) -> (WriteQueue, Writer) {
    let (sender, receiver) = mpsc::channel(MAX_WAITING);
    let budget = Budget::new(MAX_WAITING_BYTES);
    let writes = WriteQueue { sender, budget: budget.clone(), metrics: parts.metrics.clone() };
    let WriterParts { store, spool, metrics, spool_metrics, random, deadline } = parts;
    let spool = spool.map(|spool| SpoolWriter::new(spool, spool_metrics));
    let delivery = Delivery::new(store, metrics, random, deadline);
    (writes, Writer { receiver, budget, delivery, spool })
}

// === impl WriteQueue ===

impl WriteQueue {
    /// Hands a record over, or counts it as lost when too many wait. Never waits.
    pub fn send(&self, record: Redacted<ValidationRecord>) {
        let bytes = memory_size(record.get());
        if self.try_push(bytes, QueuedItem::Record(Box::new(record))).is_err() {
            self.metrics.count_dropped(DropReason::Backlog, 1);
        }
    }

    /// Hands a batch over, or gives it back when too much waits: what it holds can be added to
    /// the next one, and nothing is lost. Never waits.
    pub fn offer(&self, batch: WriteBatch) -> Result<(), WriteBatch> {
        match self.try_push(batch.memory_size(), QueuedItem::Batch(batch)) {
            Ok(()) | Err(QueuedItem::Record(_)) => Ok(()),
            Err(QueuedItem::Batch(batch)) => Err(batch),
        }
    }

    fn try_push(&self, bytes: usize, item: QueuedItem) -> Result<(), QueuedItem> {
        let Some(reservation) = self.budget.reserve(bytes) else { return Err(item) };
        let waiting = QueuedWrite { item, reservation };
        self.sender.try_send(waiting).map_err(|error| error.into_inner().item)
    }
}

// === impl GatheredWrites ===

impl GatheredWrites {
    fn add(&mut self, waiting: QueuedWrite) {
        self.bytes += waiting.reservation.bytes();
        self.reservations.push(waiting.reservation);
        match waiting.item {
            QueuedItem::Record(record) => self.records.push(*record),
            QueuedItem::Batch(batch) => self.batches.push(batch),
        }
    }

    fn is_full(&self) -> bool {
        self.reservations.len() >= MAX_BATCH_ITEMS || self.bytes >= MAX_BATCH_BYTES
    }

    /// Everything gathered as batches, and the memory it holds.
    fn into_batches(self) -> (Vec<WriteBatch>, Vec<Reservation>) {
        let mut batches = self.batches;
        if !self.records.is_empty() {
            batches.push(WriteBatch::Records(self.records));
        }
        (batches, self.reservations)
    }
}

// === impl Writer ===

impl Writer {
    /// The same, and `notifier` hears of groups that were stored.
    #[must_use]
    pub fn with_notifier(mut self, notifier: Arc<Notifier>) -> Self {
        self.delivery.with_notifier(notifier);
        self
    }

    /// Stores batch after batch until there is nothing left to store.
    pub async fn run(self) {
        let Some(spool_writer) = &self.spool else { return self.take_in().await };
        let (no_more, last) = watch::channel(false);
        let replay = SpoolReplay::new(
            spool_writer.spool.clone(),
            spool_writer.metrics.clone(),
            self.delivery.clone(),
            spool_writer.filled.clone(),
            last,
        );
        let take_in = async {
            self.take_in().await;
            let _ = no_more.send(true);
        };
        tokio::join!(take_in, replay.run());
    }

    async fn take_in(mut self) {
        while let Some(gathered) = self.gather().await {
            let (batches, reservations) = gathered.into_batches();
            for batch in batches {
                self.deliver(batch).await;
            }
            drop(reservations);
        }
    }

    /// Waits for something to store and gathers a batch; nothing when no more will come.
    async fn gather(&mut self) -> Option<GatheredWrites> {
        let mut gathered = GatheredWrites::default();
        gathered.add(self.receiver.recv().await?);
        let full = tokio::time::sleep(GATHER_TIME);
        tokio::pin!(full);
        while !gathered.is_full() {
            tokio::select! {
                biased;
                () = &mut full => break,
                more = self.receiver.recv() => match more {
                    Some(waiting) => gathered.add(waiting),
                    None => break,
                },
            }
        }
        Some(gathered)
    }

    /// Stores a batch, or spools it.
    async fn deliver(&mut self, batch: WriteBatch) {
        let mut left = vec![batch];
        let Self { budget, delivery, spool, .. } = self;
        if let Some(spool_writer) = spool {
            // What waits in the spool comes first.
            if spool_writer.spool.is_empty() {
                tokio::select! {
                    biased;
                    stored = delivery.attempt(&mut left) => if stored.is_ok() { return },
                    () = wait_until_too_slow(budget) => delivery.report_slow(),
                }
            }
            left = spool_writer.take(left, delivery).await;
        }
        self.retry_until_stored(left).await;
    }

    /// Tries again and again until storage or the spool takes it, or time is up.
    async fn retry_until_stored(&mut self, mut left: Vec<WriteBatch>) {
        let mut backoff = Backoff::default();
        while !left.is_empty() && self.delivery.attempt(&mut left).await.is_err() {
            if !self.delivery.pause(&mut backoff).await {
                for batch in left {
                    self.delivery.drop_batch(&batch, DropReason::Stopping);
                }
                return;
            }
            if let Some(spool_writer) = &mut self.spool {
                left = spool_writer.take(left, &self.delivery).await;
            }
        }
    }
}

/// Ends when storage has had its time, or when too much waits behind what it is given.
async fn wait_until_too_slow(budget: &Budget) {
    let mut checks = STORE_TIMEOUT.as_millis() / CHECK_INTERVAL.as_millis();
    while checks > 0 && budget.used() < PRESSURE_BYTES {
        tokio::time::sleep(CHECK_INTERVAL).await;
        checks -= 1;
    }
}
