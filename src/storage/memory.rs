//! The reference backend: everything in this process, gone with it.
//!
//! One lock guards all of it and is never held across an await. Records are bounded by bytes:
//! beyond the limit the oldest go, which [`MemoryStore::forgotten`] counts.

mod consumers;
mod schemas;
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

/// How many bytes of records are kept when nobody says otherwise.
const DEFAULT_LIMIT: usize = 256 * 1024 * 1024;

/// A store in memory.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    /// Bytes of records kept.
    limit: usize,
    state: Mutex<State>,
    /// Tells waiters the newest revision.
    revision: watch::Sender<i64>,
}

/// A version and its place in the order of registration.
struct Version {
    record: SchemaRecord,
    sequence: i64,
    history: Vec<ReplacedContent>,
}

/// A record's place in the listing.
type RecordKey = (Timestamp, Uuid);
/// Schema, consumer, environment, path, method.
type OperationKey = [String; 5];

#[derive(Default)]
struct State {
    revision: i64,
    /// Schema id → version → document.
    schemas: BTreeMap<String, BTreeMap<String, Version>>,
    records: BTreeMap<RecordKey, ValidationRecord>,
    times: HashMap<Uuid, Timestamp>,
    bytes: usize,
    forgotten: u64,
    groups: BTreeMap<String, ViolationGroup>,
    comparisons: BTreeMap<[String; 3], ComparisonRecord>,
    /// Consumer, schema, environment → registration.
    consumers: BTreeMap<[String; 3], ConsumerRecord>,
    usage: BTreeMap<OperationKey, Used>,
    batches: HashMap<Uuid, Timestamp>,
}

/// What is known of one operation's usage by one consumer.
struct Used {
    schema_version: String,
    consumer_version: String,
    facts: BTreeMap<(UsageKind, String), UsageFact>,
}

// === impl MemoryStore ===

impl MemoryStore {
    /// An empty store that keeps up to 256 MiB of records.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_limit(clock, DEFAULT_LIMIT)
    }

    /// An empty store that keeps up to `limit` bytes of records.
    pub fn with_limit(clock: Arc<dyn Clock>, limit: usize) -> Self {
        let revision = watch::Sender::new(0);
        Self { clock, limit, state: Mutex::default(), revision }
    }

    /// Records that had to go to keep the limit.
    pub fn forgotten(&self) -> u64 {
        self.state.lock().forgotten
    }
}

// === impl State ===

impl State {
    /// Notes a batch; `false` when it was merged before.
    fn first_time(&mut self, batch: Uuid, now: Timestamp) -> bool {
        let floor = now.minus(super::sql::groups::BATCH_MEMORY);
        self.batches.retain(|_, at| *at >= floor);
        self.batches.insert(batch, now).is_none()
    }
}

impl Used {
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
