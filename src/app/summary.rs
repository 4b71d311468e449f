//! The totals of one run, printed at its end.

use std::fmt;

use super::console::format_violation;
use crate::exchange::metrics::ExchangeMetrics;
use crate::model::verdict::SkipReason;
use crate::pipeline::deliver::metrics::RecordMetrics;
use crate::pipeline::deliver::spool::SpoolState;
use crate::pipeline::record::violation_groups::{GroupSummary, ViolationGroups};

/// ViolationGroups that the summary shows.
const MAX_KINDS_SHOWN: usize = 20;

/// Totals of one run.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Exchanges that ended.
    pub seen: u64,
    /// Exchanges that were validated.
    pub validated: u64,
    /// Exchanges of which nothing was validated, by reason.
    pub skipped: Vec<(SkipReason, u64)>,
    /// Records stored.
    pub written: u64,
    /// Records that wait in the spool for the next start.
    pub spooled: u64,
    /// Records lost.
    pub lost: u64,
    /// ViolationGroups of violation, the most frequent first.
    pub groups: Vec<GroupSummary>,
    /// Violations of further groups.
    pub other_violations: u64,
}

// === impl Summary ===

impl Summary {
    pub(super) fn new(
        metrics: &ExchangeMetrics,
        records: &RecordMetrics,
        spool: &SpoolState,
        groups: &ViolationGroups,
    ) -> Self {
        let skipped = SkipReason::ALL
            .into_iter()
            .map(|reason| (reason, metrics.skipped(reason)))
            .filter(|(_, count)| *count > 0)
            .collect();
        let (groups, other_violations) = groups.summary();
        Self {
            seen: metrics.seen.get(),
            validated: metrics.validated.get(),
            skipped,
            written: records.written(),
            spooled: spool.records(),
            lost: records.all_dropped(),
            groups,
            other_violations,
        }
    }

    /// One log event with the totals.
    pub fn log(&self) {
        tracing::info!(
            event = "summary",
            exchanges = self.seen,
            validated = self.validated,
            skipped = self.skipped.iter().map(|(_, count)| count).sum::<u64>(),
            records_written = self.written,
            records_spooled = self.spooled,
            records_dropped = self.lost,
            violation_groups = self.groups.len(),
            "stopped"
        );
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} exchanges, {} validated", self.seen, self.validated)?;
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
        if self.groups.is_empty() {
            return write!(f, "\nNo violations.");
        }
        write!(f, "\n{} violation groups:", self.groups.len())?;
        for kind in self.groups.iter().take(MAX_KINDS_SHOWN) {
            let line = format_violation(&kind.operation, &kind.violation, "line", false);
            write!(f, "\n{:>8} × {}", kind.count, line.trim_start_matches("✗ "))?;
        }
        let more = self.groups.len().saturating_sub(MAX_KINDS_SHOWN);
        if more > 0 {
            write!(f, "\n         … and {more} more groups")?;
        }
        if self.other_violations > 0 {
            write!(f, "\n{:>8} × in no group, because there are too many", self.other_violations)?;
        }
        Ok(())
    }
}
