//! Where schemas, records and consumers are kept.

use super::{Problems, Setting, Values, parse};

/// Names of this section's settings.
pub const SETTINGS: &[Setting] = &[
    Setting::new("storage.enabled", &["CVT_STORAGE_ENABLED"]),
    Setting::new("storage.dsn", &["CVT_STORAGE_DSN"]),
];

/// Where things are kept when nobody says otherwise.
pub const DEFAULT_DSN: &str = "cvt.db";

/// Where things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageSettings {
    /// In this process only.
    Memory,
    /// In a SQLite file.
    Sqlite {
        /// Path of the file.
        path: std::path::PathBuf,
    },
}

/// Reads and checks this section.
pub fn read(values: &Values, problems: &mut Problems) -> StorageSettings {
    let enabled = values.read("storage.enabled", true, problems, parse::boolean);
    let default = StorageSettings::Sqlite { path: DEFAULT_DSN.into() };
    let settings = values.read("storage.dsn", default, problems, StorageSettings::parse);
    if enabled { settings } else { StorageSettings::Memory }
}

// === impl StorageSettings ===

impl StorageSettings {
    /// Reads a path, `sqlite://PATH` or `memory:`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || Err("expected a path, sqlite://PATH or memory:".to_owned());
        match text.split_once("://") {
            _ if text == "memory:" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite { path: path.into() }),
            Some(_) => expected(),
            None if text.is_empty() => expected(),
            None => Ok(Self::Sqlite { path: text.into() }),
        }
    }
}
