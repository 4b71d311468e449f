//! Filters, options and answers of the store that are not records themselves.
//!
//! In every filter an absent field filters nothing, and present fields must all match.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::clock::Timestamp;
use crate::model::fault::Fault;
use crate::model::page::{Cursor, DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE, Page};
use crate::model::schema::{SchemaMetadata, SchemaRecord};
use crate::model::violation::Side;

/// Which page of a listing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageRequest {
    /// Rows wanted; 0 means [`DEFAULT_PAGE_SIZE`], more than [`MAX_PAGE_SIZE`] is cut to it.
    pub size: u32,
    /// Where to start; `None` is the first page.
    pub cursor: Option<Cursor>,
}

/// What to do when a version is registered again with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConflict {
    /// Refuse with `StoreError::Conflict`.
    #[default]
    Refuse,
    /// Store the new content and keep the old content's hash in the history.
    Replace,
}

/// What a registration changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SchemaChange {
    /// A version that was not there before.
    Created,
    /// The content was there; owner, environment or which version is latest changed.
    Updated,
    /// The version's content was replaced.
    Replaced,
    /// Everything was there already; nothing was written.
    Unchanged,
}

/// A registration as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSchema {
    /// The row as stored.
    pub record: SchemaRecord,
    /// What was changed.
    pub change: SchemaChange,
}

/// Content that a version had before it was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplacedContent {
    /// Hex SHA-256 of the content that was replaced.
    pub content_hash: String,
    /// When it was replaced.
    pub replaced_at: Timestamp,
}

/// Which schemas to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SchemaFilter {
    /// Owner, compared exactly.
    pub owner: Option<String>,
    /// Team, compared exactly.
    pub team: Option<String>,
    /// Environment, compared exactly.
    pub environment: Option<String>,
    /// Every version instead of the latest of each schema.
    pub all_versions: bool,
}

/// One page of schemas and how many there are on all pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaList {
    /// The page; contents stay in storage.
    pub page: Page<SchemaMetadata>,
    /// Schemas that match the filter.
    pub total: u64,
}

/// What happens to validation records when their schema is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnSchemaDelete {
    /// They stay until they expire.
    #[default]
    KeepRecords,
    /// They are deleted too.
    DeleteRecords,
}

/// Which validation records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ValidationFilter {
    /// Schema id.
    pub schema_id: Option<String>,
    /// Request method, compared exactly.
    pub method: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// Only valid, or only invalid ones.
    pub valid: Option<bool>,
    /// Ended at this time or later.
    pub from: Option<Timestamp>,
    /// Ended before this time.
    pub until: Option<Timestamp>,
    /// Consumer id.
    pub consumer_id: Option<String>,
    /// Path template.
    pub path_template: Option<String>,
    /// A violation code that the record must carry.
    pub code: Option<String>,
    /// Whose fault the violations are.
    pub fault: Option<Fault>,
    /// A side that the record must carry a violation of.
    pub side: Option<Side>,
    /// What the service answered with.
    pub status: Option<u16>,
}

/// How analytics are aggregated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnalyticsOptions {
    /// Width of a point of the time series, in whole microseconds; `None` leaves the series
    /// out. Widened where the range of time, as asked for or in the whole hours that the
    /// records span, would have more than [`MAX_BUCKETS`] points; then to whole minutes, hours
    /// or days, if the width asked for divides them.
    pub bucket: Option<Duration>,
    /// How many entries each list has at most, the biggest first.
    pub top: u32,
}

/// The most points a time series has.
pub const MAX_BUCKETS: u32 = 2_000;

/// What the records of a filter say in numbers. No rows give zeros and empty lists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationAnalytics {
    /// Records.
    pub total_validations: u64,
    /// Valid ones.
    pub pass_count: u64,
    /// Invalid ones.
    pub fail_count: u64,
    /// Valid ones in percent, 0 to 100; 0 when there are no records.
    pub pass_rate: f64,
    /// Violation codes, by the number of records that carry them.
    pub top_violations: Vec<NamedCount>,
    /// By request method.
    pub by_method: Vec<OutcomeCount>,
    /// By schema id.
    pub by_schema: Vec<OutcomeCount>,
    /// By path template; records without a path template count under the empty name.
    pub by_path_template: Vec<OutcomeCount>,
    /// By consumer id.
    pub by_consumer: Vec<OutcomeCount>,
    /// By time; buckets without records are left out.
    pub series: Vec<TimeBucket>,
}

/// A name and how many records carry it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedCount {
    /// The name.
    pub name: String,
    /// How many records.
    pub count: u64,
}

/// A name with its number of records and of invalid ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// The name.
    pub name: String,
    /// Records.
    pub total: u64,
    /// Invalid ones.
    pub failed: u64,
}

/// One point of the time series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeBucket {
    /// Start of the bucket, a whole multiple of its width since the Unix epoch.
    pub start: Timestamp,
    /// Records.
    pub total: u64,
    /// Invalid ones.
    pub failed: u64,
}

/// What expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpireKind {
    /// Records of valid exchanges.
    Valid,
    /// Records of invalid exchanges.
    Invalid,
    /// Records of either kind; PostgreSQL drops whole days of them.
    All,
    /// Bodies only; the records stay.
    Bodies,
}

/// What the `purge` command removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purge<'p> {
    /// Records of one consumer.
    ConsumerRecords(&'p str),
    /// One consumer in the lists of violation groups; the groups stay.
    ConsumerInGroups(&'p str),
    /// Violation groups that were not seen at this time or later.
    GroupsLastSeenBefore(Timestamp),
    /// Usage facts that were not seen at this time or later; registrations stay.
    UsageLastSeenBefore(Timestamp),
}

/// The result of one batch of rewriting records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RewriteProgress {
    /// Records examined.
    pub seen: u64,
    /// Records whose payload was written again.
    pub changed: u64,
    /// Cursor of the next batch; `None` after the last.
    pub next: Option<Cursor>,
}

/// Which consumers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConsumerFilter {
    /// Schema id.
    pub schema_id: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// Consumer id.
    pub consumer_id: Option<String>,
}

/// Which observed usage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Schema id.
    pub schema_id: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// Consumer id.
    pub consumer_id: Option<String>,
    /// Method, upper case.
    pub method: Option<String>,
    /// Path template.
    pub path: Option<String>,
}

/// Which violation groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupFilter {
    /// Fingerprint.
    pub fingerprint: Option<String>,
    /// Schema id.
    pub schema_id: Option<String>,
    /// Violation code.
    pub code: Option<String>,
    /// Path template.
    pub path_template: Option<String>,
    /// Whose fault.
    pub fault: Option<Fault>,
    /// The side that breaks the contract.
    pub side: Option<Side>,
    /// A status that the service answered with.
    pub status: Option<u16>,
    /// Last seen at this time or later.
    pub seen_since: Option<Timestamp>,
}

/// What the migrations did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MigrationReport {
    /// The newest migration found, 0 for an empty database.
    pub from: i64,
    /// The newest migration there is.
    pub to: i64,
    /// The migrations between, by number and name.
    pub steps: Vec<(i64, String)>,
    /// Whether they were run.
    pub applied: bool,
}

// === impl PageRequest ===

impl PageRequest {
    /// The first page, of `size` rows.
    pub const fn first(size: u32) -> Self {
        Self { size, cursor: None }
    }

    /// The page after `cursor`.
    pub const fn after(size: u32, cursor: Cursor) -> Self {
        Self { size, cursor: Some(cursor) }
    }

    /// Rows on the page, within the limits.
    pub fn limit(&self) -> u32 {
        match self.size {
            0 => DEFAULT_PAGE_SIZE,
            size => size.min(MAX_PAGE_SIZE),
        }
    }
}

// === impl ValidationFilter ===

impl ValidationFilter {
    /// Whether it asks for something that only the records themselves say.
    pub(crate) fn needs_records(&self) -> bool {
        self.fault.is_some() || self.side.is_some() || self.status.is_some()
    }
}

// === impl AnalyticsOptions ===

impl Default for AnalyticsOptions {
    fn default() -> Self {
        Self { bucket: None, top: 10 }
    }
}

// === impl ValidationAnalytics ===

impl ValidationAnalytics {
    /// Fills in the counts that follow from two others.
    pub(crate) fn with_totals(mut self, total: u64, failed: u64) -> Self {
        self.total_validations = total;
        self.fail_count = failed;
        self.pass_count = total.saturating_sub(failed);
        self.pass_rate =
            if total == 0 { 0.0 } else { self.pass_count as f64 * 100.0 / total as f64 };
        self
    }
}

/// The width of a time series' buckets in microseconds: as requested, or as wide as the range needs;
/// then in whole minutes, hours or days where the requested width divides them.
pub(crate) fn bucket_micros(asked: Duration, from: Timestamp, until: Timestamp) -> i64 {
    const MINUTE: i64 = 60_000_000;
    let asked = i64::try_from(asked.as_micros()).unwrap_or(i64::MAX).max(1);
    let range = until.as_micros().saturating_sub(from.as_micros()).max(1);
    // a range that starts within a bucket reaches into one more
    let needed = (range - 1) / (i64::from(MAX_BUCKETS) - 1) + 1;
    if asked >= needed {
        return asked;
    }
    let unit = [24 * 60 * MINUTE, 60 * MINUTE, MINUTE]
        .into_iter()
        .find(|unit| *unit <= needed && unit % asked == 0)
        .unwrap_or(asked);
    ((needed - 1) / unit + 1).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_series_have_a_bounded_number_of_points() {
        let width = |asked: u64, range: u64| {
            let until = Timestamp::default().plus(Duration::from_secs(range));
            bucket_micros(Duration::from_secs(asked), Timestamp::default(), until) / 1_000_000
        };
        assert_eq!(width(60, 86_400), 60);
        assert_eq!(width(1, 25_000), 13);
        assert_eq!(width(1, 200_000), 120, "whole minutes");
        assert_eq!(width(60, 90 * 86_400), 2 * 3_600, "whole hours");
        assert_eq!(width(7, 90 * 86_400), 3_892, "whole sevens");
        assert_eq!(width(3_600, 9_000 * 86_400), 5 * 86_400, "whole days");
        assert_eq!(width(0, 1), 1_000_000 / 1_999 / 1_000_000);
    }
}
