//! Analytics of validation records.
//!
//! Counts come from the rollups; records are read for the minutes at the edges of a time range
//! and for time series finer than a minute.

use super::buckets::{BucketSpan, TimeSlice, slices};
use super::rollup_key::{self, RollupDimension};
use super::validations;
use super::{DbConn, Query, RowReader, SqlDialect};
use crate::model::clock::Timestamp;
use crate::storage::query::{
    AnalyticsOptions, NamedCount, OutcomeCount, TimeBucket, ValidationAnalytics, ValidationFilter,
    bucket_micros,
};
use crate::storage::store::StoreResult;

const TABLE: &str = "validation_rollups";
/// SUM over no rows is NULL, and over BIGINT a NUMERIC in PostgreSQL.
const TOTAL: &str = "CAST(COALESCE(SUM(total), 0) AS BIGINT) AS total";
const FAILED: &str = "CAST(COALESCE(SUM(failed), 0) AS BIGINT) AS failed";

/// Everything about the records of `filter`; `conn` should be in a snapshot.
pub(crate) async fn analytics(
    conn: &mut DbConn<'_>,
    filter: &ValidationFilter,
    options: &AnalyticsOptions,
) -> StoreResult<ValidationAnalytics> {
    let mut answer = ValidationAnalytics::default();
    if filter.from.zip(filter.until).is_some_and(|(from, until)| from >= until) {
        return Ok(answer);
    }
    for row in &conn.rows(counts_query(filter, options.top)).await? {
        let row = RowReader::new(row, TABLE, "name");
        let (name, total, failed) = (row.text("name")?, row.count("total")?, row.count("failed")?);
        match row.int("list")? {
            0 => answer = answer.with_totals(total, failed),
            1 => answer.by_method.push(OutcomeCount { name, total, failed }),
            2 => answer.by_schema.push(OutcomeCount { name, total, failed }),
            3 => answer.by_path_template.push(OutcomeCount { name, total, failed }),
            4 => answer.by_consumer.push(OutcomeCount { name, total, failed }),
            _ => answer.top_violations.push(NamedCount { name, count: total }),
        }
    }
    if let Some(width) = options.bucket.filter(|_| answer.total_validations > 0) {
        let (from, until) = range(conn, filter).await?;
        answer.series = time_series(conn, filter, bucket_micros(width, from, until)).await?;
    }
    Ok(answer)
}

/// The columns that records are grouped by, in the order of the answer's lists.
const GROUPED_BY: [&str; 4] =
    ["request_method", "schema_id", "COALESCE(path_template, '')", "consumer_id"];

/// All counts but the time series, in one statement: the records of each rollup key, grouped by
/// every dimension; equal counts are ordered by name.
pub(crate) fn counts_query(filter: &ValidationFilter, top: u32) -> Query {
    let mut query = Query::build("WITH parts AS (");
    let from_rollups = !filter.needs_records();
    let widest = from_rollups.then_some(BucketSpan::Month);
    for (index, slice) in slices(filter.from, filter.until, widest).iter().enumerate() {
        query.push(if index > 0 { " UNION ALL " } else { "" });
        push_slice(&mut query, *slice, filter);
    }
    if let Some((from, until)) = whole_minutes(filter).filter(|_| from_rollups) {
        query.push(" UNION ALL SELECT series, total FROM validation_recent WHERE total > 0");
        where_start_between(&mut query, "minute", from, until);
    }
    query.push(&format!(
        "), counts AS (SELECT series, {TOTAL} FROM parts GROUP BY series), \
         seen AS MATERIALIZED (SELECT s.id, s.request_method, s.schema_id, \
         COALESCE(s.path_template, s.operation) AS path_template, s.consumer_id, counts.total, \
         CASE WHEN s.valid THEN 0 ELSE counts.total END AS failed \
         FROM counts JOIN validation_series AS s ON s.id = counts.series"
    ));
    query.start_conditions();
    rollup_key::apply_filter(&mut query, RollupDimension::Record, filter);
    query.push(&format!(") SELECT CAST(0 AS BIGINT) AS list, COALESCE(MIN(schema_id), '') AS name, {TOTAL}, {FAILED} FROM seen"));
    for (index, column) in GROUPED_BY.iter().enumerate() {
        let list = index + 1;
        query.push(&format!(
            " UNION ALL SELECT * FROM (SELECT CAST({list} AS BIGINT) AS list, {column} AS name, {TOTAL}, {FAILED} \
             FROM seen GROUP BY 2 ORDER BY 3 DESC, 2 LIMIT "
        ));
        query.bind(top).push(&format!(") AS list_{list}"));
    }
    query.push(&format!(
        " UNION ALL SELECT * FROM (SELECT CAST(5 AS BIGINT) AS list, k.code AS name, {TOTAL}, {FAILED} FROM seen \
         JOIN validation_series_codes AS k ON k.series = seen.id GROUP BY 2 \
         ORDER BY 3 DESC, 2 LIMIT "
    ));
    query.bind(top).push(") AS list_5 ORDER BY 1, 3 DESC, 2");
    query
}

/// The whole minutes of the time a filter asks for; `None` when there are none.
fn whole_minutes(filter: &ValidationFilter) -> Option<(Option<i64>, Option<i64>)> {
    let from = filter.from.map(|at| BucketSpan::Minute.ceil(at.as_micros()));
    let until = filter.until.map(|at| BucketSpan::Minute.floor(at.as_micros()));
    let none = from.zip(until).is_some_and(|(from, until)| from >= until);
    (!none).then_some((from, until))
}

/// Selects the counts of each rollup key in a slice of time.
fn push_slice(query: &mut Query, slice: TimeSlice, filter: &ValidationFilter) {
    match slice {
        TimeSlice::Buckets(span, from, until) => {
            query.push("SELECT series, total FROM validation_rollups WHERE span = ");
            query.bind(span.number());
            where_start_between(query, "start", from, until);
        }
        TimeSlice::Records(..) if filter.needs_records() => {
            query.push("SELECT series, COUNT(*) AS total FROM validation_runs AS r");
            query.start_conditions();
            validations::apply_filter(query, &with_range_of(filter, slice));
            query.condition().push("series IS NOT NULL").push(" GROUP BY series");
        }
        TimeSlice::Records(from, until) => {
            query.push(
                "SELECT series, COUNT(*) AS total FROM validation_runs WHERE series IS NOT NULL",
            );
            query.push(" AND validated_at >= ").bind(Timestamp::from_micros(from));
            query.push(" AND validated_at < ").bind(Timestamp::from_micros(until));
            query.push(" GROUP BY series");
        }
    }
}

fn where_start_between(query: &mut Query, column: &str, from: Option<i64>, until: Option<i64>) {
    for (operator, bound) in [(" >= ", from), (" < ", until)] {
        if let Some(bound) = bound {
            query.push(" AND ").push(column).push(operator).bind(bound);
        }
    }
}

/// The range of a time series: as requested, else that of the records in whole hours.
async fn range(
    conn: &mut DbConn<'_>,
    filter: &ValidationFilter,
) -> StoreResult<(Timestamp, Timestamp)> {
    if let (Some(from), Some(until)) = (filter.from, filter.until) {
        return Ok((from, until));
    }
    let Some(row) = conn.row(hours_query(filter)).await? else {
        return Ok((Timestamp::default(), Timestamp::default()));
    };
    let row = RowReader::new(&row, TABLE, "first");
    let first = Timestamp::from_micros(row.int("first")?);
    let end = Timestamp::from_micros(row.int("last")?.saturating_add(BucketSpan::Hour.micros()));
    Ok((filter.from.unwrap_or(first), filter.until.unwrap_or(end)))
}

/// The first and the last hour that has records of `filter`, its times aside.
pub(crate) fn hours_query(filter: &ValidationFilter) -> Query {
    let hour = BucketSpan::Hour.number();
    let one = |function: &str| {
        format!(
            "(SELECT {function}(r.start) FROM validation_rollups AS r \
             WHERE r.series = s.id AND r.span = {hour})"
        )
    };
    let mut query = Query::build(format!(
        "SELECT COALESCE(MIN(first), 0) AS first, COALESCE(MAX(last), 0) AS last \
         FROM (SELECT {} AS first, {} AS last FROM validation_series AS s",
        one("MIN"),
        one("MAX")
    ));
    rollup_key::apply_filter(&mut query, RollupDimension::of(filter), filter);
    let width = BucketSpan::Hour.micros();
    let floor = |function: &str| format!("{function}(v.minute) / {width} * {width}");
    query.push(&format!(
        " UNION ALL SELECT {}, {} FROM validation_series AS s \
         JOIN validation_recent AS v ON v.series = s.id",
        floor("MIN"),
        floor("MAX")
    ));
    query.start_conditions();
    rollup_key::apply_filter(&mut query, RollupDimension::Record, filter);
    query.push(") AS hours");
    query
}

async fn time_series(
    conn: &mut DbConn<'_>,
    filter: &ValidationFilter,
    width: i64,
) -> StoreResult<Vec<TimeBucket>> {
    let rows = conn.rows(time_series_query(conn.dialect(), filter, width)).await?;
    rows.iter()
        .map(|row| {
            let row = RowReader::new(row, TABLE, "start");
            Ok(TimeBucket {
                start: Timestamp::from_micros(row.int("start")?),
                total: row.count("total")?,
                failed: row.count("failed")?,
            })
        })
        .collect()
}

/// Buckets that lie in one point whole are summed up; the rest is counted record by record.
pub(crate) fn time_series_query(
    dialect: SqlDialect,
    filter: &ValidationFilter,
    width: i64,
) -> Query {
    let mut spans = [BucketSpan::Hour, BucketSpan::Minute].into_iter();
    let widest = spans.find(|span| width % span.micros() == 0).filter(|_| !filter.needs_records());
    let mut query = Query::build(format!("SELECT start, {TOTAL}, {FAILED} FROM ("));
    for (index, slice) in slices(filter.from, filter.until, widest).iter().enumerate() {
        query.push(if index > 0 { " UNION ALL " } else { "" });
        match slice {
            TimeSlice::Buckets(span, from, until) => {
                query.push("SELECT ").push("r.start / ").bind(width).push(" * ").bind(width);
                query.push(
                    " AS start, r.total, CASE WHEN s.valid THEN 0 ELSE r.total END AS failed \
                     FROM validation_series AS s CROSS JOIN validation_rollups AS r",
                );
                query.start_conditions();
                let dimension = match (RollupDimension::of(filter), span) {
                    (RollupDimension::All, _) => RollupDimension::All,
                    (dimension, BucketSpan::Hour) => dimension,
                    _ => RollupDimension::Record,
                };
                rollup_key::apply_filter(&mut query, dimension, filter);
                // CROSS: SQLite would read every bucket and then look its key up
                query.condition().push("r.series = s.id");
                query.condition().push("r.span = ").bind(span.number());
                where_start_between(&mut query, "r.start", *from, *until);
            }
            TimeSlice::Records(..) => {
                let micros = dialect.micros("validated_at");
                query.push(&format!("SELECT {micros} / ")).bind(width).push(" * ").bind(width);
                query.push(
                    " AS start, 1 AS total, CASE WHEN valid THEN 0 ELSE 1 END AS failed \
                     FROM validation_runs AS r",
                );
                query.start_conditions();
                validations::apply_filter(&mut query, &with_range_of(filter, *slice));
                query.condition().push("series IS NOT NULL");
            }
        }
    }
    if let (Some(_), Some((from, until))) = (widest, whole_minutes(filter)) {
        query.push(" UNION ALL SELECT v.minute / ").bind(width).push(" * ").bind(width);
        query.push(
            " AS start, v.total, CASE WHEN s.valid THEN 0 ELSE v.total END AS failed \
             FROM validation_series AS s JOIN validation_recent AS v ON v.series = s.id",
        );
        query.start_conditions();
        rollup_key::apply_filter(&mut query, RollupDimension::Record, filter);
        where_start_between(&mut query, "v.minute", from, until);
    }
    query.push(") AS points GROUP BY 1 ORDER BY 1");
    query
}

/// The filter, restricted to a slice of its time.
fn with_range_of(filter: &ValidationFilter, slice: TimeSlice) -> ValidationFilter {
    let mut filter = filter.clone();
    if let TimeSlice::Records(from, until) = slice {
        filter.from = Some(Timestamp::from_micros(from)).filter(|_| from != i64::MIN);
        filter.until = Some(Timestamp::from_micros(until)).filter(|_| until != i64::MAX);
    }
    filter
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::{Connection as _, SqliteConnection};

    use super::*;
    use crate::model::clock::SystemClock;
    use crate::storage::sql::validations::list_query;
    use crate::storage::sqlite::SqliteOptions;

    /// The steps of SQLite's plan for a statement.
    async fn plan(conn: &mut SqliteConnection, query: Query) -> Vec<String> {
        let mut query = query;
        query.text = format!("EXPLAIN QUERY PLAN {}", query.text).into();
        let rows = DbConn::Sqlite(conn).rows(query).await.unwrap();
        rows.iter()
            .map(|row| RowReader::new(row, "plan", "detail").text("detail").unwrap())
            .collect()
    }

    fn filters() -> Vec<ValidationFilter> {
        let none = ValidationFilter::default;
        let some = |text: &str| Some(text.to_owned());
        let day = || ValidationFilter {
            from: Some(Timestamp::from_micros(1)),
            until: Some(Timestamp::from_micros(86_400_000_002)),
            ..none()
        };
        vec![
            none(),
            day(),
            ValidationFilter { schema_id: some("s"), ..none() },
            ValidationFilter { schema_id: some("s"), ..day() },
            ValidationFilter { consumer_id: some("c"), ..day() },
            ValidationFilter { path_template: some("/o"), ..day() },
            ValidationFilter { path_template: some("/o"), method: some("GET"), ..none() },
            ValidationFilter { valid: Some(false), ..day() },
            ValidationFilter { code: some("c"), ..none() },
            ValidationFilter { code: some("c"), ..day() },
        ]
    }

    /// No record is read that is not asked for, no page is sorted but for records of one
    /// instant, and sums are found by their key.
    #[tokio::test]
    async fn sqlite_scans_no_table() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("cvt.db");
        SqliteOptions::new(&path).open(Arc::new(SystemClock)).await.unwrap();
        let url = format!("sqlite://{}", path.display());
        let mut conn = SqliteConnection::connect(&url).await.unwrap();
        for filter in filters() {
            let page = || list_query(SqlDialect::Sqlite, &filter, None, 10);
            let list = plan(&mut conn, page()).await;
            let sorted =
                |step: &String| step.contains("TEMP B-TREE") && !step.contains("LAST TERM");
            // the records of a code's page are sorted once more: as many as are shown
            assert!(!list.iter().any(sorted) || filter.code.is_some(), "{filter:?}: {list:#?}");
            let keyed = ["validation_violations USING PRIMARY KEY (code=", "r USING INDEX"];
            let found =
                |key: &&str| list.iter().any(|step| step.contains(&format!("SEARCH {key}")));
            assert!(filter.code.is_none() || keyed.iter().all(found), "{list:#?}");
            let statements = [
                page(),
                counts_query(&filter, 10),
                hours_query(&filter),
                time_series_query(SqlDialect::Sqlite, &filter, 3_600_000_000),
                time_series_query(SqlDialect::Sqlite, &filter, 60_000_000),
            ];
            for statement in statements {
                let text = statement.text.clone();
                // a page walks along an index until it is full
                let walks = text.contains("ORDER BY validated_at DESC");
                for step in plan(&mut conn, statement).await {
                    let table = step.strip_prefix("SCAN ").and_then(|scan| scan.split(' ').next());
                    let big = ["r", TABLE, "validation_runs", "validation_violations"];
                    let walk = walks && step.contains(" USING INDEX ");
                    let whole = !walk && table.is_some_and(|table| big.contains(&table));
                    assert!(!whole, "{text}: {step}");
                }
            }
        }
    }
}
