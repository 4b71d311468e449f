//! Headers and bodies encrypted before they reach a store.

use std::sync::Arc;

use cvt_sidecar::config::encryption::SecretKey;
use cvt_sidecar::encryption::Keyring;
use cvt_sidecar::model::random::SystemRandom;
use cvt_sidecar::model::record::{HeaderList, ValidationRecord};
use cvt_sidecar::storage::{
    AnalyticsOptions, EncryptedStore, ExpireKind, PageRequest, Store, StoreError, ValidationFilter,
    ValidationStore as _,
};

use super::fixtures::{at, record, redact_all};
use super::store_fixture::StoreFixture;

super::cases! {
    encrypted_payloads_are_read_back_and_stored_nowhere_in_clear
    encryption_does_not_affect_analytics_and_expiry
    records_are_reencrypted_page_by_page
}

fn keys(bytes: &[u8]) -> Keyring {
    let keys: Vec<_> = bytes.iter().map(|byte| SecretKey::new([*byte; 32])).collect();
    Keyring::new(&keys, Arc::new(SystemRandom))
}

fn encrypted(fixture: &StoreFixture, bytes: &[u8]) -> EncryptedStore {
    EncryptedStore::new(fixture.store.clone(), keys(bytes))
}

fn text_headers() -> HeaderList {
    vec![("content-type".into(), "text/plain".into())]
}

fn with_body(number: i64) -> ValidationRecord {
    ValidationRecord {
        request_body: Some(format!("body {number}")),
        response_body: Some(String::new()),
        request_headers: text_headers(),
        response_headers: text_headers(),
        ..record(number)
    }
}

async fn all(store: &dyn Store) -> Vec<ValidationRecord> {
    let page = PageRequest::first(1_000);
    store.list_validations(&ValidationFilter::default(), &page).await.unwrap().items
}

async fn encrypted_payloads_are_read_back_and_stored_nowhere_in_clear(fixture: StoreFixture) {
    let store = encrypted(&fixture, &[1]);
    let record = with_body(1);
    store.record_validations(&redact_all(std::slice::from_ref(&record))).await.unwrap();
    assert_eq!(all(&store).await, std::slice::from_ref(&record));
    assert_eq!(store.get_validation(record.id).await.unwrap(), Some(record.clone()));
    let raw = format!("{:?}", all(&*fixture.store).await);
    assert!(!raw.contains("body 1") && !raw.contains("text/plain"), "{raw}");
    for other in [encrypted(&fixture, &[2]), encrypted(&fixture, &[])] {
        let error = other.get_validation(record.id).await.unwrap_err();
        assert!(matches!(error, StoreError::Undecryptable { record: id, .. } if id == record.id));
    }
}

async fn encryption_does_not_affect_analytics_and_expiry(fixture: StoreFixture) {
    let store = encrypted(&fixture, &[1]);
    let records: Vec<_> = (1..=4).map(with_body).collect();
    store.record_validations(&redact_all(&records)).await.unwrap();
    let filter = ValidationFilter::default();
    let options = AnalyticsOptions::default();
    let numbers = store.get_validation_analytics(&filter, &options).await.unwrap();
    assert_eq!(numbers.total_validations, 4);
    assert_eq!(store.count_expirable(ExpireKind::Bodies, at(3)).await.unwrap(), 2);
    store.expire_validations(ExpireKind::Bodies, at(3), 10).await.unwrap();
    let bodies = all(&store).await.iter().filter(|record| record.request_body.is_some()).count();
    assert_eq!(bodies, 2);
}

async fn records_are_reencrypted_page_by_page(fixture: StoreFixture) {
    let records: Vec<_> = (1..=5).map(with_body).collect();
    fixture.store.record_validations(&redact_all(&records[..1])).await.unwrap();
    encrypted(&fixture, &[1]).record_validations(&redact_all(&records[1..])).await.unwrap();
    let both = encrypted(&fixture, &[2, 1]);
    let first = both.reencrypt(&PageRequest::first(3)).await.unwrap();
    assert_eq!((first.seen, first.changed), (3, 3));
    let again = both.reencrypt(&PageRequest::first(3)).await.unwrap();
    assert_eq!(again.changed, 0, "what is done is not done again");
    let rest = PageRequest::after(3, first.next.unwrap());
    assert_eq!(both.reencrypt(&rest).await.unwrap().changed, 2);
    let mut expected = records.clone();
    expected.reverse();
    assert_eq!(all(&encrypted(&fixture, &[2])).await, expected, "the new key is enough");
}
