//! What could not be reloaded: logged once, and tried again where time may help.

use std::collections::HashMap;
use std::hash::Hash;

use crate::app::error::StartError;

/// The failure of each document or config file that failed when it was last tried.
#[derive(Debug)]
pub(super) struct ReloadErrors<K>(HashMap<K, ReloadError>);

#[derive(Debug)]
struct ReloadError {
    message: String,
    is_retryable: bool,
}

// === impl ReloadErrors ===

impl<K: Hash + Eq + Clone> ReloadErrors<K> {
    /// Records a failure; true if it differs from the one before.
    pub(super) fn record_failure(&mut self, key: &K, error: &StartError) -> bool {
        let entry = ReloadError { message: error.to_string(), is_retryable: is_retryable(error) };
        let message = entry.message.clone();
        self.0.insert(key.clone(), entry).is_none_or(|before| before.message != message)
    }

    /// Whether it failed for a reason outside of its files.
    pub(super) fn is_retryable(&self, key: &K) -> bool {
        self.0.get(key).is_some_and(|entry| entry.is_retryable)
    }

    /// Records a success.
    pub(super) fn clear(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// Keeps only the entries that are `kept`.
    pub(super) fn keep_only(&mut self, kept: impl Fn(&K) -> bool) {
        self.0.retain(|key, _| kept(key));
    }

    /// How many things failed when they were last tried.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Something else changed: every failed reload is tried again.
    pub(super) fn mark_retryable(&mut self) {
        for entry in self.0.values_mut() {
            entry.is_retryable = true;
        }
    }

    /// Every failed reload is tried again, and logged again where it fails.
    pub(super) fn reset(&mut self) {
        self.mark_retryable();
        for entry in self.0.values_mut() {
            entry.message.clear();
        }
    }
}

impl<K> Default for ReloadErrors<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

/// Whether trying again may help although no file changed.
fn is_retryable(error: &StartError) -> bool {
    use crate::registry::RegisterError::{Interrupted, Store};
    match error {
        StartError::Document { reason, .. } => matches!(reason, Store(_) | Interrupted),
        StartError::Settings(_)
        | StartError::ValidationNotStarted
        | StartError::Unreadable { .. }
        | StartError::Operations { .. } => false,
        _ => true,
    }
}
