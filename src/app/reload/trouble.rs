//! What could not be reloaded: said once, and tried again where time may help.

use std::collections::HashMap;
use std::hash::Hash;

use crate::app::StartError;

/// The failure of each thing that failed when it was last tried.
#[derive(Debug)]
pub(super) struct Troubles<K>(HashMap<K, Trouble>);

#[derive(Debug)]
struct Trouble {
    said: String,
    may_pass: bool,
}

// === impl Troubles ===

impl<K: Hash + Eq + Clone> Troubles<K> {
    /// Notes a failure; whether it is another one than before.
    pub(super) fn is_news(&mut self, thing: &K, error: &StartError) -> bool {
        let trouble = Trouble { said: error.to_string(), may_pass: may_pass(error) };
        let said = trouble.said.clone();
        self.0.insert(thing.clone(), trouble).is_none_or(|before| before.said != said)
    }

    /// Whether it failed for a reason that does not lie in its files.
    pub(super) fn may_pass(&self, thing: &K) -> bool {
        self.0.get(thing).is_some_and(|trouble| trouble.may_pass)
    }

    /// Notes a success.
    pub(super) fn end(&mut self, thing: &K) {
        self.0.remove(thing);
    }

    /// Forgets everything that is not to be `kept`.
    pub(super) fn keep_only(&mut self, kept: impl Fn(&K) -> bool) {
        self.0.retain(|thing, _| kept(thing));
    }

    /// How many things failed when they were last tried.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Something else changed: whatever failed is tried again.
    pub(super) fn retry(&mut self) {
        for trouble in self.0.values_mut() {
            trouble.may_pass = true;
        }
    }

    /// Whatever failed is tried again, and said again where it fails.
    pub(super) fn repeat(&mut self) {
        self.retry();
        for trouble in self.0.values_mut() {
            trouble.said.clear();
        }
    }
}

impl<K> Default for Troubles<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// Whether trying again may help although no file changed.
fn may_pass(error: &StartError) -> bool {
    use crate::registry::RegisterError::{Interrupted, Store};
    match error {
        StartError::Document { reason, .. } => matches!(reason, Store(_) | Interrupted),
        StartError::Settings(_)
        | StartError::NoJudges
        | StartError::Unreadable { .. }
        | StartError::Operations { .. } => false,
        _ => true,
    }
}
