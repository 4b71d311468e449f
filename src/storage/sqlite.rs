//! SQLite: one file, one writer, many readers.
//!
//! Write-ahead logging lets readers go on while the writer writes, also in other processes.
//! With `synchronous = NORMAL` a commit survives the process; a power cut may take the last
//! commits but never the database. One connection writes, so that writers of this process wait
//! for each other in order instead of for a busy lock. What is deleted is overwritten
//! (`secure_delete`), in pages that are free as well: expired payloads and purged names do not
//! lie in the file for years. Measured, a deleted record costs 11 µs instead of 6 and its pages
//! are written once more; storing costs the same. Every pragma is read back after opening: a
//! file system or an option that silently ignores one is an error.

pub(crate) mod database_files;
pub(crate) mod transaction;

use std::path::PathBuf;
use std::time::Duration;

use parking_lot::Mutex;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection, SqlitePool};

use super::error::StoreError;
use super::sql::DbHandle;
use super::store::StoreResult;
use transaction::WriteTransaction;

/// How often other processes' registrations are looked for.
const POLL: Duration = Duration::from_millis(500);
/// Memory for pages, per connection, in KiB.
const CACHE_KIB: i64 = 16 * 1024;
/// Pages in the write-ahead log that are worth a checkpoint: 16 MiB. Each moves the pages of
/// all indexes: batches of 100 records stored 15,000 rows/s with 32 MiB, 10,800 with SQLite's
/// own 4.
const CHECKPOINT_PAGES: u32 = 4_000;
/// The write-ahead log is cut back to this size after a checkpoint.
const JOURNAL_LIMIT: i64 = 64 * 1024 * 1024;

/// A ping reads the file through a new connection no more often than this.
const INSPECTION_INTERVAL: Duration = Duration::from_secs(4);
/// A file of up to this many pages (4 MiB) is then read as a whole, which takes some
/// milliseconds; of a larger one the first pages of every table.
const INSPECTED_PAGES: i64 = 1_024;

/// How to open a SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The file; made when it is not there, its directory is not.
    pub path: PathBuf,
    /// How long to wait for a lock that another process holds.
    pub busy_timeout: Duration,
    /// Connections that read.
    pub readers: u32,
    /// Open for reading only, as the command line does while a sidecar writes.
    pub read_only: bool,
    /// The most pages the file may have; `None` leaves it to the disk.
    pub max_pages: Option<u32>,
}

/// The connections to one file.
pub(crate) struct SqliteDb {
    /// `None` when opened for reading only.
    writer: Option<SqlitePool>,
    readers: SqlitePool,
    /// For a connection that has read nothing yet.
    fresh: SqliteConnectOptions,
    inspected: Mutex<Option<tokio::time::Instant>>,
}

// === impl SqliteOptions ===

impl SqliteOptions {
    /// The defaults for `path`: wait 5 s, 4 readers.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            busy_timeout: Duration::from_secs(5),
            readers: 4,
            read_only: false,
            max_pages: None,
        }
    }

    /// Opens the file as it is.
    pub(crate) async fn connect(&self) -> StoreResult<SqliteDb> {
        let writer = if self.read_only { None } else { Some(self.writer().await?) };
        let options = self.connection().read_only(true);
        let fresh = options.clone();
        // A snapshot that SQLite ended by itself cannot be rolled back: its connection is closed.
        let readers = self.pool(self.readers.max(1)).after_release(|conn, _| {
            Box::pin(async move {
                conn.ping().await?;
                Ok(!conn.is_in_transaction())
            })
        });
        let readers = readers.connect_lazy_with(options);
        verify(&readers, self).await?;
        Ok(SqliteDb { writer, readers, fresh, inspected: Mutex::new(None) })
    }

    async fn writer(&self) -> StoreResult<SqlitePool> {
        let mut options = self
            .connection()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("journal_size_limit", JOURNAL_LIMIT.to_string())
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
            .pragma("temp_store", "MEMORY");
        if let Some(pages) = self.max_pages {
            options = options.pragma("max_page_count", pages.to_string());
        }
        let pool = self.pool(1).connect_lazy_with(options);
        verify(&pool, self).await?;
        let overwrites: i64 =
            sqlx::query("PRAGMA secure_delete").fetch_one(&pool).await?.try_get(0)?;
        agree(self, "secure_delete", &overwrites.to_string(), "1")?;
        Ok(pool)
    }

    fn connection(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .busy_timeout(self.busy_timeout)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .pragma("cache_size", format!("-{CACHE_KIB}"))
    }

    fn pool(&self, connections: u32) -> SqlitePoolOptions {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            // a queue of writers may have to outwait the busy one
            .acquire_timeout(self.busy_timeout * 2)
    }
}

/// Reads the pragmas back.
async fn verify(pool: &SqlitePool, options: &SqliteOptions) -> StoreResult<()> {
    let mut conn = pool.acquire().await.map_err(|error| opening(error, options))?;
    let mode: String =
        sqlx::query("PRAGMA journal_mode").fetch_one(&mut *conn).await?.try_get(0)?;
    let synchronous: i64 =
        sqlx::query("PRAGMA synchronous").fetch_one(&mut *conn).await?.try_get(0)?;
    let busy: i64 = sqlx::query("PRAGMA busy_timeout").fetch_one(&mut *conn).await?.try_get(0)?;
    let expected = i64::try_from(options.busy_timeout.as_millis()).unwrap_or(i64::MAX);
    for (pragma, found, wanted) in [
        ("journal_mode", mode, "wal".to_owned()),
        ("synchronous", synchronous.to_string(), "1".to_owned()),
        ("busy_timeout", busy.to_string(), expected.to_string()),
    ] {
        agree(options, pragma, &found, &wanted)?;
    }
    Ok(())
}

fn agree(options: &SqliteOptions, pragma: &str, found: &str, wanted: &str) -> StoreResult<()> {
    if found == wanted {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "{} has {pragma} {found}, not {wanted}; put it on a local disk",
        options.path.display()
    )))
}

/// An error on opening names the file.
fn opening(error: sqlx::Error, options: &SqliteOptions) -> StoreError {
    let path = options.path.display();
    match StoreError::from(error) {
        StoreError::Refused(text) => StoreError::Refused(format!("{path}: {text}")),
        StoreError::Foreign(text) => StoreError::Foreign(format!("{path}: {text}")),
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{path}: {text}")),
        other => other,
    }
}

// === impl SqliteDb ===

impl SqliteDb {
    fn writer(&self) -> StoreResult<&SqlitePool> {
        let refused = || StoreError::Refused("it was opened for reading only".to_owned());
        self.writer.as_ref().ok_or_else(refused)
    }

    pub(crate) async fn read(&self) -> StoreResult<DbHandle> {
        Ok(DbHandle::SqliteRead(self.readers.acquire().await?))
    }

    pub(crate) async fn snapshot(&self) -> StoreResult<DbHandle> {
        Ok(DbHandle::SqliteSnapshot(self.readers.begin().await?))
    }

    pub(crate) async fn begin(&self) -> StoreResult<DbHandle> {
        Ok(DbHandle::SqliteWrite(WriteTransaction::begin(self.writer()?).await?))
    }

    pub(crate) async fn wait_for_change(&self, max_wait: Duration) {
        tokio::time::sleep(max_wait.min(POLL)).await;
    }

    /// Writes something that changes nothing, so that a full or read-only disk shows, and now and
    /// then reads the file as it lies on disk: the pages that the pools remember hide damage.
    pub(crate) async fn ping(&self) -> StoreResult<()> {
        let mut tx = WriteTransaction::begin(self.writer()?).await?;
        let version: i64 =
            sqlx::query("PRAGMA user_version").fetch_one(tx.conn()).await?.try_get(0)?;
        let same = sqlx::AssertSqlSafe(format!("PRAGMA user_version = {version}"));
        sqlx::raw_sql(same).execute(tx.conn()).await?;
        tx.commit().await?;
        if !self.inspection_is_due() {
            return Ok(());
        }
        let mut conn = self.fresh.connect().await?;
        let inspected = inspect(&mut conn).await;
        let _ = conn.close().await;
        if inspected.is_err() {
            *self.inspected.lock() = None;
        }
        inspected
    }

    fn inspection_is_due(&self) -> bool {
        let mut inspected = self.inspected.lock();
        let due = inspected.is_none_or(|at| at.elapsed() >= INSPECTION_INTERVAL);
        if due {
            *inspected = Some(tokio::time::Instant::now());
        }
        due
    }

    /// Moves what the log holds into the file and empties the log, unless a reader still needs
    /// it: then the next checkpoint does.
    pub(crate) async fn empty_log(&self) -> StoreResult<()> {
        let done = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(self.writer()?).await?;
        if done.try_get::<i64, _>(0)? != 0 {
            tracing::debug!(event = "wal_in_use", "a reader keeps the log of the database");
        }
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

/// Reads the file through a connection that remembers no page of it.
async fn inspect(conn: &mut SqliteConnection) -> StoreResult<()> {
    let pages: i64 = sqlx::query("PRAGMA page_count").fetch_one(&mut *conn).await?.try_get(0)?;
    if pages <= INSPECTED_PAGES {
        let found: String =
            sqlx::query("PRAGMA quick_check(1)").fetch_one(conn).await?.try_get(0)?;
        let damaged = || StoreError::Foreign(format!("it is damaged: {found}"));
        return if found == "ok" { Ok(()) } else { Err(damaged()) };
    }
    let tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'";
    for table in sqlx::query(tables).fetch_all(&mut *conn).await? {
        let name: String = table.try_get(0)?;
        let first = format!("SELECT 1 FROM \"{}\" LIMIT 1", name.replace('"', "\"\""));
        sqlx::query(sqlx::AssertSqlSafe(first)).fetch_optional(&mut *conn).await?;
    }
    Ok(())
}
