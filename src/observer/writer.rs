//! Records, usage and groups on their way to storage: a bounded backlog, batches, retries.
//!
//! What must hold: handing something over never waits; what is not stored is counted with a
//! reason; storage that is away is tried again until it returns or the process stops, and the
//! backlog is bounded by bytes meanwhile. A batch that storage refuses for what is in it is
//! halved until what it refuses stands alone.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::budget::{Budget, Reservation};
use super::metrics::RecordMetrics;
use super::notice::Teller;
use super::parcel::{Parcel, weight};
use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::{Store, StoreError};

/// Records in one batch at most.
const BATCH: usize = 1_000;
/// Bytes in one batch, beyond which no more is added.
const BATCH_BYTES: usize = 4 << 20;
/// How long a batch may gather.
const GATHER: Duration = Duration::from_millis(100);
/// Things that may wait.
const BACKLOG: usize = 65_536;
/// Bytes that may wait.
const BACKLOG_BYTES: usize = 64 << 20;
/// Pauses between tries grow from here …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why something was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Too much waited.
    Backlog,
    /// Storage refused it for good.
    Refused,
    /// The process stopped before storage took it.
    Stopping,
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
    store: Arc<dyn Store>,
    metrics: RecordMetrics,
    /// Storing may not go on beyond this instant once it is set.
    deadline: watch::Receiver<Option<Instant>>,
    /// Told about groups that were stored.
    teller: Option<Arc<Teller>>,
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

/// Makes both ends. The writer ends when every outbox is gone and the backlog is stored, or
/// at the instant that `deadline` names.
pub fn channel(
    store: Arc<dyn Store>,
    metrics: RecordMetrics,
    deadline: watch::Receiver<Option<Instant>>,
) -> (Outbox, Writer) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let budget = Budget::new(BACKLOG_BYTES);
    let outbox = Outbox { sender, budget, metrics: metrics.clone() };
    (outbox, Writer { receiver, store, metrics, deadline, teller: None })
}

// === impl Loss ===

impl Loss {
    /// Every reason.
    pub const ALL: [Self; 3] = [Self::Backlog, Self::Refused, Self::Stopping];

    /// The reason's name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backlog => "backlog",
            Self::Refused => "refused",
            Self::Stopping => "stopping",
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
    pub fn telling(self, teller: Arc<Teller>) -> Self {
        Self { teller: Some(teller), ..self }
    }

    /// Stores batch after batch until there is nothing left to store.
    pub async fn run(mut self) {
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

    /// Stores a parcel; what storage refuses for good is counted as lost.
    async fn deliver(&mut self, parcel: Parcel) {
        let mut parcels = vec![parcel];
        while let Some(parcel) = parcels.pop() {
            let Some(error) = self.persist(&parcel).await else { continue };
            if let Some((left, right)) = parcel.halves() {
                parcels.extend([right, left]);
                continue;
            }
            let kind = parcel.kind().as_str();
            tracing::error!(event = "parcel_refused", kind, %error, "storage refuses it for good");
            self.metrics.lost_parcel(&parcel, Loss::Refused);
        }
    }

    /// Tries until storage takes the parcel, or says why it never will.
    async fn persist(&mut self, parcel: &Parcel) -> Option<StoreError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let error = match parcel.store(&*self.store).await {
                Ok(merged) => {
                    self.metrics.stored(parcel, started.elapsed());
                    if let Some(teller) = &self.teller {
                        teller.merged(&merged);
                    }
                    return None;
                }
                Err(error) => error,
            };
            self.metrics.failed();
            if is_about_the_parcel(&error) {
                return Some(error);
            }
            tracing::warn!(event = "storage_unavailable", %error, waiting = parcel.len());
            if !self.pause(pause).await {
                let (kind, lost) = (parcel.kind().as_str(), parcel.len());
                tracing::error!(event = "records_lost", kind, lost, "stopping");
                self.metrics.lost_parcel(parcel, Loss::Stopping);
                return None;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits before the next try; false when the deadline has passed.
    async fn pause(&mut self, pause: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = self.deadline.changed() => {}
        }
        self.deadline.borrow().is_none_or(|deadline| Instant::now() < deadline)
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
        | StoreError::InvalidCursor
        | StoreError::Unexpected(_) => true,
    }
}
