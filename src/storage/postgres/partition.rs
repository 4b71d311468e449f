//! One partition of `validation_runs` and one of `validation_violations` per UTC day.
//!
//! The tables of a day are named `validation_runs_20261123`. They are made by the first batch
//! that needs them and dropped, both at once, when all their rows expire. Days outside of
//! 1970 to 9999 cannot be named: such a record is refused as a defect of ours.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};
use time::{Date, Duration, OffsetDateTime};

use crate::model::clock::Timestamp;
use crate::model::record::ValidationRecord;
use crate::storage::error::StoreError;
use crate::storage::query::ExpireKind;
use crate::storage::sql::{DbConn, rollups};
use crate::storage::store::StoreResult;

/// Serializes making and dropping days in all sidecars: "cvt-days" as a number.
const LOCK: i64 = 0x6376_742d_6461_7973;

const RUNS: &str = "validation_runs";
const VIOLATIONS: &str = "validation_violations";

/// The days whose partitions this process has seen.
#[derive(Debug, Default)]
pub(super) struct PartitionCache(Mutex<BTreeSet<Date>>);

// === impl PartitionCache ===

impl PartitionCache {
    /// Creates the partitions of all days that `records` fall on.
    pub(super) async fn ensure(
        &self,
        pool: &PgPool,
        records: &[&ValidationRecord],
    ) -> StoreResult<()> {
        let mut missing = BTreeSet::new();
        for record in records {
            missing.insert(day_of(record.validated_at)?);
        }
        {
            let known = self.0.lock();
            missing.retain(|day| !known.contains(day));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = pool.begin().await?;
        lock(&mut tx).await?;
        for day in &missing {
            let (from, until) = bounds(*day);
            for table in [RUNS, VIOLATIONS] {
                let name = name_of(table, *day);
                let text = format!(
                    "CREATE TABLE IF NOT EXISTS {name} PARTITION OF {table} \
                     FOR VALUES FROM ('{from}') TO ('{until}')"
                );
                sqlx::query(AssertSqlSafe(text)).execute(&mut *tx).await?;
            }
        }
        tx.commit().await?;
        self.0.lock().append(&mut missing);
        Ok(())
    }

    /// Clears the cache.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Drops the oldest day that ends by `older_than` and holds nothing that does not expire;
    /// says how many records went. `None` when there is no such day.
    pub(super) async fn drop_oldest(
        &self,
        pool: &PgPool,
        kind: ExpireKind,
        older_than: Timestamp,
    ) -> StoreResult<Option<u64>> {
        let mut tx = pool.begin().await?;
        lock(&mut tx).await?;
        for day in days(&mut tx).await? {
            let end = day.saturating_add(Duration::DAY).midnight().assume_utc();
            if Timestamp::from(end) > older_than {
                break;
            }
            let runs = name_of(RUNS, day);
            let stays = match kind {
                ExpireKind::All | ExpireKind::Bodies => None,
                ExpireKind::Valid => Some("NOT valid"),
                ExpireKind::Invalid => Some("valid"),
            };
            // a batch that is being inserted must not vanish
            let lock = format!("LOCK TABLE {runs} IN ACCESS EXCLUSIVE MODE");
            sqlx::query(AssertSqlSafe(lock)).execute(&mut *tx).await?;
            if let Some(condition) = stays {
                let text = format!("SELECT EXISTS (SELECT 1 FROM {runs} WHERE {condition})");
                let kept: bool =
                    sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut *tx).await?;
                if kept {
                    continue;
                }
            }
            let text = format!("SELECT COUNT(*) FROM {runs}");
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(text)).fetch_one(&mut *tx).await?;
            let text = format!("DROP TABLE {runs}, {}", name_of(VIOLATIONS, day));
            sqlx::query(AssertSqlSafe(text)).execute(&mut *tx).await?;
            rollups::drop_day(&mut DbConn::Postgres(&mut tx), bounds(day).0).await?;
            tx.commit().await?;
            self.0.lock().remove(&day);
            // 0 would say that nothing is left to expire
            return Ok(Some(u64::try_from(count).unwrap_or(0).max(1)));
        }
        Ok(None)
    }
}

async fn lock(tx: &mut sqlx::PgTransaction<'_>) -> StoreResult<()> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut **tx).await?;
    Ok(())
}

/// The days that have tables, oldest first.
async fn days(conn: &mut PgConnection) -> StoreResult<BTreeSet<Date>> {
    let rows = sqlx::query(
        "SELECT CAST(child.relname AS TEXT) AS name FROM pg_inherits \
         JOIN pg_class AS child ON child.oid = inhrelid \
         WHERE inhparent = to_regclass('validation_runs')",
    )
    .fetch_all(conn)
    .await?;
    let mut days = BTreeSet::new();
    for row in rows {
        let name: String = row.try_get("name")?;
        days.extend(parse_name(&name));
    }
    Ok(days)
}

/// A range of time: from its start to before its end, as in a filter.
pub(crate) type TimeRange = (Option<Timestamp>, Option<Timestamp>);

/// The range of time that has days with tables, newest first in ranges of one day, two, four
/// and so on.
pub(crate) async fn time_ranges(
    conn: &mut PgConnection,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
) -> StoreResult<Vec<TimeRange>> {
    Ok(doubling_ranges(days(conn).await?, from, until))
}

fn doubling_ranges(
    days: BTreeSet<Date>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Vec<TimeRange> {
    let mut bounds = days.into_iter().map(bounds).rev().filter(|(start, end)| {
        until.is_none_or(|until| *start < until) && from.is_none_or(|from| *end > from)
    });
    let (mut time_ranges, mut length) = (Vec::new(), 1);
    while let Some((mut start, end)) = bounds.next() {
        if let Some((oldest, _)) = bounds.by_ref().take(length - 1).last() {
            start = oldest;
        }
        time_ranges
            .push((Some(start).max(from), until.map_or(Some(end), |until| Some(until.min(end)))));
        length *= 2;
    }
    time_ranges
}

fn day_of(at: Timestamp) -> StoreResult<Date> {
    let day = OffsetDateTime::from(at).date();
    if (1970..=9999).contains(&day.year()) {
        return Ok(day);
    }
    Err(StoreError::Unexpected(format!("a record dated in the year {}", day.year())))
}

/// The day's first instant and the next day's.
fn bounds(day: Date) -> (Timestamp, Timestamp) {
    let start = |day: Date| Timestamp::from(day.midnight().assume_utc());
    (start(day), start(day.saturating_add(Duration::DAY)))
}

fn name_of(table: &str, day: Date) -> String {
    format!("{table}_{:04}{:02}{:02}", day.year(), u8::from(day.month()), day.day())
}

fn parse_name(name: &str) -> Option<Date> {
    let digits = name.strip_prefix(RUNS)?.strip_prefix('_')?;
    if digits.len() != 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let year = digits[..4].parse().ok()?;
    let month: u8 = digits[4..6].parse().ok()?;
    Date::from_calendar_date(year, month.try_into().ok()?, digits[6..].parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partition_names_parse_back() {
        let day = day_of(Timestamp::from_micros(1_700_000_000_000_000)).unwrap();
        assert_eq!(name_of(RUNS, day), "validation_runs_20231114");
        assert_eq!(parse_name(&name_of(RUNS, day)), Some(day));
        for other in ["validation_runs", "validation_runs_x", "validation_runs_20231350"] {
            assert_eq!(parse_name(other), None, "{other}");
        }
        let (from, until) = bounds(day);
        assert_eq!(from.to_string(), "2023-11-14T00:00:00.000000Z");
        assert_eq!(until.to_string(), "2023-11-15T00:00:00.000000Z");
    }

    #[test]
    fn time_ranges_are_the_days_newest_first() {
        let day = |number: i64| Timestamp::from_micros(number * 86_400_000_000);
        let date = |number| day_of(day(number)).unwrap();
        let days: BTreeSet<_> = [3, 5, 6, 7, 8, 9, 10].map(date).into();
        let whole = |from, until| (Some(day(from)), Some(day(until)));
        assert_eq!(
            doubling_ranges(days.clone(), None, None),
            [whole(10, 11), whole(8, 10), whole(3, 8)],
        );
        let within = |at: i64| Timestamp::from_micros(day(at).as_micros() + 1);
        assert_eq!(
            doubling_ranges(days.clone(), Some(within(6)), Some(within(9))),
            [(Some(day(9)), Some(within(9))), whole(7, 9), (Some(within(6)), Some(day(7))),],
        );
        assert_eq!(doubling_ranges(days.clone(), Some(day(4)), Some(day(5))), []);
        assert_eq!(doubling_ranges(days, Some(within(3)), Some(within(3))).len(), 1);
        assert_eq!(doubling_ranges(BTreeSet::new(), None, None), []);
    }
}
