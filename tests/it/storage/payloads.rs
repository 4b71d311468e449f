//! Headers and bodies replaced, and sealed in front of the store.

use std::sync::Arc;

use cvt_sidecar::config::encryption::SecretKey;
use cvt_sidecar::model::chance::SystemChance;
use cvt_sidecar::model::record::{HeaderList, ValidationRecord};
use cvt_sidecar::sealing::Keyring;
use cvt_sidecar::storage::{
    AnalyticsOptions, ExpireKind, PageRequest, Resealing, SealedStore, Store, StoreError,
    ValidationFilter, ValidationStore as _,
};

use super::bed::Bed;
use super::fixtures::{at, record, redact_all};

super::cases! {
    payloads_are_replaced_and_nothing_else
    a_body_that_expired_stays_away
    what_is_sealed_comes_back_and_lies_nowhere_in_clear
    sealing_leaves_numbers_and_expiry_alone
    records_are_sealed_anew_page_by_page
}

fn keys(bytes: &[u8]) -> Keyring {
    let keys: Vec<_> = bytes.iter().map(|byte| SecretKey::new([*byte; 32])).collect();
    Keyring::new(&keys, Arc::new(SystemChance))
}

fn sealed(bed: &Bed, bytes: &[u8]) -> SealedStore {
    SealedStore::new(bed.store.clone(), keys(bytes))
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

async fn payloads_are_replaced_and_nothing_else(bed: Bed) {
    let before = with_body(1);
    bed.store.record_validations(&redact_all(std::slice::from_ref(&before))).await.unwrap();
    let after = ValidationRecord {
        request_body: Some("another".into()),
        request_headers: [text_headers(), vec![("a".into(), "b".into())]].concat(),
        ..before.clone()
    };
    let changed = ValidationRecord { valid: !before.valid, ..after.clone() };
    let unknown = with_body(2);
    let replaced = bed.store.replace_payloads(&redact_all(&[changed, unknown])).await.unwrap();
    assert_eq!(replaced, 1);
    assert_eq!(all(&*bed.store).await, [after]);
}

async fn a_body_that_expired_stays_away(bed: Bed) {
    let record = with_body(1);
    bed.store.record_validations(&redact_all(std::slice::from_ref(&record))).await.unwrap();
    bed.store.expire_validations(ExpireKind::Bodies, at(100), 10).await.unwrap();
    bed.store.replace_payloads(&redact_all(&[record])).await.unwrap();
    let found = all(&*bed.store).await;
    assert_eq!((&found[0].request_body, &found[0].response_body), (&None, &None));
}

async fn what_is_sealed_comes_back_and_lies_nowhere_in_clear(bed: Bed) {
    let store = sealed(&bed, &[1]);
    let record = with_body(1);
    store.record_validations(&redact_all(std::slice::from_ref(&record))).await.unwrap();
    assert_eq!(all(&store).await, [record.clone()]);
    assert_eq!(store.get_validation(record.id).await.unwrap(), Some(record.clone()));
    let raw = format!("{:?}", all(&*bed.store).await);
    assert!(!raw.contains("body 1") && !raw.contains("text/plain"), "{raw}");
    for other in [sealed(&bed, &[2]), sealed(&bed, &[])] {
        let error = other.get_validation(record.id).await.unwrap_err();
        assert!(matches!(error, StoreError::Sealed { record: id, .. } if id == record.id));
    }
}

async fn sealing_leaves_numbers_and_expiry_alone(bed: Bed) {
    let store = sealed(&bed, &[1]);
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

async fn records_are_sealed_anew_page_by_page(bed: Bed) {
    let records: Vec<_> = (1..=5).map(with_body).collect();
    bed.store.record_validations(&redact_all(&records[..1])).await.unwrap();
    sealed(&bed, &[1]).record_validations(&redact_all(&records[1..])).await.unwrap();
    let resealing = Resealing::new(bed.store.clone(), keys(&[2, 1]));
    let (sealed_anew, first) = resealing.page(&PageRequest::first(3)).await.unwrap();
    assert_eq!((sealed_anew, first.items.len()), (3, 3));
    let (again, _) = resealing.page(&PageRequest::first(3)).await.unwrap();
    assert_eq!(again, 0, "what is done is not done again");
    let rest = PageRequest::after(3, first.next.unwrap());
    assert_eq!(resealing.page(&rest).await.unwrap().0, 2);
    let mut expected = records.clone();
    expected.reverse();
    assert_eq!(all(&sealed(&bed, &[2])).await, expected, "the new key is enough");
}
