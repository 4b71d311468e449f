//! Giving batches to storage.
//!
//! Invariants: a batch that storage takes or refuses is counted once; a batch that
//! storage refuses for what is in it is halved until what it refuses stands alone; an error of
//! unknown meaning counts as a refusal only when what stands alone failed twice, as [`Suspicion`]
//! says; that storage went away, that its disk is full, and that it came back, is said once each.

mod suspicion;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::model::group::MergedGroup;
use crate::model::random::{RandomSource, jitter};
use crate::pipeline::deliver::batch::WriteBatch;
use crate::pipeline::deliver::drop_reason::DropReason;
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::record::notifier::Notifier;
use crate::storage::{Store, StoreError};
use suspicion::Suspicion;

/// Backoff between tries grow from here …
const MIN_PAUSE: Duration = Duration::from_millis(50);
/// … to here.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// The way to storage. Cheap to clone.
#[derive(Clone)]
pub(super) struct Delivery {
    store: Arc<dyn Store>,
    metrics: RecordMetrics,
    random: Arc<dyn RandomSource>,
    deadline: watch::Receiver<Option<Instant>>,
    outage: Arc<Mutex<Outage>>,
    suspicion: Arc<Mutex<Suspicion>>,
    /// Told about groups that were stored.
    notifier: Option<Arc<Notifier>>,
}

/// What was said about storage last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
enum Outage {
    #[default]
    None,
    Away,
    Full,
}

/// Growing backoff between tries.
#[derive(Debug)]
pub(super) struct Backoff(Duration);

// === impl Delivery ===

impl Delivery {
    pub(super) fn new(
        store: Arc<dyn Store>,
        metrics: RecordMetrics,
        random: Arc<dyn RandomSource>,
        deadline: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            store,
            metrics,
            random,
            deadline,
            outage: Arc::default(),
            suspicion: Arc::default(),
            notifier: None,
        }
    }

    /// From now on `notifier` hears of groups that were stored.
    pub(super) fn with_notifier(&mut self, notifier: Arc<Notifier>) {
        self.notifier = Some(notifier);
    }

    /// Gives storage the batches, the last one first; those it took or refused for good are
    /// gone from the list, also when this is cut off. An error says that storage is away.
    pub(super) async fn attempt(&self, left: &mut Vec<WriteBatch>) -> Result<(), StoreError> {
        while let Some(batch) = left.last() {
            let started = Instant::now();
            let error = match batch.store(&*self.store).await {
                Ok(merged) => {
                    self.metrics.stored(batch, started.elapsed());
                    self.report_recovered();
                    self.suspicion.lock().clear();
                    left.pop();
                    self.notify(&merged);
                    continue;
                }
                Err(error) => error,
            };
            self.metrics.failed();
            if !is_about_the_batch(&error) {
                self.report_unavailable(&error);
                return Err(error);
            }
            let split = batch.split();
            let unforeseen = matches!(error, StoreError::Unexpected(_));
            if split.is_none()
                && unforeseen
                && !self.suspicion.lock().confirms(batch.id(), Instant::now())
            {
                self.report_unavailable(&error);
                return Err(error);
            }
            if split.is_none() {
                let kind = batch.kind().as_str();
                tracing::error!(event = "batch_rejected", kind, %error, "storage never takes it");
                self.drop_batch(batch, DropReason::Refused);
            }
            left.pop();
            left.extend(split.into_iter().flat_map(|(first, second)| [second, first]));
        }
        Ok(())
    }

    /// Counts a batch that will not be stored.
    pub(super) fn drop_batch(&self, batch: &WriteBatch, reason: DropReason) {
        self.metrics.count_dropped_batch(batch, reason);
    }

    /// Counts records that will not be stored.
    pub(super) fn drop_records(&self, records: u64, reason: DropReason) {
        self.metrics.count_dropped(reason, usize::try_from(records).unwrap_or(usize::MAX));
    }

    /// Waits before the next try; false when the deadline has passed, or when the task that
    /// would set one is gone.
    pub(super) async fn pause(&self, backoff: &mut Backoff) -> bool {
        let pause = backoff.next().mul_f64(jitter(&*self.random));
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
    pub(super) fn report_slow(&self) {
        self.metrics.failed();
        if self.is_news(Outage::Away) {
            tracing::warn!(event = "storage_slow", "records go to the spool meanwhile");
        }
    }

    fn notify(&self, merged: &[MergedGroup]) {
        if let (Some(notifier), false) = (&self.notifier, merged.is_empty()) {
            notifier.notify_merged(merged);
        }
    }

    fn report_unavailable(&self, error: &StoreError) {
        let full = matches!(error, StoreError::Full(_));
        if !self.is_news(if full { Outage::Full } else { Outage::Away }) {
            return;
        }
        if full {
            tracing::error!(event = "storage_full", %error, "the disk is full: records wait");
        } else {
            tracing::warn!(event = "storage_unavailable", %error, "records wait until it is back");
        }
    }

    /// Whether that is worse than what was said last.
    fn is_news(&self, outage: Outage) -> bool {
        let mut said = self.outage.lock();
        let news = *said < outage;
        *said = outage.max(*said);
        news
    }

    fn report_recovered(&self) {
        if std::mem::take(&mut *self.outage.lock()) != Outage::None {
            tracing::info!(event = "storage_recovered", "what waited is being stored");
        }
    }
}

/// Whether storage refuses what is in the batch, rather than us: other batches may fare better,
/// and this one never will.
fn is_about_the_batch(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable(_)
        | StoreError::Full(_)
        | StoreError::Refused(_)
        | StoreError::NewerDatabase { .. }
        | StoreError::Foreign(_)
        | StoreError::NotMigrated { .. } => false,
        StoreError::Conflict { .. }
        | StoreError::Corrupt { .. }
        | StoreError::Undecryptable { .. }
        | StoreError::InvalidCursor
        | StoreError::Unexpected(_) => true,
    }
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        Self(MIN_PAUSE)
    }
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let next = (self.0 * 2).min(MAX_PAUSE);
        std::mem::replace(&mut self.0, next)
    }
}
