//! Expiring records, in batches.

use super::{Link, Query, Reader};
use crate::model::clock::Timestamp;
use crate::storage::query::ExpireKind;
use crate::storage::store::StoreResult;

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

/// Deletes one batch, or its bodies; says how many rows it touched. The caller commits.
pub(crate) async fn expire(link: &mut Link<'_>, taken: Taken<'_>, batch: u32) -> StoreResult<u64> {
    if let Taken::Old(ExpireKind::Bodies, _) = taken {
        let update = "UPDATE validation_runs SET request_body = NULL, response_body = NULL";
        return link.run(over_batch(update, "id, validated_at", taken, batch)).await;
    }
    let codes = "DELETE FROM validation_violations";
    link.run(over_batch(codes, "run_id, validated_at", taken, batch)).await?;
    let runs = "DELETE FROM validation_runs";
    link.run(over_batch(runs, "id, validated_at", taken, batch)).await
}

/// `statement` over the rows whose `key` is among the oldest `batch` rows that are taken.
fn over_batch(statement: &str, key: &str, taken: Taken<'_>, batch: u32) -> Query {
    let mut query = Query::build(format!(
        "{statement} WHERE ({key}) IN (SELECT id, validated_at FROM validation_runs"
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
