//! Records and groups by fault, side and status, and groups that had another identity before.

use cvt_sidecar::model::fault::Fault;
use cvt_sidecar::model::record::ValidationRecord;
use cvt_sidecar::model::violation::{Side, ViolationCode};
use cvt_sidecar::storage::{Access, AnalyticsOptions, GroupFilter, PageRequest, ValidationFilter};
use uuid::Uuid;

use super::fixtures::{at, group, id, invalid, record, redact_all};
use super::raw_database::RawDatabase;
use super::store_fixture::StoreFixture;

super::cases! {
    records_are_filtered_by_fault_side_and_status
    analytics_count_by_fault_side_and_status
    a_record_keeps_its_fault
    groups_are_filtered_by_fault_side_and_status
    statuses_of_a_group_add_up
    a_new_group_is_known_by_its_earlier_identity
}

/// Six records: the third to sixth break the contract by one fault each.
async fn six(fixture: &StoreFixture) {
    let broken = |n, code, fault, status| ValidationRecord {
        fault: Some(fault),
        response_status: status,
        ..invalid(n, code)
    };
    let batch = [
        record(1),
        record(2),
        broken(3, ViolationCode::RESPONSE_BODY_SCHEMA, Fault::Service, Some(200)),
        broken(4, ViolationCode::REQUEST_BODY_SCHEMA, Fault::Accepted, Some(201)),
        broken(5, ViolationCode::REQUEST_PATH_UNDOCUMENTED, Fault::Stranger, Some(404)),
        broken(6, ViolationCode::REQUEST_BODY_SCHEMA, Fault::Caller, None),
    ];
    fixture.store.record_validations(&redact_all(&batch)).await.unwrap();
}

fn filters() -> Vec<(ValidationFilter, Vec<i64>)> {
    let none = ValidationFilter::default;
    let fault = |fault| ValidationFilter { fault: Some(fault), ..none() };
    let side = |side| ValidationFilter { side: Some(side), ..none() };
    let status = |status| ValidationFilter { status: Some(status), ..none() };
    vec![
        (fault(Fault::Service), vec![3]),
        (fault(Fault::Accepted), vec![4]),
        (fault(Fault::Stranger), vec![5]),
        (fault(Fault::Caller), vec![6]),
        (side(Side::Request), vec![6, 5, 4]),
        (side(Side::Response), vec![3]),
        (status(200), vec![3, 2, 1]),
        (status(404), vec![5]),
        (ValidationFilter { from: Some(at(5)), ..side(Side::Request) }, vec![6, 5]),
        (ValidationFilter { until: Some(at(6)), ..side(Side::Request) }, vec![5, 4]),
        (ValidationFilter { fault: Some(Fault::Service), ..side(Side::Request) }, vec![]),
        (ValidationFilter { valid: Some(true), ..status(200) }, vec![2, 1]),
        (ValidationFilter { valid: Some(true), ..fault(Fault::Caller) }, vec![]),
    ]
}

async fn records_are_filtered_by_fault_side_and_status(fixture: StoreFixture) {
    six(&fixture).await;
    for (filter, expected) in filters() {
        let page = fixture.store.list_validations(&filter, &PageRequest::default()).await.unwrap();
        let found: Vec<_> = page.items.iter().map(|record| record.id).collect();
        let expected: Vec<_> = expected.iter().map(|n| id(u128::try_from(*n).unwrap())).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn analytics_count_by_fault_side_and_status(fixture: StoreFixture) {
    six(&fixture).await;
    let options = AnalyticsOptions { bucket: Some(std::time::Duration::from_hours(1)), top: 5 };
    for (filter, expected) in filters() {
        let numbers = fixture.store.get_validation_analytics(&filter, &options).await.unwrap();
        assert_eq!(numbers.total_validations, expected.len() as u64, "{filter:?}");
        let series: u64 = numbers.series.iter().map(|point| point.total).sum();
        assert_eq!(series, expected.len() as u64, "{filter:?}");
    }
}

async fn a_record_keeps_its_fault(fixture: StoreFixture) {
    six(&fixture).await;
    for (n, fault) in [(1, None), (3, Some(Fault::Service)), (6, Some(Fault::Caller))] {
        let found = fixture.store.get_validation(id(n)).await.unwrap().unwrap();
        assert_eq!(found.fault, fault);
    }
}

async fn groups_are_filtered_by_fault_side_and_status(fixture: StoreFixture) {
    let mut groups = [group("a", 1), group("b", 2), group("c", 3), group("d", 4)];
    groups[1].fault = Some(Fault::Caller);
    groups[1].code = ViolationCode::REQUEST_BODY_SCHEMA;
    groups[1].statuses = vec!["400".into(), "422".into()];
    groups[2].code = ViolationCode::RESPONSE_STATUS_UNDOCUMENTED;
    groups[2].found = Some("401".into());
    groups[2].statuses = vec!["401".into()];
    // as releases before faults leave them
    groups[3].fault = None;
    groups[3].statuses = Vec::new();
    fixture.store.merge_groups(Uuid::from_u128(1), &groups).await.unwrap();
    let none = GroupFilter::default;
    for (filter, expected) in [
        (GroupFilter { fault: Some(Fault::Service), ..none() }, "c a"),
        (GroupFilter { fault: Some(Fault::Caller), ..none() }, "b"),
        (GroupFilter { fault: Some(Fault::Stranger), ..none() }, ""),
        (GroupFilter { side: Some(Side::Request), ..none() }, "b"),
        (GroupFilter { side: Some(Side::Response), ..none() }, "d c a"),
        (GroupFilter { status: Some(422), ..none() }, "b"),
        (GroupFilter { status: Some(40), ..none() }, ""),
        (GroupFilter { status: Some(200), side: Some(Side::Response), ..none() }, "a"),
    ] {
        let page = fixture.store.list_groups(&filter, &PageRequest::default()).await.unwrap();
        let found: Vec<_> = page.items.iter().map(|group| &*group.fingerprint).collect();
        assert_eq!(found.join(" "), expected, "{filter:?}");
    }
    let one = GroupFilter { fingerprint: Some("c".into()), ..none() };
    let page = fixture.store.list_groups(&one, &PageRequest::default()).await.unwrap();
    assert_eq!(page.items, [groups[2].clone()]);
}

async fn statuses_of_a_group_add_up(fixture: StoreFixture) {
    for (batch, statuses) in [(1, vec!["422"]), (2, vec!["400", "422"]), (3, vec![])] {
        let mut one = group("a", 1);
        one.statuses = statuses.into_iter().map(str::to_owned).collect();
        fixture.store.merge_groups(Uuid::from_u128(batch), &[one]).await.unwrap();
    }
    let page = fixture.store.list_groups(&GroupFilter::default(), &PageRequest::default()).await;
    assert_eq!(page.unwrap().items[0].statuses, ["400", "422"]);
}

async fn a_new_group_is_known_by_its_earlier_identity(fixture: StoreFixture) {
    let store = &fixture.store;
    store.merge_groups(Uuid::from_u128(1), &[group("old", 3)]).await.unwrap();
    let mut now = [group("new", 9), group("other", 9)];
    now[0].earlier_fingerprint = Some("old".into());
    now[1].earlier_fingerprint = Some("unknown".into());
    let merged = store.merge_groups(Uuid::from_u128(2), &now).await.unwrap();
    let seen: Vec<_> = merged
        .iter()
        .map(|one| (&*one.fingerprint, one.seen_before, one.seen_before_as_earlier))
        .collect();
    assert_eq!(seen, [("new", None, Some(at(3))), ("other", None, None)]);
    let merged = store.merge_groups(Uuid::from_u128(3), &now[..1]).await.unwrap();
    assert_eq!(merged[0].seen_before, Some(at(9)), "known by its own identity from now on");
    assert_eq!(merged[0].seen_before_as_earlier, None);
}

/// What the previous release writes into a database of this one is read, and found by what it has.
#[tokio::test]
async fn rows_without_fault_are_read() {
    for raw in RawDatabase::both() {
        let store = raw.open(Access::Migrate).await.unwrap();
        store.migrate(false).await.unwrap();
        store.merge_groups(Uuid::from_u128(1), &[group("a", 1)]).await.unwrap();
        let batch = redact_all(&[invalid(1, ViolationCode::REQUEST_BODY_SCHEMA)]);
        store.record_validations(&batch).await.unwrap();
        raw.run("UPDATE violation_groups SET fault = NULL, found = NULL, statuses = '[]'").await;
        raw.run("UPDATE validation_runs SET fault = NULL").await;
        let groups = store.list_groups(&GroupFilter::default(), &PageRequest::default()).await;
        assert_eq!(groups.unwrap().items[0].fault, None);
        let records =
            store.list_validations(&ValidationFilter::default(), &PageRequest::default()).await;
        assert_eq!(records.unwrap().items[0].fault, None);
        store.close().await;
    }
}
