//! Observed usage.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::consumers;
use super::groups::register_batch;
use super::schemas::into_page;
use super::{DbConn, DbHandle, DbRow, Query, RowReader, Value};
use crate::model::clock::Timestamp;
use crate::model::page::{Cursor, Page};
use crate::model::usage::{OperationUsage, UsageFact, UsageKind};
use crate::storage::observed_consumer::{add_usage, registration_of};
use crate::storage::query::{PageRequest, UsageFilter};
use crate::storage::store::StoreResult;

const OPERATION: &str = "schema_id, consumer_id, environment, path, method";
/// Rows per statement.
const CHUNK: usize = 64;

/// One fact as a row.
type FactRow<'u> = (&'u OperationUsage, &'u UsageFact);

/// Adds usage once per batch; commits.
pub(crate) async fn merge(
    mut handle: DbHandle,
    batch: Uuid,
    usage: &[OperationUsage],
    now: Timestamp,
) -> StoreResult<()> {
    let mut conn = handle.conn();
    if !register_batch(&mut conn, batch, now).await? {
        return Ok(());
    }
    // one order in all processes: two merges never wait for each other in a circle
    let mut sorted: Vec<_> = usage.iter().collect();
    sorted.sort_unstable_by_key(|usage| key_of(usage));
    merge_consumers(&mut conn, &sorted).await?;
    let mut facts: Vec<FactRow<'_>> =
        sorted.iter().flat_map(|usage| usage.facts.iter().map(|fact| (*usage, fact))).collect();
    facts.sort_by_key(|(usage, fact)| (key_of(usage), fact.kind.stored_name(), &*fact.name));
    for chunk in facts.chunks(CHUNK) {
        merge_facts(&mut conn, chunk).await?;
    }
    handle.commit().await
}

fn key_of(usage: &OperationUsage) -> [&str; 5] {
    [&usage.schema_id, &usage.consumer_id, &usage.environment, &usage.path, &usage.method]
}

async fn merge_facts(conn: &mut DbConn<'_>, facts: &[FactRow<'_>]) -> StoreResult<()> {
    let mut query = Query::build(format!(
        "INSERT INTO consumer_usage AS u ({OPERATION}, kind, name, schema_version, \
         consumer_version, count, first_seen, last_seen) VALUES "
    ));
    for (index, (usage, fact)) in facts.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        let [schema_id, consumer_id, environment, path, method] = key_of(usage).map(Value::from);
        let row = [
            schema_id,
            consumer_id,
            environment,
            path,
            method,
            fact.kind.stored_name().into(),
            fact.name.as_str().into(),
            usage.schema_version.as_str().into(),
            usage.consumer_version.as_str().into(),
            fact.count.into(),
            fact.first_seen.into(),
            fact.last_seen.into(),
        ];
        query.bulk_row(conn.dialect(), row);
    }
    query.push(&format!(
        " ON CONFLICT ({OPERATION}, kind, name) DO UPDATE SET \
         count = u.count + excluded.count, \
         schema_version = excluded.schema_version, consumer_version = excluded.consumer_version, \
         first_seen = CASE WHEN excluded.first_seen < u.first_seen \
         THEN excluded.first_seen ELSE u.first_seen END, \
         last_seen = CASE WHEN excluded.last_seen > u.last_seen \
         THEN excluded.last_seen ELSE u.last_seen END"
    ));
    conn.run(query).await?;
    Ok(())
}

/// Registers consumers that are not there and adds to what they use.
async fn merge_consumers(conn: &mut DbConn<'_>, usage: &[&OperationUsage]) -> StoreResult<()> {
    let mut consumers: BTreeMap<[&str; 3], Vec<&OperationUsage>> = BTreeMap::new();
    for usage in usage {
        let names = [&*usage.consumer_id, &*usage.schema_id, &*usage.environment];
        consumers.entry(names).or_default().push(usage);
    }
    for (names, usage) in consumers {
        let Some(new) = usage.first().and_then(|usage| registration_of(usage)) else { continue };
        let mut query = consumers::insert_statement(&new)?;
        query.push("DO NOTHING");
        conn.run(query).await?;
        let Some(old) = consumers::get(conn, names, true).await? else { continue };
        let mut record = old.clone();
        for usage in usage {
            add_usage(&mut record, usage);
        }
        if record == old {
            continue;
        }
        let mut query = Query::build("UPDATE consumers SET consumer_version = ");
        query.bind(record.consumer_version.as_str());
        query.push(", schema_version = ").bind(record.schema_version.as_str());
        query.push(", last_validated_at = ").bind(record.last_validated_at);
        query.push(", used_endpoints = ").bind(Value::json(&record.used_endpoints)?);
        query.where_eq("id", Some(record.id));
        conn.run(query).await?;
    }
    Ok(())
}

/// A page of operations with all their facts.
pub(crate) async fn list(
    conn: &mut DbConn<'_>,
    filter: &UsageFilter,
    page: &PageRequest,
) -> StoreResult<Page<OperationUsage>> {
    let mut query = Query::build(format!("SELECT {OPERATION} FROM consumer_usage"));
    apply_filter(&mut query, filter);
    if let Some(cursor) = &page.cursor {
        let parts: [&str; 5] = cursor.parts()?;
        query.where_row(OPERATION, ">", parts.map(Value::from));
    }
    query.push(&format!(" GROUP BY {OPERATION} ORDER BY {OPERATION} LIMIT "));
    query.bind(page.limit() + 1);
    let keys = conn.rows(query).await?;
    let keys = keys.iter().map(key_of_row).collect::<StoreResult<Vec<_>>>()?;
    let keys = into_page(keys, page, |key: &[String; 5]| Cursor::new(key.clone()));
    let (Some(first), Some(last)) = (keys.items.first(), keys.items.last()) else {
        return Ok(Page { items: Vec::new(), next: None });
    };
    let mut query = Query::build(format!(
        "SELECT {OPERATION}, kind, name, schema_version, consumer_version, count, first_seen, \
         last_seen FROM consumer_usage"
    ));
    apply_filter(&mut query, filter);
    query.where_row(OPERATION, ">=", first.each_ref().map(|part| Value::from(part.as_str())));
    query.where_row(OPERATION, "<=", last.each_ref().map(|part| Value::from(part.as_str())));
    query.push(&format!(" ORDER BY {OPERATION}, kind, name"));
    let rows = conn.rows(query).await?;
    Ok(Page { items: group_facts(&rows)?, next: keys.next })
}

/// Deletes at most `batch` facts last seen before `time`; commits.
pub(crate) async fn delete_before(
    mut handle: DbHandle,
    time: Timestamp,
    batch: u32,
) -> StoreResult<u64> {
    let key = format!("{OPERATION}, kind, name");
    let mut query = Query::build(format!(
        "DELETE FROM consumer_usage WHERE ({key}) IN (SELECT {key} FROM consumer_usage \
         WHERE last_seen < "
    ));
    query.bind(time).push(&format!(" ORDER BY {key} LIMIT ")).bind(batch).push(")");
    let deleted = handle.conn().run(query).await?;
    handle.commit().await?;
    Ok(deleted)
}

fn apply_filter(query: &mut Query, filter: &UsageFilter) {
    query
        .where_eq("schema_id", filter.schema_id.as_deref())
        .where_eq("consumer_id", filter.consumer_id.as_deref())
        .where_eq("environment", filter.environment.as_deref())
        .where_eq("method", filter.method.as_deref())
        .where_eq("path", filter.path.as_deref());
}

fn key_of_row(row: &DbRow) -> StoreResult<[String; 5]> {
    let row = RowReader::new(row, "consumer_usage", "consumer_id");
    Ok([
        row.text("schema_id")?,
        row.text("consumer_id")?,
        row.text("environment")?,
        row.text("path")?,
        row.text("method")?,
    ])
}

/// Groups rows, which are ordered by operation.
fn group_facts(rows: &[DbRow]) -> StoreResult<Vec<OperationUsage>> {
    let mut grouped: Vec<OperationUsage> = Vec::new();
    let mut newest = Timestamp::default();
    for row in rows {
        let key = key_of_row(row)?;
        let row = RowReader::new(row, "consumer_usage", "consumer_id");
        let fact = UsageFact {
            kind: row.parsed("kind", "expected a kind of usage", UsageKind::parse)?,
            name: row.text("name")?,
            count: row.count("count")?,
            first_seen: row.at("first_seen")?,
            last_seen: row.at("last_seen")?,
        };
        let known = grouped.last().is_some_and(|last| key_of(last) == key.each_ref().map(|k| &**k));
        if !known {
            let [schema_id, consumer_id, environment, path, method] = key;
            grouped.push(OperationUsage {
                schema_id,
                schema_version: String::new(),
                consumer_id,
                consumer_version: String::new(),
                environment,
                method,
                path,
                facts: Vec::new(),
            });
            newest = Timestamp::from_micros(i64::MIN);
        }
        if let Some(usage) = grouped.last_mut() {
            if fact.last_seen > newest {
                newest = fact.last_seen;
                usage.schema_version = row.text("schema_version")?;
                usage.consumer_version = row.text("consumer_version")?;
            }
            usage.facts.push(fact);
        }
    }
    for usage in &mut grouped {
        usage.facts.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    }
    Ok(grouped)
}
