//! Counting records that an earlier version stored.
//!
//! Such a record has no series, and no sum counts it. After a migration they are taken up in
//! bounded steps: each gives some records their series and adds them to the sums in one
//! transaction, so that it may be interrupted, repeated and done by several processes at once.

use std::borrow::Cow;

use serde::Deserialize;
use uuid::Uuid;

use super::series::{Book, Series};
use super::store::Db;
use super::{Link, Query, Reader, Row, rollups};
use crate::model::clock::Timestamp;
use crate::storage::error::StoreError;
use crate::storage::store::StoreResult;

/// Records per transaction: few enough that others who write wait for a fraction of a second.
const STEP: u32 = 1_000;
/// Records per statement.
const CHUNK: usize = 100;
/// Steps between two lines of progress.
const PROGRESS: u64 = 50;
/// How often in a row a step is tried while others hold the database. SQLite gives its lock to
/// whoever asks at the right moment, so that one of several that count may wait in vain for long.
const TRIES: u32 = 12;

/// A record without series.
struct Uncounted {
    id: Uuid,
    at: Timestamp,
    series: Series<'static>,
}

/// Counts every record that is not counted; says how many.
pub(crate) async fn settle(db: &Db, book: &Book) -> StoreResult<u64> {
    let (mut counted, mut steps, mut tries) = (0, 0, 0);
    loop {
        let records = uncounted(&mut db.read().await?.link()).await?;
        if records.is_empty() {
            if counted > 0 {
                tracing::info!(event = "backfill_finished", counted, "the migration is complete");
            }
            return Ok(counted);
        }
        match step(db, book, &records).await {
            Ok(done) => (counted, tries) = (counted + done, 0),
            Err(StoreError::Unavailable(_)) if tries + 1 < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
        steps += 1;
        if steps % PROGRESS == 0 {
            tracing::info!(event = "backfill_progress", counted, "counting earlier records");
        }
    }
}

async fn uncounted(link: &mut Link<'_>) -> StoreResult<Vec<Uncounted>> {
    let mut query = Query::build(
        "SELECT id, validated_at, schema_id, environment, request_method, operation, \
         consumer_id, valid, violations FROM validation_runs WHERE series IS NULL \
         ORDER BY validated_at LIMIT ",
    );
    query.bind(STEP);
    link.rows(query).await?.iter().map(uncounted_of).collect()
}

fn uncounted_of(row: &Row) -> StoreResult<Uncounted> {
    #[derive(Deserialize)]
    struct Coded {
        code: String,
    }
    let row = Reader::new(row, "validation_runs", "id");
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
        series: Series::of_row(row, codes)?,
    })
}

/// Counts these records; none when another process counts some of them.
async fn step(db: &Db, book: &Book, records: &[Uncounted]) -> StoreResult<u64> {
    let series: Vec<_> = records.iter().map(|record| record.series.clone()).collect();
    let known = book.name(db, &series).await?;
    let rows: Vec<_> = records.iter().zip(&known).collect();
    let mut held = db.begin().await?;
    let mut link = held.link();
    for chunk in rows.chunks(CHUNK) {
        let mut query =
            Query::build("UPDATE validation_runs AS r SET series = v.column1 FROM (VALUES ");
        for (index, (record, known)) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            let row = [known.id.into(), record.id.into(), record.at.into()];
            query.bulk_row(link.dialect(), row);
        }
        query.push(
            ") AS v WHERE r.id = v.column2 AND r.validated_at = v.column3 AND r.series IS NULL",
        );
        if link.run(query).await? < chunk.len() as u64 {
            return Ok(0);
        }
    }
    rollups::note(&mut link, rows.iter().map(|(record, known)| (record.at, &***known))).await?;
    rollups::fold(&mut link, std::iter::empty()).await?;
    held.commit().await?;
    Ok(records.len() as u64)
}
