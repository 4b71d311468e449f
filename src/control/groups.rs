//! Violation groups, and one of them explained: the rule, an example, a command that repeats it.

use serde::Serialize;

use super::documents::off_async_threads;
use super::page_walk::PageWalk;
use super::{ControlError, Noun, curl};
use crate::contract::{CompileOptions, Document};
use crate::model::group::ViolationGroup;
use crate::model::page::Page;
use crate::model::record::ValidationRecord;
use crate::model::violation::{Position, Violation};
use crate::pipeline::record::found_names::OTHER_FOUND;
use crate::pipeline::record::group_id::GroupId;
use crate::pipeline::record::recorder::UNDOCUMENTED;
use crate::storage::{GroupFilter, PageRequest, Store, ValidationFilter};

/// Lines of the document before and after the rule.
const CONTEXT_LINES: usize = 3;
/// Records searched for an example when the stored one is gone.
const MAX_RECORDS_SEARCHED: u32 = 200;
/// Letters of an id that are enough to look for it, and all of them.
const PREFIX_LENGTHS: std::ops::Range<usize> = 4..16;

/// Everything known of a group.
#[derive(Debug, Serialize)]
pub(crate) struct GroupDetails {
    /// The group.
    pub(crate) group: ViolationGroup,
    /// The rule, where a version that was validated against is still registered.
    pub(crate) rule: Option<ViolatedRule>,
    /// A record with such a violation, where one is still kept.
    pub(crate) example: Option<ValidationRecord>,
    /// A command that sends the example's request again.
    pub(crate) curl: Option<String>,
}

/// The rule and its position in the document.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ViolatedRule {
    /// The version of the document.
    pub(crate) version: String,
    /// The keyword, such as `maxLength`.
    pub(crate) keyword: String,
    /// Line and column in the document.
    #[serde(flatten)]
    pub(crate) position: Option<Position>,
    /// The lines around it, by their numbers.
    pub(crate) lines: Vec<(usize, String)>,
}

/// A page of groups, the last seen first.
pub(crate) async fn list(
    store: &dyn Store,
    filter: &GroupFilter,
    page: &PageRequest,
) -> Result<Page<ViolationGroup>, ControlError> {
    Ok(store.list_groups(filter, page).await?)
}

/// The group whose id is, or begins with, `id`; its command sends to `base_url`.
pub(crate) async fn get(
    store: &dyn Store,
    id: &str,
    base_url: &str,
) -> Result<GroupDetails, ControlError> {
    let group = find(store, id).await?;
    let example = example(store, &group).await?;
    let violation = example.as_ref().and_then(|record| violation_of(record, &group));
    let rule = rule(store, &group, violation).await?;
    let curl = example.as_ref().map(|record| curl::command(record, base_url));
    Ok(GroupDetails { group, rule, example, curl })
}

/// The most frequent groups of a schema; no more of them are held than asked for.
pub(super) async fn most_frequent(
    store: &dyn Store,
    filter: &GroupFilter,
    top: usize,
) -> Result<Vec<ViolationGroup>, ControlError> {
    let mut all = Vec::new();
    let mut walk = PageWalk::new();
    while let Some(page) = walk.next() {
        all.extend(walk.items(store.list_groups(filter, &page).await?));
        all.sort_by(|a: &ViolationGroup, b| {
            b.count.cmp(&a.count).then_with(|| a.fingerprint.cmp(&b.fingerprint))
        });
        all.truncate(top);
    }
    Ok(all)
}

async fn find(store: &dyn Store, asked: &str) -> Result<ViolationGroup, ControlError> {
    let noun = Noun::ViolationGroup;
    let id = asked.to_ascii_lowercase();
    let exact = GroupFilter { fingerprint: Some(id.clone()), ..GroupFilter::default() };
    let mut found = store.list_groups(&exact, &PageRequest::first(1)).await?.items;
    if found.is_empty() && PREFIX_LENGTHS.contains(&id.len()) {
        let mut walk = PageWalk::new();
        while let Some(page) = walk.next() {
            let groups = walk.items(store.list_groups(&GroupFilter::default(), &page).await?);
            found.extend(groups.into_iter().filter(|group| group.fingerprint.starts_with(&id)));
        }
    }
    match (found.pop(), found.len()) {
        (None, _) => Err(ControlError::not_found(noun, asked)),
        (Some(group), 0) => Ok(group),
        (Some(_), more) => Err(ControlError::Ambiguous { noun, prefix: id, matches: more + 1 }),
    }
}

/// The stored record, or the newest of the same kind.
async fn example(
    store: &dyn Store,
    group: &ViolationGroup,
) -> Result<Option<ValidationRecord>, ControlError> {
    if let Some(id) = group.example {
        let stored = store.get_validation(id).await?;
        if stored.is_some() {
            return Ok(stored);
        }
    }
    let filter = ValidationFilter {
        schema_id: Some(group.schema_id.clone()),
        path_template: Some(group.path_template.clone()).filter(|template| !template.is_empty()),
        code: Some(group.code.as_str().to_owned()),
        valid: Some(false),
        ..ValidationFilter::default()
    };
    let records =
        store.list_validations(&filter, &PageRequest::first(MAX_RECORDS_SEARCHED)).await?;
    Ok(records.items.into_iter().find(|record| violation_of(record, group).is_some()))
}

/// The violation of a record that belongs to the group.
fn violation_of<'r>(record: &'r ValidationRecord, group: &ViolationGroup) -> Option<&'r Violation> {
    let operation = match group.path_template.as_str() {
        "" => UNDOCUMENTED.to_owned(),
        template => format!("{} {template}", group.method),
    };
    let is_group = |id: GroupId| id.to_string() == group.fingerprint;
    record.violations.iter().find(|violation| {
        let schema_id = record.schema_id.as_str();
        let of = |fault, found| GroupId::of(schema_id, &operation, violation, fault, found);
        let found = |fault| [violation.found.as_str(), OTHER_FOUND].map(|found| of(fault, found));
        is_group(GroupId::earlier(schema_id, &operation, violation))
            || record.fault.is_some_and(|fault| found(fault).into_iter().any(is_group))
    })
}

/// The rule in the document: in the newest version that was validated against and is registered.
async fn rule(
    store: &dyn Store,
    group: &ViolationGroup,
    violation: Option<&Violation>,
) -> Result<Option<ViolatedRule>, ControlError> {
    let newest = store.list_versions(&group.schema_id).await?;
    let validated = newest.into_iter().find(|version| group.versions.contains(version));
    let Some(version) = validated else { return Ok(None) };
    let record = store.get_schema_version(&group.schema_id, &version).await?;
    let Some(record) = record else { return Ok(None) };
    let (pointer, known) = (group.schema_pointer.clone(), violation.and_then(|v| v.position));
    let located = off_async_threads(move || {
        let position = position_in(&record.content, &pointer).or(known);
        let lines = position.map(|position| lines_around(&record.content, position.line as usize));
        (position, lines.unwrap_or_default())
    });
    let (position, lines) = located.await?;
    let last = group.schema_pointer.rsplit('/').next().unwrap_or_default();
    let keyword = violation.map_or(last, |violation| &violation.keyword).to_owned();
    Ok(Some(ViolatedRule { version, keyword, position, lines }))
}

fn position_in(content: &str, pointer: &str) -> Option<Position> {
    let document = Document::read(content.as_bytes(), &CompileOptions::default()).ok()?;
    document.origin(pointer).position
}

fn lines_around(content: &str, line: usize) -> Vec<(usize, String)> {
    let first = line.saturating_sub(CONTEXT_LINES).max(1);
    let lines = (1..).zip(content.lines()).skip(first - 1).take(line + CONTEXT_LINES + 1 - first);
    lines.map(|(number, text)| (number, text.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::control::fixtures;
    use crate::storage::{GroupStore as _, Purge, PurgeStore as _, ValidationStore as _};

    const URL: &str = "http://localhost:9080";

    #[tokio::test]
    async fn a_group_is_explained_by_its_rule_an_example_and_a_command() {
        let store = fixtures::used_store().await;
        let group = fixtures::group();
        let details = get(&*store, &group.fingerprint, URL).await.unwrap();
        let rule = details.rule.unwrap();
        assert_eq!((rule.version.as_str(), rule.keyword.as_str()), ("1.0.0", "maxLength"));
        assert_eq!(rule.position.unwrap().line, 18);
        let numbers: Vec<_> = rule.lines.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, (15..=21).collect::<Vec<_>>());
        assert_eq!(rule.lines[3].1.trim(), "maxLength: 5");
        assert_eq!(details.example.unwrap().id, Uuid::from_u128(3));
        assert!(details.curl.unwrap().contains("'http://localhost:9080/books/7?page=2'"));
        assert_eq!(details.group, group);
    }

    #[tokio::test]
    async fn another_record_of_the_kind_stands_in_for_an_example_that_is_gone() {
        let store = fixtures::used_store().await;
        store.purge(Purge::ConsumerRecords("app"), 10).await.unwrap();
        let id = fixtures::group().fingerprint;
        let details = get(&*store, &id, URL).await.unwrap();
        assert!(details.example.is_none() && details.curl.is_none());
        assert_eq!(details.rule.unwrap().keyword, "maxLength");
        let record = fixtures::redacted(fixtures::broken_record(9, "shop"));
        store.record_validations(&[record]).await.unwrap();
        let details = get(&*store, &id, URL).await.unwrap();
        assert_eq!(details.example.unwrap().id, Uuid::from_u128(9));
    }

    #[tokio::test]
    async fn the_beginning_of_an_id_finds_one_group_or_says_that_it_fits_several() {
        let store = fixtures::used_store().await;
        let named = |fingerprint: &str, count| ViolationGroup {
            fingerprint: fingerprint.into(),
            count,
            ..fixtures::group()
        };
        let more = [named("00aa11", 2), named("00aa22", 3)];
        store.merge_groups(Uuid::from_u128(7), &more).await.unwrap();
        assert_eq!(get(&*store, "00AA1", URL).await.unwrap().group.fingerprint, "00aa11");
        let error = get(&*store, "00aa", URL).await.unwrap_err();
        assert_eq!(error.to_string(), "2 groups begin with 00aa");
        assert!(matches!(error, ControlError::Ambiguous { matches: 2, .. }));
        let error = get(&*store, "ffff", URL).await.unwrap_err();
        assert!(matches!(error, ControlError::NotFound { .. }), "{error}");
        let of_schema =
            GroupFilter { schema_id: Some(fixtures::SCHEMA.into()), ..GroupFilter::default() };
        let top = most_frequent(&*store, &of_schema, 2).await.unwrap();
        assert_eq!(top.iter().map(|group| group.count).collect::<Vec<_>>(), [3, 2]);
        let page = list(&*store, &GroupFilter::default(), &PageRequest::first(1)).await.unwrap();
        assert!(page.next.is_some());
    }
}
