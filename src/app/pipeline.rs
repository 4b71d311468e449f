//! Validator threads, record writer and what they share: built, started and finished together.
//!
//! Long because `start` builds the parts in the order in which they need each other.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::collector::CollectorTransport;
use super::delivery::RecordDelivery;
use super::error::StartError;
use super::reporting::{self, Reporting, ReportingParts};
use super::summary::Summary;
use crate::config::Config;
use crate::exchange::memory_budget::Budget;
use crate::exchange::metrics::ExchangeMetrics;
use crate::exchange::queue::Queue;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::spool::SpoolState;
use crate::pipeline::record::notice::NoticeSink;
use crate::pipeline::record::recorder::{ExchangeRecorder, ExchangeRecorderParts};
use crate::pipeline::record::sampling_filter::SamplingFilter;
use crate::pipeline::record::violation_groups::ViolationGroups;
use crate::pipeline::usage::UsageRegistry;
use crate::pipeline::usage::metrics::UsageMetrics;
use crate::pipeline::validate::{MakeValidator, Workers};
use crate::redaction::{RedactionRules, Redactor};
use crate::storage::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::spans::{self, SpanSender};
use crate::validation::{Validator, ValidatorOptions};

/// How long the last spans may take to reach a collector.
const SPAN_FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The running pipeline.
pub(super) struct RunningPipeline {
    pub(super) queue: Arc<Queue>,
    pub(super) budget: Budget,
    pub(super) make_validator: MakeValidator,
    pub(super) usage: UsageRegistry,
    workers: Workers,
    writer: JoinHandle<()>,
    exporter: Option<JoinHandle<()>>,
    reporting: Reporting,
    deadline: watch::Sender<Option<Instant>>,
    groups: Arc<ViolationGroups>,
    metrics: ExchangeMetrics,
    record_metrics: RecordMetrics,
    spooled: Arc<SpoolState>,
}

// === impl RunningPipeline ===

impl RunningPipeline {
    pub(super) fn start(
        config: &Config,
        control: &Runtime,
        store: &Arc<dyn Store>,
        metrics: &Metrics,
        clock: &Arc<dyn Clock>,
        notice_sink: Arc<dyn NoticeSink>,
    ) -> Result<Self, StartError> {
        let record_metrics = RecordMetrics::new(metrics)?;
        let observer_metrics = ExchangeMetrics::new(metrics)?;
        let (queue, budget) = queue(config, metrics, &observer_metrics)?;
        let RecordDelivery { writes, writer, spooled, deadline } = RecordDelivery::prepare(
            config,
            validator_threads(config) > 0,
            store,
            metrics,
            &record_metrics,
            clock,
        )?;
        let (spans, exporter) = span_export(config, control, metrics)?;
        let groups = Arc::new(ViolationGroups::default());
        let notifier = reporting::notifier(config, metrics, clock, &groups, notice_sink)?;
        let redactor = Arc::new(Redactor::new(&redaction_rules(config))?);
        let validator_options =
            ValidatorOptions { redactor: redactor.clone(), ..ValidatorOptions::default() };
        let usage = UsageRegistry::new(UsageMetrics::new(metrics)?);
        let reporting_parts = ReportingParts {
            groups: &groups,
            usage: &usage,
            notifier: &notifier,
            writes: &writes,
            metrics: &observer_metrics,
            record_metrics: &record_metrics,
        };
        let reporting = Reporting::start(config, control, clock, &reporting_parts);
        let recorder = ExchangeRecorder::new(ExchangeRecorderParts {
            metrics: observer_metrics.clone(),
            record_metrics: record_metrics.clone(),
            groups: groups.clone(),
            filter: SamplingFilter::new(&config.record, &config.sampling),
            settings: config.record.clone(),
            consumers: reporting::consumers(config, metrics, &redactor)?,
            usage: usage.clone(),
            redactor,
            writes,
            spans,
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
        });
        let make_validator: MakeValidator =
            Arc::new(move || Box::new(Validator::new(validator_options.clone())));
        let (count, priority) = (validator_threads(config), config.pipeline.priority);
        let workers = Workers::start(count, priority, &queue, &make_validator, &recorder, clock);
        Ok(Self {
            queue,
            budget,
            make_validator,
            usage,
            workers: workers.map_err(StartError::Threads)?,
            writer: control.spawn(writer.with_notifier(notifier).run()),
            exporter,
            reporting,
            deadline,
            groups,
            metrics: observer_metrics,
            record_metrics,
            spooled,
        })
    }

    /// Validates what waits and stores what was validated, within `timeout`.
    pub(super) fn finish(self, control: &Runtime, timeout: Duration) -> Summary {
        let Self { workers, writer, exporter, reporting, deadline, groups, .. } = self;
        let (metrics, record_metrics, spooled) = (self.metrics, self.record_metrics, self.spooled);
        // The last recorder goes with the threads; with it and the flusher the last writes.
        workers.finish(timeout);
        let notifier = reporting.finish(control);
        control.block_on(async {
            let _ = deadline.send(Some(Instant::now() + timeout));
            // A batch that is under way may end after the deadline, but not much.
            if tokio::time::timeout(timeout * 2, writer).await.is_err() {
                tracing::error!(event = "flush_interrupted", "records may be lost");
            }
            if let Some(exporter) = exporter {
                // Spans are worth little more patience.
                let _ = tokio::time::timeout(SPAN_FLUSH_TIMEOUT, exporter).await;
            }
        });
        notifier.notify_unstored();
        Summary::new(&metrics, &record_metrics, &spooled, &groups)
    }
}

/// The queue, and the memory that what waits in it may take.
fn queue(
    config: &Config,
    metrics: &Metrics,
    counted: &ExchangeMetrics,
) -> Result<(Arc<Queue>, Budget), StartError> {
    let budget = Budget::new(config.pipeline.memory);
    let queue = Arc::new(Queue::new(config.pipeline.queue_exchanges, counted.clone()));
    queue.register_gauges(metrics, budget.clone())?;
    Ok((queue, budget))
}

/// Where spans are handed over and the task that sends them, when there is a collector.
fn span_export(
    config: &Config,
    control: &Runtime,
    metrics: &Metrics,
) -> Result<(Option<SpanSender>, Option<JoinHandle<()>>), StartError> {
    let Some(collector) = &config.tracing.endpoint else { return Ok((None, None)) };
    let transport =
        CollectorTransport::new(collector, &config.egress).map_err(StartError::Egress)?;
    let service = config.tracing.service_name.clone();
    let (sender, exporter) = spans::channel(service, Box::new(transport), metrics)?;
    Ok((Some(sender), Some(control.spawn(exporter.run()))))
}

/// Zero where nothing is ever validated: without a config file at the start no mode leaves `off`.
pub(super) fn validator_threads(config: &Config) -> usize {
    let off = config.routes.iter().all(|route| route.enforcement.is_off());
    match config.pipeline.workers {
        _ if off && config.file.is_none() => 0,
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        workers => workers,
    }
}

fn redaction_rules(config: &Config) -> RedactionRules {
    let mut rules = RedactionRules::default();
    let settings = &config.redaction;
    rules.headers.extend(settings.headers.iter().cloned());
    rules.names.extend(settings.query.iter().chain(&settings.fields).cloned());
    rules.pointers.extend(settings.pointers.iter().cloned());
    rules
}
