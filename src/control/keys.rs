//! The keys that headers and bodies are encrypted with.

use std::sync::Arc;

use serde::Serialize;

use super::ControlError;
use super::page_walk::PageWalk;
use crate::config::encryption::SecretKey;
use crate::encryption::{KeyId, Keyring};
use crate::model::random::RandomSource;
use crate::storage::{EncryptedStore, Store};

/// Records re-encrypted per batch.
const BATCH: u32 = 200;

/// A key that nothing is encrypted with yet.
pub(crate) struct NewKey {
    /// Its id, as rotations and errors name it.
    pub(crate) id: KeyId,
    /// The key itself.
    pub(crate) secret: SecretKey,
}

/// Encrypts every record with the active key of a ring.
pub(crate) struct KeyRotation {
    keys: Keyring,
    active: KeyId,
}

/// What a rotation did.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RotationReport {
    /// The id of the key that everything is encrypted with now.
    pub(crate) key: String,
    /// Records examined.
    pub(crate) records: u64,
    /// Records that were in clear or under another key.
    pub(crate) reencrypted: u64,
}

/// Makes a key.
pub(crate) fn generate(random: &dyn RandomSource) -> Result<NewKey, ControlError> {
    let mut bytes = [0; 32];
    random.fill(&mut bytes)?;
    let secret = SecretKey::new(bytes);
    Ok(NewKey { id: KeyId::of(&secret), secret })
}

// === impl KeyRotation ===

impl KeyRotation {
    /// A rotation to the active key of `keys`; the others read what is there.
    pub(crate) fn new(keys: Keyring) -> Result<Self, ControlError> {
        let active = keys.active_key_id().ok_or(ControlError::NoKey)?;
        Ok(Self { keys, active })
    }

    /// Goes through all records of `store`, which must not decrypt by itself. May be stopped and
    /// run again.
    pub(crate) async fn run(self, store: Arc<dyn Store>) -> Result<RotationReport, ControlError> {
        let store = EncryptedStore::new(store, self.keys);
        let mut report =
            RotationReport { key: self.active.to_string(), records: 0, reencrypted: 0 };
        let mut walk = PageWalk::by(BATCH);
        while let Some(page) = walk.next() {
            let done = store.reencrypt(&page).await?;
            report.records += done.seen;
            report.reencrypted += done.changed;
            walk.move_to(done.next);
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixtures;
    use crate::model::random::SeededRandom;
    use crate::storage::{PageRequest, ValidationFilter, ValidationStore as _};

    fn ring(secrets: &[SecretKey]) -> Keyring {
        Keyring::new(secrets, Arc::new(SeededRandom::new(7)))
    }

    #[tokio::test]
    async fn a_rotation_encrypts_every_record_once_and_needs_a_key() {
        let store = fixtures::used_store().await;
        let random = SeededRandom::new(1);
        let (old, new) = (generate(&random).unwrap(), generate(&random).unwrap());
        assert_ne!(old.id, new.id);
        let keys = [new.secret, old.secret];
        let report =
            |reencrypted| RotationReport { key: new.id.to_string(), records: 3, reencrypted };
        let rotate = || KeyRotation::new(ring(&keys)).unwrap().run(store.clone());
        assert_eq!(rotate().await.unwrap(), report(3));
        assert_eq!(rotate().await.unwrap(), report(0), "all of them have the key");
        let filter = ValidationFilter::default();
        let stored = store.list_validations(&filter, &PageRequest::first(1)).await.unwrap();
        assert!(!format!("{:?}", stored.items).contains("Dune"));
        let opened = EncryptedStore::new(store.clone(), ring(&keys));
        let read = opened.list_validations(&filter, &PageRequest::first(1)).await.unwrap();
        assert!(format!("{:?}", read.items).contains("Dune"));
        let none = KeyRotation::new(ring(&[]));
        assert!(matches!(none.err(), Some(ControlError::NoKey)));
    }
}
