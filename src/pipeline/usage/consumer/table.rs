//! The consumers that this process has known.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::{ConsumerCounters, ConsumerIdentity, ConsumerMetrics, IdentityChain, IdentityInput};
use crate::redaction::Redactor;

/// What stands for consumers beyond the limit.
pub const OTHERS: &str = "others";

/// A consumer, ready to be counted.
#[derive(Debug)]
pub struct ConsumerEntry {
    /// Its id, as it may be shown.
    pub id: String,
    /// Its version, as it may be shown.
    pub version: String,
    /// Whether it is kept apart from others.
    pub tracked: bool,
    /// Its counters.
    pub counters: ConsumerCounters,
}

/// Every consumer met, up to a limit. Shared by the workers.
#[derive(Debug)]
pub struct ConsumerTable {
    chain: IdentityChain,
    redactor: Arc<Redactor>,
    metrics: ConsumerMetrics,
    limit: usize,
    known: RwLock<HashMap<ConsumerIdentity, Arc<ConsumerEntry>, RandomState>>,
    others: Arc<ConsumerEntry>,
}

// === impl ConsumerTable ===

impl ConsumerTable {
    /// A consumers of at most `limit` consumers.
    pub fn new(
        chain: IdentityChain,
        redactor: Arc<Redactor>,
        metrics: ConsumerMetrics,
        limit: usize,
    ) -> Self {
        let others = Arc::new(ConsumerEntry {
            id: OTHERS.to_owned(),
            version: String::new(),
            tracked: true,
            counters: metrics.others_counters(),
        });
        Self { chain, redactor, metrics, limit, known: RwLock::default(), others }
    }

    /// The consumer that called. One beyond the limit keeps its name but shares its counters.
    pub fn identify(&self, caller: IdentityInput<'_>) -> Arc<ConsumerEntry> {
        let identity = self.chain.identify(caller);
        if let Some(known) = self.known.read().get(&identity) {
            return known.clone();
        }
        let consumer = |tracked, counters| {
            let id = self.redact_name(&identity.id);
            Arc::new(ConsumerEntry {
                id,
                version: self.redact_name(&identity.version),
                tracked,
                counters,
            })
        };
        let mut known = self.known.write();
        if known.len() >= self.limit {
            self.metrics.count_over_limit();
            return consumer(false, self.metrics.others_counters());
        }
        let id = self.redact_name(&identity.id);
        let new_entry = || consumer(true, self.metrics.counters_for(&id));
        known.entry(identity.clone()).or_insert_with(new_entry).clone()
    }

    /// What stands for a consumer where only so many are kept apart.
    pub fn tracked_or_others(&self, consumer: &Arc<ConsumerEntry>) -> Arc<ConsumerEntry> {
        if consumer.tracked { consumer.clone() } else { self.others.clone() }
    }

    /// A name, or a hash of one that looks like a secret.
    fn redact_name(&self, name: &str) -> String {
        if self.redactor.looks_secret(name) {
            self.chain.hash("hidden", name)
        } else {
            name.to_owned()
        }
    }
}
