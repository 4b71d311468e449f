//! What storage counts: how long each operation took, and how it failed.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use prometheus::{HistogramVec, IntCounterVec};
use uuid::Uuid;

use super::query::{
    AnalyticsOptions, ConsumerFilter, ExpireKind, GroupFilter, MigrationReport, OnConflict,
    PageRequest, Purge, RecordsOf, ReplacedContent, Rewritten, SchemaFilter, SchemaList,
    StoredSchema, UsageFilter, ValidationAnalytics, ValidationFilter,
};
use super::store::{
    ComparisonStore, ConsumerStore, Rewrite, SchemaStore, Store, StoreResult, ValidationStore,
};
use crate::model::clock::{Clock, Timestamp};
use crate::model::comparison::ComparisonRecord;
use crate::model::consumer::ConsumerRecord;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::page::Page;
use crate::model::record::ValidationRecord;
use crate::model::schema::SchemaRecord;
use crate::model::usage::OperationUsage;
use crate::redaction::Redacted;
use crate::telemetry::metrics::{LATENCY_BUCKETS, Metrics, MetricsError};

/// Instruments of a store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StorageMetrics {
    seconds: HistogramVec,
    errors: IntCounterVec,
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

measured! { SchemaStore:
    set_schema(record: &SchemaRecord, on_conflict: OnConflict) -> StoredSchema;
    get_schema(schema_id: &str) -> Option<SchemaRecord>;
    get_schema_version(schema_id: &str, version: &str) -> Option<SchemaRecord>;
    delete_schema(schema_id: &str, records: RecordsOf) -> bool;
    delete_schema_version(schema_id: &str, version: &str) -> bool;
    list_schema_ids() -> Vec<String>;
    list_versions(schema_id: &str) -> Vec<String>;
    list_schemas(filter: &SchemaFilter, page: &PageRequest) -> SchemaList;
    get_previous_version(schema_id: &str, current: &str) -> Option<String>;
    schema_history(schema_id: &str, version: &str) -> Vec<ReplacedContent>;
    schema_revision() -> i64;
    wait_schema_change(seen: i64, patience: Duration) -> i64;
}

measured! { ValidationStore:
    record_validations(records: &[Redacted<ValidationRecord>]) -> u64;
    get_validation(id: Uuid) -> Option<ValidationRecord>;
    list_validations(filter: &ValidationFilter, page: &PageRequest) -> Page<ValidationRecord>;
    get_validation_analytics(filter: &ValidationFilter, options: &AnalyticsOptions)
        -> ValidationAnalytics;
    expire_validations(kind: ExpireKind, older_than: Timestamp, batch: u32) -> u64;
    count_expirable(kind: ExpireKind, older_than: Timestamp) -> u64;
    rewrite_validations(page: &PageRequest, rewrite: &Rewrite<'_>) -> Rewritten;
    merge_groups(batch: Uuid, groups: &[ViolationGroup]) -> Vec<MergedGroup>;
    purge(purge: Purge<'_>, batch: u32) -> u64;
    list_groups(filter: &GroupFilter, page: &PageRequest) -> Page<ViolationGroup>;
}

measured! { ComparisonStore:
    record_comparison(record: &ComparisonRecord) -> ();
    get_comparison(schema_id: &str, old_version: &str, new_version: &str)
        -> Option<ComparisonRecord>;
    list_comparisons(schema_id: &str, page: &PageRequest) -> Page<ComparisonRecord>;
}

measured! { ConsumerStore:
    register_consumer(record: &ConsumerRecord) -> ConsumerRecord;
    get_consumer(consumer_id: &str, schema_id: &str, environment: &str) -> Option<ConsumerRecord>;
    list_consumers(filter: &ConsumerFilter, page: &PageRequest) -> Page<ConsumerRecord>;
    deregister_consumer(consumer_id: &str, schema_id: &str, environment: &str) -> bool;
    update_consumer_validation(
        consumer_id: &str, schema_id: &str, environment: &str, validated_at: Timestamp
    ) -> bool;
    merge_usage(batch: Uuid, usage: &[OperationUsage]) -> ();
    list_usage(filter: &UsageFilter, page: &PageRequest) -> Page<OperationUsage>;
}

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
    use super::super::{MemoryStore, PageRequest};
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
