//! Backfills the counts of records that an earlier version stored.
//!
//! Such a record has no rollup key, and no rollup counts it. After a migration they are processed
//! in batches: each sets the key of some records and counts them in one transaction, so that the
//! backfill may be interrupted, repeated and run by several processes at once.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use super::db::Db;
use super::rollup_key::RollupKey;
use super::rollup_key_cache::RollupKeyCache;
use super::{DbConn, DbRow, Query, RowReader, rollups};
use crate::model::clock::Timestamp;
use crate::storage::error::StoreError;
use crate::storage::store::StoreResult;

/// Records per transaction: few enough that other writers wait for a fraction of a second.
const BATCH: u32 = 1_000;
/// Records per statement.
const CHUNK: usize = 100;
/// Batches between two progress events.
const LOG_EVERY: u64 = 50;
/// Attempts in a row while other processes hold the database. SQLite does not queue waiters for
/// its lock, so that one of several processes may fail for long.
const MAX_ATTEMPTS: u32 = 12;

/// A record without rollup key.
struct Uncounted {
    id: Uuid,
    at: Timestamp,
    key: RollupKey<'static>,
}

/// Counts every record that is not counted yet; returns how many.
pub(crate) async fn backfill_counts(db: &Db, rollup_keys: &RollupKeyCache) -> StoreResult<u64> {
    let (mut counted, mut steps, mut attempts) = (0, 0, 0);
    loop {
        let records = uncounted(&mut db.read().await?.conn()).await?;
        if records.is_empty() {
            if counted > 0 {
                tracing::info!(event = "backfill_finished", counted, "the migration is complete");
            }
            return Ok(counted);
        }
        match backfill_batch(db, rollup_keys, &records).await {
            Ok(done) => (counted, attempts) = (counted + done, 0),
            Err(StoreError::Unavailable(_)) if attempts + 1 < MAX_ATTEMPTS => attempts += 1,
            Err(error) => return Err(error),
        }
        steps += 1;
        if steps % LOG_EVERY == 0 {
            tracing::info!(event = "backfill_progress", counted, "counting earlier records");
        }
    }
}

async fn uncounted(conn: &mut DbConn<'_>) -> StoreResult<Vec<Uncounted>> {
    let mut query = Query::build(
        "SELECT id, validated_at, schema_id, environment, request_method, \
         COALESCE(path_template, operation) AS path_template, consumer_id, valid, violations \
         FROM validation_runs WHERE series IS NULL ORDER BY validated_at LIMIT ",
    );
    query.bind(BATCH);
    conn.rows(query).await?.iter().map(uncounted_from_row).collect()
}

fn uncounted_from_row(row: &DbRow) -> StoreResult<Uncounted> {
    #[derive(Deserialize)]
    struct Coded {
        code: String,
    }
    let row = RowReader::new(row, "validation_runs", "id");
    // a list that cannot be read is reported when its record is; it must not stop a start
    let mut codes: Vec<Cow<'static, str>> = row
        .json::<Vec<Coded>>("violations")
        .map(|found| found.into_iter().map(|one| one.code.into()).collect())
        .unwrap_or_default();
    codes.sort_unstable();
    codes.dedup();
    Ok(Uncounted {
        id: row.id("id")?,
        at: row.at("validated_at")?,
        key: RollupKey::of_row(row, codes)?,
    })
}

/// Counts these records; none when another process counts some of them.
async fn backfill_batch(
    db: &Db,
    rollup_keys: &RollupKeyCache,
    records: &[Uncounted],
) -> StoreResult<u64> {
    let keys: Vec<_> = records.iter().map(|record| record.key.clone()).collect();
    let ids = rollup_keys.resolve(db, &keys).await?;
    let rows: Vec<_> = records.iter().zip(&ids).collect();
    let mut handle = db.begin().await?;
    let mut conn = handle.conn();
    for chunk in rows.chunks(CHUNK) {
        let mut query =
            Query::build("UPDATE validation_runs AS r SET series = v.column1 FROM (VALUES ");
        for (index, (record, ids)) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            let row = [ids.id.into(), record.id.into(), record.at.into()];
            query.bulk_row(conn.dialect(), row);
        }
        query.push(
            ") AS v WHERE r.id = v.column2 AND r.validated_at = v.column3 AND r.series IS NULL",
        );
        if conn.run(query).await? < chunk.len() as u64 {
            return Ok(0);
        }
    }
    rollups::add_pending(&mut conn, rows.iter().map(|(record, ids)| (record.at, &***ids))).await?;
    rollups::compact(&mut conn, std::iter::empty()).await?;
    handle.commit().await?;
    Ok(records.len() as u64)
}
