//! Buckets of time, and how a time range is split into them.
//!
//! A range becomes the widest whole buckets it holds, and single records at its edges, for less
//! than two minutes. A new width goes into [`BucketSpan`]; it is filled by what is counted from then on.

use crate::model::clock::Timestamp;

const MINUTE: i64 = 60_000_000;

/// Widths of buckets, apply_filter to wide; each is a whole multiple of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BucketSpan {
    Minute,
    Hour,
    Day,
    /// Thirty days.
    Month,
}

/// Part of a time range, and where its counts come from. Bounds are in microseconds, the upper
/// one is not part of it; `None` goes on for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeSlice {
    /// Whole buckets.
    Buckets(BucketSpan, Option<i64>, Option<i64>),
    /// Single records.
    Records(i64, i64),
}

// === impl BucketSpan ===

impl BucketSpan {
    pub(crate) const ALL: [Self; 4] = [Self::Minute, Self::Hour, Self::Day, Self::Month];

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

    /// The start of the first bucket that starts at `micros` or later.
    pub(crate) fn ceil(self, micros: i64) -> i64 {
        let floor = self.floor(micros);
        if floor == micros { micros } else { floor.saturating_add(self.micros()) }
    }
}

/// Splits the time from `from` to before `until` into slices, with buckets up to `widest`.
pub(crate) fn slices(
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    widest: Option<BucketSpan>,
) -> Vec<TimeSlice> {
    let mut slices = Vec::new();
    let micros = |at: Option<Timestamp>| at.map(Timestamp::as_micros);
    cut(micros(from), micros(until), widest, &mut slices);
    slices
}

fn cut(
    from: Option<i64>,
    until: Option<i64>,
    widest: Option<BucketSpan>,
    slices: &mut Vec<TimeSlice>,
) {
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return;
    }
    let Some(span) = widest else {
        let (from, until) = (from.unwrap_or(i64::MIN), until.unwrap_or(i64::MAX));
        return slices.push(TimeSlice::Records(from, until));
    };
    let (first, end) = (from.map(|at| span.ceil(at)), until.map(|at| span.floor(at)));
    if first.zip(end).is_some_and(|(first, end)| first >= end) {
        return cut(from, until, span.narrower(), slices);
    }
    if from.is_some() {
        cut(from, first, span.narrower(), slices);
    }
    slices.push(TimeSlice::Buckets(span, first, end));
    if until.is_some() {
        cut(end, until, span.narrower(), slices);
    }
}

#[cfg(test)]
mod tests {
    use super::BucketSpan::{Day, Hour, Minute, Month};
    use super::TimeSlice::{Buckets, Records};
    use super::*;

    fn cut_up(from: Option<i64>, until: Option<i64>) -> Vec<TimeSlice> {
        let at = |micros: Option<i64>| micros.map(Timestamp::from_micros);
        slices(at(from), at(until), Some(Month))
    }

    #[test]
    fn an_open_range_is_one_slice() {
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

    /// Slices follow each other without gap or overlap, whole buckets start and end at their
    /// width, and records are read for less than two minutes.
    #[test]
    fn slices_cover_the_range() {
        let month = Month.micros();
        let mut seed = 7_i64;
        for _ in 0..2_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
            let from = seed.rem_euclid(3 * month);
            let until = from + (seed >> 13).rem_euclid(2 * month) / (1 << (seed & 31));
            let mut next = from;
            let mut single = 0;
            for slice in cut_up(Some(from), Some(until)) {
                let (start, end) = match slice {
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
