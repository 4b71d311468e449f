//! Consumer registrations.

use cvt_sidecar::storage::{ConsumerFilter, PageRequest, UsageFilter};

use super::fixtures::{at, consumer, usage};
use super::store_fixture::StoreFixture;

super::cases! {
    a_registration_comes_back_whole
    an_unknown_consumer_is_none
    registering_a_consumer_again_replaces_what_it_uses
    registrations_survive_a_restart
    environments_are_apart
    consumers_are_listed_by_name_and_filter
    consumers_are_paged_to_the_end
    deregistering_forgets_the_usage
    deregistering_what_is_not_there_says_so
    validating_moves_the_time_forward_only
    validating_an_unknown_consumer_returns_false
}

async fn a_registration_comes_back_whole(fixture: StoreFixture) {
    let record = consumer("shop", "books", "prod");
    assert_eq!(fixture.store.register_consumer(&record).await.unwrap(), record);
    let stored = fixture.store.get_consumer("shop", "books", "prod").await.unwrap();
    assert_eq!(stored, Some(record));
}

async fn an_unknown_consumer_is_none(fixture: StoreFixture) {
    assert_eq!(fixture.store.get_consumer("shop", "books", "prod").await.unwrap(), None);
}

async fn registering_a_consumer_again_replaces_what_it_uses(fixture: StoreFixture) {
    let first = consumer("shop", "books", "prod");
    fixture.store.register_consumer(&first).await.unwrap();
    let mut second = first.clone();
    second.id = uuid::Uuid::from_u128(7);
    second.consumer_version = "3.0.0".into();
    second.registered_at = at(50);
    second.last_validated_at = at(60);
    second.used_endpoints.clear();
    let stored = fixture.store.register_consumer(&second).await.unwrap();
    second.id = first.id;
    second.registered_at = first.registered_at;
    assert_eq!(stored, second);
    assert_eq!(fixture.store.get_consumer("shop", "books", "prod").await.unwrap(), Some(second));
}

async fn registrations_survive_a_restart(mut fixture: StoreFixture) {
    let record = consumer("shop", "books", "prod");
    fixture.store.register_consumer(&record).await.unwrap();
    fixture.restart().await;
    let page =
        fixture.store.list_consumers(&ConsumerFilter::default(), &PageRequest::default()).await;
    assert_eq!(page.unwrap().items, [record]);
}

async fn environments_are_apart(fixture: StoreFixture) {
    for environment in ["dev", "prod", "Prod"] {
        fixture.store.register_consumer(&consumer("shop", "books", environment)).await.unwrap();
    }
    assert!(fixture.store.deregister_consumer("shop", "books", "prod").await.unwrap());
    assert!(fixture.store.get_consumer("shop", "books", "dev").await.unwrap().is_some());
    assert!(fixture.store.get_consumer("shop", "books", "Prod").await.unwrap().is_some());
}

async fn consumers_are_listed_by_name_and_filter(fixture: StoreFixture) {
    for (name, schema, environment) in [
        ("b", "books", "prod"),
        ("a", "films", "prod"),
        ("B", "books", "dev"),
        ("a", "books", "dev"),
    ] {
        fixture.store.register_consumer(&consumer(name, schema, environment)).await.unwrap();
    }
    let filter = |schema: &str, environment: &str, name: &str| {
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ConsumerFilter {
            schema_id: set(schema),
            environment: set(environment),
            consumer_id: set(name),
        }
    };
    for (filter, expected) in [
        (filter("", "", ""), "B/books/dev a/books/dev a/films/prod b/books/prod"),
        (filter("books", "", ""), "B/books/dev a/books/dev b/books/prod"),
        (filter("", "dev", ""), "B/books/dev a/books/dev"),
        (filter("", "", "a"), "a/books/dev a/films/prod"),
        (filter("books", "prod", "b"), "b/books/prod"),
        (filter("films", "dev", ""), ""),
    ] {
        let page = fixture.store.list_consumers(&filter, &PageRequest::default()).await.unwrap();
        let names: Vec<_> = page
            .items
            .iter()
            .map(|item| format!("{}/{}/{}", item.consumer_id, item.schema_id, item.environment))
            .collect();
        assert_eq!(names.join(" "), expected, "{filter:?}");
    }
}

async fn consumers_are_paged_to_the_end(fixture: StoreFixture) {
    for n in 0..9 {
        fixture
            .store
            .register_consumer(&consumer(&format!("c{n}"), "books", "prod"))
            .await
            .unwrap();
    }
    let mut page = PageRequest::first(4);
    let mut sizes = Vec::new();
    loop {
        let found = fixture.store.list_consumers(&ConsumerFilter::default(), &page).await.unwrap();
        sizes.push(found.items.len());
        let Some(cursor) = found.next else { break };
        page = PageRequest::after(4, cursor);
    }
    assert_eq!(sizes, [4, 4, 1]);
}

async fn deregistering_forgets_the_usage(fixture: StoreFixture) {
    let batch = uuid::Uuid::from_u128(1);
    let both = [usage("shop", "/a", 0, &[]), usage("mobile", "/a", 0, &[])];
    fixture.store.merge_usage(batch, &both).await.unwrap();
    assert!(fixture.store.deregister_consumer("shop", "books", "prod").await.unwrap());
    let page =
        fixture.store.list_usage(&UsageFilter::default(), &PageRequest::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].consumer_id, "mobile");
}

async fn deregistering_what_is_not_there_says_so(fixture: StoreFixture) {
    fixture.store.register_consumer(&consumer("shop", "books", "prod")).await.unwrap();
    assert!(!fixture.store.deregister_consumer("shop", "films", "prod").await.unwrap());
    assert!(fixture.store.deregister_consumer("shop", "books", "prod").await.unwrap());
    assert!(!fixture.store.deregister_consumer("shop", "books", "prod").await.unwrap());
}

async fn validating_moves_the_time_forward_only(fixture: StoreFixture) {
    fixture.store.register_consumer(&consumer("shop", "books", "prod")).await.unwrap();
    for (seconds, expected) in [(10, 10), (5, 10), (11, 11)] {
        let done =
            fixture.store.update_consumer_validation("shop", "books", "prod", at(seconds)).await;
        assert!(done.unwrap());
        let stored = fixture.store.get_consumer("shop", "books", "prod").await.unwrap().unwrap();
        assert_eq!(stored.last_validated_at, at(expected));
    }
}

async fn validating_an_unknown_consumer_returns_false(fixture: StoreFixture) {
    let done = fixture.store.update_consumer_validation("shop", "books", "prod", at(0)).await;
    assert!(!done.unwrap());
}
