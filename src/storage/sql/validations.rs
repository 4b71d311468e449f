//! Validation records.

use uuid::Uuid;

use super::schemas::into_page;
use super::{DbConn, DbHandle, DbRow, Query, RowReader, SqlDialect, Value};
use crate::model::clock::Timestamp;
use crate::model::fault::Fault;
use crate::model::page::{Cursor, Page};
use crate::model::record::ValidationRecord;
use crate::model::violation::{Side, ViolationCode};
use crate::storage::error::StoreError;
use crate::storage::postgres::partition;
use crate::storage::query::{PageRequest, RewriteProgress, ValidationFilter};
use crate::storage::store::{RewriteFn, StoreResult};

macro_rules! columns {
    ($path_template:literal) => {
        concat!(
            "id, schema_id, schema_version, schema_hash, request_method, request_path, \
         request_headers, request_body, response_status, response_headers, response_body, valid, \
         errors, duration_ms, validated_at, environment, client_id, client_ip, ",
            $path_template,
            ", violations, skipped, consumer_id, consumer_version, mode, request_id, trace_id, \
             upstream_us, duration_us, request_size, response_size, rejected, fault"
        )
    };
}
const COLUMNS: &str = columns!("COALESCE(path_template, operation) AS path_template");
/// The table and the columns of [`values_of`].
pub(crate) const INSERT_TARGET: &str =
    concat!("validation_runs (", columns!("path_template, operation"), ", series)");

fn stored_skips(record: &ValidationRecord) -> Vec<&'static str> {
    record.skipped.iter().map(|reason| reason.stored_name()).collect()
}

/// A record as a row, with the number of its series.
pub(crate) fn values_of(record: &ValidationRecord, series: i64) -> StoreResult<[Value; 34]> {
    Ok([
        record.id.into(),
        record.schema_id.as_str().into(),
        record.schema_version.as_str().into(),
        record.schema_hash.as_str().into(),
        record.request_method.as_str().into(),
        record.request_path.as_str().into(),
        Value::json(&record.request_headers)?,
        Value::opt(record.request_body.as_deref()),
        Value::Int(record.response_status.map(i64::from)),
        Value::json(&record.response_headers)?,
        Value::opt(record.response_body.as_deref()),
        record.valid.into(),
        Value::json(&record.errors)?,
        record.duration_ms.into(),
        record.validated_at.into(),
        record.environment.as_str().into(),
        record.client_id.as_str().into(),
        record.client_ip.as_str().into(),
        Value::opt(record.path_template.as_deref()),
        // under its old name, for the last release and for the index
        Value::opt(record.path_template.as_deref()),
        Value::json(&record.violations)?,
        Value::json(&stored_skips(record))?,
        record.consumer_id.as_str().into(),
        record.consumer_version.as_str().into(),
        record.mode.as_str().into(),
        record.request_id.as_str().into(),
        Value::opt(record.trace_id.as_deref()),
        Value::Int(record.upstream_us),
        record.duration_us.into(),
        record.request_size.into(),
        record.response_size.into(),
        Value::opt(record.rejected.map(Side::as_str)),
        Value::opt(record.fault.map(Fault::as_str)),
        series.into(),
    ])
}

/// One record.
pub(crate) async fn get(conn: &mut DbConn<'_>, id: Uuid) -> StoreResult<Option<ValidationRecord>> {
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM validation_runs"));
    query.where_eq("id", Some(id));
    conn.row(query).await?.map(|row| record_of(&row)).transpose()
}

/// A page of records, newest first.
pub(crate) async fn list(
    conn: &mut DbConn<'_>,
    filter: &ValidationFilter,
    page: &PageRequest,
) -> StoreResult<Page<ValidationRecord>> {
    let rows = rows_of(conn, filter, page, "").await?;
    let items = rows.iter().map(record_of).collect::<StoreResult<Vec<_>>>()?;
    Ok(into_page(items, page, cursor_of))
}

/// The rows of a page and one more, if there is one. PostgreSQL takes longer to plan a statement
/// for months of days than to answer it for the few that fill a page, so that it is asked for
/// one range of days after the other.
async fn rows_of(
    conn: &mut DbConn<'_>,
    filter: &ValidationFilter,
    page: &PageRequest,
    lock: &str,
) -> StoreResult<Vec<DbRow>> {
    let before = page.cursor.as_ref().map(time_and_id).transpose()?;
    let time_ranges = match conn {
        DbConn::Sqlite(_) => vec![(filter.from, filter.until)],
        DbConn::Postgres(conn) => {
            // what comes after a page key may be of the same instant
            let end = before.map(|(at, _)| Timestamp::from_micros(at.as_micros() + 1));
            let until = filter.until.into_iter().chain(end).min();
            partition::time_ranges(conn, filter.from, until).await?
        }
    };
    let (wanted, mut rows) = (page.limit() as usize + 1, Vec::new());
    for (from, until) in time_ranges {
        let part = ValidationFilter { from, until, ..filter.clone() };
        let mut query = list_query(conn.dialect(), &part, before, wanted - rows.len());
        query.push(lock);
        rows.append(&mut conn.rows(query).await?);
        if rows.len() >= wanted {
            break;
        }
    }
    Ok(rows)
}

fn cursor_of(record: &ValidationRecord) -> Cursor {
    Cursor::new([record.validated_at.as_micros().to_string(), record.id.to_string()])
}

/// Passes a page of all records to `rewrite` and stores the payloads it changes; commits.
pub(crate) async fn rewrite(
    mut handle: DbHandle,
    page: &PageRequest,
    rewrite: &RewriteFn<'_>,
) -> StoreResult<RewriteProgress> {
    let mut conn = handle.conn();
    let lock = conn.dialect().for_update();
    let rows = rows_of(&mut conn, &ValidationFilter::default(), page, lock).await?;
    let records = rows.iter().map(record_of).collect::<StoreResult<Vec<_>>>()?;
    let mut page = into_page(records, page, cursor_of);
    let mut changed = 0;
    for record in &mut page.items {
        if rewrite(record)? {
            changed += conn.run(payload_update(record)?).await?;
        }
    }
    handle.commit().await?;
    Ok(RewriteProgress { seen: page.items.len() as u64, changed, next: page.next })
}

fn payload_update(record: &ValidationRecord) -> StoreResult<Query> {
    let mut query = Query::build("UPDATE validation_runs SET request_headers = ");
    query.bind(Value::json(&record.request_headers)?);
    query.push(", request_body = ").bind(Value::opt(record.request_body.as_deref()));
    query.push(", response_headers = ").bind(Value::json(&record.response_headers)?);
    query.push(", response_body = ").bind(Value::opt(record.response_body.as_deref()));
    query.where_eq("id", Some(record.id)).where_eq("validated_at", Some(record.validated_at));
    Ok(query)
}

/// The sort key of a listing.
pub(crate) type PageKey = (Timestamp, Uuid);

/// Selects at most `limit` rows of a listing after a page key. A test checks its plan.
pub(crate) fn list_query(
    dialect: SqlDialect,
    filter: &ValidationFilter,
    after: Option<PageKey>,
    limit: usize,
) -> Query {
    let limit = limit as u64;
    if let Some(code) = only_code(filter) {
        return list_by_code_query(dialect, code, filter, after, limit);
    }
    let mut query = Query::build(format!("SELECT {COLUMNS} FROM validation_runs AS r"));
    apply_filter(&mut query, filter);
    where_after(&mut query, "validated_at, id", after);
    query.push(" ORDER BY validated_at DESC, id DESC LIMIT ").bind(limit);
    query
}

/// The code a filter asks for, when it asks for nothing else but times.
fn only_code(filter: &ValidationFilter) -> Option<&str> {
    let ValidationFilter { from, until, ref code, .. } = *filter;
    let alone = ValidationFilter { from, until, code: code.clone(), ..ValidationFilter::default() };
    code.as_deref().filter(|_| *filter == alone)
}

/// A page of the records that carry a code: the table of codes alone tells which those are, and
/// no record outside of the page is read.
fn list_by_code_query(
    dialect: SqlDialect,
    code: &str,
    filter: &ValidationFilter,
    after: Option<PageKey>,
    limit: u64,
) -> Query {
    let mut query = Query::build(format!(
        "SELECT {COLUMNS} FROM (SELECT validated_at AS listed_at, run_id FROM validation_violations"
    ));
    query.where_eq("code", Some(code));
    apply_time_range(&mut query, filter);
    where_after(&mut query, "validated_at, run_id", after);
    query.push(" ORDER BY validated_at DESC, run_id DESC LIMIT ").bind(limit);
    // either database would rather read all records and look each up in the page
    query.push(match dialect {
        SqlDialect::Sqlite => ") AS page CROSS JOIN validation_runs AS r",
        SqlDialect::Postgres => {
            ") AS page CROSS JOIN LATERAL (SELECT * FROM validation_runs AS one"
        }
    });
    query.start_conditions();
    query.condition().push("id = page.run_id").condition().push("validated_at = page.listed_at");
    // the days of the page are known before it is
    apply_time_range(&mut query, filter);
    query.push(match dialect {
        SqlDialect::Sqlite => "",
        SqlDialect::Postgres => " LIMIT 1) AS r",
    });
    query.push(" ORDER BY page.listed_at DESC, page.run_id DESC");
    query
}

/// Continues after the last record of the previous page.
fn where_after(query: &mut Query, columns: &str, after: Option<PageKey>) {
    if let Some((at, id)) = after {
        query.where_row(columns, "<", [at.into(), id.into()]);
    }
}

/// Adds the times of a filter as conditions.
fn apply_time_range(query: &mut Query, filter: &ValidationFilter) {
    for (operator, time) in [(" >= ", filter.from), (" < ", filter.until)] {
        if let Some(time) = time {
            query.condition().push("validated_at").push(operator).bind(time);
        }
    }
}

/// Adds a filter's conditions to a query over `validation_runs AS r`.
pub(crate) fn apply_filter(query: &mut Query, filter: &ValidationFilter) {
    query
        .where_eq("schema_id", filter.schema_id.as_deref())
        .where_eq("request_method", filter.method.as_deref())
        .where_eq("environment", filter.environment.as_deref())
        .where_eq("consumer_id", filter.consumer_id.as_deref())
        // both releases fill the old column
        .where_eq("operation", filter.path_template.as_deref())
        .where_eq("response_status", filter.status.map(i64::from))
        .where_eq("fault", filter.fault.map(Fault::as_str));
    // only invalid records have a fault or violations of a side
    let invalid = filter.fault.is_some() || filter.side.is_some();
    match filter.valid.or(invalid.then_some(false)) {
        // written out so that the partial index on invalid records serves
        Some(false) => drop(query.condition().push("NOT valid")),
        Some(true) => drop(query.condition().push("valid")),
        None => {}
    }
    apply_time_range(query, filter);
    if let Some(code) = &filter.code {
        where_carries(query, filter, &[code]);
    }
    if let Some(side) = filter.side {
        let codes = ViolationCode::ALL.iter().filter(|code| code.side == side);
        let codes: Vec<_> = codes.map(|code| code.as_str()).collect();
        where_carries(query, filter, &codes);
    }
}

/// Adds the condition that a record carries one of `codes`.
fn where_carries(query: &mut Query, filter: &ValidationFilter, codes: &[&str]) {
    query.condition().push(
        "(validated_at, id) IN (SELECT validated_at, run_id FROM validation_violations WHERE code IN (",
    );
    for (index, code) in codes.iter().enumerate() {
        query.push(if index > 0 { ", " } else { "" }).bind(*code);
    }
    query.push(")");
    // a condition precedes: these continue with AND
    apply_time_range(query, filter);
    query.push(")");
}

/// Reads the cursor of a listing by time and id.
pub(crate) fn time_and_id(cursor: &Cursor) -> StoreResult<PageKey> {
    let [at, id] = cursor.parts()?;
    let at = at.parse().map_err(|_| StoreError::InvalidCursor)?;
    let id = Uuid::try_parse(id).map_err(|_| StoreError::InvalidCursor)?;
    Ok((Timestamp::from_micros(at), id))
}

fn record_of(row: &DbRow) -> StoreResult<ValidationRecord> {
    let row = RowReader::new(row, "validation_runs", "id");
    let status = row.opt_int("response_status")?.map(u16::try_from).transpose();
    Ok(ValidationRecord {
        id: row.id("id")?,
        schema_id: row.text("schema_id")?,
        schema_version: row.text("schema_version")?,
        schema_hash: row.text("schema_hash")?,
        request_method: row.text("request_method")?,
        request_path: row.text("request_path")?,
        request_headers: row.json("request_headers")?,
        request_body: row.opt_text("request_body")?,
        response_status: status
            .map_err(|_| row.corrupt("response_status", "expected a status code"))?,
        response_headers: row.json("response_headers")?,
        response_body: row.opt_text("response_body")?,
        valid: row.boolean("valid")?,
        errors: row.json("errors")?,
        duration_ms: row.int("duration_ms")?,
        validated_at: row.at("validated_at")?,
        environment: row.text("environment")?,
        client_id: row.text("client_id")?,
        client_ip: row.text("client_ip")?,
        path_template: row.opt_text("path_template")?,
        violations: row.json("violations")?,
        skipped: row.json("skipped")?,
        consumer_id: row.text("consumer_id")?,
        consumer_version: row.text("consumer_version")?,
        mode: row.parsed("mode", "expected a mode", |text| text.parse().ok())?,
        request_id: row.text("request_id")?,
        trace_id: row.opt_text("trace_id")?,
        upstream_us: row.opt_int("upstream_us")?,
        duration_us: row.int("duration_us")?,
        request_size: row.int("request_size")?,
        response_size: row.int("response_size")?,
        rejected: row.opt_parsed("rejected", "expected request or response", Side::parse)?,
        fault: row.opt_parsed("fault", "expected a fault", Fault::parse)?,
    })
}
