//! The reference backend: everything in this process, gone with it.
//!
//! One lock guards all of it and is never held across an await. Records are bounded by bytes:
//! beyond the limit the oldest are evicted, which [`MemoryStore::evicted`] counts.

mod consumers;
mod groups;
mod purging;
mod schemas;
mod usage;
mod validations;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use super::query::MigrationReport;
use super::store::{Store, StoreResult};
use crate::model::clock::{Clock, Timestamp};
use crate::model::comparison::ComparisonRecord;
use crate::model::consumer::ConsumerRecord;
use crate::model::group::ViolationGroup;
use crate::model::record::ValidationRecord;
use crate::model::schema::SchemaRecord;
use crate::model::usage::{OperationUsage, UsageFact, UsageKind};
use crate::storage::query::ReplacedContent;

/// Default limit on the bytes of records.
const DEFAULT_MAX_BYTES: usize = 256 * 1024 * 1024;

/// A store in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    /// Bytes of records kept.
    limit: usize,
    state: Mutex<MemoryState>,
    /// Notifies waiters of the newest revision.
    revision: watch::Sender<i64>,
}

/// A version with its number in the order of registration.
struct StoredVersion {
    record: SchemaRecord,
    sequence: i64,
    history: Vec<ReplacedContent>,
}

/// The sort key of the listing.
type RecordKey = (Timestamp, Uuid);
/// Schema, consumer, environment, path, method.
type OperationKey = [String; 5];

#[derive(Default)]
struct MemoryState {
    revision: i64,
    /// Schema id → version → document.
    schemas: BTreeMap<String, BTreeMap<String, StoredVersion>>,
    records: BTreeMap<RecordKey, ValidationRecord>,
    time_of: HashMap<Uuid, Timestamp>,
    bytes: usize,
    evicted: u64,
    groups: BTreeMap<String, ViolationGroup>,
    comparisons: BTreeMap<[String; 3], ComparisonRecord>,
    /// Consumer, schema, environment → registration.
    consumers: BTreeMap<[String; 3], ConsumerRecord>,
    usage: BTreeMap<OperationKey, StoredUsage>,
    batches: HashMap<Uuid, Timestamp>,
}

/// One consumer's usage of one operation.
struct StoredUsage {
    schema_version: String,
    consumer_version: String,
    facts: BTreeMap<(UsageKind, String), UsageFact>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store that keeps up to 256 MiB of records.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limit(clock, DEFAULT_MAX_BYTES)
    }

    /// An empty store that keeps up to `limit` bytes of records.
    pub fn with_limit(clock: Arc<dyn Clock>, limit: usize) -> Self {
        let revision = watch::Sender::new(0);
        Self { clock, limit, state: Mutex::default(), revision }
    }

    /// Records that were evicted to keep the limit.
    pub fn evicted(&self) -> u64 {
        self.state.lock().evicted
    }
}

// === impl MemoryState ===

impl MemoryState {
    /// Registers a batch id; `false` when the batch was merged before.
    fn register_batch(&mut self, batch: Uuid, now: Timestamp) -> bool {
        let oldest = now.minus(super::sql::groups::BATCH_TTL);
        self.batches.retain(|_, at| *at >= oldest);
        self.batches.insert(batch, now).is_none()
    }
}

impl StoredUsage {
    fn to_usage(&self, key: &OperationKey) -> OperationUsage {
        let [schema_id, consumer_id, environment, path, method] = key.clone();
        OperationUsage {
            schema_id,
            schema_version: self.schema_version.clone(),
            consumer_id,
            consumer_version: self.consumer_version.clone(),
            environment,
            method,
            path,
            facts: self.facts.values().cloned().collect(),
        }
    }
}

/// Whether a filter's name, if it has one, is `value`.
fn same(wanted: Option<&String>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

#[async_trait]
impl Store for MemoryStore {
    async fn migrate(&self, dry_run: bool) -> StoreResult<MigrationReport> {
        Ok(MigrationReport { from: 0, to: 0, steps: Vec::new(), applied: !dry_run })
    }

    async fn close(&self) {}

    async fn ping(&self) -> StoreResult<()> {
        Ok(())
    }

    fn backend(&self) -> &'static str {
        "memory"
    }
}
