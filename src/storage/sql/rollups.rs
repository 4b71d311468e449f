//! Rollups: how many records of each rollup key fall into each bucket of time.
//!
//! Invariants:
//! - Counts and records change in one transaction and agree at every instant.
//! - Readers add pending counts and rollups up.
//! - A count of zero has no row.
//!
//! The counts of a batch are first added as pending rows, by key and minute, to
//! `validation_recent`. One process at a time compacts them into `validation_rollups`: the counts
//! of a busy key are then updated once for many batches. Deletions are compacted at once.
//!
//! Keys are counted in every [`BucketSpan`], aggregates by the hour, the aggregate over everything
//! also by the minute: many records of a busy hour share an aggregate, few of a quiet minute do.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::buckets::BucketSpan;
use super::rollup_key::{self, RollupIds};
use super::{DbConn, Query, RowReader, SqlDialect, Value, ValueList};
use crate::model::clock::Timestamp;
use crate::storage::error::{DELETED_CONCURRENTLY, StoreError};
use crate::storage::store::StoreResult;

/// Counts per statement.
const CHUNK: usize = 256;
/// PostgreSQL's advisory lock of compaction: "cvt-sums" as a number.
const LOCK: i64 = 0x6376_742d_7375_6d73;

/// A count: span and start of the bucket, id of the rollup key.
type BucketKey = (BucketSpan, i64, i64);

/// Adds records, each with its time and its key, to the pending counts; returns how many rows
/// that added. The transaction should commit soon.
pub(crate) async fn add_pending<'k>(
    conn: &mut DbConn<'_>,
    records: impl Iterator<Item = (Timestamp, &'k RollupIds)>,
) -> StoreResult<usize> {
    let mut pending: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    let mut ids = HashSet::new();
    for (at, key) in records {
        let minute = pending.entry(BucketSpan::Minute.floor(at.as_micros())).or_default();
        *minute.entry(key.id).or_default() += 1;
        ids.insert(key.id);
    }
    let rows: Vec<_> = pending.into_iter().collect();
    match conn.dialect() {
        SqlDialect::Sqlite => insert_pending_rows(conn, &rows).await?,
        SqlDialect::Postgres => insert_pending_arrays(conn, &rows).await?,
    }
    check_keys_exist(conn, ids).await?;
    Ok(rows.iter().map(|(_, series)| series.len()).sum())
}

type MinuteTotals = (i64, BTreeMap<i64, i64>);

async fn insert_pending_rows(conn: &mut DbConn<'_>, minutes: &[MinuteTotals]) -> StoreResult<()> {
    let row = |(minute, series): &'_ MinuteTotals| {
        let minute = *minute;
        series.iter().map(move |(id, total)| [minute, *id, *total]).collect::<Vec<_>>()
    };
    let rows: Vec<_> = minutes.iter().flat_map(row).collect();
    for chunk in rows.chunks(CHUNK) {
        let mut query =
            Query::build("INSERT INTO validation_recent (minute, series, total) VALUES ");
        for (index, row) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            query.bulk_row(conn.dialect(), row.map(Value::from));
        }
        conn.run(query).await?;
    }
    Ok(())
}

async fn insert_pending_arrays(conn: &mut DbConn<'_>, minutes: &[MinuteTotals]) -> StoreResult<()> {
    for chunk in minutes.chunks(CHUNK) {
        let mut query =
            Query::build("INSERT INTO validation_recent_batches (minute, series, totals) VALUES ");
        for (index, (minute, series)) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            let ids = ValueList::Ints(series.keys().copied().collect());
            let totals = ValueList::Ints(series.values().copied().collect());
            query.bulk_row(conn.dialect(), [(*minute).into(), ids.into(), totals.into()]);
        }
        conn.run(query).await?;
    }
    Ok(())
}

/// Refuses ids of keys that were deleted. Deleting waits for transactions that have added counts,
/// and earlier deletions are visible here.
async fn check_keys_exist(conn: &mut DbConn<'_>, ids: HashSet<i64>) -> StoreResult<()> {
    let expected = ids.len() as u64;
    let mut query = Query::build("SELECT COUNT(*) AS total FROM validation_series");
    query.where_in(conn.dialect(), "id", ValueList::Ints(ids.into_iter().collect()));
    let row = conn.row(query).await?;
    let found = row.map(|row| RowReader::new(&row, "validation_series", "total").count("total"));
    if found.transpose()? == Some(expected) {
        return Ok(());
    }
    Err(StoreError::Unavailable(DELETED_CONCURRENTLY.to_owned()))
}

/// Excludes other compactions until the transaction ends.
pub(crate) async fn lock(conn: &mut DbConn<'_>) -> StoreResult<()> {
    if conn.dialect() == SqlDialect::Postgres {
        conn.run(Query::new("SELECT pg_advisory_xact_lock($1)", [LOCK.into()])).await?;
    }
    Ok(())
}

/// Compacts the pending counts into the rollups, and subtracts records that the transaction deleted.
pub(crate) async fn compact(
    conn: &mut DbConn<'_>,
    deleted_records: impl Iterator<Item = (Timestamp, i64)>,
) -> StoreResult<()> {
    lock(conn).await?;
    let mut changes: HashMap<(i64, i64), i64> = HashMap::new();
    for row in &conn.rows(Query::new(take_pending(conn.dialect()), [])).await? {
        let row = RowReader::new(row, "validation_recent", "minute");
        *changes.entry((row.int("minute")?, row.int("series")?)).or_default() +=
            row.int("total")?;
    }
    if conn.dialect() == SqlDialect::Sqlite && !changes.is_empty() {
        conn.run(Query::new("DELETE FROM validation_recent", [])).await?;
    }
    let mut deleted = false;
    for (at, series) in deleted_records {
        *changes.entry((BucketSpan::Minute.floor(at.as_micros()), series)).or_default() -= 1;
        deleted = true;
    }
    add_totals(conn, changes, deleted).await
}

/// Selects the pending counts; PostgreSQL also deletes them.
const fn take_pending(dialect: SqlDialect) -> &'static str {
    match dialect {
        SqlDialect::Sqlite => "SELECT minute, series, total FROM validation_recent",
        SqlDialect::Postgres => {
            "WITH gone AS (DELETE FROM validation_recent_batches RETURNING minute, series, totals) \
             SELECT gone.minute, u.series, CAST(SUM(u.total) AS BIGINT) AS total FROM gone \
             CROSS JOIN LATERAL UNNEST(gone.series, gone.totals) AS u (series, total) GROUP BY 1, 2"
        }
    }
}

async fn add_totals(
    conn: &mut DbConn<'_>,
    changes: HashMap<(i64, i64), i64>,
    deleted: bool,
) -> StoreResult<()> {
    let ids: HashSet<_> = changes.keys().map(|(_, series)| *series).collect();
    let keys = rollup_key::of_ids(conn, ids.into_iter().collect()).await?;
    let mut sums: BTreeMap<BucketKey, i64> = BTreeMap::new();
    for ((minute, id), count) in changes.into_iter().filter(|(_, count)| *count != 0) {
        for span in BucketSpan::ALL {
            *sums.entry((span, span.floor(minute), id)).or_default() += count;
        }
        let Some(key) = keys.get(&id) else { continue };
        for span in [BucketSpan::Minute, BucketSpan::Hour] {
            *sums.entry((span, span.floor(minute), key.total_id)).or_default() += count;
        }
        for aggregate in &key.aggregate_ids {
            *sums
                .entry((BucketSpan::Hour, BucketSpan::Hour.floor(minute), *aggregate))
                .or_default() += count;
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    match conn.dialect() {
        SqlDialect::Sqlite => {
            for chunk in sums.chunks(CHUNK) {
                add_rows(conn, chunk).await?;
            }
        }
        SqlDialect::Postgres => {
            // rows lie as they come: what a time series reads of a key lies together, where a
            // page for every hour made a series over ninety days read 200 MB
            sums.sort_unstable_by_key(|((span, start, series), _)| (*span, *series, *start));
            add_arrays(conn, &sums).await?;
        }
    }
    if deleted {
        for chunk in sums.chunks(CHUNK) {
            delete_empty(conn, chunk).await?;
        }
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO validation_rollups AS r (span, start, series, total) ";
const ADD: &str =
    " ON CONFLICT (span, start, series) DO UPDATE SET total = r.total + excluded.total";

async fn add_rows(conn: &mut DbConn<'_>, sums: &[(BucketKey, i64)]) -> StoreResult<()> {
    let mut query = Query::build(INSERT);
    query.push("VALUES ");
    for (index, ((span, start, series), total)) in sums.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        let row = [span.number(), *start, *series, *total].map(Value::from);
        query.bulk_row(conn.dialect(), row);
    }
    query.push(ADD);
    conn.run(query).await.map(drop)
}

async fn add_arrays(conn: &mut DbConn<'_>, sums: &[(BucketKey, i64)]) -> StoreResult<()> {
    let column =
        |value: fn(&(BucketKey, i64)) -> i64| ValueList::Ints(sums.iter().map(value).collect());
    let mut query = Query::build(INSERT);
    query.push("SELECT * FROM UNNEST(").bind(column(|((span, ..), _)| span.number()));
    query.push(", ").bind(column(|((_, start, _), _)| *start));
    query.push(", ").bind(column(|((.., series), _)| *series));
    query.push(", ").bind(column(|(_, total)| *total)).push(")").push(ADD);
    conn.run(query).await.map(drop)
}

/// Deletes those of these counts that are zero.
async fn delete_empty(conn: &mut DbConn<'_>, sums: &[(BucketKey, i64)]) -> StoreResult<()> {
    let mut query = Query::build(
        "DELETE FROM validation_rollups WHERE total = 0 AND (span, start, series) IN (VALUES ",
    );
    for (index, ((span, start, series), _)) in sums.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.bulk_row(conn.dialect(), [span.number(), *start, *series].map(Value::from));
    }
    query.push(")");
    conn.run(query).await.map(drop)
}

/// Subtracts the whole day that starts at `day`, whose records were dropped.
pub(crate) async fn drop_day(conn: &mut DbConn<'_>, day: Timestamp) -> StoreResult<()> {
    compact(conn, std::iter::empty()).await?;
    let (start, month) = (day.as_micros(), BucketSpan::Month.floor(day.as_micros()));
    let end = start + BucketSpan::Day.micros();
    let mut subtract = Query::build(
        "UPDATE validation_rollups AS m SET total = m.total - d.total \
         FROM validation_rollups AS d WHERE d.series = m.series AND d.span = ",
    );
    subtract.bind(BucketSpan::Day.number()).push(" AND d.start = ").bind(start);
    subtract.push(" AND m.span = ").bind(BucketSpan::Month.number());
    subtract.push(" AND m.start = ").bind(month);
    conn.run(subtract).await?;
    let mut gone = Query::build("DELETE FROM validation_rollups WHERE (span < ");
    gone.bind(BucketSpan::Month.number()).push(" AND start >= ").bind(start);
    gone.push(" AND start < ").bind(end).push(") OR (span = ").bind(BucketSpan::Month.number());
    gone.push(" AND start = ").bind(month).push(" AND total = 0)");
    conn.run(gone).await.map(drop)
}

/// Deletes keys without counts; returns how many.
pub(crate) async fn gc(conn: &mut DbConn<'_>) -> StoreResult<u64> {
    lock(conn).await?;
    if conn.dialect() == SqlDialect::Postgres {
        // waits for transactions that have added records; later ones wait for this one
        conn.script("LOCK TABLE validation_recent_batches IN SHARE ROW EXCLUSIVE MODE".to_owned())
            .await?;
    }
    compact(conn, std::iter::empty()).await?;
    conn.run(Query::new(
        "DELETE FROM validation_series WHERE NOT EXISTS \
         (SELECT 1 FROM validation_rollups AS r WHERE r.series = validation_series.id)",
        [],
    ))
    .await
}
