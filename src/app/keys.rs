//! From settings to a ring of keys.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::encryption::{EncryptionSettings, parse_keys};
use crate::encryption::Keyring;
use crate::model::random::SystemRandom;

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("{}: the key file cannot be read: {reason}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// The error of the operating system.
        reason: std::io::Error,
    },
    /// The file holds something else.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// What was expected; nothing of what was found.
        reason: String,
    },
}

/// The keys that `settings` name; an empty ring when they name none.
pub fn keyring(settings: &EncryptionSettings) -> Result<Keyring, KeyError> {
    let keys = match settings {
        EncryptionSettings::Off => Vec::new(),
        EncryptionSettings::Keys(keys) => keys.clone(),
        EncryptionSettings::File(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|reason| KeyError::Unreadable { path: path.clone(), reason })?;
            parse_keys(&text)
                .map_err(|reason| KeyError::Malformed { path: path.clone(), reason })?
        }
    };
    Ok(Keyring::new(&keys, Arc::new(SystemRandom)))
}
