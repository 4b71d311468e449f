//! Rows that the last release stored in a database of this one.

use cvt_sidecar::model::usage::UsageKind;
use cvt_sidecar::model::verdict::SkipReason;
use cvt_sidecar::storage::{
    Access, AnalyticsOptions, GroupFilter, PageRequest, UsageFilter, ValidationFilter,
};
use uuid::Uuid;

use super::fixtures::{group, record, redact, usage};
use super::raw_database::RawDatabase;

/// The last release fills `operation` alone.
#[tokio::test]
async fn path_templates_under_the_old_name_are_read_and_found() {
    for raw in RawDatabase::both() {
        let store = raw.open(Access::Write).await.unwrap();
        let (stored, group) = (record(1), group("f1", 3));
        let template = stored.path_template.clone();
        store.record_validation(&redact(stored.clone())).await.unwrap();
        store.merge_groups(Uuid::from_u128(1), std::slice::from_ref(&group)).await.unwrap();
        for table in ["validation_runs", "validation_series", "violation_groups"] {
            raw.run(&format!("UPDATE {table} SET path_template = NULL")).await;
        }
        let page = PageRequest::default();
        let filter = ValidationFilter { path_template: template.clone(), ..Default::default() };
        assert_eq!(store.list_validations(&filter, &page).await.unwrap().items, [stored]);
        let options = AnalyticsOptions { bucket: None, top: 10 };
        let counted = store.get_validation_analytics(&filter, &options).await.unwrap();
        assert_eq!(counted.total_validations, 1);
        assert_eq!(Some(&counted.by_path_template[0].name), template.as_ref());
        let template = Some(group.path_template.clone());
        let filter = GroupFilter { path_template: template, ..Default::default() };
        assert_eq!(store.list_groups(&filter, &page).await.unwrap().items, [group]);
    }
}

/// A release to come drops `operation`.
#[tokio::test]
async fn path_templates_are_stored_under_the_new_name_too() {
    for raw in RawDatabase::both() {
        let store = raw.open(Access::Write).await.unwrap();
        let (stored, group) = (record(1), group("f1", 3));
        store.record_validation(&redact(stored.clone())).await.unwrap();
        store.merge_groups(Uuid::from_u128(1), std::slice::from_ref(&group)).await.unwrap();
        for table in ["validation_runs", "validation_series", "violation_groups"] {
            raw.run(&format!("UPDATE {table} SET operation = 'other'")).await;
        }
        let (page, all) = (PageRequest::default(), ValidationFilter::default());
        let template = stored.path_template.clone();
        assert_eq!(store.list_validations(&all, &page).await.unwrap().items, [stored]);
        let options = AnalyticsOptions { bucket: None, top: 10 };
        let counted = store.get_validation_analytics(&all, &options).await.unwrap();
        assert_eq!(Some(&counted.by_path_template[0].name), template.as_ref());
        let found = store.list_groups(&GroupFilter::default(), &page).await.unwrap();
        assert_eq!(found.items, [group]);
    }
}

#[tokio::test]
async fn words_of_the_last_release_are_read_and_stored() {
    for raw in RawDatabase::both() {
        let store = raw.open(Access::Write).await.unwrap();
        let mut stored = record(1);
        stored.skipped = vec![SkipReason::BufferTimeout, SkipReason::ValidationBudget];
        let mut used = usage("shop", "/books/{id}", 3, &["response:stream"]);
        used.facts.truncate(1);
        used.facts[0].kind = UsageKind::Unvalidated;
        store.record_validation(&redact(stored.clone())).await.unwrap();
        store.merge_usage(Uuid::from_u128(1), std::slice::from_ref(&used)).await.unwrap();
        let page = PageRequest::default();
        let all = UsageFilter::default();
        assert_eq!(store.list_usage(&all, &page).await.unwrap().items, [used.clone()]);
        // it adds up with what the last release counts
        raw.run("UPDATE consumer_usage SET count = 7 WHERE kind = 'unjudged'").await;
        let found = store.list_usage(&all, &page).await.unwrap().items;
        assert_eq!(found[0].facts[0].count, 7);
        // and the name of a release to come is read
        raw.run("UPDATE consumer_usage SET kind = 'not_validated'").await;
        let old = SkipReason::ValidationBudget.stored_name();
        raw.run(&format!("UPDATE validation_runs SET skipped = '[\"buffer_timeout\", \"{old}\"]'"))
            .await;
        let found = store.list_usage(&all, &page).await.unwrap().items;
        assert_eq!(found[0].facts[0].kind, UsageKind::Unvalidated);
        let found = store.list_validations(&ValidationFilter::default(), &page).await.unwrap();
        assert_eq!(found.items, [stored]);
    }
}
