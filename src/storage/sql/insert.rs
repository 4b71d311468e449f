//! Storing records, once each.
//!
//! The common case is that none of a batch is there yet: it is stored at full speed, and a
//! count or a broken key tells when that was wrong. Then nothing was stored, what is there is
//! taken out of the batch, and the rest is stored the same way. Either way the numbers beside
//! the records (`rollups`) grow in the same transaction by exactly what was stored.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use uuid::Uuid;

use super::series::{Book, Known, Series};
use super::store::Db;
use super::{Link, List, Query, Reader, Value, rollups, validations};
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
const COPIED: usize = 1_000;
/// How often a batch is started over when others store or clear away what it meets.
const ATTEMPTS: u32 = 4;

/// What was stored.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stored {
    pub(crate) records: u64,
    /// Rows that wait to be folded into the sums.
    pub(crate) noted: usize,
}

/// Stores the records that are not there.
pub(crate) async fn record(
    db: &Db,
    book: &Book,
    records: &[Redacted<ValidationRecord>],
) -> StoreResult<Stored> {
    let mut records: Vec<_> = records.iter().map(Redacted::get).collect();
    for attempt in 1.. {
        if records.is_empty() {
            return Ok(Stored::default());
        }
        match store(db, book, &records).await {
            Ok(Some(noted)) => return Ok(Stored { records: records.len() as u64, noted }),
            Ok(None) if attempt < ATTEMPTS => {
                let there = stored(&mut db.read().await?.link(), &records).await?;
                let mut new = HashSet::new();
                records.retain(|record| !there.contains(&record.id) && new.insert(record.id));
            }
            Ok(None) => break,
            Err(error) => {
                db.forget();
                book.forget();
                if attempt == ATTEMPTS || !error.is_cleared_away() {
                    return Err(error);
                }
            }
        }
    }
    Err(StoreError::Unavailable("others store the same records at the same time".to_owned()))
}

/// Stores all of the records and says how many rows that noted; none of them when some are
/// there already.
async fn store(db: &Db, book: &Book, records: &[&ValidationRecord]) -> StoreResult<Option<usize>> {
    db.expect(records).await?;
    let series = Numbered::new(db, book, records).await?;
    let mut held = db.begin().await?;
    let mut link = held.link();
    let new = match &mut link {
        Link::Sqlite(_) => insert(&mut link, records, &series).await?,
        Link::Postgres(conn) => {
            let rows = records.iter().zip(series.of_records());
            let rows = rows.map(|(record, known)| validations::values_of(record, known.id));
            if records.len() < COPIED {
                arrays::insert(conn, validations::INTO, rows).await?
            } else {
                copy::copy(conn, validations::INTO, rows).await?
            }
        }
    };
    if !new {
        return Ok(None);
    }
    let codes = records.iter().zip(series.of_records()).flat_map(|(record, known)| {
        known
            .codes
            .iter()
            .map(|code| [code.as_str().into(), record.validated_at.into(), record.id.into()])
    });
    let codes: Vec<[Value; 3]> = codes.collect();
    insert_codes(&mut link, codes).await?;
    let counted = records.iter().zip(series.of_records());
    let counted = counted.map(|(record, known)| (record.validated_at, known));
    let noted = rollups::note(&mut link, counted).await?;
    held.commit().await?;
    Ok(Some(noted))
}

/// Which series each record of a batch belongs to.
struct Numbered {
    series: Vec<Arc<Known>>,
    of_record: Vec<usize>,
}

impl Numbered {
    async fn new(db: &Db, book: &Book, records: &[&ValidationRecord]) -> StoreResult<Self> {
        let mut distinct = Vec::new();
        let mut places = HashMap::new();
        let mut of_record = Vec::with_capacity(records.len());
        for record in records {
            let series = Series::of(record);
            let place = *places.entry(series.clone()).or_insert_with(|| {
                distinct.push(series);
                distinct.len() - 1
            });
            of_record.push(place);
        }
        let series = book.name(db, &distinct).await?;
        if series.len() != distinct.len() {
            return Err(StoreError::Unexpected("a series just named has no number".to_owned()));
        }
        Ok(Self { series, of_record })
    }

    fn of_records(&self) -> impl Iterator<Item = &Known> {
        self.of_record.iter().map(|place| &*self.series[*place])
    }
}

async fn insert(
    link: &mut Link<'_>,
    records: &[&ValidationRecord],
    series: &Numbered,
) -> StoreResult<bool> {
    let rows: Vec<_> = records.iter().zip(series.of_records()).collect();
    let mut rest = rows.as_slice();
    while let Some(size) = CHUNKS.into_iter().find(|size| *size <= rest.len()) {
        let (chunk, more) = rest.split_at(size);
        let mut query = Query::build(format!("INSERT INTO {} VALUES ", validations::INTO));
        for (index, (record, known)) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            query.bulk_row(link.dialect(), validations::values_of(record, known.id)?);
        }
        query.push(" ON CONFLICT DO NOTHING");
        if link.run(query).await? < size as u64 {
            return Ok(false);
        }
        rest = more;
    }
    Ok(true)
}

const CODES: &str = "validation_violations (code, validated_at, run_id)";

/// Notes which codes records carry.
async fn insert_codes(link: &mut Link<'_>, codes: Vec<[Value; 3]>) -> StoreResult<()> {
    if let Link::Postgres(conn) = link {
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
            query.bulk_row(link.dialect(), row.clone());
        }
        query.push(" ON CONFLICT DO NOTHING");
        link.run(query).await?;
        rest = more;
    }
    Ok(())
}

/// The ids among those of `records` that are stored.
async fn stored(link: &mut Link<'_>, records: &[&ValidationRecord]) -> StoreResult<HashSet<Uuid>> {
    let times = records.iter().map(|record| record.validated_at);
    let (Some(first), Some(last)) = (times.clone().min(), times.max()) else {
        return Ok(HashSet::new());
    };
    let ids = records.iter().map(|record| record.id).collect();
    let mut query = Query::build("SELECT id FROM validation_runs");
    query.among(link.dialect(), "id", List::Ids(ids));
    if let Link::Postgres(_) = link {
        // only the days of the batch; a record that is stored again has kept its time
        query.condition().push("validated_at >= ").bind(first);
        query.condition().push("validated_at <= ").bind(last);
    }
    let rows = link.rows(query).await?;
    rows.iter().map(|row| Reader::new(row, "validation_runs", "id").id("id")).collect()
}
