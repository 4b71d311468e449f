//! An empty database of either kind, and raw SQL against it.

use std::sync::Arc;

use cvt_sidecar::config::storage::StorageSettings;
use cvt_sidecar::storage::{self, Access, Store, StoreResult};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::store_fixture::{clock, new_database, server};

/// A database that no store has opened yet.
pub(crate) struct RawDatabase {
    pub(crate) settings: StorageSettings,
    /// Removed when dropped.
    _dir: Option<TempDir>,
}

impl RawDatabase {
    pub(crate) fn sqlite() -> Self {
        let dir = TempDir::new().unwrap();
        let settings = StorageSettings::Sqlite { path: dir.path().join("cvt.db") };
        Self { settings, _dir: Some(dir) }
    }

    pub(crate) fn postgres() -> Self {
        let settings = StorageSettings::Postgres(server().settings(&new_database()));
        Self { settings, _dir: None }
    }

    pub(crate) fn both() -> [Self; 2] {
        [Self::sqlite(), Self::postgres()]
    }

    /// `sqlite` or `postgres`, as the directories of the migrations are called.
    pub(crate) fn kind(&self) -> &'static str {
        match self.settings {
            StorageSettings::Sqlite { .. } => "sqlite",
            _ => "postgres",
        }
    }

    pub(crate) async fn open(&self, access: Access) -> StoreResult<Arc<dyn Store>> {
        storage::open(&self.settings, access, clock()).await
    }

    /// Runs a script.
    pub(crate) async fn run(&self, sql: &str) {
        match &self.settings {
            StorageSettings::Postgres(settings) => drop(server().psql(&settings.database, sql)),
            StorageSettings::Sqlite { path } => {
                let url = format!("sqlite://{}?mode=rwc", path.display());
                let mut conn = SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
                conn.close().await.unwrap();
            }
            StorageSettings::Memory => unreachable!("memory has no SQL"),
        }
    }
}
