//! Records, usage and groups on their way to storage: a bounded backlog, batches, a spool.
//!
//! What must hold: handing something over never waits; what is not stored is counted with a
//! reason; what storage does not take at once, because it is away or slow, goes to the spool
//! and from there to storage in order; only without a spool, or when its disk fails, it waits
//! in memory, bounded by bytes. At the end of the process nothing waits in memory: it is
//! stored, spooled, or counted as lost.

mod delivery;
mod replay;
mod spooling;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::budget::{Budget, Reservation};
use super::metrics::RecordMetrics;
use super::notice::Teller;
use super::parcel::{Parcel, weight};
use super::spool::Spool;
use super::spool::metrics::SpoolMetrics;
use crate::model::chance::Chance;
use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::Store;
use delivery::{Delivery, Pauses};
use replay::Replay;
use spooling::Spooling;

/// Records in one batch at most: only under pressure is it reached, and there the larger one stores
/// half as many rows a second again as one of a quarter of its size.
const BATCH: usize = 4_000;
/// Bytes in one batch, beyond which no more is added.
const BATCH_BYTES: usize = 8 << 20;
/// How long a batch may gather.
const GATHER: Duration = Duration::from_millis(100);
/// Things that may wait.
const BACKLOG: usize = 65_536;
/// Bytes that may wait.
const BACKLOG_BYTES: usize = 64 << 20;
/// How long storage may take over a batch before the batch goes to the spool …
const PATIENCE: Duration = Duration::from_secs(2);
/// … unless this much has gathered behind it.
const PRESSURE: usize = BACKLOG_BYTES / 4;
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Why something was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Too much waited.
    Backlog,
    /// Storage refused it for good.
    Refused,
    /// The process stopped before storage took it.
    Stopping,
    /// The spool was full.
    SpoolFull,
    /// The spool's files were damaged.
    Damaged,
    /// The spool's files hold it in a form that cannot be read; they are kept aside.
    Unreadable,
}

/// Where what shall be stored is handed over. Cheap to clone.
#[derive(Clone)]
pub struct Outbox {
    sender: mpsc::Sender<Waiting>,
    budget: Budget,
    metrics: RecordMetrics,
}

/// The task that stores it.
pub struct Writer {
    receiver: mpsc::Receiver<Waiting>,
    /// The memory of what waits behind it.
    budget: Budget,
    delivery: Delivery,
    spool: Option<Spooling>,
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
    pub chance: Arc<dyn Chance>,
    /// Storing may not go on beyond this instant once it is set.
    pub deadline: watch::Receiver<Option<Instant>>,
}

struct Waiting {
    item: Item,
    reservation: Reservation,
}

enum Item {
    Record(Box<Redacted<ValidationRecord>>),
    Parcel(Parcel),
}

/// What was gathered for one go: records in one parcel, and parcels as they came.
#[derive(Default)]
struct Batch {
    records: Vec<Redacted<ValidationRecord>>,
    parcels: Vec<Parcel>,
    bytes: usize,
    reservations: Vec<Reservation>,
}

/// Makes both ends. The writer ends when every outbox is gone and everything is stored or
/// spooled, or at the instant that the deadline names.
pub fn channel(parts: WriterParts) -> (Outbox, Writer) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let budget = Budget::new(BACKLOG_BYTES);
    let outbox = Outbox { sender, budget: budget.clone(), metrics: parts.metrics.clone() };
    let WriterParts { store, spool, metrics, spool_metrics, chance, deadline } = parts;
    let spool = spool.map(|spool| Spooling::new(spool, spool_metrics));
    let delivery = Delivery::new(store, metrics, chance, deadline);
    (outbox, Writer { receiver, budget, delivery, spool })
}

// === impl Loss ===

impl Loss {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::Backlog,
        Self::Refused,
        Self::Stopping,
        Self::SpoolFull,
        Self::Damaged,
        Self::Unreadable,
    ];

    /// The reason's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backlog => "queue_full",
            Self::Refused => "rejected",
            Self::Stopping => "stopping",
            Self::SpoolFull => "spool_full",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
        }
    }
}

// === impl Outbox ===

impl Outbox {
    /// Hands a record over, or counts it as lost when too many wait. Never waits.
    pub fn send(&self, record: Redacted<ValidationRecord>) {
        let bytes = weight(record.get());
        if self.put(bytes, Item::Record(Box::new(record))).is_err() {
            self.metrics.lost(Loss::Backlog, 1);
        }
    }

    /// Hands a parcel over, or gives it back when too much waits: what it holds can be added to
    /// the next one, and nothing is lost. Never waits.
    pub fn offer(&self, parcel: Parcel) -> Result<(), Parcel> {
        match self.put(parcel.weight(), Item::Parcel(parcel)) {
            Ok(()) | Err(Item::Record(_)) => Ok(()),
            Err(Item::Parcel(parcel)) => Err(parcel),
        }
    }

    fn put(&self, bytes: usize, item: Item) -> Result<(), Item> {
        let Some(reservation) = self.budget.reserve(bytes) else { return Err(item) };
        let waiting = Waiting { item, reservation };
        self.sender.try_send(waiting).map_err(|error| error.into_inner().item)
    }
}

// === impl Batch ===

impl Batch {
    fn add(&mut self, waiting: Waiting) {
        self.bytes += waiting.reservation.bytes();
        self.reservations.push(waiting.reservation);
        match waiting.item {
            Item::Record(record) => self.records.push(*record),
            Item::Parcel(parcel) => self.parcels.push(parcel),
        }
    }

    fn is_full(&self) -> bool {
        self.reservations.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    /// Everything gathered as parcels, and the memory it holds.
    fn into_parcels(self) -> (Vec<Parcel>, Vec<Reservation>) {
        let mut parcels = self.parcels;
        if !self.records.is_empty() {
            parcels.push(Parcel::Records(self.records));
        }
        (parcels, self.reservations)
    }
}

// === impl Writer ===

impl Writer {
    /// The same, and `teller` hears of groups that were stored.
    #[must_use]
    pub fn telling(mut self, teller: Arc<Teller>) -> Self {
        self.delivery.telling(teller);
        self
    }

    /// Stores batch after batch until there is nothing left to store.
    pub async fn run(self) {
        let Some(spooling) = &self.spool else { return self.take_in().await };
        let (no_more, last) = watch::channel(false);
        let replay = Replay::new(
            spooling.spool.clone(),
            spooling.metrics.clone(),
            self.delivery.clone(),
            spooling.filled.clone(),
            last,
        );
        let take_in = async {
            self.take_in().await;
            let _ = no_more.send(true);
        };
        tokio::join!(take_in, replay.run());
    }

    async fn take_in(mut self) {
        while let Some(batch) = self.gather().await {
            let (parcels, reservations) = batch.into_parcels();
            for parcel in parcels {
                self.deliver(parcel).await;
            }
            drop(reservations);
        }
    }

    /// Waits for something to store and gathers a batch; nothing when no more will come.
    async fn gather(&mut self) -> Option<Batch> {
        let mut batch = Batch::default();
        batch.add(self.receiver.recv().await?);
        let full = tokio::time::sleep(GATHER);
        tokio::pin!(full);
        while !batch.is_full() {
            tokio::select! {
                biased;
                () = &mut full => break,
                more = self.receiver.recv() => match more {
                    Some(waiting) => batch.add(waiting),
                    None => break,
                },
            }
        }
        Some(batch)
    }

    /// Stores a parcel, or spools it.
    async fn deliver(&mut self, parcel: Parcel) {
        let mut left = vec![parcel];
        let Self { budget, delivery, spool, .. } = self;
        if let Some(spooling) = spool {
            // What waits in the spool comes first.
            if spooling.spool.is_empty() {
                tokio::select! {
                    biased;
                    stored = delivery.attempt(&mut left) => if stored.is_ok() { return },
                    () = run_out_of_patience(budget) => delivery.note_slow(),
                }
            }
            left = spooling.take(left, delivery).await;
        }
        self.insist(left).await;
    }

    /// Tries again and again until storage or the spool takes it, or time is up.
    async fn insist(&mut self, mut left: Vec<Parcel>) {
        let mut pauses = Pauses::default();
        while !left.is_empty() && self.delivery.attempt(&mut left).await.is_err() {
            if !self.delivery.pause(&mut pauses).await {
                for parcel in left {
                    self.delivery.lose(&parcel, Loss::Stopping);
                }
                return;
            }
            if let Some(spooling) = &mut self.spool {
                left = spooling.take(left, &self.delivery).await;
            }
        }
    }
}

/// Ends when storage has had its time, or when too much waits behind what it is given.
async fn run_out_of_patience(budget: &Budget) {
    let mut looks = PATIENCE.as_millis() / LOOK.as_millis();
    while looks > 0 && budget.used() < PRESSURE {
        tokio::time::sleep(LOOK).await;
        looks -= 1;
    }
}
