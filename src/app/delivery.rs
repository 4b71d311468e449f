//! The way of what was observed to storage: writer and spool.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::error::StartError;
use crate::config::Config;
use crate::config::storage::StorageSettings;
use crate::model::clock::Clock;
use crate::model::random::SystemRandom;
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::spool::metrics::SpoolMetrics;
use crate::pipeline::deliver::spool::{Spool, SpoolState};
use crate::pipeline::deliver::writer::{self, WriteQueue, Writer, WriterParts};
use crate::storage::Store;
use crate::telemetry::metrics::Metrics;

/// Both ends of the way, not yet running.
pub(super) struct RecordDelivery {
    pub(super) writes: WriteQueue,
    pub(super) writer: Writer,
    pub(super) spooled: Arc<SpoolState>,
    /// Set when storing has to end.
    pub(super) deadline: watch::Sender<Option<Instant>>,
}

// === impl RecordDelivery ===

impl RecordDelivery {
    pub(super) fn prepare(
        config: &Config,
        validates: bool,
        store: &Arc<dyn Store>,
        metrics: &Metrics,
        record_metrics: &RecordMetrics,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StartError> {
        let (deadline, deadline_set) = watch::channel(None);
        let spool_metrics = SpoolMetrics::new(metrics)?;
        let spool = open_spool(config, validates, &spool_metrics, clock)?;
        let spooled = spool.as_ref().map_or_else(Arc::default, |spool| spool.state().clone());
        SpoolMetrics::register_gauges(metrics, &spooled, clock.clone())?;
        let (writes, writer) = writer::channel(WriterParts {
            store: store.clone(),
            spool,
            metrics: record_metrics.clone(),
            spool_metrics,
            random: Arc::new(SystemRandom),
            deadline: deadline_set,
        });
        Ok(Self { writes, writer, spooled, deadline })
    }
}

/// The spool, where records are kept that a fault could lose. A directory that was not configured need
/// not be usable: without it records wait in memory.
fn open_spool(
    config: &Config,
    validates: bool,
    metrics: &SpoolMetrics,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Arc<Spool>>, StartError> {
    let settings = &config.spool;
    let kept = validates && config.storage != StorageSettings::Memory;
    if !settings.enabled || !kept {
        return Ok(None);
    }
    match Spool::open(settings, super::keys::keyring(&config.encryption)?, clock.clone()) {
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
        Err(error) if settings.explicit => Err(StartError::Spool(error)),
        Err(error) => {
            tracing::warn!(event = "spool_unusable", %error, "records wait in memory; see spool.dir");
            Ok(None)
        }
    }
}
