//! A transaction of the one connection that writes.
//!
//! Invariants: a connection goes back to its pool after a successful `COMMIT` only. An error may
//! have ended the transaction inside SQLite (a full disk does), which neither sqlx nor we can
//! see; whatever ends in another way, also by being cancelled, costs the connection. Opening one
//! takes a millisecond.

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

use crate::storage::store::StoreResult;

/// A transaction to write in; dropped without a commit it leaves nothing behind.
pub(crate) struct WriteTransaction {
    connection: PoolConnection<Sqlite>,
    committed: bool,
}

// === impl WriteTransaction ===

impl WriteTransaction {
    /// Waits for the connection and for the lock of the file.
    pub(crate) async fn begin(pool: &SqlitePool) -> StoreResult<Self> {
        let mut tx = Self { connection: pool.acquire().await?, committed: false };
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *tx.connection).await?;
        Ok(tx)
    }

    /// The connection.
    pub(crate) fn conn(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Commits what was written.
    pub(crate) async fn commit(mut self) -> StoreResult<()> {
        sqlx::raw_sql("COMMIT").execute(&mut *self.connection).await?;
        self.committed = true;
        Ok(())
    }
}

impl Drop for WriteTransaction {
    fn drop(&mut self) {
        if !self.committed {
            self.connection.close_on_drop();
        }
    }
}
