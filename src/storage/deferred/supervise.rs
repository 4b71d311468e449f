//! Opening the database again and again, and watching over it while it is open.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;

use super::{DeferredStore, OpenStore, State};
use crate::storage::fault::StorageFault;
use crate::storage::query::OnConflict;
use crate::storage::store::{Store as _, StoreResult};

/// Time between two attempts to reach the database, and between two checks of its files.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Time between two attempts where a server refuses: only an operator can change that, and a
/// server may count wrong passwords.
const REFUSED_INTERVAL: Duration = Duration::from_secs(10);
/// Time between two writes that try whether a file can be written.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Between two checks that failing operations ask for.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(200);
/// The longest to wait for operations on a database that is given up.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

// === impl DeferredStore ===

impl DeferredStore {
    /// Keeps the database open until `stop` turns true: opens it as often as it takes, and opens
    /// it anew when something happened to its file.
    pub async fn supervise(&self, mut stop: watch::Receiver<bool>) {
        while self.open(&mut stop).await {
            let Some(open) = self.opened() else { continue };
            if open.files.is_none() {
                return;
            }
            let watching = self.watch(&open);
            let fault = tokio::select! {
                fault = watching => fault,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            self.give_up(open, fault).await;
        }
    }

    /// Retries until the database is open and the queued registrations are stored, or until
    /// `stop` turns true. Says whether the database is open.
    async fn open(&self, stop: &mut watch::Receiver<bool>) -> bool {
        while self.is_closed() {
            match self.try_open().await {
                Ok(()) => {
                    let place = self.settings.to_string();
                    tracing::info!(event = "storage_opened", place);
                    return true;
                }
                Err(error) => {
                    tracing::debug!(event = "storage_not_ready", %error);
                    let brief = error.is_transient() || self.backend() == "sqlite";
                    let interval = if brief { RETRY_INTERVAL } else { REFUSED_INTERVAL };
                    tokio::select! {
                        () = tokio::time::sleep(interval) => {}
                        _ = stop.wait_for(|stop| *stop) => return false,
                    }
                }
            }
        }
        true
    }

    fn opened(&self) -> Option<OpenStore> {
        match &*self.state.read() {
            State::Closed { .. } => None,
            State::Open(open) | State::Suspended(open, _) => Some(open.clone()),
        }
    }

    /// Ends with a fault that only opening the database anew can end.
    async fn watch(&self, open: &OpenStore) -> StorageFault {
        let mut current = None;
        let mut pinged = tokio::time::Instant::now();
        loop {
            let suspected = tokio::select! {
                () = self.suspected.notified() => true,
                () = tokio::time::sleep(RETRY_INTERVAL) => false,
            };
            let ping = suspected || current.is_some() || pinged.elapsed() >= PING_INTERVAL;
            if ping {
                pinged = tokio::time::Instant::now();
            }
            let found = self.check(open, ping).await;
            // a check without a ping sees the files alone
            if ping || found.is_some() {
                self.report(&mut current, found);
                self.suspend(open, found);
            }
            if let Some(fault) = found.filter(|fault| fault.needs_reopening()) {
                return fault;
            }
            tokio::time::sleep(MIN_CHECK_INTERVAL).await;
        }
    }

    async fn check(&self, open: &OpenStore, ping: bool) -> Option<StorageFault> {
        let files = || open.files.as_ref().and_then(|files| files.fault());
        if let Some(fault) = files() {
            return Some(fault);
        }
        if !ping {
            return None;
        }
        let pinged = open.store.ping().await;
        let full = self.full.load(Ordering::Relaxed).then_some(StorageFault::Full);
        files().or(pinged.err().as_ref().and_then(StorageFault::of)).or(full)
    }

    /// Says what is new: once when a fault is found, once when it is over.
    fn report(&self, current: &mut Option<StorageFault>, found: Option<StorageFault>) {
        if *current == found {
            return;
        }
        *current = found;
        let place = self.settings.to_string();
        let Some(fault) = found else {
            tracing::info!(event = "storage_fault_over", place, "the database is well again");
            return;
        };
        self.fault_metrics.count(fault);
        let (fault, sentence) = (fault.as_str(), fault.sentence());
        tracing::error!(event = "storage_fault", fault, place, "{sentence}");
    }

    /// What can be read only is not written to until it can be written.
    fn suspend(&self, open: &OpenStore, found: Option<StorageFault>) {
        let suspended = found.filter(|fault| *fault == StorageFault::ReadOnly);
        *self.state.write() = match suspended {
            Some(fault) => State::Suspended(open.clone(), fault),
            None => State::Open(open.clone()),
        };
    }

    /// Closes a database to open it anew.
    async fn give_up(&self, open: OpenStore, fault: StorageFault) {
        *self.state.write() = State::Closed { reason: fault.sentence().to_owned(), was_open: true };
        match fault {
            StorageFault::Deleted => {
                // An open file can be read although it has no name any more.
                if let Err(error) = self.keep_registrations(&open).await {
                    tracing::warn!(event = "schemas_not_kept", %error, "register them again");
                }
            }
            StorageFault::Corrupt => self.damaged.store(true, Ordering::Relaxed),
            _ => {}
        }
        if tokio::time::timeout(CLOSE_TIMEOUT, open.store.close()).await.is_err() {
            tracing::debug!(event = "storage_close_slow", "an operation holds the old database");
        }
        let files = open.files.clone();
        let removed = tokio::task::spawn_blocking(move || {
            files.map_or(Ok(()), |files| files.remove_leftovers())
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(event = "storage_leftovers", %error, "remove the -wal and -shm files");
        }
    }

    /// Queues the schemas of a deleted database for the next one, before what waits already.
    async fn keep_registrations(&self, open: &OpenStore) -> StoreResult<()> {
        let mut kept = Vec::new();
        for schema_id in open.store.list_schema_ids().await? {
            for version in open.store.list_versions(&schema_id).await?.into_iter().rev() {
                let found = open.store.get_schema_version(&schema_id, &version).await?;
                kept.extend(found.map(|record| (record, OnConflict::Replace)));
            }
        }
        let mut registrations = self.pending_registrations.lock().await;
        kept.append(&mut registrations);
        *registrations = kept;
        Ok(())
    }
}
