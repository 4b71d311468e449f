//! PostgreSQL: many sidecars on one database.
//!
//! Connections come from a pool of bounded size and are tested before use, so that a restart of
//! the server is felt by the calls under way only. Every connection carries timeouts for
//! statements, locks and idle transactions: every call has a deadline. Records are partitioned by
//! UTC day (see [`partition`]), so that expiring drops whole days. A changed schema is announced
//! by NOTIFY; a sidecar that misses it polls within two seconds.

pub(crate) mod arrays;
pub(crate) mod copy;
pub(crate) mod partition;

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgSslMode};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::error::StoreError;
use super::query::ExpireKind;
use super::sql::DbHandle;
use super::sql::schemas::CHANNEL;
use super::store::StoreResult;
use crate::config::storage::{PostgresSettings, SslMode};
use crate::model::clock::Timestamp;
use crate::model::record::ValidationRecord;

/// How long a missed notification stays unnoticed at most.
const POLL: Duration = Duration::from_secs(1);
/// How long to wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The connections to one database.
pub(crate) struct PostgresDb {
    pool: PgPool,
    listener: Mutex<Option<PgListener>>,
    partitions: partition::PartitionCache,
}

fn connection(settings: &PostgresSettings) -> PgConnectOptions {
    let millis = settings.statement_timeout.as_millis().to_string();
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&settings.host)
        .port(settings.port)
        .username(&settings.user)
        .database(&settings.database)
        .application_name("cvt-sidecar")
        .ssl_mode(settings.ssl_mode.into())
        .options([
            ("statement_timeout", millis.as_str()),
            ("lock_timeout", millis.as_str()),
            ("idle_in_transaction_session_timeout", "60000"),
            ("timezone", "UTC"),
            // compiling a statement took longer than the statements take: 20 of 50 ms
            ("jit", "off"),
            // a plan made for any time reads, or at least locks, every day
            ("plan_cache_mode", "force_custom_plan"),
            // statements of tens of milliseconds, asked beside traffic: no cores to spare for them
            ("max_parallel_workers_per_gather", "0"),
        ]);
    if !settings.password.is_empty() {
        options = options.password(&settings.password);
    }
    if let Some(file) = &settings.ssl_root_cert {
        options = options.ssl_root_cert(file);
    }
    options
}

impl From<SslMode> for PgSslMode {
    fn from(mode: SslMode) -> Self {
        match mode {
            SslMode::Disable => Self::Disable,
            SslMode::Allow => Self::Allow,
            SslMode::Prefer => Self::Prefer,
            SslMode::Require => Self::Require,
            SslMode::VerifyCa => Self::VerifyCa,
            SslMode::VerifyFull => Self::VerifyFull,
        }
    }
}

// === impl PostgresDb ===

impl PostgresDb {
    /// Prepares to connect to the database as it is; nothing is contacted yet.
    pub(crate) fn prepare(settings: &PostgresSettings) -> StoreResult<Self> {
        if let Some(file) = &settings.ssl_root_cert {
            // a connection would only say that some file is missing
            let refused =
                |error| StoreError::Refused(format!("sslrootcert {}: {error}", file.display()));
            std::fs::File::open(file).map_err(refused)?;
        }
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(Duration::from_hours(1))
            .idle_timeout(Duration::from_mins(10))
            .connect_lazy_with(connection(settings));
        Ok(Self {
            pool,
            listener: Mutex::new(None),
            partitions: partition::PartitionCache::default(),
        })
    }

    pub(crate) async fn read(&self) -> StoreResult<DbHandle> {
        Ok(DbHandle::PostgresRead(self.pool.acquire().await?))
    }

    pub(crate) async fn snapshot(&self) -> StoreResult<DbHandle> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        Ok(DbHandle::PostgresWrite(self.pool.begin_with(begin).await?))
    }

    pub(crate) async fn begin(&self) -> StoreResult<DbHandle> {
        Ok(DbHandle::PostgresWrite(self.pool.begin().await?))
    }

    /// Creates the partitions of the days that records fall on.
    pub(crate) async fn ensure_partitions(&self, records: &[&ValidationRecord]) -> StoreResult<()> {
        self.partitions.ensure(&self.pool, records).await
    }

    /// Clears the cache of partitions: another sidecar may have dropped one.
    pub(crate) fn clear_partition_cache(&self) {
        self.partitions.clear();
    }

    /// Drops one whole day that expires; `None` when there is none.
    pub(crate) async fn expire_day(
        &self,
        kind: ExpireKind,
        older_than: Timestamp,
    ) -> StoreResult<Option<u64>> {
        if kind == ExpireKind::Bodies {
            return Ok(None);
        }
        self.partitions.drop_oldest(&self.pool, kind, older_than).await
    }

    /// Waits for a notification of another sidecar, or until the next poll.
    pub(crate) async fn wait_for_change(&self, max_wait: Duration) {
        let max_wait = max_wait.min(POLL);
        // one waiter listens; the others poll
        let Ok(mut slot) = self.listener.try_lock() else {
            return tokio::time::sleep(max_wait).await;
        };
        if slot.is_none() {
            *slot = self.listen().await.ok();
            if slot.is_some() {
                // what changed before we listened was not announced: poll first
                return;
            }
        }
        let Some(listener) = slot.as_mut() else {
            return tokio::time::sleep(max_wait).await;
        };
        if let Ok(Err(_)) = timeout(max_wait, listener.recv()).await {
            *slot = None;
            tokio::time::sleep(max_wait).await;
        }
    }

    async fn listen(&self) -> StoreResult<PgListener> {
        let connect = async {
            let mut listener = PgListener::connect_with(&self.pool).await?;
            // close() must not wait for a connection that listens
            listener.ignore_pool_close_event(false);
            listener.listen(CHANNEL).await?;
            Ok::<_, sqlx::Error>(listener)
        };
        match timeout(ACQUIRE_TIMEOUT, connect).await {
            Ok(listener) => Ok(listener?),
            Err(_) => Err(StoreError::Unavailable("listening took too long".to_owned())),
        }
    }

    pub(crate) async fn ping(&self) -> StoreResult<()> {
        let row = sqlx::query_scalar::<_, bool>(
            "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool",
        );
        if row.fetch_one(&self.pool).await? {
            return Err(StoreError::Unavailable("the server is read-only".to_owned()));
        }
        Ok(())
    }

    pub(crate) async fn close(&self) {
        self.listener.lock().await.take();
        self.pool.close().await;
    }
}
