//! Outcomes of comparing two versions.

use cvt_sidecar::storage::PageRequest;

use super::fixtures::{comparison, id};
use super::store_fixture::StoreFixture;

super::cases! {
    a_comparison_comes_back_whole
    an_unknown_comparison_is_none
    comparing_again_replaces_the_outcome
    comparisons_are_listed_last_first
}

async fn a_comparison_comes_back_whole(fixture: StoreFixture) {
    let record = comparison(1, "1", "2", 0);
    fixture.store.record_comparison(&record).await.unwrap();
    assert_eq!(fixture.store.get_comparison("books", "1", "2").await.unwrap(), Some(record));
}

async fn an_unknown_comparison_is_none(fixture: StoreFixture) {
    fixture.store.record_comparison(&comparison(1, "1", "2", 0)).await.unwrap();
    assert_eq!(fixture.store.get_comparison("books", "2", "1").await.unwrap(), None);
    assert_eq!(fixture.store.get_comparison("films", "1", "2").await.unwrap(), None);
}

async fn comparing_again_replaces_the_outcome(fixture: StoreFixture) {
    fixture.store.record_comparison(&comparison(1, "1", "2", 0)).await.unwrap();
    let mut again = comparison(2, "1", "2", 9);
    again.compatible = true;
    again.breaking_changes.clear();
    fixture.store.record_comparison(&again).await.unwrap();
    let stored = fixture.store.get_comparison("books", "1", "2").await.unwrap().unwrap();
    assert_eq!(stored.id, id(1), "the row keeps its id");
    again.id = id(1);
    assert_eq!(stored, again);
    let page = fixture.store.list_comparisons("books", &PageRequest::default()).await.unwrap();
    assert_eq!(page.items.len(), 1);
}

async fn comparisons_are_listed_last_first(fixture: StoreFixture) {
    for (n, old, new, seconds) in [(1, "1", "2", 5), (2, "2", "3", 9), (3, "1", "3", 5)] {
        fixture.store.record_comparison(&comparison(n, old, new, seconds)).await.unwrap();
    }
    let first = fixture.store.list_comparisons("books", &PageRequest::first(2)).await.unwrap();
    let ids: Vec<_> = first.items.iter().map(|record| record.id).collect();
    assert_eq!(ids, [id(2), id(3)]);
    let page = PageRequest::after(2, first.next.unwrap());
    let rest = fixture.store.list_comparisons("books", &page).await.unwrap();
    assert_eq!(rest.items[0].id, id(1));
    assert_eq!(rest.next, None);
}
