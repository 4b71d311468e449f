//! The consumers that this process has met.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::RwLock;

use super::{Caller, ConsumerCounters, ConsumerMetrics, Identity, IdentityChain};
use crate::redaction::Redactor;

/// What stands for consumers beyond the limit.
pub const OTHERS: &str = "others";

/// A consumer, ready to be counted.
#[derive(Debug)]
pub struct Consumer {
    /// Its id, as it may be shown.
    pub id: String,
    /// Its version, as it may be shown.
    pub version: String,
    /// Whether it is kept apart from others.
    pub apart: bool,
    /// Its counters.
    pub counters: ConsumerCounters,
}

/// Every consumer met, up to a limit. Shared by the workers.
#[derive(Debug)]
pub struct Roster {
    chain: IdentityChain,
    redactor: Arc<Redactor>,
    metrics: ConsumerMetrics,
    limit: usize,
    met: RwLock<HashMap<Identity, Arc<Consumer>, RandomState>>,
    others: Arc<Consumer>,
}

// === impl Roster ===

impl Roster {
    /// A roster of at most `limit` consumers.
    pub fn new(
        chain: IdentityChain,
        redactor: Arc<Redactor>,
        metrics: ConsumerMetrics,
        limit: usize,
    ) -> Self {
        let others = Arc::new(Consumer {
            id: OTHERS.to_owned(),
            version: String::new(),
            apart: true,
            counters: metrics.others(),
        });
        Self { chain, redactor, metrics, limit, met: RwLock::default(), others }
    }

    /// Who called. A consumer beyond the limit is told too, but is none to be kept apart.
    pub fn identify(&self, caller: Caller<'_>) -> Arc<Consumer> {
        let identity = self.chain.identify(caller);
        if let Some(known) = self.met.read().get(&identity) {
            return known.clone();
        }
        let consumer = |apart, counters| {
            let id = self.showable(&identity.id);
            Arc::new(Consumer { id, version: self.showable(&identity.version), apart, counters })
        };
        let mut met = self.met.write();
        if met.len() >= self.limit {
            self.metrics.over_limit();
            return consumer(false, self.metrics.others());
        }
        let id = self.showable(&identity.id);
        let fresh = || consumer(true, self.metrics.of(&id));
        met.entry(identity.clone()).or_insert_with(fresh).clone()
    }

    /// What stands for a consumer where only so many are kept apart.
    pub fn counted(&self, consumer: &Arc<Consumer>) -> Arc<Consumer> {
        if consumer.apart { consumer.clone() } else { self.others.clone() }
    }

    /// A name, or a hash of one that looks like a secret.
    fn showable(&self, name: &str) -> String {
        if self.redactor.looks_secret(name) {
            self.chain.hash("hidden", name)
        } else {
            name.to_owned()
        }
    }
}
