//! Removing records, in batches.

use std::collections::HashSet;

use uuid::Uuid;

use super::rollup_key::{self, RollupIds};
use super::{DbConn, Query, RowReader, Value, rollups};
use crate::model::clock::Timestamp;
use crate::storage::query::ExpireKind;
use crate::storage::store::StoreResult;

/// Codes deleted per statement.
const CHUNK: usize = 256;

/// Which records a batch deletes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RecordSelection<'t> {
    /// Those that are old enough.
    Expired(ExpireKind, Timestamp),
    /// All of one schema.
    Schema(&'t str),
    /// All of one consumer.
    Consumer(&'t str),
}

/// A record that was deleted.
struct DeletedRecord {
    id: Uuid,
    at: Timestamp,
    series: i64,
}

/// Deletes one batch, or its bodies; returns how many rows it touched. The caller commits.
pub(crate) async fn expire(
    conn: &mut DbConn<'_>,
    selection: RecordSelection<'_>,
    batch: u32,
) -> StoreResult<u64> {
    if let RecordSelection::Expired(ExpireKind::Bodies, _) = selection {
        let update = "UPDATE validation_runs SET request_body = NULL, response_body = NULL";
        return conn.run(batched(update, selection, batch)).await;
    }
    let mut query = batched("DELETE FROM validation_runs", selection, batch);
    query.push(" RETURNING id, validated_at, series");
    let rows = conn.rows(query).await?;
    let mut deleted = Vec::with_capacity(rows.len());
    for row in &rows {
        let row = RowReader::new(row, "validation_runs", "id");
        // a record without key is not counted; the backfill reaches it before it can expire
        if let Some(series) = row.opt_int("series")? {
            deleted.push(DeletedRecord { id: row.id("id")?, at: row.at("validated_at")?, series });
        }
    }
    subtract_deleted(conn, &deleted).await?;
    Ok(rows.len() as u64)
}

/// Removes the codes of deleted records and subtracts them from the rollups.
async fn subtract_deleted(conn: &mut DbConn<'_>, deleted: &[DeletedRecord]) -> StoreResult<()> {
    if deleted.is_empty() {
        return Ok(());
    }
    let ids: HashSet<_> = deleted.iter().map(|record| record.series).collect();
    let keys = rollup_key::of_ids(conn, ids.into_iter().collect()).await?;
    let of = |record: &DeletedRecord| keys.get(&record.series).map(|key| &**key);
    let mut codes: Vec<[Value; 3]> = Vec::new();
    for record in deleted {
        let carried = of(record).map_or(&[][..], |key: &RollupIds| &key.codes);
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
            query.bulk_row(conn.dialect(), row.clone());
        }
        query.push(")");
        conn.run(query).await?;
    }
    rollups::compact(conn, deleted.iter().map(|record| (record.at, record.series))).await
}

/// `statement` over the oldest `batch` rows of the selection.
fn batched(statement: &str, selection: RecordSelection<'_>, batch: u32) -> Query {
    let mut query = Query::build(format!(
        "{statement} WHERE (id, validated_at) IN (SELECT id, validated_at FROM validation_runs"
    ));
    apply_filter(&mut query, selection);
    query.push(" ORDER BY validated_at, id LIMIT ").bind(batch).push(")");
    query
}

fn apply_filter(query: &mut Query, selection: RecordSelection<'_>) {
    match selection {
        RecordSelection::Schema(schema_id) => {
            query.where_eq("schema_id", Some(schema_id));
        }
        RecordSelection::Consumer(consumer_id) => {
            query.where_eq("consumer_id", Some(consumer_id));
        }
        RecordSelection::Expired(kind, older_than) => {
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
    conn: &mut DbConn<'_>,
    kind: ExpireKind,
    older_than: Timestamp,
) -> StoreResult<u64> {
    let mut query = Query::build("SELECT COUNT(*) AS total FROM validation_runs");
    apply_filter(&mut query, RecordSelection::Expired(kind, older_than));
    match conn.row(query).await? {
        Some(row) => RowReader::new(&row, "validation_runs", "total").count("total"),
        None => Ok(0),
    }
}
