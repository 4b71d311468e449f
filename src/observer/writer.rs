//! Records on their way to storage: a bounded backlog, batches, retries.
//!
//! What must hold: handing a record over never waits; a record that is not stored is counted
//! with a reason; storage that is away is tried again until it returns or the process stops,
//! and the backlog is bounded by bytes meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::budget::{Budget, Reservation};
use super::metrics::RecordMetrics;
use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::{Store, StoreError};

/// Records in one batch at most.
const BATCH: usize = 1_000;
/// How long a batch may gather.
const GATHER: Duration = Duration::from_millis(100);
/// Records that may wait.
const BACKLOG: usize = 65_536;
/// Bytes of records that may wait.
const BACKLOG_BYTES: usize = 64 << 20;
/// Pauses between tries grow from here …
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// … to here.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Why a record was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Too many records waited.
    Backlog,
    /// Storage refused the batch for good.
    Refused,
    /// The process stopped before storage took it.
    Stopping,
}

/// Where workers hand records over. Cheap to clone.
#[derive(Clone)]
pub struct RecordSender {
    sender: mpsc::Sender<Waiting>,
    budget: Budget,
    metrics: RecordMetrics,
}

/// The task that stores them.
pub struct Writer {
    receiver: mpsc::Receiver<Waiting>,
    store: Arc<dyn Store>,
    metrics: RecordMetrics,
    /// Storing may not go on beyond this instant once it is set.
    deadline: tokio::sync::watch::Receiver<Option<Instant>>,
}

struct Waiting {
    record: Redacted<ValidationRecord>,
    reservation: Reservation,
}

/// Makes both ends. The writer ends when every sender is gone and the backlog is stored, or
/// at the instant that `deadline` names.
pub fn channel(
    store: Arc<dyn Store>,
    metrics: RecordMetrics,
    deadline: tokio::sync::watch::Receiver<Option<Instant>>,
) -> (RecordSender, Writer) {
    let (sender, receiver) = mpsc::channel(BACKLOG);
    let budget = Budget::new(BACKLOG_BYTES);
    let sender = RecordSender { sender, budget, metrics: metrics.clone() };
    (sender, Writer { receiver, store, metrics, deadline })
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

// === impl RecordSender ===

impl RecordSender {
    /// Hands a record over, or counts it as lost when too many wait. Never waits.
    pub fn send(&self, record: Redacted<ValidationRecord>) {
        let waiting = self
            .budget
            .reserve(weight(record.get()))
            .map(|reservation| Waiting { record, reservation });
        if waiting.and_then(|waiting| self.sender.try_send(waiting).ok()).is_none() {
            self.metrics.lost(Loss::Backlog, 1);
        }
    }
}

fn weight(record: &ValidationRecord) -> usize {
    const FIXED: usize = 1024;
    let headers = record.request_headers.iter().chain(&record.response_headers);
    FIXED
        + record.request_body.as_ref().map_or(0, String::len)
        + record.response_body.as_ref().map_or(0, String::len)
        + headers.map(|(name, value)| name.len() + value.len() + 48).sum::<usize>()
        + record.violations.len() * 512
}

// === impl Writer ===

impl Writer {
    /// Stores batch after batch until there is nothing left to store.
    pub async fn run(mut self) {
        let mut waiting: Vec<Waiting> = Vec::with_capacity(BATCH);
        while self.gather(&mut waiting).await {
            let (records, reservations): (Vec<_>, Vec<_>) =
                waiting.drain(..).map(|waiting| (waiting.record, waiting.reservation)).unzip();
            self.store(&records).await;
            drop(reservations);
        }
    }

    /// Waits for records and gathers a batch; false when no more will come.
    async fn gather(&mut self, batch: &mut Vec<Waiting>) -> bool {
        if self.receiver.recv_many(batch, BATCH).await == 0 {
            return false;
        }
        let full = tokio::time::sleep(GATHER);
        tokio::pin!(full);
        while batch.len() < BATCH {
            let room = BATCH - batch.len();
            tokio::select! {
                biased;
                () = &mut full => break,
                more = self.receiver.recv_many(batch, room) => if more == 0 { break },
            }
        }
        true
    }

    async fn store(&mut self, records: &[Redacted<ValidationRecord>]) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            let Err(error) = self.store.record_validations(records).await else {
                return self.metrics.stored(records.len(), started.elapsed());
            };
            self.metrics.failed();
            if !matches!(error, StoreError::Unavailable(_) | StoreError::Full(_)) {
                tracing::error!(event = "records_refused", %error, records = records.len());
                return self.metrics.lost(Loss::Refused, records.len());
            }
            tracing::warn!(event = "storage_unavailable", %error, records = records.len());
            if !self.pause(pause).await {
                tracing::error!(event = "records_lost", records = records.len(), "stopping");
                return self.metrics.lost(Loss::Stopping, records.len());
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
