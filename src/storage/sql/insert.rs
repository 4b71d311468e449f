//! Storing records, once each.
//!
//! The common case is that no record of a batch is stored yet: it is inserted at full speed, and
//! the row count or a violated key shows when that was wrong. Then nothing was stored, existing
//! records are removed from the batch, and the rest is inserted the same way. Either way the
//! `rollups` grow in the same transaction by exactly what was stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::db::Db;
use super::rollup_key::{RollupIds, RollupKey};
use super::rollup_key_cache::RollupKeyCache;
use super::{DbConn, Query, RowReader, Value, ValueList, rollups, validations};
use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::error::StoreError;
use crate::storage::postgres::{arrays, copy};
use crate::storage::store::StoreResult;

/// Rows per statement, biggest first: few distinct statements, so that each is prepared once.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];
/// Records that are worth a COPY. Smaller batches are faster inserted from arrays: COPY ends with
/// a small packet behind another, and the connection holds it back until the server has
/// acknowledged the first, which may take 40 ms (sqlx 0.9 leaves Nagle's algorithm on).
const COPY_THRESHOLD: usize = 1_000;
/// Attempts of a batch when other processes store or delete the same rows.
const ATTEMPTS: u32 = 4;

/// The result of an insert.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct InsertOutcome {
    pub(crate) records: u64,
    /// Rows added to the pending counts.
    pub(crate) pending: usize,
}

/// Stores the records that are not stored yet.
pub(crate) async fn insert_new(
    db: &Db,
    rollup_keys: &RollupKeyCache,
    records: &[Redacted<ValidationRecord>],
) -> StoreResult<InsertOutcome> {
    let mut records: Vec<_> = records.iter().map(Redacted::get).collect();
    for attempt in 1.. {
        if records.is_empty() {
            return Ok(InsertOutcome::default());
        }
        match insert_all(db, rollup_keys, &records).await {
            Ok(Some(pending)) => {
                return Ok(InsertOutcome { records: records.len() as u64, pending });
            }
            Ok(None) if attempt < ATTEMPTS => {
                let existing = existing_ids(&mut db.read().await?.conn(), &records).await?;
                let mut new = HashSet::new();
                records.retain(|record| !existing.contains(&record.id) && new.insert(record.id));
            }
            Ok(None) => break,
            Err(error) => {
                db.clear_partition_cache();
                rollup_keys.clear();
                if attempt == ATTEMPTS || !error.is_concurrent_delete() {
                    return Err(error);
                }
            }
        }
    }
    Err(StoreError::Unavailable("others store the same records at the same time".to_owned()))
}

/// Stores all of the records and returns how many pending rows that added; stores none when some
/// exist already.
async fn insert_all(
    db: &Db,
    rollup_keys: &RollupKeyCache,
    records: &[&ValidationRecord],
) -> StoreResult<Option<usize>> {
    db.ensure_partitions(records).await?;
    let keys = BatchKeys::new(db, rollup_keys, records).await?;
    let mut handle = db.begin().await?;
    let mut conn = handle.conn();
    let new = match &mut conn {
        DbConn::Sqlite(_) => insert(&mut conn, records, &keys).await?,
        DbConn::Postgres(conn) => {
            let rows = records.iter().zip(keys.per_record());
            let rows = rows.map(|(record, ids)| validations::values_of(record, ids.id));
            if records.len() < COPY_THRESHOLD {
                arrays::insert(conn, validations::INSERT_TARGET, rows).await?
            } else {
                copy::copy(conn, validations::INSERT_TARGET, rows).await?
            }
        }
    };
    if !new {
        return Ok(None);
    }
    let codes = records.iter().zip(keys.per_record()).flat_map(|(record, ids)| {
        ids.codes
            .iter()
            .map(|code| [code.as_str().into(), record.validated_at.into(), record.id.into()])
    });
    let codes: Vec<[Value; 3]> = codes.collect();
    insert_codes(&mut conn, codes).await?;
    let counted = records.iter().zip(keys.per_record());
    let counted = counted.map(|(record, ids)| (record.validated_at, ids));
    let pending = rollups::add_pending(&mut conn, counted).await?;
    handle.commit().await?;
    Ok(Some(pending))
}

/// The rollup key of each record of a batch.
struct BatchKeys {
    keys: Vec<Arc<RollupIds>>,
    index_of_record: Vec<usize>,
}

impl BatchKeys {
    async fn new(
        db: &Db,
        rollup_keys: &RollupKeyCache,
        records: &[&ValidationRecord],
    ) -> StoreResult<Self> {
        let mut distinct = Vec::new();
        let mut indexes = HashMap::new();
        let mut index_of_record = Vec::with_capacity(records.len());
        for record in records {
            let key = RollupKey::of(record);
            let index = *indexes.entry(key.clone()).or_insert_with(|| {
                distinct.push(key);
                distinct.len() - 1
            });
            index_of_record.push(index);
        }
        let keys = rollup_keys.resolve(db, &distinct).await?;
        if keys.len() != distinct.len() {
            return Err(StoreError::Unexpected("a rollup key just stored has no id".to_owned()));
        }
        Ok(Self { keys, index_of_record })
    }

    fn per_record(&self) -> impl Iterator<Item = &RollupIds> {
        self.index_of_record.iter().map(|index| &*self.keys[*index])
    }
}

async fn insert(
    conn: &mut DbConn<'_>,
    records: &[&ValidationRecord],
    keys: &BatchKeys,
) -> StoreResult<bool> {
    let rows: Vec<_> = records.iter().zip(keys.per_record()).collect();
    let mut rest = rows.as_slice();
    while let Some(size) = CHUNKS.into_iter().find(|size| *size <= rest.len()) {
        let (chunk, more) = rest.split_at(size);
        let mut query = Query::build(format!("INSERT INTO {} VALUES ", validations::INSERT_TARGET));
        for (index, (record, ids)) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            query.bulk_row(conn.dialect(), validations::values_of(record, ids.id)?);
        }
        query.push(" ON CONFLICT DO NOTHING");
        if conn.run(query).await? < size as u64 {
            return Ok(false);
        }
        rest = more;
    }
    Ok(true)
}

const CODES: &str = "validation_violations (code, validated_at, run_id)";

/// Stores which codes records carry.
async fn insert_codes(conn: &mut DbConn<'_>, codes: Vec<[Value; 3]>) -> StoreResult<()> {
    if let DbConn::Postgres(conn) = conn {
        arrays::insert(conn, CODES, codes.into_iter().map(Ok)).await?;
        return Ok(());
    }
    let mut rest = codes.as_slice();
    while let Some(size) = CHUNKS.into_iter().find(|size| *size <= rest.len()) {
        let (chunk, more) = rest.split_at(size);
        let mut query = Query::build(format!("INSERT INTO {CODES} VALUES "));
        for (index, row) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            query.bulk_row(conn.dialect(), row.clone());
        }
        query.push(" ON CONFLICT DO NOTHING");
        conn.run(query).await?;
        rest = more;
    }
    Ok(())
}

/// The ids where_in those of `records` that are stored.
async fn existing_ids(
    conn: &mut DbConn<'_>,
    records: &[&ValidationRecord],
) -> StoreResult<HashSet<Uuid>> {
    let times = records.iter().map(|record| record.validated_at);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return Ok(HashSet::new());
    };
    let ids = records.iter().map(|record| record.id).collect();
    let mut query = Query::build("SELECT id FROM validation_runs");
    query.where_in(conn.dialect(), "id", ValueList::Ids(ids));
    if let DbConn::Postgres(_) = conn {
        // only the days of the batch; a record that is stored again has kept its time
        query.condition().push("validated_at >= ").bind(first);
        query.condition().push("validated_at <= ").bind(last);
    }
    let rows = conn.rows(query).await?;
    rows.iter().map(|row| RowReader::new(row, "validation_runs", "id").id("id")).collect()
}
