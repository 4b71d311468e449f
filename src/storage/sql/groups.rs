//! Violation groups.

use std::time::Duration;

use uuid::Uuid;

use super::schemas::into_page;
use super::{DbConn, DbHandle, DbRow, Query, RowReader, Value};
use crate::model::clock::Timestamp;
use crate::model::fault::Fault;
use crate::model::group::{MergedGroup, ViolationGroup};
use crate::model::page::{Cursor, Page};
use crate::model::violation::ViolationCode;
use crate::storage::error::StoreError;
use crate::storage::query::{GroupFilter, PageRequest};
use crate::storage::store::StoreResult;

/// How long the id of a merged batch is remembered.
pub(crate) const BATCH_TTL: Duration = Duration::from_hours(24);

macro_rules! columns {
    ($path_template:literal) => {
        concat!(
            "fingerprint, schema_id, method, ",
            $path_template,
            ", code, name, schema_pointer, instance_pointer, message, count, first_seen, \
             last_seen, consumers, versions, example, fault, found, statuses"
        )
    };
}
const COLUMNS: &str = columns!("COALESCE(path_template, operation) AS path_template");
/// The columns that [`insert`] fills.
const INSERTED: &str = columns!("path_template, operation");

/// Registers a batch id; `false` when the batch was merged before.
pub(crate) async fn register_batch(
    conn: &mut DbConn<'_>,
    batch: Uuid,
    now: Timestamp,
) -> StoreResult<bool> {
    let old = Query::new(
        "DELETE FROM merged_batches WHERE merged_at < $1",
        [now.minus(BATCH_TTL).into()],
    );
    conn.run(old).await?;
    let insert = Query::new(
        "INSERT INTO merged_batches (id, merged_at) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [batch.into(), now.into()],
    );
    Ok(conn.run(insert).await? > 0)
}

/// Adds to groups once per batch; commits.
pub(crate) async fn merge(
    mut handle: DbHandle,
    batch: Uuid,
    groups: &[ViolationGroup],
    now: Timestamp,
) -> StoreResult<Vec<MergedGroup>> {
    let mut conn = handle.conn();
    if !register_batch(&mut conn, batch, now).await? {
        return Ok(Vec::new());
    }
    // one order in all processes: two merges never wait for each other in a circle
    let mut sorted: Vec<_> = groups.iter().collect();
    sorted.sort_by(|a, b| a.fingerprint.cmp(&b.fingerprint));
    let mut merged = Vec::with_capacity(sorted.len());
    for group in sorted {
        let (mut seen_before, mut seen_before_as_earlier) = (None, None);
        if insert(&mut conn, group).await? {
            if let Some(earlier) = &group.earlier_fingerprint {
                seen_before_as_earlier = last_seen(&mut conn, earlier).await?;
            }
        } else if let Some(mut known) = get_locked(&mut conn, &group.fingerprint).await? {
            seen_before = Some(known.last_seen);
            known.merge(group);
            update(&mut conn, &known).await?;
        }
        let fingerprint = group.fingerprint.clone();
        merged.push(MergedGroup { fingerprint, seen_before, seen_before_as_earlier });
    }
    handle.commit().await?;
    Ok(merged)
}

/// Removes a consumer from at most `batch` groups; commits.
pub(crate) async fn remove_consumer(
    mut handle: DbHandle,
    name: &str,
    batch: u32,
) -> StoreResult<u64> {
    let mut conn = handle.conn();
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM violation_groups WHERE "));
    query.push(&conn.dialect().holds_text("consumers"));
    query.bind(name).push(") ORDER BY fingerprint LIMIT ").bind(batch);
    query.push(conn.dialect().for_update());
    let rows = conn.rows(query).await?;
    for row in &rows {
        let mut group = group_of(row)?;
        group.consumers.retain(|consumer| consumer != name);
        update(&mut conn, &group).await?;
    }
    handle.commit().await?;
    Ok(rows.len() as u64)
}

/// Deletes at most `batch` groups last seen before `time`; commits.
pub(crate) async fn delete_before(
    mut handle: DbHandle,
    time: Timestamp,
    batch: u32,
) -> StoreResult<u64> {
    let mut query = Query::build(
        "DELETE FROM violation_groups WHERE fingerprint IN \
         (SELECT fingerprint FROM violation_groups WHERE last_seen < ",
    );
    query.bind(time).push(" ORDER BY fingerprint LIMIT ").bind(batch).push(")");
    let deleted = handle.conn().run(query).await?;
    handle.commit().await?;
    Ok(deleted)
}

async fn insert(conn: &mut DbConn<'_>, group: &ViolationGroup) -> StoreResult<bool> {
    let mut query = Query::build(format!("INSERT INTO violation_groups ({INSERTED}) VALUES "));
    query.tuple([
        group.fingerprint.as_str().into(),
        group.schema_id.as_str().into(),
        group.method.as_str().into(),
        group.path_template.as_str().into(),
        // under its old name, for the last release
        group.path_template.as_str().into(),
        group.code.as_str().into(),
        Value::opt(group.name.as_deref()),
        group.schema_pointer.as_str().into(),
        group.instance_pointer.as_str().into(),
        group.message.as_str().into(),
        group.count.into(),
        group.first_seen.into(),
        group.last_seen.into(),
        Value::json(&group.consumers)?,
        Value::json(&group.versions)?,
        Value::Id(group.example),
        Value::opt(group.fault.map(Fault::as_str)),
        Value::opt(group.found.as_deref()),
        Value::json(&group.statuses)?,
    ]);
    query.push(" ON CONFLICT (fingerprint) DO NOTHING");
    Ok(conn.run(query).await? > 0)
}

async fn last_seen(conn: &mut DbConn<'_>, fingerprint: &str) -> StoreResult<Option<Timestamp>> {
    let mut query = Query::build("SELECT fingerprint, last_seen FROM violation_groups");
    query.where_eq("fingerprint", Some(fingerprint));
    let row = conn.row(query).await?;
    row.map(|row| RowReader::new(&row, "violation_groups", "fingerprint").at("last_seen"))
        .transpose()
}

async fn get_locked(
    conn: &mut DbConn<'_>,
    fingerprint: &str,
) -> StoreResult<Option<ViolationGroup>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM violation_groups"));
    query.where_eq("fingerprint", Some(fingerprint)).push(conn.dialect().for_update());
    conn.row(query).await?.map(|row| group_of(&row)).transpose()
}

async fn update(conn: &mut DbConn<'_>, group: &ViolationGroup) -> StoreResult<()> {
    let mut query = Query::build("UPDATE violation_groups SET message = ");
    query.bind(group.message.as_str()).push(", count = ").bind(group.count);
    query.push(", first_seen = ").bind(group.first_seen);
    query.push(", last_seen = ").bind(group.last_seen);
    query.push(", consumers = ").bind(Value::json(&group.consumers)?);
    query.push(", versions = ").bind(Value::json(&group.versions)?);
    query.push(", example = ").bind(Value::Id(group.example));
    query.push(", statuses = ").bind(Value::json(&group.statuses)?);
    query.where_eq("fingerprint", Some(group.fingerprint.as_str()));
    conn.run(query).await?;
    Ok(())
}

/// A page of groups, the last seen first.
pub(crate) async fn list(
    conn: &mut DbConn<'_>,
    filter: &GroupFilter,
    page: &PageRequest,
) -> StoreResult<Page<ViolationGroup>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM violation_groups"));
    query
        .where_eq("fingerprint", filter.fingerprint.as_deref())
        .where_eq("schema_id", filter.schema_id.as_deref())
        .where_eq("code", filter.code.as_deref())
        // both releases fill the old column
        .where_eq("operation", filter.path_template.as_deref())
        .where_eq("fault", filter.fault.map(Fault::as_str));
    if let Some(side) = filter.side {
        query.condition().push("code LIKE ").bind(format!("{}.%", side.as_str()).as_str());
    }
    if let Some(status) = filter.status {
        query.condition().push(&conn.dialect().holds_text("statuses"));
        query.bind(status.to_string().as_str()).push(")");
    }
    if let Some(since) = filter.seen_since {
        query.condition().push("last_seen >= ").bind(since);
    }
    if let Some(cursor) = &page.cursor {
        let [at, fingerprint] = cursor.parts()?;
        let at = at.parse().map_err(|_| StoreError::InvalidCursor)?;
        let at = Timestamp::from_micros(at);
        query.where_row("last_seen, fingerprint", "<", [at.into(), fingerprint.into()]);
    }
    query.push(" ORDER BY last_seen DESC, fingerprint DESC LIMIT ").bind(page.limit() + 1);
    let rows = conn.rows(query).await?;
    let items = rows.iter().map(group_of).collect::<StoreResult<Vec<_>>>()?;
    Ok(into_page(items, page, |group: &ViolationGroup| {
        Cursor::new([group.last_seen.as_micros().to_string(), group.fingerprint.clone()])
    }))
}

fn group_of(row: &DbRow) -> StoreResult<ViolationGroup> {
    let row = RowReader::new(row, "violation_groups", "fingerprint");
    Ok(ViolationGroup {
        fingerprint: row.text("fingerprint")?,
        earlier_fingerprint: None,
        schema_id: row.text("schema_id")?,
        method: row.text("method")?,
        path_template: row.text("path_template")?,
        code: row.parsed("code", "expected a violation code", ViolationCode::parse)?,
        name: row.opt_text("name")?,
        fault: row.opt_parsed("fault", "expected a fault", Fault::parse)?,
        found: row.opt_text("found")?,
        statuses: row.json("statuses")?,
        schema_pointer: row.text("schema_pointer")?,
        instance_pointer: row.text("instance_pointer")?,
        message: row.text("message")?,
        count: row.count("count")?,
        first_seen: row.at("first_seen")?,
        last_seen: row.at("last_seen")?,
        consumers: row.json("consumers")?,
        versions: row.json("versions")?,
        example: row.opt_id("example")?,
    })
}
