//! Records in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{MemoryState, MemoryStore, RecordKey, same};
use crate::model::clock::Timestamp;
use crate::model::page::{Cursor, Page};
use crate::model::record::ValidationRecord;
use crate::redaction::Redacted;
use crate::storage::query::{
    AnalyticsOptions, ExpireKind, NamedCount, OutcomeCount, PageRequest, RewriteProgress,
    TimeBucket, ValidationAnalytics, ValidationFilter, bucket_micros,
};
use crate::storage::sql::buckets::BucketSpan;
use crate::storage::sql::schemas::into_page;
use crate::storage::sql::validations::time_and_id;
use crate::storage::store::{RewriteFn, StoreResult, ValidationStore};

#[async_trait]
impl ValidationStore for MemoryStore {
    async fn record_validations(&self, records: &[Redacted<ValidationRecord>]) -> StoreResult<u64> {
        let mut state = self.state.lock();
        let mut inserted = 0;
        for record in records.iter().map(Redacted::get) {
            if state.time_of.contains_key(&record.id) {
                continue;
            }
            state.time_of.insert(record.id, record.validated_at);
            state.bytes += size_of(record);
            state.records.insert((record.validated_at, record.id), record.clone());
            inserted += 1;
        }
        while state.bytes > self.limit {
            let Some((_, oldest)) = state.records.pop_first() else { break };
            state.time_of.remove(&oldest.id);
            state.bytes = state.bytes.saturating_sub(size_of(&oldest));
            state.evicted += 1;
        }
        Ok(inserted)
    }

    async fn get_validation(&self, id: Uuid) -> StoreResult<Option<ValidationRecord>> {
        let state = self.state.lock();
        let at = state.time_of.get(&id);
        Ok(at.and_then(|at| state.records.get(&(*at, id))).cloned())
    }

    async fn list_validations(
        &self,
        filter: &ValidationFilter,
        page: &PageRequest,
    ) -> StoreResult<Page<ValidationRecord>> {
        let before: Option<RecordKey> = page.cursor.as_ref().map(time_and_id).transpose()?;
        let state = self.state.lock();
        let items = state
            .records
            .iter()
            .rev()
            .filter(|(key, _)| before.is_none_or(|before| **key < before))
            .map(|(_, record)| record)
            .filter(|record| matches(filter, record))
            .take(page.limit() as usize + 1)
            .cloned()
            .collect();
        Ok(into_page(items, page, cursor_of))
    }

    async fn get_validation_analytics(
        &self,
        filter: &ValidationFilter,
        options: &AnalyticsOptions,
    ) -> StoreResult<ValidationAnalytics> {
        let state = self.state.lock();
        let records: Vec<_> =
            state.records.values().filter(|record| matches(filter, record)).collect();
        Ok(analytics(&records, filter, options))
    }

    async fn expire_validations(
        &self,
        kind: ExpireKind,
        older_than: Timestamp,
        batch: u32,
    ) -> StoreResult<u64> {
        let mut state = self.state.lock();
        let batch = batch as usize;
        if kind != ExpireKind::Bodies {
            return Ok(state.delete_records(batch, |record| expires(kind, older_than, record)));
        }
        let mut freed = 0;
        let mut touched = 0;
        let old = state.records.values_mut().filter(|record| expires(kind, older_than, record));
        for record in old.take(batch) {
            let before = size_of(record);
            record.request_body = None;
            record.response_body = None;
            freed += before - size_of(record);
            touched += 1;
        }
        state.bytes = state.bytes.saturating_sub(freed);
        Ok(touched)
    }

    async fn count_expirable(&self, kind: ExpireKind, older_than: Timestamp) -> StoreResult<u64> {
        let state = self.state.lock();
        Ok(state.records.values().filter(|record| expires(kind, older_than, record)).count() as u64)
    }

    async fn rewrite_validations(
        &self,
        page: &PageRequest,
        rewrite: &RewriteFn<'_>,
    ) -> StoreResult<RewriteProgress> {
        let before: Option<RecordKey> = page.cursor.as_ref().map(time_and_id).transpose()?;
        let mut state = self.state.lock();
        let older = state.records.iter().rev();
        let older = older.filter(|(key, _)| before.is_none_or(|before| **key < before));
        let records = older.map(|(_, record)| record.clone()).take(page.limit() as usize + 1);
        let mut page = into_page(records.collect(), page, cursor_of);
        let mut changed = Vec::new();
        for record in &mut page.items {
            if rewrite(record)? {
                changed.push(&*record);
            }
        }
        for record in &changed {
            state.replace_payload(record);
        }
        let changed = changed.len() as u64;
        Ok(RewriteProgress { seen: page.items.len() as u64, changed, next: page.next })
    }
}

fn cursor_of(record: &ValidationRecord) -> Cursor {
    Cursor::new([record.validated_at.as_micros().to_string(), record.id.to_string()])
}

fn matches(filter: &ValidationFilter, record: &ValidationRecord) -> bool {
    same(filter.schema_id.as_ref(), &record.schema_id)
        && same(filter.method.as_ref(), &record.request_method)
        && same(filter.environment.as_ref(), &record.environment)
        && same(filter.consumer_id.as_ref(), &record.consumer_id)
        && filter
            .path_template
            .as_ref()
            .is_none_or(|wanted| record.path_template.as_ref() == Some(wanted))
        && filter.valid.is_none_or(|wanted| record.valid == wanted)
        && filter.fault.is_none_or(|wanted| record.fault == Some(wanted))
        && filter.status.is_none_or(|wanted| record.response_status == Some(wanted))
        && filter.side.is_none_or(|wanted| {
            record.violations.iter().any(|violation| violation.code.side == wanted)
        })
        && filter.from.is_none_or(|from| record.validated_at >= from)
        && filter.until.is_none_or(|until| record.validated_at < until)
        && filter.code.as_ref().is_none_or(|wanted| {
            record.violations.iter().any(|violation| violation.code.as_str() == wanted)
        })
}

fn expires(kind: ExpireKind, older_than: Timestamp, record: &ValidationRecord) -> bool {
    record.validated_at < older_than
        && match kind {
            ExpireKind::Valid => record.valid,
            ExpireKind::Invalid => !record.valid,
            ExpireKind::All => true,
            ExpireKind::Bodies => record.request_body.is_some() || record.response_body.is_some(),
        }
}

/// Bytes of a record, its fixed parts rounded up.
fn size_of(record: &ValidationRecord) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let headers = record.request_headers.iter().chain(&record.response_headers);
    let headers: usize = headers.map(|(name, value)| name.len() + value.len() + 48).sum();
    let violations = record.violations.len() * 400;
    1_000
        + record.request_path.len()
        + text(&record.request_body)
        + text(&record.response_body)
        + headers
        + violations
}

fn analytics(
    records: &[&ValidationRecord],
    filter: &ValidationFilter,
    options: &AnalyticsOptions,
) -> ValidationAnalytics {
    let failed = records.iter().filter(|record| !record.valid).count() as u64;
    let mut answer = ValidationAnalytics::default().with_totals(records.len() as u64, failed);
    answer.by_method = count_outcomes(records, options.top, |record| &record.request_method);
    answer.by_schema = count_outcomes(records, options.top, |record| &record.schema_id);
    answer.by_path_template = count_outcomes(records, options.top, |record| {
        record.path_template.as_deref().unwrap_or("")
    });
    answer.by_consumer = count_outcomes(records, options.top, |record| &record.consumer_id);
    answer.top_violations = top_violations(records, options.top);
    if let (Some(width), Some(first), Some(last)) =
        (options.bucket, records.first(), records.last())
    {
        let hour = |record: &ValidationRecord| {
            Timestamp::from_micros(BucketSpan::Hour.floor(record.validated_at.as_micros()))
        };
        let from = filter.from.unwrap_or_else(|| hour(first));
        let until = filter.until.unwrap_or_else(|| hour(last).plus(Duration::from_hours(1)));
        let width = bucket_micros(width, from, until);
        answer.series = time_series(records, width);
    }
    answer
}

fn count_outcomes<'r>(
    records: &[&'r ValidationRecord],
    top: u32,
    name: impl Fn(&'r ValidationRecord) -> &'r str,
) -> Vec<OutcomeCount> {
    let mut counts: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for record in records {
        let count = counts.entry(name(record)).or_default();
        count.0 += 1;
        count.1 += u64::from(!record.valid);
    }
    let mut counted: Vec<_> = counts
        .into_iter()
        .map(|(name, (total, failed))| OutcomeCount { name: name.to_owned(), total, failed })
        .collect();
    counted.sort_by_key(|count| std::cmp::Reverse(count.total));
    counted.truncate(top as usize);
    counted
}

fn top_violations(records: &[&ValidationRecord], top: u32) -> Vec<NamedCount> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for record in records {
        let mut codes: Vec<_> =
            record.violations.iter().map(|violation| violation.code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            *counts.entry(code).or_default() += 1;
        }
    }
    let mut named: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| NamedCount { name: name.to_owned(), count })
        .collect();
    named.sort_by_key(|named| std::cmp::Reverse(named.count));
    named.truncate(top as usize);
    named
}

fn time_series(records: &[&ValidationRecord], width: i64) -> Vec<TimeBucket> {
    let mut buckets: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for record in records {
        let bucket = buckets.entry(record.validated_at.as_micros() / width * width).or_default();
        bucket.0 += 1;
        bucket.1 += u64::from(!record.valid);
    }
    let point = |(start, (total, failed))| TimeBucket {
        start: Timestamp::from_micros(start),
        total,
        failed,
    };
    buckets.into_iter().map(point).collect()
}

// === impl MemoryState ===

impl MemoryState {
    /// Replaces the headers and bodies with those of `new`, the record of the same id.
    fn replace_payload(&mut self, new: &ValidationRecord) {
        let Some(record) = self.records.get_mut(&(new.validated_at, new.id)) else { return };
        self.bytes = self.bytes.saturating_sub(size_of(record));
        record.request_headers.clone_from(&new.request_headers);
        record.request_body.clone_from(&new.request_body);
        record.response_headers.clone_from(&new.response_headers);
        record.response_body.clone_from(&new.response_body);
        self.bytes += size_of(record);
    }

    /// Deletes the oldest `batch` records that `selects` matches; returns how many.
    pub(super) fn delete_records(
        &mut self,
        batch: usize,
        selects: impl Fn(&ValidationRecord) -> bool,
    ) -> u64 {
        let keys: Vec<_> = self
            .records
            .iter()
            .filter(|(_, record)| selects(record))
            .map(|(key, _)| *key)
            .take(batch)
            .collect();
        for key in &keys {
            if let Some(record) = self.records.remove(key) {
                self.time_of.remove(&record.id);
                self.bytes = self.bytes.saturating_sub(size_of(&record));
            }
        }
        keys.len() as u64
    }
}
