//! Observed usage.

use cvt_sidecar::model::usage::{OperationUsage, UsageKind};
use cvt_sidecar::storage::{PageRequest, UsageFilter};
use uuid::Uuid;

use super::fixtures::{at, consumer, usage};
use super::store_fixture::StoreFixture;

super::cases! {
    usage_comes_back_as_it_was_seen
    merged_usage_adds_up
    a_repeated_batch_counts_once
    a_batch_is_forgotten_after_a_day
    observed_consumers_are_registered
    observed_use_joins_a_registration
    concurrent_merges_lose_nothing
    usage_is_listed_by_operation_and_filter
    usage_is_paged_by_operation
}

async fn all(fixture: &StoreFixture) -> Vec<OperationUsage> {
    let page =
        fixture.store.list_usage(&UsageFilter::default(), &PageRequest::default()).await.unwrap();
    assert_eq!(page.next, None);
    page.items
}

async fn merge(fixture: &StoreFixture, batch: u128, usage: &[OperationUsage]) {
    fixture.store.merge_usage(Uuid::from_u128(batch), usage).await.unwrap();
}

async fn usage_comes_back_as_it_was_seen(fixture: StoreFixture) {
    let mut seen = usage("shop", "/books/{id}", 3, &["author.name", "tags[]", "title"]);
    for (kind, name) in [(UsageKind::RequestField, "ü.x"), (UsageKind::Parameter, "query:page")] {
        let mut fact = seen.facts[0].clone();
        fact.kind = kind;
        fact.name = name.into();
        seen.facts.push(fact);
    }
    seen.facts.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    merge(&fixture, 1, std::slice::from_ref(&seen)).await;
    assert_eq!(all(&fixture).await, [seen]);
}

async fn merged_usage_adds_up(fixture: StoreFixture) {
    let mut newer = usage("shop", "/a", 9, &["y"]);
    newer.schema_version = "2.0.0".into();
    newer.consumer_version = "3.0.0".into();
    merge(&fixture, 1, &[usage("shop", "/a", 5, &["x"])]).await;
    merge(&fixture, 2, &[newer]).await;
    let usage = all(&fixture).await;
    assert_eq!(usage.len(), 1);
    assert_eq!((&*usage[0].schema_version, &*usage[0].consumer_version), ("2.0.0", "3.0.0"));
    let facts: Vec<_> = usage[0]
        .facts
        .iter()
        .map(|fact| (fact.name.as_str(), fact.count, fact.first_seen, fact.last_seen))
        .collect();
    let (first, last) = (at(5), at(9));
    assert_eq!(
        facts,
        [
            ("", 2, first, last),
            ("200", 2, first, last),
            ("x", 1, first, first),
            ("y", 1, last, last)
        ]
    );
}

async fn a_repeated_batch_counts_once(fixture: StoreFixture) {
    for _ in 0..3 {
        merge(&fixture, 1, &[usage("shop", "/a", 5, &[])]).await;
    }
    assert_eq!(all(&fixture).await[0].facts[0].count, 1);
}

async fn a_batch_is_forgotten_after_a_day(fixture: StoreFixture) {
    merge(&fixture, 1, &[usage("shop", "/a", 5, &[])]).await;
    fixture.clock.advance(std::time::Duration::from_hours(25));
    merge(&fixture, 1, &[usage("shop", "/a", 5, &[])]).await;
    assert_eq!(all(&fixture).await[0].facts[0].count, 2);
}

async fn observed_consumers_are_registered(fixture: StoreFixture) {
    let seen = [usage("shop", "/b", 7, &["z", "a"]), usage("shop", "/a", 3, &[])];
    merge(&fixture, 1, &seen).await;
    let record = fixture.store.get_consumer("shop", "books", "prod").await.unwrap().unwrap();
    assert_eq!((&*record.schema_version, &*record.consumer_version), ("1.0.0", "2.1.0"));
    assert_eq!(record.last_validated_at, at(7));
    let uses: Vec<_> = record
        .used_endpoints
        .iter()
        .map(|used| format!("{} {} {}", used.method, used.path, used.used_fields.join(",")))
        .collect();
    assert_eq!(uses, ["GET /a ", "GET /b a,z"]);
}

async fn observed_use_joins_a_registration(fixture: StoreFixture) {
    let registered = consumer("shop", "books", "prod");
    fixture.store.register_consumer(&registered).await.unwrap();
    merge(&fixture, 1, &[usage("shop", "/books/{id}", 7, &["isbn"])]).await;
    let record = fixture.store.get_consumer("shop", "books", "prod").await.unwrap().unwrap();
    assert_eq!(record.id, registered.id);
    assert_eq!(record.registered_at, registered.registered_at);
    assert_eq!(record.used_endpoints.len(), 1);
    assert_eq!(record.used_endpoints[0].used_fields, ["author.name", "isbn", "title"]);
}

async fn concurrent_merges_lose_nothing(fixture: StoreFixture) {
    let mut tasks = Vec::new();
    for n in 0..20_u32 {
        let store = if n % 2 == 0 { fixture.store.clone() } else { fixture.second().await };
        tasks.push(tokio::spawn(async move {
            let field = format!("f{n}");
            let mut seen =
                vec![usage("shop", "/a", 1, &["x", &field]), usage("mobile", "/a", 1, &["x"])];
            if n % 3 == 0 {
                seen.reverse();
            }
            store.merge_usage(Uuid::from_u128(u128::from(n)), &seen).await
        }));
    }
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    for usage in all(&fixture).await {
        let calls = usage.facts.iter().find(|fact| fact.kind == UsageKind::Operation).unwrap();
        assert_eq!(calls.count, 20, "{}", usage.consumer_id);
    }
    let record = fixture.store.get_consumer("shop", "books", "prod").await.unwrap().unwrap();
    assert_eq!(record.used_endpoints[0].used_fields.len(), 21);
}

async fn usage_is_listed_by_operation_and_filter(fixture: StoreFixture) {
    let mut post = usage("b", "/x", 1, &[]);
    post.method = "POST".into();
    let mut dev = usage("a", "/x", 1, &[]);
    dev.environment = "dev".into();
    merge(&fixture, 1, &[usage("b", "/x", 1, &[]), post, usage("a", "/y", 1, &["f"]), dev]).await;
    let none = UsageFilter::default;
    for (filter, expected) in [
        (none(), "a dev GET /x, a prod GET /y, b prod GET /x, b prod POST /x"),
        (UsageFilter { consumer_id: Some("a".into()), ..none() }, "a dev GET /x, a prod GET /y"),
        (
            UsageFilter { path: Some("/x".into()), method: Some("GET".into()), ..none() },
            "a dev GET /x, b prod GET /x",
        ),
        (UsageFilter { environment: Some("dev".into()), ..none() }, "a dev GET /x"),
        (UsageFilter { schema_id: Some("films".into()), ..none() }, ""),
    ] {
        let page = fixture.store.list_usage(&filter, &PageRequest::default()).await.unwrap();
        let names: Vec<_> = page
            .items
            .iter()
            .map(|used| {
                format!("{} {} {} {}", used.consumer_id, used.environment, used.method, used.path)
            })
            .collect();
        assert_eq!(names.join(", "), expected, "{filter:?}");
    }
}

async fn usage_is_paged_by_operation(fixture: StoreFixture) {
    let seen: Vec<_> = (0..7).map(|n| usage("shop", &format!("/{n}"), 1, &["a", "b"])).collect();
    merge(&fixture, 1, &seen).await;
    let mut page = PageRequest::first(3);
    let mut found = Vec::new();
    loop {
        let part = fixture.store.list_usage(&UsageFilter::default(), &page).await.unwrap();
        found.extend(part.items);
        let Some(cursor) = part.next else { break };
        page = PageRequest::after(3, cursor);
    }
    assert_eq!(found, seen);
}
