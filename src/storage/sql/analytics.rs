//! Numbers about validation records.

use super::validations::narrow;
use super::{Dialect, Link, Query, Reader};
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
    let query = totals_statement(link.dialect(), filter);
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

pub(crate) fn totals_statement(dialect: Dialect, filter: &ValidationFilter) -> Query {
    let (first, last) = (dialect.micros("MIN(validated_at)"), dialect.micros("MAX(validated_at)"));
    let mut query = Query::build(format!(
        "SELECT COUNT(*) AS total, {FAILED}, COALESCE({first}, 0) AS first, \
         COALESCE({last}, 0) AS last FROM {TABLE} AS r"
    ));
    narrow(&mut query, filter);
    query
}

/// The columns that records are tallied by, in the order of the answer's lists.
const TALLIED: [&str; 4] = ["request_method", "schema_id", "operation", "consumer_id"];

/// The biggest entries by each name.
async fn tallies(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
    top: u32,
    answer: &mut ValidationAnalytics,
) -> StoreResult<()> {
    for row in &link.rows(tallies_statement(filter, top)).await? {
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

/// Equal entries go by name: one pass over the records, then one over their combinations for
/// each name.
pub(crate) fn tallies_statement(filter: &ValidationFilter, top: u32) -> Query {
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
    query
}

async fn top_violations(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
    top: u32,
) -> StoreResult<Vec<NamedCount>> {
    if filter.valid == Some(true) {
        return Ok(Vec::new());
    }
    let rows = link.rows(violations_statement(filter, top)).await?;
    rows.iter()
        .map(|row| {
            let row = Reader::new(row, "validation_violations", "name");
            Ok(NamedCount { name: row.text("name")?, count: row.count("total")? })
        })
        .collect()
}

pub(crate) fn violations_statement(filter: &ValidationFilter, top: u32) -> Query {
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
    query
}

async fn series(
    link: &mut Link<'_>,
    filter: &ValidationFilter,
    width: i64,
) -> StoreResult<Vec<Bucket>> {
    let rows = link.rows(series_statement(link.dialect(), filter, width)).await?;
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

pub(crate) fn series_statement(dialect: Dialect, filter: &ValidationFilter, width: i64) -> Query {
    let micros = dialect.micros("validated_at");
    // integer division rounds towards zero in both; nothing was judged before 1970
    let mut query = Query::build(format!("SELECT {micros} / "));
    query.bind(width).push(" * ").bind(width);
    query.push(&format!(" AS start, COUNT(*) AS total, {FAILED} FROM {TABLE} AS r"));
    narrow(&mut query, filter);
    query.push(" GROUP BY 1 ORDER BY 1");
    query
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::{Connection as _, SqliteConnection};

    use super::*;
    use crate::model::clock::SystemClock;
    use crate::storage::query::PageRequest;
    use crate::storage::sql::validations::listing;
    use crate::storage::sqlite::SqliteOptions;

    /// The steps of SQLite's plan for a statement.
    async fn plan(conn: &mut SqliteConnection, query: Query) -> Vec<String> {
        let mut query = query;
        query.text = format!("EXPLAIN QUERY PLAN {}", query.text).into();
        let rows = Link::Sqlite(conn).rows(query).await.unwrap();
        rows.iter().map(|row| Reader::new(row, "plan", "detail").text("detail").unwrap()).collect()
    }

    fn filters() -> Vec<ValidationFilter> {
        let none = ValidationFilter::default;
        let some = |text: &str| Some(text.to_owned());
        let day = || ValidationFilter {
            from: Some(Timestamp::from_micros(1)),
            until: Some(Timestamp::from_micros(2)),
            ..none()
        };
        vec![
            none(),
            day(),
            ValidationFilter { schema_id: some("s"), ..none() },
            ValidationFilter { schema_id: some("s"), ..day() },
            ValidationFilter { consumer_id: some("c"), ..day() },
            ValidationFilter { operation: some("/o"), ..day() },
            ValidationFilter { valid: Some(false), ..day() },
            ValidationFilter { code: some("c"), ..none() },
            ValidationFilter { code: some("c"), ..day() },
        ]
    }

    /// No table is read from end to end, no page is sorted; what spans all records goes by an
    /// index that holds all it asks for.
    #[tokio::test]
    async fn sqlite_scans_no_table() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("cvt.db");
        SqliteOptions::new(&path).open(Arc::new(SystemClock)).await.unwrap();
        let url = format!("sqlite://{}", path.display());
        let mut conn = SqliteConnection::connect(&url).await.unwrap();
        for filter in filters() {
            let page = PageRequest { size: 10, cursor: None };
            let list = plan(&mut conn, listing(&filter, &page).unwrap()).await;
            let sorted = list.iter().any(|step| step.contains("TEMP B-TREE"));
            assert!(!sorted || filter.code.is_some(), "{filter:?}: {list:#?}");
            let statements = [
                listing(&filter, &page).unwrap(),
                totals_statement(Dialect::Sqlite, &filter),
                tallies_statement(&filter, 10),
                violations_statement(&filter, 10),
                series_statement(Dialect::Sqlite, &filter, 60),
            ];
            for statement in statements {
                let text = statement.text.clone();
                let steps = plan(&mut conn, statement).await;
                // asked for everything, the narrow table of codes is read whole, in its order
                let whole = filter == ValidationFilter::default() && text.contains("AS v");
                for step in steps.iter().filter(|_| !whole) {
                    let table = ["r", "v", "validation_runs", "validation_violations"]
                        .iter()
                        .any(|name| step == &format!("SCAN {name}"));
                    assert!(!table, "{text}: {steps:#?}");
                }
            }
        }
    }
}
