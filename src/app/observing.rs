//! Judging threads, record writer and what they share: built, started and finished together.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::StartError;
use super::learning::{self, Learning, Sources};
use super::storing::Storing;
use super::summary::Summary;
use crate::config::Config;
use crate::config::tracing::CollectorAddress;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::observer::budget::Budget;
use crate::observer::kinds::Kinds;
use crate::observer::metrics::{ObserverMetrics, RecordMetrics};
use crate::observer::notice::Announce;
use crate::observer::queue::Queue;
use crate::observer::recorder::{Recorder, RecorderParts};
use crate::observer::screen::Screen;
use crate::observer::spool::SpoolState;
use crate::observer::usage::UsageBook;
use crate::observer::usage::metrics::UsageMetrics;
use crate::observer::worker::{MakeJudge, Workers};
use crate::redaction::{Redactor, Rules};
use crate::storage::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::{self, Collector, SpanSender};
use crate::validation::{Judge, JudgeOptions};

/// How long the last spans may take to reach a collector.
const SPAN_TIMEOUT: Duration = Duration::from_secs(3);

/// The running observer.
pub(super) struct Observing {
    pub(super) queue: Arc<Queue>,
    pub(super) budget: Budget,
    pub(super) make_judge: MakeJudge,
    pub(super) usage: UsageBook,
    workers: Workers,
    writer: JoinHandle<()>,
    exporter: Option<JoinHandle<()>>,
    learning: Learning,
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
        let observer_metrics = ObserverMetrics::new(metrics)?;
        let (queue, budget) = queue(config, metrics, &observer_metrics)?;
        let Storing { outbox, writer, spooled, deadline } =
            Storing::prepare(config, store, metrics, &record_metrics, clock)?;
        let (spans, exporter) = spans(config, control, metrics)?;
        let kinds = Arc::new(Kinds::default());
        let teller = learning::teller(config, metrics, clock, &kinds, announce)?;
        let redactor = Arc::new(Redactor::new(&rules(config))?);
        let usage = UsageBook::new(UsageMetrics::new(metrics)?);
        let sources = Sources {
            kinds: &kinds,
            usage: &usage,
            teller: &teller,
            outbox: &outbox,
            metrics: &observer_metrics,
            record_metrics: &record_metrics,
        };
        let learning = Learning::start(config, control, clock, &sources);
        let recorder = Recorder::new(RecorderParts {
            metrics: observer_metrics.clone(),
            record_metrics: record_metrics.clone(),
            kinds: kinds.clone(),
            screen: Screen::new(&config.record, &config.sampling),
            settings: config.record.clone(),
            roster: learning::roster(config, metrics, &redactor)?,
            usage: usage.clone(),
            redactor,
            sender: outbox,
            spans,
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
        });
        let make_judge: MakeJudge = Arc::new(|| Box::new(Judge::new(JudgeOptions::default())));
        let (count, priority) = (worker_count(config), config.observer.priority);
        let workers = Workers::start(count, priority, &queue, &make_judge, &recorder, clock);
        Ok(Self {
            queue,
            budget,
            make_judge,
            usage,
            workers: workers.map_err(StartError::Threads)?,
            writer: control.spawn(writer.telling(teller).run()),
            exporter,
            learning,
            deadline,
            kinds,
            metrics: observer_metrics,
            record_metrics,
            spooled,
        })
    }

    /// Judges what waits, stores what was judged, within `timeout`.
    pub(super) fn finish(self, control: &Runtime, timeout: Duration) -> Summary {
        let Self { workers, writer, exporter, learning, deadline, kinds, .. } = self;
        let (metrics, record_metrics, spooled) = (self.metrics, self.record_metrics, self.spooled);
        // The last recorder goes with the threads; with it and the flusher the last outbox.
        workers.finish(timeout);
        let teller = learning.finish(control);
        control.block_on(async {
            let _ = deadline.send(Some(Instant::now() + timeout));
            // A batch that is under way may end after the deadline, but not much.
            if tokio::time::timeout(timeout * 2, writer).await.is_err() {
                tracing::error!(event = "flush_interrupted", "records may be lost");
            }
            if let Some(exporter) = exporter {
                // Spans are worth little more patience.
                let _ = tokio::time::timeout(SPAN_TIMEOUT, exporter).await;
            }
        });
        teller.finish();
        Summary::new(&metrics, &record_metrics, &spooled, &kinds)
    }
}

/// The queue, and the memory that what waits in it may take.
fn queue(
    config: &Config,
    metrics: &Metrics,
    counted: &ObserverMetrics,
) -> Result<(Arc<Queue>, Budget), StartError> {
    let budget = Budget::new(config.observer.memory);
    let queue = Arc::new(Queue::new(config.observer.queue_exchanges, counted.clone()));
    queue.show(metrics, budget.clone())?;
    Ok((queue, budget))
}

/// Where spans are handed over and the task that sends them, when there is a collector.
fn spans(
    config: &Config,
    control: &Runtime,
    metrics: &Metrics,
) -> Result<(Option<SpanSender>, Option<JoinHandle<()>>), StartError> {
    let Some(address) = config.tracing.endpoint.clone() else { return Ok((None, None)) };
    let CollectorAddress { host, port, path } = address;
    let service = config.tracing.service_name.clone();
    let (sender, exporter) = spans::channel(Collector { host, port, path, service }, metrics)?;
    Ok((Some(sender), Some(control.spawn(exporter.run()))))
}

/// None where nothing is ever judged: without a config file at the start no mode leaves `off`.
pub(super) fn worker_count(config: &Config) -> usize {
    let off = config.routes.iter().all(|route| route.enforcement.is_off());
    match config.observer.workers {
        _ if off && config.file.is_none() => 0,
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
