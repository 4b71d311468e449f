//! Numbers kept beside the records: how many of each series fall into each bucket of time.
//!
//! What must hold: numbers and records change in one transaction and agree at every instant.
//! A batch of records is first noted as it is, by series and minute, in `validation_recent`;
//! what has gathered there is folded into the sums of `validation_rollups` now and then, by one
//! process at a time: the sums of a busy series are then touched once for many batches. Whoever
//! asks adds the two up. What is deleted is folded at once. A sum that comes to nothing has no
//! row.
//!
//! Series are summed in every [`Span`], facets by the hour, the sum over everything also by the
//! minute: many records of a busy hour share a facet, few records of a quiet minute do.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::buckets::Span;
use super::series::{self, Known};
use super::{Dialect, Link, List, Query, Reader, Value};
use crate::model::clock::Timestamp;
use crate::storage::error::{CLEARED_AWAY, StoreError};
use crate::storage::store::StoreResult;

/// Sums per statement.
const CHUNK: usize = 256;
/// PostgreSQL's advisory lock of folding: "cvt-sums" as a number.
const LOCK: i64 = 0x6376_742d_7375_6d73;

/// A sum: width, start of the bucket, series.
type Key = (Span, i64, i64);

/// Notes records: each judged at its time, of its series. Says how many rows gathered by that.
/// The transaction should commit soon.
pub(crate) async fn note<'k>(
    link: &mut Link<'_>,
    records: impl Iterator<Item = (Timestamp, &'k Known)>,
) -> StoreResult<usize> {
    let mut noted: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    let mut ids = HashSet::new();
    for (at, known) in records {
        let minute = noted.entry(Span::Minute.floor(at.as_micros())).or_default();
        *minute.entry(known.id).or_default() += 1;
        ids.insert(known.id);
    }
    let rows: Vec<_> = noted.into_iter().collect();
    match link.dialect() {
        Dialect::Sqlite => note_rows(link, &rows).await?,
        Dialect::Postgres => note_arrays(link, &rows).await?,
    }
    still_there(link, ids).await?;
    Ok(rows.iter().map(|(_, series)| series.len()).sum())
}

type Minute = (i64, BTreeMap<i64, i64>);

async fn note_rows(link: &mut Link<'_>, minutes: &[Minute]) -> StoreResult<()> {
    let row = |(minute, series): &'_ Minute| {
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
            query.bulk_row(link.dialect(), row.map(Value::from));
        }
        link.run(query).await?;
    }
    Ok(())
}

async fn note_arrays(link: &mut Link<'_>, minutes: &[Minute]) -> StoreResult<()> {
    for chunk in minutes.chunks(CHUNK) {
        let mut query =
            Query::build("INSERT INTO validation_recent_batches (minute, series, totals) VALUES ");
        for (index, (minute, series)) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            let ids = List::Ints(series.keys().copied().collect());
            let totals = List::Ints(series.values().copied().collect());
            query.bulk_row(link.dialect(), [(*minute).into(), ids.into(), totals.into()]);
        }
        link.run(query).await?;
    }
    Ok(())
}

/// Refuses numbers of series that were cleared away. Clearing waits for whoever has noted
/// something, and what is cleared before is seen here.
async fn still_there(link: &mut Link<'_>, ids: HashSet<i64>) -> StoreResult<()> {
    let expected = ids.len() as u64;
    let mut query = Query::build("SELECT COUNT(*) AS total FROM validation_series");
    query.among(link.dialect(), "id", List::Ints(ids.into_iter().collect()));
    let row = link.row(query).await?;
    let found = row.map(|row| Reader::new(&row, "validation_series", "total").count("total"));
    if found.transpose()? == Some(expected) {
        return Ok(());
    }
    Err(StoreError::Unavailable(CLEARED_AWAY.to_owned()))
}

/// Keeps others from folding until the transaction ends.
pub(crate) async fn lock(link: &mut Link<'_>) -> StoreResult<()> {
    if link.dialect() == Dialect::Postgres {
        link.run(Query::new("SELECT pg_advisory_xact_lock($1)", [LOCK.into()])).await?;
    }
    Ok(())
}

/// Folds what has gathered into the sums, and takes away records that the transaction deleted.
pub(crate) async fn fold(
    link: &mut Link<'_>,
    gone: impl Iterator<Item = (Timestamp, i64)>,
) -> StoreResult<()> {
    lock(link).await?;
    let mut changes: HashMap<(i64, i64), i64> = HashMap::new();
    for row in &link.rows(Query::new(gathered(link.dialect()), [])).await? {
        let row = Reader::new(row, "validation_recent", "minute");
        *changes.entry((row.int("minute")?, row.int("series")?)).or_default() +=
            row.int("total")?;
    }
    if link.dialect() == Dialect::Sqlite && !changes.is_empty() {
        link.run(Query::new("DELETE FROM validation_recent", [])).await?;
    }
    let mut deleted = false;
    for (at, series) in gone {
        *changes.entry((Span::Minute.floor(at.as_micros()), series)).or_default() -= 1;
        deleted = true;
    }
    add(link, changes, deleted).await
}

/// What has gathered; PostgreSQL also removes it.
const fn gathered(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Sqlite => "SELECT minute, series, total FROM validation_recent",
        Dialect::Postgres => {
            "WITH gone AS (DELETE FROM validation_recent_batches RETURNING minute, series, totals) \
             SELECT gone.minute, u.series, CAST(SUM(u.total) AS BIGINT) AS total FROM gone \
             CROSS JOIN LATERAL UNNEST(gone.series, gone.totals) AS u (series, total) GROUP BY 1, 2"
        }
    }
}

async fn add(
    link: &mut Link<'_>,
    changes: HashMap<(i64, i64), i64>,
    deleted: bool,
) -> StoreResult<()> {
    let ids: HashSet<_> = changes.keys().map(|(_, series)| *series).collect();
    let known = series::of_ids(link, ids.into_iter().collect()).await?;
    let mut sums: BTreeMap<Key, i64> = BTreeMap::new();
    for ((minute, id), count) in changes.into_iter().filter(|(_, count)| *count != 0) {
        for span in Span::ALL {
            *sums.entry((span, span.floor(minute), id)).or_default() += count;
        }
        let Some(known) = known.get(&id) else { continue };
        for span in [Span::Minute, Span::Hour] {
            *sums.entry((span, span.floor(minute), known.all)).or_default() += count;
        }
        for facet in &known.facets {
            *sums.entry((Span::Hour, Span::Hour.floor(minute), *facet)).or_default() += count;
        }
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    match link.dialect() {
        Dialect::Sqlite => {
            for chunk in sums.chunks(CHUNK) {
                add_rows(link, chunk).await?;
            }
        }
        Dialect::Postgres => {
            // rows lie as they come: what a time line reads of a series lies together, where a
            // page for every hour made a line over ninety days read 200 MB
            sums.sort_unstable_by_key(|((span, start, series), _)| (*span, *series, *start));
            add_arrays(link, &sums).await?;
        }
    }
    if deleted {
        for chunk in sums.chunks(CHUNK) {
            clear(link, chunk).await?;
        }
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO validation_rollups AS r (span, start, series, total) ";
const ADD: &str =
    " ON CONFLICT (span, start, series) DO UPDATE SET total = r.total + excluded.total";

async fn add_rows(link: &mut Link<'_>, sums: &[(Key, i64)]) -> StoreResult<()> {
    let mut query = Query::build(INSERT);
    query.push("VALUES ");
    for (index, ((span, start, series), total)) in sums.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        let row = [span.number(), *start, *series, *total].map(Value::from);
        query.bulk_row(link.dialect(), row);
    }
    query.push(ADD);
    link.run(query).await.map(drop)
}

async fn add_arrays(link: &mut Link<'_>, sums: &[(Key, i64)]) -> StoreResult<()> {
    let column = |value: fn(&(Key, i64)) -> i64| List::Ints(sums.iter().map(value).collect());
    let mut query = Query::build(INSERT);
    query.push("SELECT * FROM UNNEST(").bind(column(|((span, ..), _)| span.number()));
    query.push(", ").bind(column(|((_, start, _), _)| *start));
    query.push(", ").bind(column(|((.., series), _)| *series));
    query.push(", ").bind(column(|(_, total)| *total)).push(")").push(ADD);
    link.run(query).await.map(drop)
}

/// Removes those of these sums that came to nothing.
async fn clear(link: &mut Link<'_>, sums: &[(Key, i64)]) -> StoreResult<()> {
    let mut query = Query::build(
        "DELETE FROM validation_rollups WHERE total = 0 AND (span, start, series) IN (VALUES ",
    );
    for (index, ((span, start, series), _)) in sums.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.bulk_row(link.dialect(), [span.number(), *start, *series].map(Value::from));
    }
    query.push(")");
    link.run(query).await.map(drop)
}

/// Takes away the whole day that starts at `day`, whose records are gone.
pub(crate) async fn drop_day(link: &mut Link<'_>, day: Timestamp) -> StoreResult<()> {
    fold(link, std::iter::empty()).await?;
    let (start, month) = (day.as_micros(), Span::Month.floor(day.as_micros()));
    let end = start + Span::Day.micros();
    let mut subtract = Query::build(
        "UPDATE validation_rollups AS m SET total = m.total - d.total \
         FROM validation_rollups AS d WHERE d.series = m.series AND d.span = ",
    );
    subtract.bind(Span::Day.number()).push(" AND d.start = ").bind(start);
    subtract.push(" AND m.span = ").bind(Span::Month.number());
    subtract.push(" AND m.start = ").bind(month);
    link.run(subtract).await?;
    let mut gone = Query::build("DELETE FROM validation_rollups WHERE (span < ");
    gone.bind(Span::Month.number()).push(" AND start >= ").bind(start);
    gone.push(" AND start < ").bind(end).push(") OR (span = ").bind(Span::Month.number());
    gone.push(" AND start = ").bind(month).push(" AND total = 0)");
    link.run(gone).await.map(drop)
}
