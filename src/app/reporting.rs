//! What is learned from traffic, on its way to storage and to operators: built, started and
//! finished together.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::error::StartError;
use crate::config::Config;
use crate::exchange::metrics::ExchangeMetrics;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::pipeline::deliver::flush::{Flusher, FlusherParts};
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::writer::WriteQueue;
use crate::pipeline::record::notice::NoticeSink;
use crate::pipeline::record::notice::metrics::NoticeMetrics;
use crate::pipeline::record::notifier::Notifier;
use crate::pipeline::record::violation_groups::ViolationGroups;
use crate::pipeline::usage::UsageRegistry;
use crate::pipeline::usage::consumer::{ConsumerMetrics, ConsumerTable, IdentityChain};
use crate::redaction::Redactor;
use crate::telemetry::metrics::Metrics;

/// The running flusher.
pub(super) struct Reporting {
    flusher: JoinHandle<()>,
    stop: watch::Sender<bool>,
    notifier: Arc<Notifier>,
}

/// Where what was learned comes from and goes.
pub(super) struct ReportingParts<'s> {
    pub(super) groups: &'s Arc<ViolationGroups>,
    pub(super) usage: &'s UsageRegistry,
    pub(super) notifier: &'s Arc<Notifier>,
    pub(super) writes: &'s WriteQueue,
    pub(super) metrics: &'s ExchangeMetrics,
    pub(super) record_metrics: &'s RecordMetrics,
}

// === impl Reporting ===

impl Reporting {
    pub(super) fn start(
        config: &Config,
        control: &Runtime,
        clock: &Arc<dyn Clock>,
        parts: &ReportingParts<'_>,
    ) -> Self {
        let flusher = Flusher::new(FlusherParts {
            groups: parts.groups.clone(),
            usage: parts.usage.clone(),
            notifier: parts.notifier.clone(),
            writes: parts.writes.clone(),
            metrics: parts.metrics.clone(),
            record_metrics: parts.record_metrics.clone(),
            interval: config.groups.interval,
            environment: config.record.environment.clone(),
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
        });
        let (stop, stopped) = watch::channel(false);
        let flusher = control.spawn(flusher.run(stopped));
        Self { flusher, stop, notifier: parts.notifier.clone() }
    }

    /// Sends on what is left; its writes goes with it. Who tells operators stays, for what
    /// storage says of it.
    pub(super) fn finish(self, control: &Runtime) -> Arc<Notifier> {
        let _ = self.stop.send(true);
        // It catches no panic of its own, and one would have been logged.
        let _ = control.block_on(self.flusher);
        self.notifier
    }
}

/// Who tells operators about violation groups.
pub(super) fn notifier(
    config: &Config,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
    groups: &Arc<ViolationGroups>,
    announce: Arc<dyn NoticeSink>,
) -> Result<Arc<Notifier>, StartError> {
    Ok(Arc::new(Notifier {
        groups: groups.clone(),
        sink: announce,
        metrics: NoticeMetrics::new(metrics, groups)?,
        settings: config.groups,
        clock: clock.clone(),
    }))
}

/// Who calls.
pub(super) fn consumers(
    config: &Config,
    metrics: &Metrics,
    redactor: &Arc<Redactor>,
) -> Result<ConsumerTable, StartError> {
    let settings = &config.consumer;
    let counters = ConsumerMetrics::new(metrics, settings.metric_labels)?;
    let chain = IdentityChain::new(settings);
    Ok(ConsumerTable::new(chain, redactor.clone(), counters, settings.limit))
}
