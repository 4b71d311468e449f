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
use crate::config::storage::StorageSettings;
use crate::config::tracing::CollectorAddress;
use crate::model::chance::SystemChance;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::observer::budget::Budget;
use crate::observer::consumer::IdentityChain;
use crate::observer::kinds::Kinds;
use crate::observer::metrics::{ObserverMetrics, RecordMetrics};
use crate::observer::queue::Queue;
use crate::observer::recorder::{Announce, Recorder, RecorderParts};
use crate::observer::spool::metrics::SpoolMetrics;
use crate::observer::spool::{Spool, SpoolState};
use crate::observer::worker::{MakeJudge, Workers};
use crate::observer::writer::{self, WriterParts};
use crate::redaction::{Redactor, Rules};
use crate::sampling::Keeper;
use crate::storage::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::{self, Collector, SpanExporter, SpanSender};
use crate::validation::{Judge, JudgeOptions};

/// How long the last spans may take to reach a collector.
const SPAN_TIMEOUT: Duration = Duration::from_secs(3);

/// The running observer.
pub(super) struct Observing {
    pub(super) queue: Arc<Queue>,
    pub(super) budget: Budget,
    pub(super) make_judge: MakeJudge,
    workers: Workers,
    writer: JoinHandle<()>,
    exporter: Option<JoinHandle<()>>,
    deadline: watch::Sender<Option<Instant>>,
    kinds: Arc<Kinds>,
    metrics: ObserverMetrics,
    record_metrics: RecordMetrics,
    spooled: Arc<SpoolState>,
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
        let spool_metrics = SpoolMetrics::new(metrics)?;
        let spool = open_spool(config, &spool_metrics, clock)?;
        let spooled = spool.as_ref().map_or_else(Arc::default, |spool| spool.state().clone());
        SpoolMetrics::show(metrics, &spooled, clock.clone())?;
        let (sender, writer) = writer::channel(WriterParts {
            store: store.clone(),
            spool,
            metrics: record_metrics.clone(),
            spool_metrics,
            chance: Arc::new(SystemChance),
            deadline: deadline_set,
        });
        let writer = control.spawn(writer.run());
        let (spans, exporter) = spans(config, metrics)?;
        let exporter = exporter.map(|exporter| control.spawn(exporter.run()));
        let kinds = Arc::new(Kinds::default());
        let recorder = Recorder::new(RecorderParts {
            metrics: observer_metrics.clone(),
            record_metrics: record_metrics.clone(),
            kinds: kinds.clone(),
            keeper: Mutex::new(Keeper::new(&config.record)),
            settings: config.record.clone(),
            identity: IdentityChain::new(&config.observer),
            redactor: Arc::new(Redactor::new(&rules(config))?),
            sender,
            announce,
            spans,
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
            make_judge,
            workers,
            writer,
            exporter,
            deadline,
            kinds,
            metrics: observer_metrics,
            record_metrics,
            spooled,
        })
    }

    /// Judges what waits, stores what was judged, within `timeout`.
    pub(super) fn finish(self, control: &Runtime, timeout: Duration) -> Summary {
        let Self { workers, writer, exporter, deadline, .. } = self;
        let Self { kinds, metrics, record_metrics, spooled, .. } = self;
        // The last recorder goes with the threads, and the last sender with it.
        workers.finish();
        control.block_on(async {
            let _ = deadline.send(Some(Instant::now() + timeout));
            // A batch that is under way may end after the deadline, but not much.
            if tokio::time::timeout(timeout * 2, writer).await.is_err() {
                tracing::error!(event = "flush_cut_short", "records may be lost");
            }
            if let Some(exporter) = exporter {
                // Spans are worth little more patience.
                let _ = tokio::time::timeout(SPAN_TIMEOUT, exporter).await;
            }
        });
        Summary::new(&metrics, &record_metrics, &spooled, &kinds)
    }
}

/// Where spans are handed over and the task that sends them, when there is a collector.
fn spans(
    config: &Config,
    metrics: &Metrics,
) -> Result<(Option<SpanSender>, Option<SpanExporter>), StartError> {
    let Some(address) = config.tracing.endpoint.clone() else { return Ok((None, None)) };
    let CollectorAddress { host, port, path } = address;
    let service = config.tracing.service_name.clone();
    let (sender, exporter) = spans::channel(Collector { host, port, path, service }, metrics)?;
    Ok((Some(sender), Some(exporter)))
}

/// The spool, where records are kept that a fault could lose. A directory that nobody named need
/// not be usable: without it records wait in memory.
fn open_spool(
    config: &Config,
    metrics: &SpoolMetrics,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Spool>>, StartError> {
    let settings = &config.spool;
    let kept = worker_count(config) > 0 && config.storage != StorageSettings::Memory;
    if !settings.enabled || !kept {
        return Ok(None);
    }
    match Spool::open(settings, clock.clone()) {
        Ok((spool, recovered)) => {
            metrics.torn.inc_by(recovered.torn);
            if recovered.records > 0 || recovered.torn > 0 {
                let (records, torn_bytes) = (recovered.records, recovered.torn);
                tracing::info!(
                    event = "spool_recovered",
                    records,
                    torn_bytes,
                    "left by a run before"
                );
            }
            Ok(Some(Arc::new(spool)))
        }
        Err(error) if settings.named => Err(StartError::Spool(error)),
        Err(error) => {
            tracing::warn!(event = "spool_unusable", %error, "records wait in memory; see spool.dir");
            Ok(None)
        }
    }
}

fn worker_count(config: &Config) -> usize {
    match config.observer.workers {
        _ if config.routes.iter().all(|route| route.enforcement.is_off()) => 0,
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
