//! Registration and look-up against the memory store.

use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::watch;

use super::*;
use crate::config::cache::CacheSettings;
use crate::config::{Config, RawSettings};
use crate::contract::NoDocumentFiles;
use crate::model::clock::{ManualClock, Timestamp};
use crate::model::id::SystemIds;
use crate::storage::{MemoryStore, StoreError};
use crate::telemetry::metrics::Metrics;

struct TestRegistry {
    registry: Registry,
    metrics: Metrics,
    store: Arc<dyn Store>,
}

fn test_registry(store: Option<Arc<dyn Store>>) -> TestRegistry {
    test_registry_with(store, |_| ())
}

fn test_registry_with(
    store: Option<Arc<dyn Store>>,
    adjust: impl FnOnce(&mut CacheSettings),
) -> TestRegistry {
    let flags = vec![
        ("spec", "--spec", "x".into()),
        ("upstream", "--upstream", "http://127.0.0.1:1".into()),
    ];
    let mut config = Config::load(RawSettings { flags, ..RawSettings::default() }).unwrap();
    config.documents.limit = 10_000;
    adjust(&mut config.cache);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(Timestamp::from_micros(1_000_000)));
    let store = store.unwrap_or_else(|| Arc::new(MemoryStore::new(clock.clone())));
    let metrics = Metrics::default();
    let registry = Registry::new(RegistryParts {
        store: store.clone(),
        cache: config.cache,
        options: compile_options(&config.rules, &config.documents),
        metrics: RegistryMetrics::new(&metrics).unwrap(),
        clock,
        ids: Arc::new(SystemIds),
    });
    TestRegistry { registry, metrics, store }
}

fn document(version: &str, path: &str) -> Registration {
    let content = format!(
        "openapi: 3.1.0\ninfo: {{title: Shop API, version: '{version}'}}\npaths:\n  {path}:\n    \
         get: {{responses: {{'200': {{description: fine}}}}}}\n"
    );
    Registration {
        content: content.into_bytes(),
        files: Arc::new(NoDocumentFiles),
        details: RegistrationDetails {
            schema_id: None,
            ownership: Ownership::default(),
            environment: "test".into(),
            on_conflict: OnConflict::Refuse,
        },
    }
}

fn id() -> SchemaId {
    SchemaId::new("shop-api").unwrap()
}

#[test]
fn ids_are_made_from_titles() {
    assert_eq!(slug("Bookshop API (v2)"), "bookshop-api-v2");
    assert_eq!(slug("  "), "");
    assert!(slug(&"ü".repeat(300)).len() <= 255);
}

#[tokio::test]
async fn a_registered_contract_is_found_by_id_and_by_version() {
    let test = test_registry(None);
    test.registry.register(document("1", "/a")).await.unwrap();
    test.registry.register(document("2", "/b")).await.unwrap();
    let latest = test.registry.lookup(&id(), None).await.unwrap().unwrap();
    assert_eq!(latest.contract.version(), "2");
    let first = test.registry.lookup(&id(), Some("1")).await.unwrap().unwrap();
    assert_eq!(&*first.contract.operations()[0].template, "/a");
    assert!(test.registry.lookup(&id(), Some("3")).await.unwrap().is_none());
    let text = test.metrics.encode().unwrap();
    assert!(text.contains("cvt_cache_hits_total 2"), "{text}");
    assert!(text.contains("cvt_cache_misses_total 1"), "{text}");
    assert!(text.contains("cvt_schemas_registered_total{status=\"success\"} 2"), "{text}");
}

#[tokio::test]
async fn a_new_process_finds_the_latest_in_storage() {
    let before = test_registry(None);
    before.registry.register(document("1", "/a")).await.unwrap();
    before.registry.register(document("2", "/b")).await.unwrap();
    let after = test_registry(Some(before.store));
    let latest = after.registry.lookup(&id(), None).await.unwrap().unwrap();
    assert_eq!(latest.contract.version(), "2");
}

#[tokio::test]
async fn bug_b24_concurrent_lookups_share_one_load() {
    let before = test_registry(None);
    before.registry.register(document("1", "/a")).await.unwrap();
    let after = test_registry(Some(before.store));
    let ask = || {
        let registry = after.registry.clone();
        tokio::spawn(async move { registry.lookup(&id(), None).await.unwrap().unwrap() })
    };
    let asked: Vec<_> = (0..50).map(|_| ask()).collect();
    let mut found = Vec::new();
    for answer in asked {
        found.push(answer.await.unwrap());
    }
    assert!(found.iter().all(|contract| Arc::ptr_eq(contract, &found[0])), "compiled twice");
}

#[tokio::test]
async fn registering_again_is_idempotent_and_other_content_is_a_conflict() {
    let test = test_registry(None);
    test.registry.register(document("1", "/a")).await.unwrap();
    test.registry.register(document("1", "/a")).await.unwrap();
    let error = test.registry.register(document("1", "/b")).await.unwrap_err();
    assert!(matches!(error, RegisterError::Store(StoreError::Conflict { .. })), "{error}");
    let kept = test.registry.lookup(&id(), None).await.unwrap().unwrap();
    assert_eq!(&*kept.contract.operations()[0].template, "/a", "memory follows disk");
    let mut replacement = document("1", "/b");
    replacement.details.on_conflict = OnConflict::Replace;
    test.registry.register(replacement).await.unwrap();
    let text = test.metrics.encode().unwrap();
    let failed = "cvt_schema_registration_errors_total{error_type=\"conflict\"} 1";
    assert!(text.contains(failed), "{text}");
}

#[tokio::test]
async fn bad_documents_are_refused_before_anything_is_stored() {
    let test = test_registry(None);
    let mut large = document("1", "/a");
    large.content.resize(10_001, b' ');
    assert!(matches!(
        test.registry.register(large).await.unwrap_err(),
        RegisterError::TooLarge { size: 10_001, limit: 10_000 }
    ));
    let mut foreign = document("1", "/a");
    foreign.content.push(0xff);
    assert!(matches!(
        test.registry.register(foreign).await.unwrap_err(),
        RegisterError::NotText(_)
    ));
    let mut broken = document("1", "/a");
    broken.content = b"openapi: 4.0.0\n".to_vec();
    assert!(matches!(
        test.registry.register(broken).await.unwrap_err(),
        RegisterError::Contract(_)
    ));
    assert!(test.store.list_schema_ids().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_route_without_a_document_follows_other_replicas() {
    let ours = test_registry(None);
    let first = ours.registry.register(document("1", "/a")).await.unwrap();
    let contract = Arc::new(ArcSwapOption::from(Some(first)));
    let (stop, stopped) = watch::channel(false);
    let slot = ContractSlot { contract: contract.clone(), follows_latest: true };
    let slots = Arc::new(ArcSwap::from_pointee(vec![slot]));
    let following = tokio::spawn(ours.registry.run_refresh(slots, stopped));
    let theirs = test_registry(Some(ours.store));
    theirs.registry.register(document("2", "/b")).await.unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    while contract.load().as_ref().unwrap().contract.version() != "2" {
        assert!(tokio::time::Instant::now() < deadline, "not seen within two seconds");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send(true).unwrap();
    following.await.unwrap();
}

/// A cache of size zero does not affect contracts in use.
#[tokio::test]
async fn an_active_contract_is_never_evicted() {
    let test = test_registry_with(None, |cache| cache.max_bytes = 1);
    let first = test.registry.register(document("1", "/a")).await.unwrap();
    let contract = Arc::new(ArcSwapOption::from(Some(first)));
    let (stop, stopped) = watch::channel(false);
    let slot = ContractSlot { contract: contract.clone(), follows_latest: true };
    let slots = Arc::new(ArcSwap::from_pointee(vec![slot]));
    let following = tokio::spawn(test.registry.run_refresh(slots, stopped));
    for n in 0..20 {
        let mut other = document("1", "/other");
        other.details.schema_id = Some(SchemaId::new(&format!("other-{n}")).unwrap());
        test.registry.register(other).await.unwrap();
    }
    let text = test.metrics.encode().unwrap();
    assert!(text.contains("cvt_cache_items_total 0"), "{text}");
    assert_eq!(contract.load().as_ref().unwrap().contract.version(), "1");
    stop.send(true).unwrap();
    following.await.unwrap();
    // gone from the cache, it is found again in storage
    let again = test.registry.lookup(&id(), None).await.unwrap().unwrap();
    assert_eq!(again.contract.version(), "1");
}

#[tokio::test]
async fn bug_b24_a_missing_schema_is_cached_briefly() {
    let test = test_registry(None);
    for _ in 0..5 {
        assert!(test.registry.lookup(&id(), None).await.unwrap().is_none());
    }
    let text = test.metrics.encode().unwrap();
    assert!(text.contains("cvt_cache_misses_total 1"), "{text}");
    test.registry.register(document("1", "/a")).await.unwrap();
    assert!(test.registry.lookup(&id(), None).await.unwrap().is_some(), "a registration shows");
}

struct PetFile;

impl DocumentFiles for PetFile {
    fn read(&self, _path: &str) -> Result<Vec<u8>, crate::contract::DocumentFileError> {
        Ok(b"Pet: {type: object, required: [name]}\n".to_vec())
    }
}

#[tokio::test]
async fn a_document_of_several_files_is_loaded_back_from_storage_alone() {
    let first = test_registry(None);
    let content = "openapi: 3.1.0\ninfo: {title: Shop API, version: '1'}\npaths:\n  /pets:\n    post:\n      \
                   requestBody: {content: {application/json: {schema: {$ref: 'pet.yaml#/Pet'}}}}\n";
    let registration = Registration {
        content: content.into(),
        files: Arc::new(PetFile),
        ..document("1", "/unused")
    };
    let registered = first.registry.register(registration).await.unwrap();
    let second = test_registry(Some(first.store.clone()));
    let loaded = second.registry.lookup(&id(), None).await.unwrap().unwrap();
    assert_eq!(loaded.contract.hash(), registered.contract.hash());
    let at = "/x-cvt-files/pet.yaml/Pet/required";
    assert_eq!(loaded.contract.origin(at), registered.contract.origin(at));
    assert_eq!(&*loaded.contract.origin(at).pointer, "pet.yaml#/Pet/required");
}
