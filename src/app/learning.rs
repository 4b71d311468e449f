//! What is learned from traffic, on its way to storage and to operators: built, started and
//! finished together.

use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::StartError;
use crate::config::Config;
use crate::model::clock::Clock;
use crate::model::id::SystemIds;
use crate::observer::consumer::{ConsumerMetrics, IdentityChain, Roster};
use crate::observer::flush::{Flusher, FlusherParts};
use crate::observer::kinds::Kinds;
use crate::observer::metrics::{ObserverMetrics, RecordMetrics};
use crate::observer::notice::metrics::NoticeMetrics;
use crate::observer::notice::{Announce, Teller};
use crate::observer::usage::UsageBook;
use crate::observer::writer::Outbox;
use crate::redaction::Redactor;
use crate::telemetry::metrics::Metrics;

/// The running flusher.
pub(super) struct Learning {
    flusher: JoinHandle<()>,
    stop: watch::Sender<bool>,
    teller: Arc<Teller>,
}

/// Where what was learned comes from and goes.
pub(super) struct Sources<'s> {
    pub(super) kinds: &'s Arc<Kinds>,
    pub(super) usage: &'s UsageBook,
    pub(super) teller: &'s Arc<Teller>,
    pub(super) outbox: &'s Outbox,
    pub(super) metrics: &'s ObserverMetrics,
    pub(super) record_metrics: &'s RecordMetrics,
}

// === impl Learning ===

impl Learning {
    pub(super) fn start(
        config: &Config,
        control: &Runtime,
        clock: &Arc<dyn Clock>,
        sources: &Sources<'_>,
    ) -> Self {
        let flusher = Flusher::new(FlusherParts {
            kinds: sources.kinds.clone(),
            usage: sources.usage.clone(),
            teller: sources.teller.clone(),
            outbox: sources.outbox.clone(),
            metrics: sources.metrics.clone(),
            record_metrics: sources.record_metrics.clone(),
            interval: config.groups.interval,
            environment: config.record.environment.clone(),
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
        });
        let (stop, stopped) = watch::channel(false);
        let flusher = control.spawn(flusher.run(stopped));
        Self { flusher, stop, teller: sources.teller.clone() }
    }

    /// Sends on what is left; its outbox goes with it. Who tells operators stays, for what
    /// storage says of it.
    pub(super) fn finish(self, control: &Runtime) -> Arc<Teller> {
        let _ = self.stop.send(true);
        // It catches no panic of its own, and one would have been logged.
        let _ = control.block_on(self.flusher);
        self.teller
    }
}

/// Who tells operators about violation groups.
pub(super) fn teller(
    config: &Config,
    metrics: &Metrics,
    clock: &Arc<dyn Clock>,
    kinds: &Arc<Kinds>,
    announce: Arc<dyn Announce>,
) -> Result<Arc<Teller>, StartError> {
    Ok(Arc::new(Teller {
        kinds: kinds.clone(),
        announce,
        metrics: NoticeMetrics::new(metrics, kinds)?,
        settings: config.groups,
        clock: clock.clone(),
    }))
}

/// Who calls.
pub(super) fn roster(
    config: &Config,
    metrics: &Metrics,
    redactor: &Arc<Redactor>,
) -> Result<Roster, StartError> {
    let settings = &config.consumer;
    let counters = ConsumerMetrics::new(metrics, settings.metric_labels)?;
    let chain = IdentityChain::new(settings);
    Ok(Roster::new(chain, redactor.clone(), counters, settings.limit))
}
