//! Numbers about validation records.

use super::validations::narrow;
use super::{Link, Query, Reader};
use crate::model::clock::Timestamp;
use crate::storage::query::{
    AnalyticsOptions, Bucket, NamedCount, Tally, ValidationAnalytics, ValidationFilter,
    bucket_micros,
};
use crate::storage::store::StoreResult;

const TABLE: &str = "validation_runs";
/// SUM over no rows is NULL, and over BIGINT a NUMERIC in PostgreSQL.
const FAILED: &str =
    "CAST(COALESCE(SUM(CASE WHEN valid THEN 0 ELSE 1 END), 0) AS BIGINT) AS failed";

/// Everything about the records of `filter`; the link should hold a snapshot.
pub(crate) async fn analytics(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
    options: &AnalyticsOptions,
) -> StoreResult<ValidationAnalytics> {
    let (total, failed, first, last) = totals(link, filter).await?;
    let mut answer = ValidationAnalytics::default().with_totals(total, failed);
    if total == 0 {
        return Ok(answer);
    }
    answer.top_violations = top_violations(link, filter, options.top).await?;
    tallies(link, filter, options.top, &mut answer).await?;
    if let Some(width) = options.bucket {
        answer.series = series(link, filter, bucket_micros(width, first, last)).await?;
    }
    Ok(answer)
}

async fn totals(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
) -> StoreResult<(u64, u64, Timestamp, Timestamp)> {
    let dialect = link.dialect();
    let (first, last) = (dialect.micros("MIN(validated_at)"), dialect.micros("MAX(validated_at)"));
    let mut query = Query::build(format!(
        "SELECT COUNT(*) AS total, {FAILED}, COALESCE({first}, 0) AS first, \
         COALESCE({last}, 0) AS last FROM {TABLE} AS r"
    ));
    narrow(&mut query, filter);
    let Some(row) = link.row(query).await? else {
        return Ok((0, 0, Timestamp::default(), Timestamp::default()));
    };
    let row = Reader::new(&row, TABLE, "total");
    Ok((
        row.count("total")?,
        row.count("failed")?,
        Timestamp::from_micros(row.int("first")?),
        Timestamp::from_micros(row.int("last")?),
    ))
}

/// The columns that records are tallied by, in the order of the answer's lists.
const TALLIED: [&str; 4] = ["request_method", "schema_id", "operation", "consumer_id"];

/// The biggest entries by each name, equal ones by name: one pass over the records, then one
/// over their combinations for each name.
async fn tallies(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
    top: u32,
    answer: &mut ValidationAnalytics,
) -> StoreResult<()> {
    let mut query = Query::build(format!(
        "WITH seen AS MATERIALIZED (SELECT request_method, schema_id, \
         COALESCE(operation, '') AS operation, consumer_id, COUNT(*) AS total, {FAILED} \
         FROM {TABLE} AS r"
    ));
    narrow(&mut query, filter);
    query.push(" GROUP BY 1, 2, 3, 4)");
    for (index, column) in TALLIED.iter().enumerate() {
        query.push(if index == 0 { " " } else { " UNION ALL " });
        query.push(&format!(
            "SELECT * FROM (SELECT CAST({index} AS BIGINT) AS list, {column} AS name, \
             CAST(SUM(total) AS BIGINT) AS total, CAST(SUM(failed) AS BIGINT) AS failed \
             FROM seen GROUP BY {column} ORDER BY 3 DESC, 2 LIMIT "
        ));
        query.bind(top).push(&format!(") AS list_{index}"));
    }
    query.push(" ORDER BY 1, 3 DESC, 2");
    for row in &link.rows(query).await? {
        let row = Reader::new(row, TABLE, "name");
        let tally = Tally {
            name: row.text("name")?,
            total: row.count("total")?,
            failed: row.count("failed")?,
        };
        match row.int("list")? {
            0 => answer.by_method.push(tally),
            1 => answer.by_schema.push(tally),
            2 => answer.by_operation.push(tally),
            _ => answer.by_consumer.push(tally),
        }
    }
    Ok(())
}

async fn top_violations(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
    top: u32,
) -> StoreResult<Vec<NamedCount>> {
    if filter.valid == Some(true) {
        return Ok(Vec::new());
    }
    let codes = "SELECT code AS name, COUNT(*) AS total FROM validation_violations AS v";
    let by_time =
        ValidationFilter { from: filter.from, until: filter.until, ..ValidationFilter::default() };
    let mut query = Query::build(codes);
    if *filter == by_time {
        narrow(&mut query, &by_time);
    } else {
        query.push(&format!(" JOIN (SELECT validated_at, id FROM {TABLE} AS r"));
        narrow(&mut query, &ValidationFilter { valid: Some(false), ..filter.clone() });
        query.push(") AS r ON v.run_id = r.id AND v.validated_at = r.validated_at");
    }
    query.push(" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ").bind(top);
    let rows = link.rows(query).await?;
    rows.iter()
        .map(|row| {
            let row = Reader::new(row, "validation_violations", "name");
            Ok(NamedCount { name: row.text("name")?, count: row.count("total")? })
        })
        .collect()
}

async fn series(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
    width: i64,
) -> StoreResult<Vec<Bucket>> {
    let micros = link.dialect().micros("validated_at");
    // integer division rounds towards zero in both; nothing was judged before 1970
    let mut query = Query::build(format!(
        "SELECT {micros} / {width} * {width} AS start, COUNT(*) AS total, {FAILED} FROM {TABLE} AS r"
    ));
    narrow(&mut query, filter);
    query.push(" GROUP BY 1 ORDER BY 1");
    let rows = link.rows(query).await?;
    rows.iter()
        .map(|row| {
            let row = Reader::new(row, TABLE, "start");
            Ok(Bucket {
                start: Timestamp::from_micros(row.int("start")?),
                total: row.count("total")?,
                failed: row.count("failed")?,
            })
        })
        .collect()
}
