//! Registered documents.

use std::time::Duration;

use cvt_sidecar::model::page::Cursor;
use cvt_sidecar::model::schema::Ownership;
use cvt_sidecar::storage::{
    OnConflict, PageRequest, RecordsOf, SchemaChange, SchemaFilter, StoreError, ValidationFilter,
};

use super::bed::Bed;
use super::fixtures::{at, changed, comparison, consumer, group, record, redact, schema, usage};

super::cases! {
    unknown_schemas_are_none
    a_first_registration_comes_back_whole
    the_latest_is_the_one_registered_last
    the_latest_survives_a_restart
    registering_again_changes_nothing
    registering_an_older_version_again_makes_it_latest
    other_owners_are_an_update
    other_content_is_a_conflict
    replacing_keeps_the_old_hash
    deleting_the_latest_promotes_the_one_before
    deleting_an_older_version_leaves_the_latest
    deleting_the_last_version_takes_consumers_along
    deleting_a_schema_takes_what_belongs_to_it
    deleting_a_schema_takes_its_records_when_asked
    deleting_what_is_not_there_says_so
    ids_are_sorted_by_bytes
    versions_are_listed_last_first
    the_previous_version_goes_by_registration
    schemas_are_listed_by_id_and_filter
    schemas_are_paged_with_a_true_total
    all_versions_are_listed_when_asked
    a_large_document_comes_back_byte_for_byte
    the_revision_grows_with_every_change
    a_change_by_another_process_is_noticed
    waiting_ends_when_patience_does
    concurrent_registrations_leave_one_latest
    foreign_cursors_are_refused
}

async fn register(bed: &Bed, id: &str, versions: &[&str]) {
    for version in versions {
        bed.store.set_schema(&schema(id, version), OnConflict::Refuse).await.unwrap();
    }
}

async fn latest(bed: &Bed, id: &str) -> Option<String> {
    bed.store.get_schema(id).await.unwrap().map(|record| record.version)
}

async fn unknown_schemas_are_none(bed: Bed) {
    let store = &bed.store;
    assert_eq!(store.get_schema("books").await.unwrap(), None);
    register(&bed, "books", &["1"]).await;
    assert_eq!(store.get_schema_version("books", "2").await.unwrap(), None);
    assert_eq!(store.list_versions("other").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.get_previous_version("other", "1").await.unwrap(), None);
    assert_eq!(store.schema_history("other", "1").await.unwrap(), []);
}

async fn a_first_registration_comes_back_whole(bed: Bed) {
    let record = schema("books", "1.0.0");
    let stored = bed.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    assert_eq!(stored.change, SchemaChange::Created);
    let expected = cvt_sidecar::model::schema::SchemaRecord { is_latest: true, ..record };
    assert_eq!(stored.record, expected);
    assert_eq!(bed.store.get_schema("books").await.unwrap(), Some(expected.clone()));
    assert_eq!(bed.store.get_schema_version("books", "1.0.0").await.unwrap(), Some(expected));
}

async fn the_latest_is_the_one_registered_last(bed: Bed) {
    register(&bed, "books", &["10.0.0", "9.0.0", "2.0.0"]).await;
    register(&bed, "films", &["1.0.0"]).await;
    assert_eq!(latest(&bed, "books").await.as_deref(), Some("2.0.0"));
    let old = bed.store.get_schema_version("books", "10.0.0").await.unwrap().unwrap();
    assert!(!old.is_latest);
    assert_eq!(latest(&bed, "films").await.as_deref(), Some("1.0.0"));
}

async fn the_latest_survives_a_restart(mut bed: Bed) {
    register(&bed, "books", &["2.0.0", "1.0.0"]).await;
    bed.restart().await;
    assert_eq!(latest(&bed, "books").await.as_deref(), Some("1.0.0"));
    let previous = bed.store.get_previous_version("books", "1.0.0").await.unwrap();
    assert_eq!(previous.as_deref(), Some("2.0.0"));
}

async fn registering_again_changes_nothing(bed: Bed) {
    let record = schema("books", "1.0.0");
    let first = bed.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let revision = bed.store.schema_revision().await.unwrap();
    let mut again = record.clone();
    again.id = uuid::Uuid::from_u128(9);
    again.registered_at = at(100);
    again.updated_at = at(100);
    let second = bed.store.set_schema(&again, OnConflict::Refuse).await.unwrap();
    assert_eq!(second.change, SchemaChange::Unchanged);
    assert_eq!(second.record, first.record);
    assert_eq!(bed.store.schema_revision().await.unwrap(), revision);
}

async fn registering_an_older_version_again_makes_it_latest(bed: Bed) {
    register(&bed, "books", &["1", "2"]).await;
    let stored = bed.store.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
    assert_eq!(stored.change, SchemaChange::Updated);
    assert!(stored.record.is_latest);
    assert_eq!(latest(&bed, "books").await.as_deref(), Some("1"));
    assert_eq!(bed.store.list_versions("books").await.unwrap(), ["1", "2"]);
    let previous = bed.store.get_previous_version("books", "1").await.unwrap();
    assert_eq!(previous.as_deref(), Some("2"));
}

async fn other_owners_are_an_update(bed: Bed) {
    let record = schema("books", "1");
    bed.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let mut moved = record.clone();
    moved.ownership = Ownership { owner: "otto".into(), ..Ownership::default() };
    moved.updated_at = at(5);
    moved.registered_at = at(5);
    let stored = bed.store.set_schema(&moved, OnConflict::Refuse).await.unwrap();
    assert_eq!(stored.change, SchemaChange::Updated);
    assert_eq!(stored.record.ownership, moved.ownership);
    assert_eq!(stored.record.registered_at, record.registered_at);
    assert_eq!(stored.record.updated_at, at(5));
    assert_eq!(stored.record.id, record.id);
}

async fn other_content_is_a_conflict(bed: Bed) {
    let record = schema("books", "1");
    bed.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let refused = bed.store.set_schema(&changed(&record), OnConflict::Refuse).await;
    let Err(StoreError::Conflict { schema_id, version, stored_hash }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((schema_id.as_str(), version.as_str()), ("books", "1"));
    assert_eq!(stored_hash, record.content_hash);
    let stored = bed.store.get_schema("books").await.unwrap().unwrap();
    assert_eq!(stored.content, record.content);
}

async fn replacing_keeps_the_old_hash(bed: Bed) {
    let first = schema("books", "1");
    let second = changed(&first);
    let third = changed(&second);
    bed.store.set_schema(&first, OnConflict::Refuse).await.unwrap();
    for next in [&second, &third] {
        let stored = bed.store.set_schema(next, OnConflict::Replace).await.unwrap();
        assert_eq!(stored.change, SchemaChange::Replaced);
        assert_eq!(stored.record.content, next.content);
        assert_eq!(stored.record.endpoint_count, 4);
        assert_eq!(stored.record.registered_at, first.registered_at);
    }
    let history = bed.store.schema_history("books", "1").await.unwrap();
    let hashes: Vec<_> = history.iter().map(|old| old.content_hash.as_str()).collect();
    assert_eq!(hashes, [second.content_hash.as_str(), first.content_hash.as_str()]);
    assert_eq!(history[0].replaced_at, third.updated_at);
}

async fn deleting_the_latest_promotes_the_one_before(bed: Bed) {
    register(&bed, "books", &["3", "1", "2"]).await;
    assert!(bed.store.delete_schema_version("books", "2").await.unwrap());
    assert_eq!(latest(&bed, "books").await.as_deref(), Some("1"));
    assert!(bed.store.delete_schema_version("books", "1").await.unwrap());
    assert_eq!(latest(&bed, "books").await.as_deref(), Some("3"));
}

async fn deleting_an_older_version_leaves_the_latest(bed: Bed) {
    register(&bed, "books", &["1", "2", "3"]).await;
    assert!(bed.store.delete_schema_version("books", "2").await.unwrap());
    assert_eq!(latest(&bed, "books").await.as_deref(), Some("3"));
    let previous = bed.store.get_previous_version("books", "3").await.unwrap();
    assert_eq!(previous.as_deref(), Some("1"));
}

async fn fill(bed: &Bed) {
    register(bed, "books", &["1"]).await;
    register(bed, "films", &["1"]).await;
    bed.store.register_consumer(&consumer("shop", "books", "prod")).await.unwrap();
    bed.store.register_consumer(&consumer("shop", "films", "prod")).await.unwrap();
    bed.store.merge_usage(uuid::Uuid::from_u128(1), &[usage("shop", "/b", 0, &[])]).await.unwrap();
    bed.store.merge_groups(uuid::Uuid::from_u128(2), &[group("f", 0)]).await.unwrap();
    bed.store.record_comparison(&comparison(1, "0", "1", 0)).await.unwrap();
    let mut other = record(2);
    other.schema_id = "films".into();
    bed.store.record_validations(&[redact(record(1)), redact(other)]).await.unwrap();
}

/// Consumers, operations used, groups, comparisons and records of `books`.
async fn left(bed: &Bed) -> [usize; 5] {
    let page = PageRequest::default();
    let books = Some("books".to_owned());
    let store = &bed.store;
    let consumers =
        cvt_sidecar::storage::ConsumerFilter { schema_id: books.clone(), ..Default::default() };
    let usage =
        cvt_sidecar::storage::UsageFilter { schema_id: books.clone(), ..Default::default() };
    let groups =
        cvt_sidecar::storage::GroupFilter { schema_id: books.clone(), ..Default::default() };
    let records = ValidationFilter { schema_id: books, ..Default::default() };
    [
        store.list_consumers(&consumers, &page).await.unwrap().items.len(),
        store.list_usage(&usage, &page).await.unwrap().items.len(),
        store.list_groups(&groups, &page).await.unwrap().items.len(),
        store.list_comparisons("books", &page).await.unwrap().items.len(),
        store.list_validations(&records, &page).await.unwrap().items.len(),
    ]
}

async fn deleting_the_last_version_takes_consumers_along(bed: Bed) {
    fill(&bed).await;
    assert_eq!(left(&bed).await, [1, 1, 1, 1, 1]);
    assert!(bed.store.delete_schema_version("books", "1").await.unwrap());
    assert_eq!(left(&bed).await, [0, 0, 0, 0, 1]);
    assert_eq!(latest(&bed, "books").await, None);
}

async fn deleting_a_schema_takes_what_belongs_to_it(bed: Bed) {
    fill(&bed).await;
    register(&bed, "books", &["2"]).await;
    assert!(bed.store.delete_schema("books", RecordsOf::Keep).await.unwrap());
    assert_eq!(left(&bed).await, [0, 0, 0, 0, 1]);
    assert_eq!(bed.store.list_schema_ids().await.unwrap(), ["films"]);
    let films = bed.store.get_consumer("shop", "films", "prod").await.unwrap();
    assert!(films.is_some(), "another schema's consumer stays");
}

async fn deleting_a_schema_takes_its_records_when_asked(bed: Bed) {
    fill(&bed).await;
    assert!(bed.store.delete_schema("books", RecordsOf::Delete).await.unwrap());
    assert_eq!(left(&bed).await, [0; 5]);
    assert!(bed.store.get_validation(record(2).id).await.unwrap().is_some());
}

async fn deleting_what_is_not_there_says_so(bed: Bed) {
    register(&bed, "books", &["1"]).await;
    let revision = bed.store.schema_revision().await.unwrap();
    assert!(!bed.store.delete_schema("films", RecordsOf::Keep).await.unwrap());
    assert!(!bed.store.delete_schema_version("books", "2").await.unwrap());
    assert_eq!(latest(&bed, "books").await.as_deref(), Some("1"));
    assert_eq!(bed.store.schema_revision().await.unwrap(), revision);
}

async fn ids_are_sorted_by_bytes(bed: Bed) {
    for id in ["b", "Z", "ä", "a", "a-b", "aa"] {
        register(&bed, id, &["1", "2"]).await;
    }
    let ids = bed.store.list_schema_ids().await.unwrap();
    assert_eq!(ids, ["Z", "a", "a-b", "aa", "b", "ä"]);
}

async fn versions_are_listed_last_first(bed: Bed) {
    register(&bed, "books", &["1", "10", "9"]).await;
    assert_eq!(bed.store.list_versions("books").await.unwrap(), ["9", "10", "1"]);
}

async fn the_previous_version_goes_by_registration(bed: Bed) {
    register(&bed, "books", &["9.0.0", "10.0.0"]).await;
    register(&bed, "films", &["9.5.0"]).await;
    let store = &bed.store;
    let previous = store.get_previous_version("books", "10.0.0").await.unwrap();
    assert_eq!(previous.as_deref(), Some("9.0.0"));
    assert_eq!(store.get_previous_version("books", "9.0.0").await.unwrap(), None);
    assert_eq!(store.get_previous_version("books", "11.0.0").await.unwrap(), None);
}

async fn schemas_are_listed_by_id_and_filter(bed: Bed) {
    for (id, owner, team, environment) in
        [("a", "o1", "t1", "prod"), ("b", "o1", "t2", "dev"), ("c", "o2", "t1", "prod")]
    {
        let mut record = schema(id, "1");
        record.ownership =
            Ownership { owner: owner.into(), team: team.into(), ..Ownership::default() };
        record.environment = environment.into();
        bed.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    }
    let filter = |owner: &str, team: &str, environment: &str| SchemaFilter {
        owner: (!owner.is_empty()).then(|| owner.to_owned()),
        team: (!team.is_empty()).then(|| team.to_owned()),
        environment: (!environment.is_empty()).then(|| environment.to_owned()),
        all_versions: false,
    };
    for (filter, expected) in [
        (filter("", "", ""), vec!["a", "b", "c"]),
        (filter("o1", "", ""), vec!["a", "b"]),
        (filter("", "t1", ""), vec!["a", "c"]),
        (filter("", "", "dev"), vec!["b"]),
        (filter("o1", "t1", "prod"), vec!["a"]),
        (filter("o2", "t2", ""), vec![]),
    ] {
        let list = bed.store.list_schemas(&filter, &PageRequest::default()).await.unwrap();
        let ids: Vec<_> = list.page.items.iter().map(|item| item.schema_id.as_str()).collect();
        assert_eq!(ids, expected, "{filter:?}");
        assert_eq!(list.total, expected.len() as u64);
    }
}

async fn schemas_are_paged_with_a_true_total(bed: Bed) {
    for n in 0..7 {
        register(&bed, &format!("s{n}"), &["1"]).await;
    }
    let mut page = PageRequest::first(3);
    let mut seen = Vec::new();
    loop {
        let list = bed.store.list_schemas(&SchemaFilter::default(), &page).await.unwrap();
        assert_eq!(list.total, 7);
        assert!(list.page.items.len() <= 3);
        seen.extend(list.page.items.into_iter().map(|item| item.schema_id.to_string()));
        match list.page.next {
            Some(cursor) => page = PageRequest::after(3, cursor),
            None => break,
        }
    }
    assert_eq!(seen, (0..7).map(|n| format!("s{n}")).collect::<Vec<_>>());
}

async fn all_versions_are_listed_when_asked(bed: Bed) {
    register(&bed, "b", &["2", "1"]).await;
    register(&bed, "a", &["1"]).await;
    let filter = SchemaFilter { all_versions: true, ..SchemaFilter::default() };
    let list = bed.store.list_schemas(&filter, &PageRequest::default()).await.unwrap();
    let names: Vec<_> = list
        .page
        .items
        .iter()
        .map(|item| (item.schema_id.as_str(), item.schema_version.as_str()))
        .collect();
    assert_eq!(names, [("a", "1"), ("b", "1"), ("b", "2")]);
    assert_eq!(list.total, 3);
}

async fn a_large_document_comes_back_byte_for_byte(bed: Bed) {
    let mut record = schema("books", "1");
    record.content = "ünï – \r\n\t\"'\\%s$1 {}\u{1f4d6}".repeat(300_000);
    bed.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let stored = bed.store.get_schema("books").await.unwrap().unwrap();
    assert!(stored.content == record.content, "{} bytes differ", record.content.len());
}

async fn the_revision_grows_with_every_change(bed: Bed) {
    let mut last = bed.store.schema_revision().await.unwrap();
    let record = schema("books", "1");
    for step in 0..4 {
        match step {
            0 => drop(bed.store.set_schema(&record, OnConflict::Refuse).await.unwrap()),
            1 => drop(bed.store.set_schema(&changed(&record), OnConflict::Replace).await.unwrap()),
            2 => {
                drop(
                    bed.store.set_schema(&schema("books", "2"), OnConflict::Refuse).await.unwrap(),
                );
            }
            _ => assert!(bed.store.delete_schema_version("books", "2").await.unwrap()),
        }
        let now = bed.store.schema_revision().await.unwrap();
        assert!(now > last, "step {step}");
        last = now;
    }
}

async fn a_change_by_another_process_is_noticed(bed: Bed) {
    let other = bed.second().await;
    let seen = bed.store.schema_revision().await.unwrap();
    let store = bed.store.clone();
    let waiting =
        tokio::spawn(async move { store.wait_schema_change(seen, Duration::from_mins(1)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
    let noticed = tokio::time::timeout(Duration::from_secs(2), waiting).await;
    assert!(noticed.expect("within two seconds").unwrap().unwrap() > seen);
}

async fn waiting_ends_when_patience_does(bed: Bed) {
    let seen = bed.store.schema_revision().await.unwrap();
    let wait = bed.store.wait_schema_change(seen, Duration::ZERO);
    let waited = tokio::time::timeout(Duration::from_secs(5), wait).await;
    assert_eq!(waited.expect("no patience").unwrap(), seen);
}

async fn concurrent_registrations_leave_one_latest(bed: Bed) {
    let mut tasks = Vec::new();
    for n in 0..16 {
        let store = if n % 2 == 0 { bed.store.clone() } else { bed.second().await };
        tasks.push(tokio::spawn(async move {
            store.set_schema(&schema("books", &format!("{n}")), OnConflict::Refuse).await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let versions = bed.store.list_versions("books").await.unwrap();
    assert_eq!(versions.len(), 16);
    assert_eq!(latest(&bed, "books").await.as_ref(), versions.first());
    let filter = SchemaFilter::default();
    let list = bed.store.list_schemas(&filter, &PageRequest::default()).await.unwrap();
    assert_eq!(list.total, 1, "one version is the latest");
}

async fn foreign_cursors_are_refused(bed: Bed) {
    let page = PageRequest::after(1, Cursor::new(["x".to_owned()]));
    let refused = bed.store.list_schemas(&SchemaFilter::default(), &page).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
    let refused = bed.store.list_validations(&ValidationFilter::default(), &page).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
    let page = PageRequest::after(1, Cursor::new(["x".to_owned(), "y".to_owned()]));
    let refused = bed.store.list_validations(&ValidationFilter::default(), &page).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
}
