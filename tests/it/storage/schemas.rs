//! Registered documents.

use std::time::Duration;

use cvt_sidecar::model::page::Cursor;
use cvt_sidecar::model::schema::Ownership;
use cvt_sidecar::storage::{
    OnConflict, OnSchemaDelete, PageRequest, SchemaChange, SchemaFilter, StoreError,
    ValidationFilter,
};

use super::fixtures::{at, changed, comparison, consumer, group, record, redact, schema, usage};
use super::store_fixture::StoreFixture;

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
    waiting_ends_after_max_wait
    concurrent_registrations_leave_one_latest
    foreign_cursors_are_refused
}

async fn register(fixture: &StoreFixture, id: &str, versions: &[&str]) {
    for version in versions {
        fixture.store.set_schema(&schema(id, version), OnConflict::Refuse).await.unwrap();
    }
}

async fn latest(fixture: &StoreFixture, id: &str) -> Option<String> {
    fixture.store.get_schema(id).await.unwrap().map(|record| record.version)
}

async fn unknown_schemas_are_none(fixture: StoreFixture) {
    let store = &fixture.store;
    assert_eq!(store.get_schema("books").await.unwrap(), None);
    register(&fixture, "books", &["1"]).await;
    assert_eq!(store.get_schema_version("books", "2").await.unwrap(), None);
    assert_eq!(store.list_versions("other").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.get_previous_version("other", "1").await.unwrap(), None);
    assert_eq!(store.schema_history("other", "1").await.unwrap(), []);
}

async fn a_first_registration_comes_back_whole(fixture: StoreFixture) {
    let record = schema("books", "1.0.0");
    let stored = fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    assert_eq!(stored.change, SchemaChange::Created);
    let expected = cvt_sidecar::model::schema::SchemaRecord { is_latest: true, ..record };
    assert_eq!(stored.record, expected);
    assert_eq!(fixture.store.get_schema("books").await.unwrap(), Some(expected.clone()));
    assert_eq!(fixture.store.get_schema_version("books", "1.0.0").await.unwrap(), Some(expected));
}

async fn the_latest_is_the_one_registered_last(fixture: StoreFixture) {
    register(&fixture, "books", &["10.0.0", "9.0.0", "2.0.0"]).await;
    register(&fixture, "films", &["1.0.0"]).await;
    assert_eq!(latest(&fixture, "books").await.as_deref(), Some("2.0.0"));
    let old = fixture.store.get_schema_version("books", "10.0.0").await.unwrap().unwrap();
    assert!(!old.is_latest);
    assert_eq!(latest(&fixture, "films").await.as_deref(), Some("1.0.0"));
}

async fn the_latest_survives_a_restart(mut fixture: StoreFixture) {
    register(&fixture, "books", &["2.0.0", "1.0.0"]).await;
    fixture.restart().await;
    assert_eq!(latest(&fixture, "books").await.as_deref(), Some("1.0.0"));
    let previous = fixture.store.get_previous_version("books", "1.0.0").await.unwrap();
    assert_eq!(previous.as_deref(), Some("2.0.0"));
}

async fn registering_again_changes_nothing(fixture: StoreFixture) {
    let record = schema("books", "1.0.0");
    let first = fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let revision = fixture.store.schema_revision().await.unwrap();
    let mut again = record.clone();
    again.id = uuid::Uuid::from_u128(9);
    again.registered_at = at(100);
    again.updated_at = at(100);
    let second = fixture.store.set_schema(&again, OnConflict::Refuse).await.unwrap();
    assert_eq!(second.change, SchemaChange::Unchanged);
    assert_eq!(second.record, first.record);
    assert_eq!(fixture.store.schema_revision().await.unwrap(), revision);
}

async fn registering_an_older_version_again_makes_it_latest(fixture: StoreFixture) {
    register(&fixture, "books", &["1", "2"]).await;
    let stored = fixture.store.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
    assert_eq!(stored.change, SchemaChange::Updated);
    assert!(stored.record.is_latest);
    assert_eq!(latest(&fixture, "books").await.as_deref(), Some("1"));
    assert_eq!(fixture.store.list_versions("books").await.unwrap(), ["1", "2"]);
    let previous = fixture.store.get_previous_version("books", "1").await.unwrap();
    assert_eq!(previous.as_deref(), Some("2"));
}

async fn other_owners_are_an_update(fixture: StoreFixture) {
    let record = schema("books", "1");
    fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let mut moved = record.clone();
    moved.ownership = Ownership { owner: "otto".into(), ..Ownership::default() };
    moved.updated_at = at(5);
    moved.registered_at = at(5);
    let stored = fixture.store.set_schema(&moved, OnConflict::Refuse).await.unwrap();
    assert_eq!(stored.change, SchemaChange::Updated);
    assert_eq!(stored.record.ownership, moved.ownership);
    assert_eq!(stored.record.registered_at, record.registered_at);
    assert_eq!(stored.record.updated_at, at(5));
    assert_eq!(stored.record.id, record.id);
}

async fn other_content_is_a_conflict(fixture: StoreFixture) {
    let record = schema("books", "1");
    fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let refused = fixture.store.set_schema(&changed(&record), OnConflict::Refuse).await;
    let Err(StoreError::Conflict { schema_id, version, stored_hash }) = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((schema_id.as_str(), version.as_str()), ("books", "1"));
    assert_eq!(stored_hash, record.content_hash);
    let stored = fixture.store.get_schema("books").await.unwrap().unwrap();
    assert_eq!(stored.content, record.content);
}

async fn replacing_keeps_the_old_hash(fixture: StoreFixture) {
    let first = schema("books", "1");
    let second = changed(&first);
    let third = changed(&second);
    fixture.store.set_schema(&first, OnConflict::Refuse).await.unwrap();
    for next in [&second, &third] {
        let stored = fixture.store.set_schema(next, OnConflict::Replace).await.unwrap();
        assert_eq!(stored.change, SchemaChange::Replaced);
        assert_eq!(stored.record.content, next.content);
        assert_eq!(stored.record.endpoint_count, 4);
        assert_eq!(stored.record.registered_at, first.registered_at);
    }
    let history = fixture.store.schema_history("books", "1").await.unwrap();
    let hashes: Vec<_> = history.iter().map(|old| old.content_hash.as_str()).collect();
    assert_eq!(hashes, [second.content_hash.as_str(), first.content_hash.as_str()]);
    assert_eq!(history[0].replaced_at, third.updated_at);
}

async fn deleting_the_latest_promotes_the_one_before(fixture: StoreFixture) {
    register(&fixture, "books", &["3", "1", "2"]).await;
    assert!(fixture.store.delete_schema_version("books", "2").await.unwrap());
    assert_eq!(latest(&fixture, "books").await.as_deref(), Some("1"));
    assert!(fixture.store.delete_schema_version("books", "1").await.unwrap());
    assert_eq!(latest(&fixture, "books").await.as_deref(), Some("3"));
}

async fn deleting_an_older_version_leaves_the_latest(fixture: StoreFixture) {
    register(&fixture, "books", &["1", "2", "3"]).await;
    assert!(fixture.store.delete_schema_version("books", "2").await.unwrap());
    assert_eq!(latest(&fixture, "books").await.as_deref(), Some("3"));
    let previous = fixture.store.get_previous_version("books", "3").await.unwrap();
    assert_eq!(previous.as_deref(), Some("1"));
}

async fn fill(fixture: &StoreFixture) {
    register(fixture, "books", &["1"]).await;
    register(fixture, "films", &["1"]).await;
    fixture.store.register_consumer(&consumer("shop", "books", "prod")).await.unwrap();
    fixture.store.register_consumer(&consumer("shop", "films", "prod")).await.unwrap();
    fixture
        .store
        .merge_usage(uuid::Uuid::from_u128(1), &[usage("shop", "/b", 0, &[])])
        .await
        .unwrap();
    fixture.store.merge_groups(uuid::Uuid::from_u128(2), &[group("f", 0)]).await.unwrap();
    fixture.store.record_comparison(&comparison(1, "0", "1", 0)).await.unwrap();
    let mut other = record(2);
    other.schema_id = "films".into();
    fixture.store.record_validations(&[redact(record(1)), redact(other)]).await.unwrap();
}

/// Consumers, operations used, groups, comparisons and records of `books`.
async fn left(fixture: &StoreFixture) -> [usize; 5] {
    let page = PageRequest::default();
    let books = Some("books".to_owned());
    let store = &fixture.store;
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

async fn deleting_the_last_version_takes_consumers_along(fixture: StoreFixture) {
    fill(&fixture).await;
    assert_eq!(left(&fixture).await, [1, 1, 1, 1, 1]);
    assert!(fixture.store.delete_schema_version("books", "1").await.unwrap());
    assert_eq!(left(&fixture).await, [0, 0, 0, 0, 1]);
    assert_eq!(latest(&fixture, "books").await, None);
}

async fn deleting_a_schema_takes_what_belongs_to_it(fixture: StoreFixture) {
    fill(&fixture).await;
    register(&fixture, "books", &["2"]).await;
    assert!(fixture.store.delete_schema("books", OnSchemaDelete::KeepRecords).await.unwrap());
    assert_eq!(left(&fixture).await, [0, 0, 0, 0, 1]);
    assert_eq!(fixture.store.list_schema_ids().await.unwrap(), ["films"]);
    let films = fixture.store.get_consumer("shop", "films", "prod").await.unwrap();
    assert!(films.is_some(), "another schema's consumer stays");
}

async fn deleting_a_schema_takes_its_records_when_asked(fixture: StoreFixture) {
    fill(&fixture).await;
    assert!(fixture.store.delete_schema("books", OnSchemaDelete::DeleteRecords).await.unwrap());
    assert_eq!(left(&fixture).await, [0; 5]);
    assert!(fixture.store.get_validation(record(2).id).await.unwrap().is_some());
}

async fn deleting_what_is_not_there_says_so(fixture: StoreFixture) {
    register(&fixture, "books", &["1"]).await;
    let revision = fixture.store.schema_revision().await.unwrap();
    assert!(!fixture.store.delete_schema("films", OnSchemaDelete::KeepRecords).await.unwrap());
    assert!(!fixture.store.delete_schema_version("books", "2").await.unwrap());
    assert_eq!(latest(&fixture, "books").await.as_deref(), Some("1"));
    assert_eq!(fixture.store.schema_revision().await.unwrap(), revision);
}

async fn ids_are_sorted_by_bytes(fixture: StoreFixture) {
    for id in ["b", "Z", "ä", "a", "a-b", "aa"] {
        register(&fixture, id, &["1", "2"]).await;
    }
    let ids = fixture.store.list_schema_ids().await.unwrap();
    assert_eq!(ids, ["Z", "a", "a-b", "aa", "b", "ä"]);
}

async fn versions_are_listed_last_first(fixture: StoreFixture) {
    register(&fixture, "books", &["1", "10", "9"]).await;
    assert_eq!(fixture.store.list_versions("books").await.unwrap(), ["9", "10", "1"]);
}

async fn the_previous_version_goes_by_registration(fixture: StoreFixture) {
    register(&fixture, "books", &["9.0.0", "10.0.0"]).await;
    register(&fixture, "films", &["9.5.0"]).await;
    let store = &fixture.store;
    let previous = store.get_previous_version("books", "10.0.0").await.unwrap();
    assert_eq!(previous.as_deref(), Some("9.0.0"));
    assert_eq!(store.get_previous_version("books", "9.0.0").await.unwrap(), None);
    assert_eq!(store.get_previous_version("books", "11.0.0").await.unwrap(), None);
}

async fn schemas_are_listed_by_id_and_filter(fixture: StoreFixture) {
    for (id, owner, team, environment) in
        [("a", "o1", "t1", "prod"), ("b", "o1", "t2", "dev"), ("c", "o2", "t1", "prod")]
    {
        let mut record = schema(id, "1");
        record.ownership =
            Ownership { owner: owner.into(), team: team.into(), ..Ownership::default() };
        record.environment = environment.into();
        fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
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
        let list = fixture.store.list_schemas(&filter, &PageRequest::default()).await.unwrap();
        let ids: Vec<_> = list.page.items.iter().map(|item| item.schema_id.as_str()).collect();
        assert_eq!(ids, expected, "{filter:?}");
        assert_eq!(list.total, expected.len() as u64);
    }
}

async fn schemas_are_paged_with_a_true_total(fixture: StoreFixture) {
    for n in 0..7 {
        register(&fixture, &format!("s{n}"), &["1"]).await;
    }
    let mut page = PageRequest::first(3);
    let mut seen = Vec::new();
    loop {
        let list = fixture.store.list_schemas(&SchemaFilter::default(), &page).await.unwrap();
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

async fn all_versions_are_listed_when_asked(fixture: StoreFixture) {
    register(&fixture, "b", &["2", "1"]).await;
    register(&fixture, "a", &["1"]).await;
    let filter = SchemaFilter { all_versions: true, ..SchemaFilter::default() };
    let list = fixture.store.list_schemas(&filter, &PageRequest::default()).await.unwrap();
    let names: Vec<_> = list
        .page
        .items
        .iter()
        .map(|item| (item.schema_id.as_str(), item.schema_version.as_str()))
        .collect();
    assert_eq!(names, [("a", "1"), ("b", "1"), ("b", "2")]);
    assert_eq!(list.total, 3);
}

async fn a_large_document_comes_back_byte_for_byte(fixture: StoreFixture) {
    let mut record = schema("books", "1");
    record.content = "ünï – \r\n\t\"'\\%s$1 {}\u{1f4d6}".repeat(300_000);
    fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap();
    let stored = fixture.store.get_schema("books").await.unwrap().unwrap();
    assert!(stored.content == record.content, "{} bytes differ", record.content.len());
}

async fn the_revision_grows_with_every_change(fixture: StoreFixture) {
    let mut last = fixture.store.schema_revision().await.unwrap();
    let record = schema("books", "1");
    for step in 0..4 {
        match step {
            0 => drop(fixture.store.set_schema(&record, OnConflict::Refuse).await.unwrap()),
            1 => drop(
                fixture.store.set_schema(&changed(&record), OnConflict::Replace).await.unwrap(),
            ),
            2 => {
                drop(
                    fixture
                        .store
                        .set_schema(&schema("books", "2"), OnConflict::Refuse)
                        .await
                        .unwrap(),
                );
            }
            _ => assert!(fixture.store.delete_schema_version("books", "2").await.unwrap()),
        }
        let now = fixture.store.schema_revision().await.unwrap();
        assert!(now > last, "step {step}");
        last = now;
    }
}

async fn a_change_by_another_process_is_noticed(fixture: StoreFixture) {
    let other = fixture.second().await;
    let seen = fixture.store.schema_revision().await.unwrap();
    let store = fixture.store.clone();
    let waiting =
        tokio::spawn(async move { store.wait_schema_change(seen, Duration::from_mins(1)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.set_schema(&schema("books", "1"), OnConflict::Refuse).await.unwrap();
    let noticed = tokio::time::timeout(Duration::from_secs(2), waiting).await;
    assert!(noticed.expect("within two seconds").unwrap().unwrap() > seen);
}

async fn waiting_ends_after_max_wait(fixture: StoreFixture) {
    let seen = fixture.store.schema_revision().await.unwrap();
    let wait = fixture.store.wait_schema_change(seen, Duration::ZERO);
    let waited = tokio::time::timeout(Duration::from_secs(5), wait).await;
    assert_eq!(waited.expect("no patience").unwrap(), seen);
}

async fn concurrent_registrations_leave_one_latest(fixture: StoreFixture) {
    let mut tasks = Vec::new();
    for n in 0..16 {
        let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.second().await };
        tasks.push(tokio::spawn(async move {
            store.set_schema(&schema("books", &format!("{n}")), OnConflict::Refuse).await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let versions = fixture.store.list_versions("books").await.unwrap();
    assert_eq!(versions.len(), 16);
    assert_eq!(latest(&fixture, "books").await.as_ref(), versions.first());
    let filter = SchemaFilter::default();
    let list = fixture.store.list_schemas(&filter, &PageRequest::default()).await.unwrap();
    assert_eq!(list.total, 1, "one version is the latest");
}

async fn foreign_cursors_are_refused(fixture: StoreFixture) {
    let page = PageRequest::after(1, Cursor::new(["x".to_owned()]));
    let refused = fixture.store.list_schemas(&SchemaFilter::default(), &page).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
    let refused = fixture.store.list_validations(&ValidationFilter::default(), &page).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
    let page = PageRequest::after(1, Cursor::new(["x".to_owned(), "y".to_owned()]));
    let refused = fixture.store.list_validations(&ValidationFilter::default(), &page).await;
    assert!(matches!(refused, Err(StoreError::InvalidCursor)), "{refused:?}");
}
