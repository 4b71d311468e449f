//! The way of what was observed to storage: writer and spool.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::StartError;
use super::observing::worker_count;
use crate::config::Config;
use crate::config::storage::StorageSettings;
use crate::model::chance::SystemChance;
use crate::model::clock::Clock;
use crate::observer::metrics::RecordMetrics;
use crate::observer::spool::metrics::SpoolMetrics;
use crate::observer::spool::{Spool, SpoolState};
use crate::observer::writer::{self, Outbox, Writer, WriterParts};
use crate::storage::Store;
use crate::telemetry::metrics::Metrics;

/// Both ends of the way, not yet running.
pub(super) struct Storing {
    pub(super) outbox: Outbox,
    pub(super) writer: Writer,
    pub(super) spooled: Arc<SpoolState>,
    /// Set when storing has to end.
    pub(super) deadline: watch::Sender<Option<Instant>>,
}

// === impl Storing ===

impl Storing {
    pub(super) fn prepare(
        config: &Config,
        store: &Arc<dyn Store>,
        metrics: &Metrics,
        record_metrics: &RecordMetrics,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let (deadline, deadline_set) = watch::channel(None);
        let spool_metrics = SpoolMetrics::new(metrics)?;
        let spool = open_spool(config, &spool_metrics, clock)?;
        let spooled = spool.as_ref().map_or_else(Arc::default, |spool| spool.state().clone());
        SpoolMetrics::show(metrics, &spooled, clock.clone())?;
        let (outbox, writer) = writer::channel(WriterParts {
            store: store.clone(),
            spool,
            metrics: record_metrics.clone(),
            spool_metrics,
            chance: Arc::new(SystemChance),
            deadline: deadline_set,
        });
        Ok(Self { outbox, writer, spooled, deadline })
    }
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
    match Spool::open(settings, super::keyring(&config.encryption)?, clock.clone()) {
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
