//! Numbers kept beside the records: how many of each series fall into each bucket of time.
//!
//! What must hold: in every transaction that stores or deletes records, the same sums change by
//! the same numbers, so that sums and records agree at every instant. Sums of equal buckets are
//! added up, never overwritten, in one order in all processes: writers never wait for each
//! other in a circle. A bucket that is empty has no row.
//!
//! Series are summed in every [`Span`], facets by the minute and the hour. A range of time is
//! cut into the widest whole buckets it holds, and the records of what is left at its edges
//! (less than two minutes). A new width goes into [`Span`] and fills itself for what comes then.

use std::collections::{BTreeMap, HashMap};

use super::series::Known;
use super::{Dialect, Link, List, Query, Value};
use crate::model::clock::Timestamp;
use crate::storage::store::StoreResult;

/// Sums per statement.
const CHUNK: usize = 256;
const MINUTE: i64 = 60_000_000;

/// Widths of buckets, narrow to wide; each is a whole multiple of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Span {
    Minute,
    Hour,
    Day,
    /// Thirty days.
    Month,
}

/// Part of a range of time, and what tells its numbers. Bounds are in microseconds, the upper
/// one is not part of it; `None` goes on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Whole buckets.
    Buckets(Span, Option<i64>, Option<i64>),
    /// Single records.
    Records(i64, i64),
}

/// A sum: width, start of the bucket, series.
type Key = (Span, i64, i64);

// === impl Span ===

impl Span {
    const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

    /// The widths facets are kept in.
    const OF_FACETS: [Self; 2] = [Self::Minute, Self::Hour];

    /// The width in microseconds.
    pub(crate) const fn micros(self) -> i64 {
        match self {
            Self::Minute => MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
            Self::Month => 30 * 24 * 60 * MINUTE,
        }
    }

    /// The number in storage.
    pub(crate) const fn number(self) -> i64 {
        self as i64
    }

    fn narrower(self) -> Option<Self> {
        Self::ALL.into_iter().rev().find(|span| *span < self)
    }

    /// The start of the bucket that `micros` falls into.
    pub(crate) const fn floor(self, micros: i64) -> i64 {
        micros.div_euclid(self.micros()) * self.micros()
    }

    fn ceil(self, micros: i64) -> i64 {
        let floor = self.floor(micros);
        if floor == micros { micros } else { floor.saturating_add(self.micros()) }
    }
}

/// Cuts the time from `from` to before `until` into pieces, with buckets up to `widest`.
pub(crate) fn pieces(
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    widest: Option<Span>,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
    cut(micros(from), micros(until), widest, &mut pieces);
    pieces
}

fn cut(from: Option<i64>, until: Option<i64>, widest: Option<Span>, pieces: &mut Vec<Piece>) {
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return;
    }
    let Some(span) = widest else {
        let (from, until) = (from.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
        return pieces.push(Piece::Records(from, until));
    };
    let (first, end) = (from.map(|at| span.ceil(at)), until.map(|at| span.floor(at)));
    if first.zip(end).is_some_and(|(first, end)| first >= end) {
        return cut(from, until, span.narrower(), pieces);
    }
    if from.is_some() {
        cut(from, first, span.narrower(), pieces);
    }
    pieces.push(Piece::Buckets(span, first, end));
    if until.is_some() {
        cut(end, until, span.narrower(), pieces);
    }
}

/// Adds records, or with `sign` -1 takes them away: each judged at its time, of its series.
pub(crate) async fn add<'k>(
    link: &mut Link<'_>,
    records: impl Iterator<Item = (Timestamp, &'k Known)>,
    sign: i64,
) -> StoreResult<()> {
    let mut minutes: HashMap<(i64, i64), (&Known, i64)> = HashMap::new();
    for (at, known) in records {
        let minute = Span::Minute.floor(at.as_micros());
        minutes.entry((minute, known.id)).or_insert((known, 0)).1 += sign;
    }
    // sorted: the order in which all processes take the rows
    let mut sums: BTreeMap<Key, i64> = BTreeMap::new();
    for ((minute, id), (known, count)) in minutes {
        for span in Span::ALL {
            *sums.entry((span, span.floor(minute), id)).or_default() += count;
        }
        for (span, facet) in Span::OF_FACETS
            .into_iter()
            .flat_map(|span| known.facets.iter().map(move |f| (span, *f)))
        {
            *sums.entry((span, span.floor(minute), facet)).or_default() += count;
        }
    }
    let sums: Vec<_> = sums.into_iter().collect();
    match link.dialect() {
        Dialect::Sqlite => {
            for chunk in sums.chunks(CHUNK) {
                add_rows(link, chunk).await?;
            }
        }
        Dialect::Postgres => add_arrays(link, &sums).await?,
    }
    if sign < 0 {
        for chunk in sums.chunks(CHUNK) {
            clear(link, chunk).await?;
        }
    }
    Ok(())
}

const INSERT: &str = "INSERT INTO validation_rollups AS r (span, start, series, total) ";
const ADD: &str =
    " ON CONFLICT (span, start, series) DO UPDATE SET total = r.total + excluded.total";

async fn add_rows(link: &mut Link<'_>, sums: &[(Key, i64)]) -> StoreResult<()> {
    let mut query = Query::build(INSERT);
    query.push("VALUES ");
    for (index, ((span, start, series), total)) in sums.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        let row = [span.number(), *start, *series, *total].map(Value::from);
        query.bulk_row(link.dialect(), row);
    }
    query.push(ADD);
    link.run(query).await.map(drop)
}

async fn add_arrays(link: &mut Link<'_>, sums: &[(Key, i64)]) -> StoreResult<()> {
    let column = |value: fn(&(Key, i64)) -> i64| List::Ints(sums.iter().map(value).collect());
    let mut query = Query::build(INSERT);
    query.push("SELECT * FROM UNNEST(").bind(column(|((span, ..), _)| span.number()));
    query.push(", ").bind(column(|((_, start, _), _)| *start));
    query.push(", ").bind(column(|((.., series), _)| *series));
    query.push(", ").bind(column(|(_, total)| *total)).push(")").push(ADD);
    link.run(query).await.map(drop)
}

/// Removes those of these sums that came to nothing.
async fn clear(link: &mut Link<'_>, sums: &[(Key, i64)]) -> StoreResult<()> {
    let mut query = Query::build(
        "DELETE FROM validation_rollups WHERE total <= 0 AND (span, start, series) IN (VALUES ",
    );
    for (index, ((span, start, series), _)) in sums.iter().enumerate() {
        if index > 0 {
            query.push(", ");
        }
        query.bulk_row(link.dialect(), [span.number(), *start, *series].map(Value::from));
    }
    query.push(")");
    link.run(query).await.map(drop)
}

/// Takes away the whole day that starts at `day`, whose records are gone.
pub(crate) async fn drop_day(link: &mut Link<'_>, day: Timestamp) -> StoreResult<()> {
    let (start, month) = (day.as_micros(), Span::Month.floor(day.as_micros()));
    let end = start + Span::Day.micros();
    // the order in which writers take the rows
    let mut lock = Query::build("SELECT total FROM validation_rollups WHERE (span < ");
    lock.bind(Span::Month.number()).push(" AND start >= ").bind(start);
    lock.push(" AND start < ").bind(end).push(") OR (span = ").bind(Span::Month.number());
    lock.push(" AND start = ").bind(month).push(") ORDER BY span, start, series");
    lock.push(link.dialect().for_update());
    link.run(lock).await?;
    let mut subtract = Query::build(
        "UPDATE validation_rollups AS m SET total = m.total - d.total \
         FROM validation_rollups AS d WHERE d.series = m.series AND d.span = ",
    );
    subtract.bind(Span::Day.number()).push(" AND d.start = ").bind(start);
    subtract.push(" AND m.span = ").bind(Span::Month.number());
    subtract.push(" AND m.start = ").bind(month);
    link.run(subtract).await?;
    let mut gone = Query::build("DELETE FROM validation_rollups WHERE (span < ");
    gone.bind(Span::Month.number()).push(" AND start >= ").bind(start);
    gone.push(" AND start < ").bind(end).push(") OR (span = ").bind(Span::Month.number());
    gone.push(" AND start = ").bind(month).push(" AND total <= 0)");
    link.run(gone).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::Piece::{Buckets, Records};
    use super::Span::{Day, Hour, Minute, Month};
    use super::*;

    fn cut_up(from: Option<i64>, until: Option<i64>) -> Vec<Piece> {
        let at = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        pieces(at(from), at(until), Some(Month))
    }

    #[test]
    fn everything_is_one_piece() {
        assert_eq!(cut_up(None, None), [Buckets(Month, None, None)]);
        assert_eq!(cut_up(Some(0), None), [Buckets(Month, Some(0), None)]);
        assert_eq!(cut_up(Some(5), Some(5)), []);
        assert_eq!(cut_up(Some(5), Some(4)), []);
        assert_eq!(cut_up(Some(5), Some(9)), [Records(5, 9)]);
    }

    #[test]
    fn ranges_use_the_widest_buckets_they_hold() {
        let (hour, day) = (Hour.micros(), Day.micros());
        assert_eq!(
            cut_up(Some(day - hour - 1), Some(2 * day + MINUTE)),
            [
                Records(day - hour - 1, day - hour),
                Buckets(Hour, Some(day - hour), Some(day)),
                Buckets(Day, Some(day), Some(2 * day)),
                Buckets(Minute, Some(2 * day), Some(2 * day + MINUTE)),
            ]
        );
    }

    /// Pieces follow each other without gap or overlap, whole buckets start and end at their
    /// width, and records are read for less than two minutes.
    #[test]
    fn pieces_are_the_range() {
        let month = Month.micros();
        let mut seed = 7_i64;
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let from = seed.rem_euclid(3 * month);
            let until = from + (seed >> 13).rem_euclid(2 * month) / (1 << (seed & 31));
            let mut next = from;
            let mut single = 0;
            for piece in cut_up(Some(from), Some(until)) {
                let (start, end) = match piece {
                    Records(start, end) => {
                        single += end - start;
                        (start, end)
                    }
                    Buckets(span, start, end) => {
                        let (start, end) = (start.unwrap(), end.unwrap());
                        assert_eq!((span.floor(start), span.floor(end)), (start, end));
                        (start, end)
                    }
                };
                assert_eq!(start, next);
                assert!(end > start);
                next = end;
            }
            assert_eq!(next, until);
            assert!(single < 2 * MINUTE, "{single}");
        }
    }
}
