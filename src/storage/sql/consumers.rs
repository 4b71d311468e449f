//! Consumer registrations.

use super::schemas::into_page;
use super::{DbConn, DbHandle, DbRow, Query, RowReader, Value};
use crate::model::clock::Timestamp;
use crate::model::consumer::ConsumerRecord;
use crate::model::id::SchemaId;
use crate::model::page::{Cursor, Page};
use crate::storage::error::StoreError;
use crate::storage::query::{ConsumerFilter, PageRequest};
use crate::storage::store::StoreResult;

pub(crate) const COLUMNS: &str = "id, consumer_id, consumer_version, schema_id, schema_version, \
     environment, registered_at, last_validated_at, used_endpoints";

/// Starts the statement that inserts `record`; the caller adds what to do on conflict.
pub(crate) fn insert_statement(record: &ConsumerRecord) -> StoreResult<Query> {
    let mut query = Query::build(format!("INSERT INTO consumers ({COLUMNS}) VALUES "));
    query.tuple([
        record.id.into(),
        record.consumer_id.as_str().into(),
        record.consumer_version.as_str().into(),
        record.schema_id.as_str().into(),
        record.schema_version.as_str().into(),
        record.environment.as_str().into(),
        record.registered_at.into(),
        record.last_validated_at.into(),
        Value::json(&record.used_endpoints)?,
    ]);
    query.push(" ON CONFLICT (consumer_id, schema_id, environment) ");
    Ok(query)
}

/// Registers a consumer or replaces its registration.
pub(crate) async fn register(
    conn: &mut DbConn<'_>,
    record: &ConsumerRecord,
) -> StoreResult<ConsumerRecord> {
    let mut query = insert_statement(record)?;
    query.push(
        "DO UPDATE SET consumer_version = excluded.consumer_version, \
         schema_version = excluded.schema_version, \
         last_validated_at = excluded.last_validated_at, \
         used_endpoints = excluded.used_endpoints RETURNING ",
    );
    query.push(COLUMNS);
    let row = conn.row(query).await?;
    let row = row.ok_or_else(|| StoreError::Unexpected("a row just written is gone".into()))?;
    record_of(&row)
}

/// One registration; with `locked` it stays as it is until the transaction ends.
pub(crate) async fn get(
    conn: &mut DbConn<'_>,
    [consumer_id, schema_id, environment]: [&str; 3],
    locked: bool,
) -> StoreResult<Option<ConsumerRecord>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM consumers"));
    key(&mut query, [consumer_id, schema_id, environment]);
    if locked {
        query.push(conn.dialect().for_update());
    }
    conn.row(query).await?.map(|row| record_of(&row)).transpose()
}

fn key(query: &mut Query, [consumer_id, schema_id, environment]: [&str; 3]) {
    query
        .where_eq("consumer_id", Some(consumer_id))
        .where_eq("schema_id", Some(schema_id))
        .where_eq("environment", Some(environment));
}

/// A page of registrations.
pub(crate) async fn list(
    conn: &mut DbConn<'_>,
    filter: &ConsumerFilter,
    page: &PageRequest,
) -> StoreResult<Page<ConsumerRecord>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM consumers"));
    query
        .where_eq("schema_id", filter.schema_id.as_deref())
        .where_eq("environment", filter.environment.as_deref())
        .where_eq("consumer_id", filter.consumer_id.as_deref());
    if let Some(cursor) = &page.cursor {
        let parts: [&str; 3] = cursor.parts()?;
        query.where_row("consumer_id, schema_id, environment", ">", parts.map(Value::from));
    }
    query.push(" ORDER BY consumer_id, schema_id, environment LIMIT ").bind(page.limit() + 1);
    let rows = conn.rows(query).await?;
    let items = rows.iter().map(record_of).collect::<StoreResult<Vec<_>>>()?;
    Ok(into_page(items, page, |record: &ConsumerRecord| {
        Cursor::new([
            record.consumer_id.clone(),
            record.schema_id.to_string(),
            record.environment.clone(),
        ])
    }))
}

/// Deletes a registration and its usage; commits.
pub(crate) async fn deregister(mut handle: DbHandle, names: [&str; 3]) -> StoreResult<bool> {
    let mut conn = handle.conn();
    let mut query = Query::build("DELETE FROM consumers");
    key(&mut query, names);
    let found = conn.run(query).await? > 0;
    let mut usage = Query::build("DELETE FROM consumer_usage");
    key(&mut usage, names);
    conn.run(usage).await?;
    handle.commit().await?;
    Ok(found)
}

/// Records when an exchange was last validated.
pub(crate) async fn update_last_validated(
    conn: &mut DbConn<'_>,
    names: [&str; 3],
    at: Timestamp,
) -> StoreResult<bool> {
    let mut query = Query::build("UPDATE consumers SET last_validated_at = CASE WHEN ");
    query.bind(at).push(" > last_validated_at THEN ").bind(at);
    query.push(" ELSE last_validated_at END");
    key(&mut query, names);
    Ok(conn.run(query).await? > 0)
}

fn record_of(row: &DbRow) -> StoreResult<ConsumerRecord> {
    let row = RowReader::new(row, "consumers", "id");
    Ok(ConsumerRecord {
        id: row.id("id")?,
        consumer_id: row.text("consumer_id")?,
        consumer_version: row.text("consumer_version")?,
        schema_id: row
            .parsed("schema_id", "expected 1 to 255 bytes", |text| SchemaId::new(text).ok())?,
        schema_version: row.text("schema_version")?,
        environment: row.text("environment")?,
        registered_at: row.at("registered_at")?,
        last_validated_at: row.at("last_validated_at")?,
        used_endpoints: row.json("used_endpoints")?,
    })
}
