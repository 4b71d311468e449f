//! Outcomes of comparing two versions.

use super::schemas::into_page;
use super::validations::time_and_id;
use super::{DbConn, DbRow, Query, RowReader, Value};
use crate::model::comparison::ComparisonRecord;
use crate::model::id::SchemaId;
use crate::model::page::{Cursor, Page};
use crate::storage::query::PageRequest;
use crate::storage::store::StoreResult;

const COLUMNS: &str =
    "id, schema_id, old_version, new_version, compatible, breaking_changes, compared_at";

/// Stores an outcome over that of the same versions.
pub(crate) async fn record(conn: &mut DbConn<'_>, record: &ComparisonRecord) -> StoreResult<()> {
    let mut query = Query::build(format!("INSERT INTO schema_comparisons ({COLUMNS}) VALUES "));
    query.tuple([
        record.id.into(),
        record.schema_id.as_str().into(),
        record.old_version.as_str().into(),
        record.new_version.as_str().into(),
        record.compatible.into(),
        Value::json(&record.breaking_changes)?,
        record.compared_at.into(),
    ]);
    query.push(
        " ON CONFLICT (schema_id, old_version, new_version) DO UPDATE SET \
         compatible = excluded.compatible, breaking_changes = excluded.breaking_changes, \
         compared_at = excluded.compared_at",
    );
    conn.run(query).await?;
    Ok(())
}

/// The outcome for a pair of versions.
pub(crate) async fn get(
    conn: &mut DbConn<'_>,
    schema_id: &str,
    old_version: &str,
    new_version: &str,
) -> StoreResult<Option<ComparisonRecord>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM schema_comparisons"));
    query
        .where_eq("schema_id", Some(schema_id))
        .where_eq("old_version", Some(old_version))
        .where_eq("new_version", Some(new_version));
    conn.row(query).await?.map(|row| record_of(&row)).transpose()
}

/// Outcomes of one schema, the latest first.
pub(crate) async fn list(
    conn: &mut DbConn<'_>,
    schema_id: &str,
    page: &PageRequest,
) -> StoreResult<Page<ComparisonRecord>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM schema_comparisons"));
    query.where_eq("schema_id", Some(schema_id));
    if let Some(cursor) = &page.cursor {
        let (at, id) = time_and_id(cursor)?;
        query.where_row("compared_at, id", "<", [at.into(), id.into()]);
    }
    query.push(" ORDER BY compared_at DESC, id DESC LIMIT ").bind(page.limit() + 1);
    let rows = conn.rows(query).await?;
    let items = rows.iter().map(record_of).collect::<StoreResult<Vec<_>>>()?;
    Ok(into_page(items, page, |record: &ComparisonRecord| {
        Cursor::new([record.compared_at.as_micros().to_string(), record.id.to_string()])
    }))
}

fn record_of(row: &DbRow) -> StoreResult<ComparisonRecord> {
    let row = RowReader::new(row, "schema_comparisons", "id");
    Ok(ComparisonRecord {
        id: row.id("id")?,
        schema_id: row
            .parsed("schema_id", "expected 1 to 255 bytes", |text| SchemaId::new(text).ok())?,
        old_version: row.text("old_version")?,
        new_version: row.text("new_version")?,
        compatible: row.boolean("compatible")?,
        breaking_changes: row.json("breaking_changes")?,
        compared_at: row.at("compared_at")?,
    })
}
