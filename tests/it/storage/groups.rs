//! Violation groups.

use cvt_sidecar::model::violation::ViolationCode;
use cvt_sidecar::storage::{GroupFilter, PageRequest, Purge, ValidationFilter};
use uuid::Uuid;

use super::fixtures::{at, group, id, record, redact};
use super::store_fixture::StoreFixture;

super::cases! {
    a_group_comes_back_whole
    groups_add_up_and_only_the_first_is_new
    a_repeated_group_batch_counts_once
    concurrent_group_merges_lose_nothing
    groups_are_listed_seen_last_first
    groups_are_filtered
    a_purge_takes_names_and_old_groups_in_batches
    a_purge_takes_the_records_of_one_consumer
}

async fn a_group_comes_back_whole(fixture: StoreFixture) {
    let mut whole = group("f1", 3);
    whole.name = Some("pägë".into());
    whole.example = Some(id(4));
    let new = fixture.store.merge_groups(Uuid::from_u128(1), std::slice::from_ref(&whole)).await;
    let new = new.unwrap();
    assert_eq!((&*new[0].fingerprint, new[0].seen_before), ("f1", None));
    let page = fixture.store.list_groups(&GroupFilter::default(), &PageRequest::default()).await;
    assert_eq!(page.unwrap().items, [whole]);
}

async fn groups_add_up_and_only_the_first_is_new(fixture: StoreFixture) {
    let store = &fixture.store;
    store.merge_groups(Uuid::from_u128(1), &[group("f1", 3)]).await.unwrap();
    let mut later = group("f1", 9);
    later.consumers = vec!["mobile".into()];
    later.versions = vec!["2.0.0".into()];
    later.example = Some(id(1));
    let merged = store.merge_groups(Uuid::from_u128(2), &[later, group("f2", 5)]).await.unwrap();
    let before: Vec<_> = merged.iter().map(|one| (&*one.fingerprint, one.seen_before)).collect();
    assert_eq!(before, [("f1", Some(at(3))), ("f2", None)]);
    let page = store.list_groups(&GroupFilter::default(), &PageRequest::default()).await.unwrap();
    let first = &page.items[0];
    assert_eq!((&*first.fingerprint, first.count), ("f1", 2));
    assert_eq!((first.first_seen, first.last_seen), (at(3), at(9)));
    assert_eq!(first.consumers, ["mobile", "shop"]);
    assert_eq!(first.versions, ["1.0.0", "2.0.0"]);
    assert_eq!(first.example, Some(id(1)));
}

async fn a_repeated_group_batch_counts_once(fixture: StoreFixture) {
    let batch = Uuid::from_u128(1);
    assert_eq!(fixture.store.merge_groups(batch, &[group("f", 1)]).await.unwrap().len(), 1);
    assert_eq!(fixture.store.merge_groups(batch, &[group("f", 1)]).await.unwrap().len(), 0);
    let page = fixture.store.list_groups(&GroupFilter::default(), &PageRequest::default()).await;
    assert_eq!(page.unwrap().items[0].count, 1);
}

async fn concurrent_group_merges_lose_nothing(fixture: StoreFixture) {
    let mut tasks = Vec::new();
    for n in 0..20_u32 {
        let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.second().await };
        tasks.push(tokio::spawn(async move {
            let mut groups = vec![group("a", 1), group("b", 1)];
            if n % 3 == 0 {
                groups.reverse();
            }
            store.merge_groups(Uuid::from_u128(u128::from(n)), &groups).await
        }));
    }
    let mut new = 0;
    for task in tasks {
        let merged = task.await.unwrap().unwrap();
        new += merged.iter().filter(|group| group.seen_before.is_none()).count();
    }
    assert_eq!(new, 2, "each group is new once");
    let page = fixture.store.list_groups(&GroupFilter::default(), &PageRequest::default()).await;
    for group in page.unwrap().items {
        assert_eq!(group.count, 20, "{}", group.fingerprint);
    }
}

async fn groups_are_listed_seen_last_first(fixture: StoreFixture) {
    let groups = [group("a", 5), group("c", 9), group("b", 5), group("d", 1)];
    fixture.store.merge_groups(Uuid::from_u128(1), &groups).await.unwrap();
    let mut page = PageRequest::first(3);
    let mut seen = Vec::new();
    loop {
        let found = fixture.store.list_groups(&GroupFilter::default(), &page).await.unwrap();
        seen.extend(found.items.into_iter().map(|group| group.fingerprint));
        let Some(cursor) = found.next else { break };
        page = PageRequest::after(3, cursor);
    }
    assert_eq!(seen, ["c", "b", "a", "d"]);
}

async fn groups_are_filtered(fixture: StoreFixture) {
    let mut groups = [group("a", 1), group("b", 2), group("c", 3)];
    groups[0].schema_id = "films".into();
    groups[1].code = ViolationCode::REQUEST_PATH_UNDOCUMENTED;
    groups[2].path_template = "/other".into();
    fixture.store.merge_groups(Uuid::from_u128(1), &groups).await.unwrap();
    let none = GroupFilter::default;
    for (filter, expected) in [
        (none(), "c b a"),
        (GroupFilter { fingerprint: Some("b".into()), ..none() }, "b"),
        (GroupFilter { schema_id: Some("films".into()), ..none() }, "a"),
        (GroupFilter { code: Some("request.path.undocumented".into()), ..none() }, "b"),
        (GroupFilter { path_template: Some("/other".into()), ..none() }, "c"),
        (GroupFilter { seen_since: Some(at(2)), ..none() }, "c b"),
        (GroupFilter { schema_id: Some("books".into()), seen_since: Some(at(3)), ..none() }, "c"),
    ] {
        let page = fixture.store.list_groups(&filter, &PageRequest::default()).await.unwrap();
        let names: Vec<_> = page.items.iter().map(|group| group.fingerprint.as_str()).collect();
        assert_eq!(names.join(" "), expected, "{filter:?}");
    }
}

async fn a_purge_takes_names_and_old_groups_in_batches(fixture: StoreFixture) {
    let mut groups: Vec<_> =
        ["a", "b", "c"].into_iter().zip(1..).map(|(name, at)| group(name, at)).collect();
    groups[2].consumers = vec!["other".into(), "shop\"%".into()];
    fixture.store.merge_groups(Uuid::from_u128(1), &groups).await.unwrap();
    let name = Purge::ConsumerInGroups("shop");
    assert_eq!(fixture.store.purge(name, 1).await.unwrap(), 1);
    assert_eq!(fixture.store.purge(name, 9).await.unwrap(), 1);
    assert_eq!(fixture.store.purge(name, 9).await.unwrap(), 0);
    assert_eq!(fixture.store.purge(Purge::ConsumerInGroups("shop\"%"), 9).await.unwrap(), 1);
    let old = Purge::GroupsLastSeenBefore(at(3));
    assert_eq!(fixture.store.purge(old, 1).await.unwrap(), 1);
    assert_eq!(fixture.store.purge(old, 9).await.unwrap(), 1);
    let page = fixture.store.list_groups(&GroupFilter::default(), &PageRequest::default()).await;
    let left = page.unwrap().items;
    assert_eq!((left.len(), &*left[0].fingerprint), (1, "c"));
    assert_eq!(left[0].consumers, ["other"]);
}

async fn a_purge_takes_the_records_of_one_consumer(fixture: StoreFixture) {
    let records: Vec<_> = (0..5)
        .map(|n| {
            let mut one = record(n);
            one.consumer_id = if n < 3 { "shop".into() } else { "mobile".into() };
            redact(one)
        })
        .collect();
    fixture.store.record_validations(&records).await.unwrap();
    let purge = Purge::ConsumerRecords("shop");
    assert_eq!(fixture.store.purge(purge, 2).await.unwrap(), 2);
    assert_eq!(fixture.store.purge(purge, 2).await.unwrap(), 1);
    assert_eq!(fixture.store.purge(purge, 2).await.unwrap(), 0);
    let (filter, page) = (ValidationFilter::default(), PageRequest::default());
    assert_eq!(fixture.store.list_validations(&filter, &page).await.unwrap().items.len(), 2);
}
