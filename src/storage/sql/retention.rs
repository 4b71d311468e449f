//! Removing records, in batches.

use std::collections::HashSet;

use uuid::Uuid;

use super::series::{self, Known};
use super::{Link, Query, Reader, Value, rollups};
use crate::model::clock::Timestamp;
use crate::storage::query::ExpireKind;
use crate::storage::store::StoreResult;

/// Codes deleted per statement.
const CHUNK: usize = 256;

/// Which records a batch takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Taken<'t> {
    /// Those that expire.
    Old(ExpireKind, Timestamp),
    /// All of one schema.
    Schema(&'t str),
    /// All of one consumer.
    Consumer(&'t str),
}

/// A record that was deleted.
struct Gone {
    id: Uuid,
    at: Timestamp,
    series: i64,
}

/// Deletes one batch, or its bodies; says how many rows it touched. The caller commits.
pub(crate) async fn expire(link: &mut Link<'_>, taken: Taken<'_>, batch: u32) -> StoreResult<u64> {
    if let Taken::Old(ExpireKind::Bodies, _) = taken {
        let update = "UPDATE validation_runs SET request_body = NULL, response_body = NULL";
        return link.run(over_batch(update, taken, batch)).await;
    }
    let mut query = over_batch("DELETE FROM validation_runs", taken, batch);
    query.push(" RETURNING id, validated_at, series");
    let rows = link.rows(query).await?;
    let mut gone = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = Reader::new(row, "validation_runs", "id");
        // one without series is not counted and is taken up before it can expire
        if let Some(series) = row.opt_int("series")? {
            gone.push(Gone { id: row.id("id")?, at: row.at("validated_at")?, series });
        }
    }
    uncount(link, &gone).await?;
    Ok(rows.len() as u64)
}

/// Removes what is kept beside records that are gone: their codes and their part of the sums.
async fn uncount(link: &mut Link<'_>, gone: &[Gone]) -> StoreResult<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let ids: HashSet<_> = gone.iter().map(|record| record.series).collect();
    let known = series::of_ids(link, ids.into_iter().collect()).await?;
    let of = |record: &Gone| known.get(&record.series).map(|known| &**known);
    let mut codes: Vec<[Value; 3]> = Vec::new();
    for record in gone {
        let carried = of(record).map_or(&[][..], |known: &Known| &known.codes);
        codes.extend(
            carried.iter().map(|code| [code.as_str().into(), record.at.into(), record.id.into()]),
        );
    }
    for chunk in codes.chunks(CHUNK) {
        let mut query = Query::build(
            "DELETE FROM validation_violations WHERE (code, validated_at, run_id) IN (VALUES ",
        );
        for (index, row) in chunk.iter().enumerate() {
            if index > 0 {
                query.push(", ");
            }
            query.bulk_row(link.dialect(), row.clone());
        }
        query.push(")");
        link.run(query).await?;
    }
    rollups::fold(link, gone.iter().map(|record| (record.at, record.series))).await
}

/// `statement` over the oldest `batch` rows that are taken.
fn over_batch(statement: &str, taken: Taken<'_>, batch: u32) -> Query {
    let mut query = Query::build(format!(
        "{statement} WHERE (id, validated_at) IN (SELECT id, validated_at FROM validation_runs"
    ));
    narrow(&mut query, taken);
    query.push(" ORDER BY validated_at, id LIMIT ").bind(batch).push(")");
    query
}

fn narrow(query: &mut Query, taken: Taken<'_>) {
    match taken {
        Taken::Schema(schema_id) => drop(query.equals("schema_id", Some(schema_id))),
        Taken::Consumer(consumer_id) => drop(query.equals("consumer_id", Some(consumer_id))),
        Taken::Old(kind, older_than) => {
            query.condition().push("validated_at < ").bind(older_than);
            match kind {
                ExpireKind::Valid => drop(query.condition().push("valid")),
                ExpireKind::Invalid => drop(query.condition().push("NOT valid")),
                ExpireKind::All => {}
                ExpireKind::Bodies => drop(
                    query
                        .condition()
                        .push("(request_body IS NOT NULL OR response_body IS NOT NULL)"),
                ),
            }
        }
    }
}

/// How many rows expire.
pub(crate) async fn count(
    link: &mut Link<'_>,
    kind: ExpireKind,
    older_than: Timestamp,
) -> StoreResult<u64> {
    let mut query = Query::build("SELECT COUNT(*) AS total FROM validation_runs");
    narrow(&mut query, Taken::Old(kind, older_than));
    match link.row(query).await? {
        Some(row) => Reader::new(&row, "validation_runs", "total").count("total"),
        None => Ok(0),
    }
}
