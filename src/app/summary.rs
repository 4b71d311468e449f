//! What was seen, in the end.

use std::fmt;

use super::announce::describe;
use crate::model::verdict::SkipReason;
use crate::observer::kinds::{Kind, Kinds};
use crate::observer::metrics::{ObserverMetrics, RecordMetrics};
use crate::observer::spool::SpoolState;

/// Kinds that the summary shows.
const SHOWN: usize = 20;

/// Totals of one run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Exchanges that ended.
    pub seen: u64,
    /// Exchanges that were judged.
    pub judged: u64,
    /// Exchanges of which nothing was judged, by reason.
    pub skipped: Vec<(SkipReason, u64)>,
    /// Records stored.
    pub written: u64,
    /// Records that wait in the spool for the next start.
    pub spooled: u64,
    /// Records lost.
    pub lost: u64,
    /// Kinds of violation, the most frequent first.
    pub kinds: Vec<Kind>,
    /// Violations of further kinds.
    pub beyond: u64,
}

// === impl Summary ===

impl Summary {
    pub(super) fn new(
        metrics: &ObserverMetrics,
        records: &RecordMetrics,
        spool: &SpoolState,
        kinds: &Kinds,
    ) -> Self {
        let skipped = SkipReason::ALL
            .into_iter()
            .map(|reason| (reason, metrics.skipped(reason)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let (kinds, beyond) = kinds.summary();
        Self {
            seen: metrics.seen.get(),
            judged: metrics.judged.get(),
            skipped,
            written: records.written(),
            spooled: spool.records(),
            lost: records.all_lost(),
            kinds,
            beyond,
        }
    }

    /// One log event with the totals.
    pub fn log(&self) {
        tracing::info!(
            event = "summary",
            exchanges = self.seen,
            validated = self.judged,
            skipped = self.skipped.iter().map(|(_, count)| count).sum::<u64>(),
            records_written = self.written,
            records_spooled = self.spooled,
            records_dropped = self.lost,
            violation_groups = self.kinds.len(),
            "stopped"
        );
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exchanges, {} validated", self.seen, self.judged)?;
        for (reason, count) in &self.skipped {
            write!(f, ", {count} skipped ({reason})")?;
        }
        write!(f, "; {} records stored", self.written)?;
        if self.spooled > 0 {
            write!(f, ", {} wait in the spool for the next start", self.spooled)?;
        }
        if self.lost > 0 {
            write!(f, ", {} LOST", self.lost)?;
        }
        if self.kinds.is_empty() {
            return write!(f, "\nNo violations.");
        }
        write!(f, "\n{} violation groups:", self.kinds.len())?;
        for kind in self.kinds.iter().take(SHOWN) {
            let line = describe(&kind.operation, &kind.violation, "line", false);
            write!(f, "\n{:>8} × {}", kind.count, line.trim_start_matches("✗ "))?;
        }
        let more = self.kinds.len().saturating_sub(SHOWN);
        if more > 0 {
            write!(f, "\n         … and {more} more groups")?;
        }
        if self.beyond > 0 {
            write!(f, "\n{:>8} × in no group, because there are too many", self.beyond)?;
        }
        Ok(())
    }
}
