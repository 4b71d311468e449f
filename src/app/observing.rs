//! Judging threads, record writer and what they share: built, started and finished together.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::StartError;
use super::summary::Summary;
use crate::config::Config;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::observer::budget::Budget;
use crate::observer::consumer::{ConsumerMetrics, IdentityChain, Roster};
use crate::observer::flush::{Flusher, FlusherParts};
use crate::observer::kinds::Kinds;
use crate::observer::metrics::{ObserverMetrics, RecordMetrics};
use crate::observer::notice::metrics::NoticeMetrics;
use crate::observer::notice::{Announce, Teller};
use crate::observer::queue::Queue;
use crate::observer::recorder::{Recorder, RecorderParts};
use crate::observer::usage::UsageBook;
use crate::observer::usage::metrics::UsageMetrics;
use crate::observer::worker::{MakeJudge, Workers};
use crate::observer::writer;
use crate::redaction::{Redactor, Rules};
use crate::sampling::Keeper;
use crate::storage::Store;
use crate::telemetry::metrics::Metrics;
use crate::validation::{Judge, JudgeOptions};

/// The running observer.
pub(super) struct Observing {
    pub(super) queue: Arc<Queue>,
    pub(super) budget: Budget,
    workers: Workers,
    writer: JoinHandle<()>,
    flusher: JoinHandle<()>,
    stop_flushing: watch::Sender<bool>,
    teller: Arc<Teller>,
    deadline: watch::Sender<Option<Instant>>,
    kinds: Arc<Kinds>,
    metrics: ObserverMetrics,
    record_metrics: RecordMetrics,
}

// === impl Observing ===

impl Observing {
    pub(super) fn start(
        config: &Config,
        control: &Runtime,
        store: &Arc<dyn Store>,
        metrics: &Metrics,
        clock: &Arc<dyn Clock>,
        announce: Arc<dyn Announce>,
    ) -> Result<Self, StartError> {
        let record_metrics = RecordMetrics::new(metrics)?;
        let budget = Budget::new(config.observer.memory);
        let observer_metrics = ObserverMetrics::new(metrics)?;
        let length = config.observer.queue_exchanges;
        let queue = Arc::new(Queue::new(length, observer_metrics.clone()));
        queue.show(metrics, budget.clone())?;
        let (deadline, deadline_set) = watch::channel(None);
        let (sender, writer) = writer::channel(store.clone(), record_metrics.clone(), deadline_set);
        let kinds = Arc::new(Kinds::default());
        let teller = Arc::new(Teller {
            kinds: kinds.clone(),
            announce,
            metrics: NoticeMetrics::new(metrics, &kinds)?,
            settings: config.groups,
            clock: clock.clone(),
        });
        let writer = control.spawn(writer.telling(teller.clone()).run());
        let redactor = Arc::new(Redactor::new(&rules(config))?);
        let usage = UsageBook::new(UsageMetrics::new(metrics)?);
        let flusher = Flusher::new(FlusherParts {
            kinds: kinds.clone(),
            usage: usage.clone(),
            teller: teller.clone(),
            outbox: sender.clone(),
            metrics: observer_metrics.clone(),
            record_metrics: record_metrics.clone(),
            interval: config.groups.interval,
            environment: config.record.environment.clone(),
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
        });
        let (stop_flushing, flushing_stopped) = watch::channel(false);
        let flusher = control.spawn(flusher.run(flushing_stopped));
        let recorder = Recorder::new(RecorderParts {
            metrics: observer_metrics.clone(),
            record_metrics: record_metrics.clone(),
            kinds: kinds.clone(),
            keeper: Mutex::new(Keeper::new(&config.record)),
            settings: config.record.clone(),
            roster: roster(config, metrics, &redactor)?,
            usage,
            redactor,
            sender,
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
        });
        let make_judge: MakeJudge = Arc::new(|| Box::new(Judge::new(JudgeOptions::default())));
        let count = worker_count(config);
        let priority = config.observer.priority;
        let workers = Workers::start(count, priority, &queue, &make_judge, &recorder, clock)
            .map_err(StartError::Threads)?;
        Ok(Self {
            queue,
            budget,
            workers,
            writer,
            flusher,
            stop_flushing,
            teller,
            deadline,
            kinds,
            metrics: observer_metrics,
            record_metrics,
        })
    }

    /// Judges what waits, stores what was judged, within `timeout`.
    pub(super) fn finish(self, control: &Runtime, timeout: Duration) -> Summary {
        let Self { workers, writer, flusher, teller, deadline, .. } = self;
        let (kinds, metrics, record_metrics) = (self.kinds, self.metrics, self.record_metrics);
        // The last recorder goes with the threads; with it and the flusher the last outbox.
        workers.finish();
        let _ = self.stop_flushing.send(true);
        control.block_on(async {
            let _ = deadline.send(Some(Instant::now() + timeout));
            // A batch that is under way may end after the deadline, but not much.
            if tokio::time::timeout(timeout * 2, writer).await.is_err() {
                tracing::error!(event = "flush_cut_short", "records may be lost");
            }
            let _ = flusher.await;
        });
        teller.finish();
        Summary::new(&metrics, &record_metrics, &kinds)
    }
}

fn roster(
    config: &Config,
    metrics: &Metrics,
    redactor: &Arc<Redactor>,
) -> Result<Roster, StartError> {
    let settings = &config.consumer;
    let counters = ConsumerMetrics::new(metrics, settings.metric_labels)?;
    let chain = IdentityChain::new(settings);
    Ok(Roster::new(chain, redactor.clone(), counters, settings.limit))
}

fn worker_count(config: &Config) -> usize {
    match config.observer.workers {
        _ if config.enforcement.is_off() => 0,
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        workers => workers,
    }
}

fn rules(config: &Config) -> Rules {
    let mut rules = Rules::default();
    let settings = &config.redaction;
    rules.headers.extend(settings.headers.iter().cloned());
    rules.names.extend(settings.query.iter().chain(&settings.fields).cloned());
    rules.pointers.extend(settings.pointers.iter().cloned());
    rules
}
