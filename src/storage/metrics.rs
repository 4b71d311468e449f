//! What storage counts: how long each operation took, and how it failed.

use std::sync::Arc;

use async_trait::async_trait;
use prometheus::{HistogramVec, IntCounterVec};

use super::fault::StorageFault;
use super::operations::operations_of;
use super::query::MigrationReport;
use super::store::{
    ComparisonStore, ConsumerStore, GroupStore, PurgeStore, SchemaStore, Store, StoreResult,
    UsageStore, ValidationStore,
};
use crate::model::clock::Clock;
use crate::telemetry::metrics::{LATENCY_BUCKETS, Metrics, MetricsError};

/// Instruments of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StorageMetrics {
    seconds: HistogramVec,
    errors: IntCounterVec,
}

/// Counts faults of the open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StorageFaultMetrics {
    faults: IntCounterVec,
}

/// A store that measures every operation of another.
pub struct MeasuredStore {
    inner: Arc<dyn Store>,
    metrics: StorageMetrics,
    clock: Arc<dyn Clock>,
}

// === impl StorageMetrics ===

impl StorageMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        Ok(Self {
            seconds: metrics.histograms(
                "cvt_storage_operation_duration_seconds",
                "Time an operation of the store took, by operation.",
                &["operation"],
                LATENCY_BUCKETS,
            )?,
            errors: metrics.counters(
                "cvt_storage_errors_total",
                "Operations of the store that failed, by operation and kind of error.",
                &["operation", "kind"],
            )?,
        })
    }
}

// === impl StorageFaultMetrics ===

impl StorageFaultMetrics {
    /// Registers them.
    pub fn new(metrics: &Metrics) -> Result<Self, MetricsError> {
        let faults = metrics.counters(
            "cvt_storage_faults_total",
            "Times that the open database was found deleted, replaced, read-only, damaged or \
             without room, by fault.",
            &["fault"],
        )?;
        for fault in StorageFault::ALL {
            faults.with_label_values(&[fault.as_str()]);
        }
        Ok(Self { faults })
    }

    pub(crate) fn count(&self, fault: StorageFault) {
        self.faults.with_label_values(&[fault.as_str()]).inc();
    }
}

// === impl MeasuredStore ===

impl MeasuredStore {
    /// Measures what `inner` does.
    pub fn new(inner: Arc<dyn Store>, metrics: StorageMetrics, clock: Arc<dyn Clock>) -> Self {
        Self { inner, metrics, clock }
    }

    async fn measure<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = StoreResult<T>>,
    ) -> StoreResult<T> {
        let start = self.clock.instant();
        let done = work.await;
        let spent = self.clock.instant().saturating_duration_since(start);
        self.metrics.seconds.with_label_values(&[operation]).observe(spent.as_secs_f64());
        if let Err(error) = &done {
            self.metrics.errors.with_label_values(&[operation, error.kind()]).inc();
        }
        done
    }
}

/// Implements a trait by measuring each of the inner store's methods.
macro_rules! measured {
    ($store:ident: $($name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl $store for MeasuredStore {
            $(async fn $name(&self, $($argument: $type),*) -> StoreResult<$answer> {
                self.measure(stringify!($name), self.inner.$name($($argument),*)).await
            })*
        }
    };
}

operations_of!(SchemaStore, measured);
operations_of!(ValidationStore, measured);
operations_of!(ComparisonStore, measured);
operations_of!(ConsumerStore, measured);
operations_of!(GroupStore, measured);
operations_of!(UsageStore, measured);
operations_of!(PurgeStore, measured);

#[async_trait]
impl Store for MeasuredStore {
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport> {
        self.measure("migrate", self.inner.migrate(dry_run)).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }

    async fn ping(&self) -> StoreResult<()> {
        self.measure("ping", self.inner.ping()).await
    }

    fn backend(&self) -> &'static str {
        self.inner.backend()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryStore, PageRequest, SchemaFilter};
    use super::*;
    use crate::model::clock::SystemClock;
    use crate::model::page::Cursor;

    #[tokio::test]
    async fn operations_and_errors_are_counted() {
        let metrics = Metrics::default();
        let instruments = StorageMetrics::new(&metrics).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let inner = Arc::new(MemoryStore::new(clock.clone()));
        let store = MeasuredStore::new(inner, instruments.clone(), clock);
        assert_eq!(store.get_schema("books").await.unwrap(), None);
        let page = PageRequest::after(1, Cursor::new([String::new()]));
        assert!(store.list_schemas(&SchemaFilter::default(), &page).await.is_err());
        let seconds =
            |operation| instruments.seconds.with_label_values(&[operation]).get_sample_count();
        assert_eq!((seconds("get_schema"), seconds("list_schemas")), (1, 1));
        let errors = instruments.errors.with_label_values(&["list_schemas", "invalid_cursor"]);
        assert_eq!(errors.get(), 1);
    }
}
