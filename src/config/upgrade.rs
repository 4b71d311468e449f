//! How a new process takes the place of an old one.

use std::path::PathBuf;

use super::{Problems, Setting, Values};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[Setting::new("upgrade.socket", &["CVT_UPGRADE_SOCKET"])];

/// Where the two processes connect.
#[derive(Debug, Clone)]
pub struct UpgradeSettings {
    /// Path of the socket over which listeners are handed over.
    pub socket: PathBuf,
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> UpgradeSettings {
    let path = |text: &str| match text {
        // The kernel's own limit for the path of a socket.
        text if text.is_empty() || text.len() > 107 => {
            Err("expected a path of at most 107 bytes".to_owned())
        }
        text => Ok(PathBuf::from(text)),
    };
    UpgradeSettings {
        socket: values.read("upgrade.socket", "cvt-upgrade.sock".into(), problems, path),
    }
}
