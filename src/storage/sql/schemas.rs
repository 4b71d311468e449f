//! Registered documents.

use super::{DbConn, DbHandle, DbRow, Query, RowReader, SqlDialect, Value};
use crate::model::id::SchemaId;
use crate::model::page::{Cursor, Page};
use crate::model::schema::{Ownership, SchemaMetadata, SchemaRecord};
use crate::storage::error::StoreError;
use crate::storage::query::{
    OnConflict, PageRequest, ReplacedContent, SchemaChange, SchemaFilter, SchemaList, StoredSchema,
};
use crate::storage::store::StoreResult;

/// The channel on which PostgreSQL notifies other replicas of a new revision.
pub(crate) const CHANNEL: &str = "cvt_sidecar_schemas";

const COLUMNS: &str = "id, schema_id, version, content, content_hash, openapi_version, \
     endpoint_count, is_latest, registered_at, updated_at, owner, team, contact_email, read_only, \
     environment";
const WITHOUT_CONTENT: &str = "id, schema_id, version, content_hash, openapi_version, \
     endpoint_count, registered_at, updated_at, owner, team, contact_email, read_only";

/// Takes the next revision. Its row lock puts the changes of all processes in one order.
async fn next_revision(conn: &mut DbConn<'_>) -> StoreResult<i64> {
    let query =
        "UPDATE schema_revision SET revision = revision + 1 WHERE id = 1 RETURNING revision";
    let row = conn.row(Query::new(query, [])).await?;
    let row = row.ok_or_else(no_revision)?;
    revision_of(&row)
}

/// The current revision.
pub(crate) async fn revision(conn: &mut DbConn<'_>) -> StoreResult<i64> {
    let row = conn.row(Query::new("SELECT revision FROM schema_revision WHERE id = 1", [])).await?;
    revision_of(&row.ok_or_else(no_revision)?)
}

fn no_revision() -> StoreError {
    StoreError::Corrupt {
        table: "schema_revision",
        column: "revision".to_owned(),
        row: "1".to_owned(),
        reason: "the table's only row is missing",
    }
}

fn revision_of(row: &DbRow) -> StoreResult<i64> {
    RowReader::new(row, "schema_revision", "id").int("revision")
}

/// Notifies other replicas as soon as the transaction commits.
async fn notify_replicas(conn: &mut DbConn<'_>, revision: i64) -> StoreResult<()> {
    if conn.dialect() == SqlDialect::Postgres {
        let values = [Value::from(CHANNEL), Value::from(revision.to_string().as_str())];
        conn.run(Query::new("SELECT pg_notify($1, $2)", values)).await?;
    }
    Ok(())
}

/// Registers a document; commits unless nothing changes.
pub(crate) async fn set(
    mut handle: DbHandle,
    record: &SchemaRecord,
    on_conflict: OnConflict,
) -> StoreResult<StoredSchema> {
    let mut conn = handle.conn();
    let revision = next_revision(&mut conn).await?;
    let (schema_id, version) = (record.schema_id.as_str(), record.version.as_str());
    let change = match get(&mut conn, schema_id, Some(version)).await? {
        None => {
            clear_latest(&mut conn, schema_id).await?;
            insert(&mut conn, record, revision).await?;
            SchemaChange::Created
        }
        Some(old) => {
            let change = change_of(&old, record, on_conflict)?;
            if change == SchemaChange::Unchanged {
                return Ok(StoredSchema { record: old, change });
            }
            if change == SchemaChange::Replaced {
                insert_history(&mut conn, &old, revision, record).await?;
            }
            if !old.is_latest {
                clear_latest(&mut conn, schema_id).await?;
            }
            update(&mut conn, &old, record, change, revision).await?;
            change
        }
    };
    notify_replicas(&mut conn, revision).await?;
    let stored = get(&mut conn, schema_id, Some(version)).await?;
    let record =
        stored.ok_or_else(|| StoreError::Unexpected("a row just written is gone".into()))?;
    handle.commit().await?;
    Ok(StoredSchema { record, change })
}

/// What registering `new` over `old` changes.
pub(crate) fn change_of(
    old: &SchemaRecord,
    new: &SchemaRecord,
    on_conflict: OnConflict,
) -> StoreResult<SchemaChange> {
    if old.content_hash != new.content_hash {
        return match on_conflict {
            OnConflict::Replace => Ok(SchemaChange::Replaced),
            OnConflict::Refuse => Err(StoreError::Conflict {
                schema_id: new.schema_id.to_string(),
                version: new.version.clone(),
                stored_hash: old.content_hash.clone(),
            }),
        };
    }
    let same =
        old.is_latest && old.ownership == new.ownership && old.environment == new.environment;
    Ok(if same { SchemaChange::Unchanged } else { SchemaChange::Updated })
}

async fn clear_latest(conn: &mut DbConn<'_>, schema_id: &str) -> StoreResult<()> {
    let query = "UPDATE schemas SET is_latest = $1 WHERE schema_id = $2 AND is_latest";
    conn.run(Query::new(query, [Value::from(false), schema_id.into()])).await?;
    Ok(())
}

async fn insert(conn: &mut DbConn<'_>, record: &SchemaRecord, sequence: i64) -> StoreResult<()> {
    let mut query = Query::build(format!("INSERT INTO schemas ({COLUMNS}, sequence) VALUES "));
    query.tuple([
        record.id.into(),
        record.schema_id.as_str().into(),
        record.version.as_str().into(),
        record.content.as_str().into(),
        record.content_hash.as_str().into(),
        record.openapi_version.as_str().into(),
        record.endpoint_count.into(),
        true.into(),
        record.registered_at.into(),
        record.updated_at.into(),
        record.ownership.owner.as_str().into(),
        record.ownership.team.as_str().into(),
        record.ownership.contact_email.as_str().into(),
        record.ownership.read_only.into(),
        record.environment.as_str().into(),
        sequence.into(),
    ]);
    conn.run(query).await?;
    Ok(())
}

async fn insert_history(
    conn: &mut DbConn<'_>,
    old: &SchemaRecord,
    sequence: i64,
    new: &SchemaRecord,
) -> StoreResult<()> {
    let mut query = Query::build(
        "INSERT INTO schema_history (schema_id, version, sequence, content_hash, replaced_at) VALUES ",
    );
    query.tuple([
        old.schema_id.as_str().into(),
        old.version.as_str().into(),
        sequence.into(),
        old.content_hash.as_str().into(),
        new.updated_at.into(),
    ]);
    conn.run(query).await?;
    Ok(())
}

async fn update(
    conn: &mut DbConn<'_>,
    old: &SchemaRecord,
    new: &SchemaRecord,
    change: SchemaChange,
    revision: i64,
) -> StoreResult<()> {
    let mut query = Query::build("UPDATE schemas SET is_latest = ");
    query.bind(true).push(", updated_at = ").bind(new.updated_at);
    query.push(", owner = ").bind(new.ownership.owner.as_str());
    query.push(", team = ").bind(new.ownership.team.as_str());
    query.push(", contact_email = ").bind(new.ownership.contact_email.as_str());
    query.push(", read_only = ").bind(new.ownership.read_only);
    query.push(", environment = ").bind(new.environment.as_str());
    if !old.is_latest {
        query.push(", sequence = ").bind(revision);
    }
    if change == SchemaChange::Replaced {
        query.push(", content = ").bind(new.content.as_str());
        query.push(", content_hash = ").bind(new.content_hash.as_str());
        query.push(", openapi_version = ").bind(new.openapi_version.as_str());
        query.push(", endpoint_count = ").bind(new.endpoint_count);
    }
    query.where_eq("schema_id", Some(new.schema_id.as_str()));
    query.where_eq("version", Some(new.version.as_str()));
    conn.run(query).await?;
    Ok(())
}

/// One version, or the latest.
pub(crate) async fn get(
    conn: &mut DbConn<'_>,
    schema_id: &str,
    version: Option<&str>,
) -> StoreResult<Option<SchemaRecord>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM schemas"));
    query.where_eq("schema_id", Some(schema_id)).where_eq("version", version);
    if version.is_none() {
        query.condition().push("is_latest");
    }
    conn.row(query).await?.map(|row| record_of(&row)).transpose()
}

/// Deletes one version or all of them; `false` when there was none.
pub(crate) async fn delete(
    mut handle: DbHandle,
    schema_id: &str,
    version: Option<&str>,
) -> StoreResult<bool> {
    let mut conn = handle.conn();
    let revision = next_revision(&mut conn).await?;
    let mut query = Query::build("DELETE FROM schemas");
    query.where_eq("schema_id", Some(schema_id)).where_eq("version", version);
    if conn.run(query).await? == 0 {
        return Ok(false);
    }
    let mut history = Query::build("DELETE FROM schema_history");
    history.where_eq("schema_id", Some(schema_id)).where_eq("version", version);
    conn.run(history).await?;
    if !promote(&mut conn, schema_id).await? {
        for table in ["schema_comparisons", "consumers", "consumer_usage", "violation_groups"] {
            let mut query = Query::build(format!("DELETE FROM {table}"));
            conn.run(query.where_eq("schema_id", Some(schema_id)).clone()).await?;
        }
    }
    notify_replicas(&mut conn, revision).await?;
    handle.commit().await?;
    Ok(true)
}

/// Makes the version registered last the latest; `false` when none is left.
async fn promote(conn: &mut DbConn<'_>, schema_id: &str) -> StoreResult<bool> {
    let query = "UPDATE schemas SET is_latest = $1 WHERE schema_id = $2 AND sequence = \
         (SELECT MAX(sequence) FROM schemas WHERE schema_id = $2)";
    Ok(conn.run(Query::new(query, [Value::from(true), schema_id.into()])).await? > 0)
}

/// All ids, sorted.
pub(crate) async fn ids(conn: &mut DbConn<'_>) -> StoreResult<Vec<String>> {
    let query = Query::new("SELECT schema_id FROM schemas WHERE is_latest ORDER BY schema_id", []);
    let rows = conn.rows(query).await?;
    rows.iter().map(|row| RowReader::new(row, "schemas", "schema_id").text("schema_id")).collect()
}

/// The versions of a schema, registered last first.
pub(crate) async fn versions(conn: &mut DbConn<'_>, schema_id: &str) -> StoreResult<Vec<String>> {
    let query = "SELECT version FROM schemas WHERE schema_id = $1 ORDER BY sequence DESC";
    let rows = conn.rows(Query::new(query, [schema_id.into()])).await?;
    rows.iter().map(|row| RowReader::new(row, "schemas", "version").text("version")).collect()
}

/// The version registered before `current`.
pub(crate) async fn previous(
    conn: &mut DbConn<'_>,
    schema_id: &str,
    current: &str,
) -> StoreResult<Option<String>> {
    let query = "SELECT version FROM schemas WHERE schema_id = $1 AND sequence < \
         (SELECT sequence FROM schemas WHERE schema_id = $1 AND version = $2) \
         ORDER BY sequence DESC LIMIT 1";
    let row = conn.row(Query::new(query, [schema_id.into(), current.into()])).await?;
    row.map(|row| RowReader::new(&row, "schemas", "version").text("version")).transpose()
}

/// Replaced contents of a version, replaced last first.
pub(crate) async fn history(
    conn: &mut DbConn<'_>,
    schema_id: &str,
    version: &str,
) -> StoreResult<Vec<ReplacedContent>> {
    let query = "SELECT content_hash, replaced_at FROM schema_history \
         WHERE schema_id = $1 AND version = $2 ORDER BY sequence DESC";
    let rows = conn.rows(Query::new(query, [schema_id.into(), version.into()])).await?;
    rows.iter()
        .map(|row| {
            let row = RowReader::new(row, "schema_history", "content_hash");
            Ok(ReplacedContent {
                content_hash: row.text("content_hash")?,
                replaced_at: row.at("replaced_at")?,
            })
        })
        .collect()
}

/// A page of schemas and how many there are.
pub(crate) async fn list(
    conn: &mut DbConn<'_>,
    filter: &SchemaFilter,
    page: &PageRequest,
) -> StoreResult<SchemaList> {
    let mut count = Query::build("SELECT COUNT(*) AS total FROM schemas");
    apply_filter(&mut count, filter);
    let total = match conn.row(count).await? {
        Some(row) => RowReader::new(&row, "schemas", "total").count("total")?,
        None => 0,
    };
    let mut query = Query::build(format!("SELECT {WITHOUT_CONTENT} FROM schemas"));
    apply_filter(&mut query, filter);
    if let Some(cursor) = &page.cursor {
        let [schema_id, version] = cursor.parts()?;
        query.where_row("schema_id, version", ">", [schema_id.into(), version.into()]);
    }
    query.push(" ORDER BY schema_id, version LIMIT ").bind(page.limit() + 1);
    let rows = conn.rows(query).await?;
    let items = rows.iter().map(metadata_of).collect::<StoreResult<Vec<_>>>()?;
    let page = into_page(items, page, |item: &SchemaMetadata| {
        Cursor::new([item.schema_id.to_string(), item.schema_version.clone()])
    });
    Ok(SchemaList { page, total })
}

fn apply_filter(query: &mut Query, filter: &SchemaFilter) {
    query
        .where_eq("owner", filter.owner.as_deref())
        .where_eq("team", filter.team.as_deref())
        .where_eq("environment", filter.environment.as_deref());
    if !filter.all_versions {
        query.condition().push("is_latest");
    }
}

/// Drops the row beyond the page and derives the next page's cursor.
pub(crate) fn into_page<T>(
    mut items: Vec<T>,
    page: &PageRequest,
    cursor: impl FnOnce(&T) -> Cursor,
) -> Page<T> {
    let limit = page.limit() as usize;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(cursor) } else { None };
    Page { items, next }
}

fn schema_id_of(row: RowReader<'_>) -> StoreResult<SchemaId> {
    row.parsed("schema_id", "expected 1 to 255 bytes", |text| SchemaId::new(text).ok())
}

fn endpoint_count_of(row: RowReader<'_>) -> StoreResult<u32> {
    u32::try_from(row.int("endpoint_count")?)
        .map_err(|_| row.corrupt("endpoint_count", "expected a count"))
}

fn ownership_of(row: RowReader<'_>) -> StoreResult<Ownership> {
    Ok(Ownership {
        owner: row.text("owner")?,
        team: row.text("team")?,
        contact_email: row.text("contact_email")?,
        read_only: row.boolean("read_only")?,
    })
}

fn record_of(row: &DbRow) -> StoreResult<SchemaRecord> {
    let row = RowReader::new(row, "schemas", "id");
    Ok(SchemaRecord {
        id: row.id("id")?,
        schema_id: schema_id_of(row)?,
        version: row.text("version")?,
        content: row.text("content")?,
        content_hash: row.text("content_hash")?,
        openapi_version: row.text("openapi_version")?,
        endpoint_count: endpoint_count_of(row)?,
        is_latest: row.boolean("is_latest")?,
        registered_at: row.at("registered_at")?,
        updated_at: row.at("updated_at")?,
        ownership: ownership_of(row)?,
        environment: row.text("environment")?,
    })
}

fn metadata_of(row: &DbRow) -> StoreResult<SchemaMetadata> {
    let row = RowReader::new(row, "schemas", "id");
    Ok(SchemaMetadata {
        schema_id: schema_id_of(row)?,
        schema_version: row.text("version")?,
        schema_hash: row.text("content_hash")?,
        registered_at: row.at("registered_at")?,
        updated_at: row.at("updated_at")?,
        ownership: ownership_of(row)?,
        openapi_version: row.text("openapi_version")?,
        endpoint_count: endpoint_count_of(row)?,
    })
}
